/* producer_lines_test.c: the input of postonce-send: ends of lines, blank lines, lines at
 * and beyond the limit, a silent pipe; however the bytes are cut up on their way. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "producer/postonce_send_lines.h"
#include "tests/unit/test.h"

enum { PIECE_ALL = 1 << 30 };

/* What a thread writes into the pipe, `piece` bytes at a time. */
struct feed {
    const char *bytes;
    size_t size, piece;
    int descriptor;
};

static void *write_feed(void *argument)
{
    const struct feed *feed = argument;
    for (size_t at = 0; at < feed->size;) {
        size_t left = feed->size - at;
        ssize_t put = write(feed->descriptor, feed->bytes + at,
                            left < feed->piece ? left : feed->piece);
        if (put <= 0)
            break;
        at += (size_t)put;
    }
    close(feed->descriptor);
    return NULL;
}

/* One line of input as `NUMBER:TEXT;`, a too long one as `NUMBER!;`, into `text`. */
static void describe(enum lines_found found, const struct lines_line *line, char *text,
                     size_t size)
{
    size_t used = strlen(text);
    if (found == LINES_LINE)
        snprintf(text + used, size - used, "%d:%.*s;", (int)line->number, (int)line->size,
                 line->bytes);
    else if (found == LINES_TOO_LONG)
        snprintf(text + used, size - used, "%d!;", (int)line->number);
}

static void read_all(const char *bytes, size_t size, size_t piece, char *text,
                     size_t text_size)
{
    int ends[2];
    pthread_t writer;
    struct lines_line line = {.number = 0};
    CHECK(pipe(ends) == 0);
    struct feed feed = {bytes, size, piece, ends[1]};
    CHECK(pthread_create(&writer, NULL, write_feed, &feed) == 0);
    struct lines *lines = lines_new(ends[0]);
    enum lines_found found;
    text[0] = '\0';
    while ((found = lines_next(lines, 1000, &line)) != LINES_END && found != LINES_FAILED)
        describe(found, &line, text, text_size);
    CHECK_INT(found, LINES_END);
    CHECK_INT(lines_next(lines, 0, &line), LINES_END);
    lines_free(lines);
    CHECK(pthread_join(writer, NULL) == 0);
}

static void check(const char *name, const char *input, const char *want)
{
    static const size_t pieces[] = {1, 2, 3, PIECE_ALL};
    char text[256];
    test_case(name);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        read_all(input, strlen(input), pieces[i], text, sizeof text);
        CHECK_TEXT(text, want);
    }
}

/* A line of `size` bytes and then one more line. */
static void check_size(const char *name, size_t size, const char *end, bool too_long)
{
    size_t total = size + strlen(end) + 1;
    char *input = malloc(total), *text = malloc(total + 64);
    memset(input, 'x', size);
    for (size_t i = 0; end[i] != '\0'; i++)
        input[size + i] = end[i];
    input[total - 1] = 'y';
    read_all(input, total, 65536, text, total + 64);
    test_case(name);
    if (too_long) {
        CHECK_TEXT(text, "1!;2:y;");
    } else {
        CHECK_INT(strlen(text), size + strlen("1:;2:y;"));
        CHECK_TEXT(strchr(text, ';'), ";2:y;");
    }
    free(input);
    free(text);
}

static void check_silence(void)
{
    int ends[2];
    struct lines_line line;
    test_case("a silent pipe");
    CHECK(pipe(ends) == 0);
    struct lines *lines = lines_new(ends[0]);
    CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    CHECK(write(ends[1], "{\"a\"", 4) == 4);
    CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    CHECK(write(ends[1], ":1}\n{", 5) == 5);
    CHECK_INT(lines_next(lines, 0, &line), LINES_LINE);
    CHECK_BYTES(line.bytes, line.size, "{\"a\":1}", 7);
    CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    close(ends[1]);
    CHECK_INT(lines_next(lines, 0, &line), LINES_LINE);
    CHECK_BYTES(line.bytes, line.size, "{", 1);
    CHECK_INT(lines_next(lines, 0, &line), LINES_END);
    lines_free(lines);
}

/* The longest line, or one byte more, and its CR LF, each when all before it has been
 * read: what is held back for the end of the line must not count. */
static void check_held(size_t extra, enum lines_found want)
{
    static char piece[65536];
    int ends[2];
    struct lines_line line;
    test_case(extra == 0 ? "the longest, in pieces" : "one too long, in pieces");
    memset(piece, 'x', sizeof piece);
    CHECK(pipe(ends) == 0);
    struct lines *lines = lines_new(ends[0]);
    for (size_t sent = 0; sent < LINES_SIZE_MAX; sent += sizeof piece) {
        CHECK(write(ends[1], piece, sizeof piece) == (ssize_t)sizeof piece);
        CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    }
    CHECK(write(ends[1], piece, extra) == (ssize_t)extra);
    CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    CHECK(write(ends[1], "\r", 1) == 1);
    CHECK_INT(lines_next(lines, 0, &line), LINES_NOTHING);
    CHECK(write(ends[1], "\ny\n", 3) == 3);
    CHECK_INT(lines_next(lines, 0, &line), want);
    CHECK(want != LINES_LINE || line.size == LINES_SIZE_MAX);
    CHECK_INT(lines_next(lines, 0, &line), LINES_LINE);
    CHECK_BYTES(line.bytes, line.size, "y", 1);
    close(ends[1]);
    lines_free(lines);
}

static void check_files(void)
{
    test_case("files");
    errno = 0;
    CHECK(lines_open(TEST_SOURCE "/no such file") == NULL);
    CHECK_INT(errno, ENOENT);
    CHECK(lines_open(TEST_SOURCE) == NULL);
    CHECK_INT(errno, EISDIR);
    struct lines_line line = {.number = 0};
    struct lines *lines = lines_open(TEST_SOURCE "/tests/unit/producer_lines_test.c");
    CHECK_INT(lines_next(lines, 0, &line), LINES_LINE);
    CHECK(line.number == 1 && memcmp(line.bytes, "/* producer_lines_test.c", 24) == 0);
    lines_free(lines);
    lines_free(NULL);
}

int main(void)
{
    check("nothing", "", "");
    check("one line", "a\n", "1:a;");
    check("no end of line at the end", "a\nbc", "1:a;2:bc;");
    check("CR LF", "a\r\nb\r\n", "1:a;2:b;");
    check("a CR at the end of the input", "a\r", "1:a;");
    check("a CR inside", "a\rb\n", "1:a\rb;");
    check("blank lines count", "\n\na\n \t\r\n\nb\n\n", "3:a;6:b;");
    check("blank to the end", "a\n   ", "1:a;");
    check_size("the longest", LINES_SIZE_MAX, "\n", false);
    check_size("the longest with CR LF", LINES_SIZE_MAX, "\r\n", false);
    check_size("one too long", LINES_SIZE_MAX + 1, "\n", true);
    check_size("one too long with CR LF", LINES_SIZE_MAX + 1, "\r\n", true);
    check_size("far too long", 5 * (size_t)LINES_SIZE_MAX, "\n", true);
    check_held(0, LINES_LINE);
    check_held(1, LINES_TOO_LONG);
    check_silence();
    check_files();
    return test_end();
}
