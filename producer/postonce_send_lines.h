/* postonce_send_lines.h: the input of postonce-send, one line at a time, in bounded
 * memory.
 *
 * A line ends with LF or CR LF, the last one also with the end of the input. Lines of
 * white space only are skipped, but counted. Never waits longer than it is told to, so
 * that the program can look after deliveries while a pipe is silent. */
#ifndef PRODUCER_POSTONCE_SEND_LINES_H
#define PRODUCER_POSTONCE_SEND_LINES_H

#include <stddef.h>
#include <stdint.h>

enum { LINES_SIZE_MAX = 1048576 }; /* bytes of a line, without its end */

enum lines_found {
    LINES_LINE,
    LINES_TOO_LONG, /* only `number` is set; the line has been skipped */
    LINES_NOTHING,  /* nothing came in time */
    LINES_END,
    LINES_FAILED /* errno says why */
};

struct lines_line {
    const char *bytes; /* without its end; valid until the next call */
    size_t size;
    uint64_t number; /* from 1 */
};

struct lines;

/* Takes the descriptor over. */
struct lines *lines_new(int descriptor);
/* A file, or stdin for NULL and "-". NULL: errno says why. */
struct lines *lines_open(const char *path);
void lines_free(struct lines *lines); /* NULL is fine */
enum lines_found lines_next(struct lines *lines, int wait_ms, struct lines_line *line);

#endif
