/* log.c: see log.h. A line is built in a buffer on the stack and leaves with one
 * write(2), so lines of several threads do not mix. It holds at most LINE_SIZE_MAX bytes:
 * a value that is too long is cut and ends in "…", and a field that does not fit at all
 * is left out; the line stays valid text or JSON and says `truncated`. Never allocates,
 * never changes errno. */
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/text_buffer.h"

/* TAIL_MAX is kept free for what ends a line: `,"truncated":true}` and a newline. */
enum { LINE_SIZE_MAX = 4096, TAIL_MAX = 32, VALUE_MAX = 1024, VALUE_LEAST = 16 };

static const char *const level_names[] = {[LOG_DEBUG] = "debug",
                                          [LOG_INFO] = "info",
                                          [LOG_WARNING] = "warning",
                                          [LOG_ERROR] = "error",
                                          [LOG_FATAL] = "fatal"};
static const char ellipsis[] = "\xe2\x80\xa6";

/* Written by log_configure before any thread starts, only read afterwards. */
static enum log_level lowest_level = LOG_INFO;
static bool is_json = false;

struct line {
    struct text_buffer text;
    bool truncated;
};

static bool find_level(const char *name, enum log_level *level)
{
    /* `fatal` is no level to choose: a process that ends says why in any case. */
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_configure(const char *level, const char *format)
{
    enum log_level found;
    bool json = strcmp(format, "json") == 0;
    if (!find_level(level, &found) || (!json && strcmp(format, "text") != 0))
        return false;
    lowest_level = found;
    is_json = json;
    return true;
}

bool log_is_on(enum log_level level)
{
    return level >= lowest_level;
}

bool log_is_due(uint64_t *count)
{
    *count += 1;
    return (*count & (*count - 1)) == 0;
}

/* DEL and the C1 controls are valid in JSON strings, but steer terminals: they become
 * `?`. */
static void hide_controls(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        unsigned char next = i + 1 < size ? (unsigned char)bytes[i + 1] : 0;
        if (byte == 0x7f) {
            bytes[i] = '?';
        } else if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {
            bytes[i] = bytes[i + 1] = '?';
        }
    }
}

/* The most bytes up to `limit` that do not end inside a UTF-8 sequence. */
static size_t cut_size(const char *bytes, size_t size, size_t limit)
{
    if (size <= limit)
        return size;
    while (limit > 0 && ((unsigned char)bytes[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

static bool is_plain(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] < 0x21 || bytes[i] > 0x7e || bytes[i] == '"' || bytes[i] == '=' ||
            bytes[i] == '\\')
            return false;
    }
    return size > 0;
}

static void put_value(struct text_buffer *text, const char *bytes, size_t size)
{
    if (!is_json && is_plain(bytes, size))
        text_put(text, bytes, size);
    else
        text_put_json_lossy(text, bytes, size);
}

static void put_name(struct text_buffer *text, const char *name)
{
    if (text->size > 0)
        text_put_string(text, is_json ? "," : " ");
    if (is_json)
        text_put_json(text, name, strlen(name));
    else
        text_put_string(text, name);
    text_put_string(text, is_json ? ":" : "=");
}

/* Writes the field with at most `limit` bytes of the value; false: it does not fit, and
 * the line is as it was. */
static bool try_bytes(struct line *line, const char *name, const char *bytes, size_t size,
                      size_t limit)
{
    char copy[VALUE_MAX + sizeof(ellipsis)];
    struct text_buffer before = line->text;
    size_t kept = cut_size(bytes, size, limit);
    memcpy(copy, bytes, kept);
    hide_controls(copy, kept);
    if (kept < size) {
        memcpy(copy + kept, ellipsis, sizeof(ellipsis) - 1);
        kept += sizeof(ellipsis) - 1;
    }
    put_name(&line->text, name);
    put_value(&line->text, copy, kept);
    if (!line->text.overflow)
        return true;
    line->text = before;
    return false;
}

static void put_bytes(struct line *line, const char *name, const char *bytes, size_t size)
{
    size_t limit = VALUE_MAX;
    while (limit >= VALUE_LEAST && !try_bytes(line, name, bytes, size, limit))
        limit /= 2;
    if (limit < VALUE_LEAST || size > limit)
        line->truncated = true;
}

static void put_text(struct line *line, const char *name, const char *text)
{
    if (text != NULL)
        put_bytes(line, name, text, strlen(text));
}

static void put_number(struct line *line, const char *name, int64_t number)
{
    struct text_buffer before = line->text;
    put_name(&line->text, name);
    text_put_int(&line->text, number);
    if (line->text.overflow) {
        line->text = before;
        line->truncated = true;
    }
}

static void put_field(struct line *line, const struct log_field *field)
{
    switch (field->type) {
    case LOG_TEXT:
        put_text(line, field->name, field->text);
        break;
    case LOG_INT:
        put_number(line, field->name, field->number);
        break;
    case LOG_BYTES:
        if (field->text != NULL && field->number >= 0)
            put_bytes(line, field->name, field->text, (size_t)field->number);
        break;
    }
}

static void put_time(struct line *line)
{
    char now[CLOCK_TEXT_SIZE + 1];
    clock_format_ms(clock_unix_ms(), now);
    if (is_json) {
        text_put_string(&line->text, "{\"time\":");
        text_put_json(&line->text, now, CLOCK_TEXT_SIZE);
    } else {
        text_put(&line->text, now, CLOCK_TEXT_SIZE);
    }
}

static void put_tail(struct line *line)
{
    line->text.capacity += TAIL_MAX;
    if (line->truncated) {
        put_name(&line->text, "truncated");
        text_put_string(&line->text, "true");
    }
    text_put_string(&line->text, is_json ? "}\n" : "\n");
    MUST(!line->text.overflow);
}

/* A full pipe may take a line in parts. A stderr that is gone is nobody's to report. */
static void write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes += written;
        size -= (size_t)written;
    }
}

void log_fields(enum log_level level, const char *event, const char *sentence,
                const struct log_field *fields)
{
    if (!log_is_on(level))
        return;
    int saved_errno = errno;
    char bytes[LINE_SIZE_MAX];
    struct line line = {.truncated = false};
    text_buffer_init(&line.text, bytes, sizeof(bytes) - TAIL_MAX);
    put_time(&line);
    put_text(&line, "level", level_names[level]);
    put_text(&line, "event", event);
    put_text(&line, "message", sentence);
    for (const struct log_field *field = fields; field->name != NULL; field++)
        put_field(&line, field);
    put_tail(&line);
    write_all(line.text.bytes, line.text.size);
    errno = saved_errno;
}
