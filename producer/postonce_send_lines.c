/* postonce_send_lines.c: see postonce_send_lines.h. Owns the descriptor and one buffer
 * that a longest line and one read fit into; lines are handed out in place, never copied.
 * What is longer is thrown away as it comes in, up to its end. */
#include "producer/postonce_send_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"

/* Two more than a longest line: CR, and one byte that shows that it is too long. */
enum { READ_SIZE = 262144, BUFFER_SIZE = LINES_SIZE_MAX + 2 + READ_SIZE };

struct lines {
    int descriptor;
    bool at_end;
    bool too_long;            /* the current line is being thrown away */
    uint64_t number;          /* of the last line that was handed out */
    size_t start, scan, size; /* current line, where to look for its end, bytes in hand */
    char bytes[BUFFER_SIZE];
};

struct lines *lines_new(int descriptor)
{
    struct lines *lines = malloc(sizeof *lines);
    MUST(lines != NULL);
    lines->descriptor = descriptor;
    lines->at_end = lines->too_long = false;
    lines->number = 0;
    lines->start = lines->scan = lines->size = 0;
    return lines;
}

struct lines *lines_open(const char *path)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return lines_new(STDIN_FILENO);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct stat status;
    if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(descriptor);
        errno = EISDIR;
        return NULL;
    }
    return lines_new(descriptor);
}

void lines_free(struct lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->descriptor != STDIN_FILENO)
        close(lines->descriptor);
    free(lines);
}

static bool is_blank(const char *bytes, size_t size)
{
    while (size > 0 && (*bytes == ' ' || *bytes == '\t' || *bytes == '\r')) {
        bytes++;
        size--;
    }
    return size == 0;
}

/* The line that ends at `end`; the next one begins at `next`. NOTHING: it is blank. */
static enum lines_found take(struct lines *lines, size_t end, size_t next,
                             struct lines_line *line)
{
    bool too_long = lines->too_long;
    line->bytes = lines->bytes + lines->start;
    line->size = end - lines->start;
    line->number = ++lines->number;
    lines->start = lines->scan = next;
    lines->too_long = false;
    if (line->size > 0 && line->bytes[line->size - 1] == '\r')
        line->size--;
    if (too_long || line->size > LINES_SIZE_MAX)
        return LINES_TOO_LONG;
    return is_blank(line->bytes, line->size) ? LINES_NOTHING : LINES_LINE;
}

/* What is in hand: false when it holds no whole line. */
static bool take_in_hand(struct lines *lines, struct lines_line *line,
                         enum lines_found *found)
{
    for (;;) {
        const char *from = lines->bytes + lines->scan;
        const char *end = memchr(from, '\n', lines->size - lines->scan);
        if (end == NULL) {
            lines->scan = lines->size;
            return false;
        }
        size_t at = (size_t)(end - lines->bytes);
        *found = take(lines, at, at + 1, line);
        if (*found != LINES_NOTHING)
            return true;
    }
}

static enum lines_found take_last(struct lines *lines, struct lines_line *line)
{
    if (lines->start == lines->size && !lines->too_long)
        return LINES_END;
    enum lines_found found = take(lines, lines->size, lines->size, line);
    return found == LINES_NOTHING ? LINES_END : found;
}

/* The unfinished line moves to the front, or is forgotten if it is too long already. */
static void make_room(struct lines *lines)
{
    size_t held = lines->size - lines->start;
    if (held > LINES_SIZE_MAX + 1)
        lines->too_long = true;
    if (lines->too_long)
        held = 0;
    if (held > 0 && lines->start > 0)
        memmove(lines->bytes, lines->bytes + lines->start, held);
    lines->start = 0;
    lines->scan = lines->size = held;
}

/* LINES_LINE means that there is more to look at. */
static enum lines_found fill(struct lines *lines, int wait_ms)
{
    struct pollfd input = {.fd = lines->descriptor, .events = POLLIN};
    if (poll(&input, 1, wait_ms) == 0)
        return LINES_NOTHING;
    make_room(lines);
    ssize_t got = read(lines->descriptor, lines->bytes + lines->size, READ_SIZE);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? LINES_NOTHING : LINES_FAILED;
    lines->at_end = got == 0;
    lines->size += (size_t)got;
    return LINES_LINE;
}

enum lines_found lines_next(struct lines *lines, int wait_ms, struct lines_line *line)
{
    enum lines_found found = LINES_LINE;
    while (!take_in_hand(lines, line, &found)) {
        if (lines->at_end)
            return take_last(lines, line);
        found = fill(lines, wait_ms);
        if (found != LINES_LINE)
            return found;
    }
    return found;
}
