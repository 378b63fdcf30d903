/* text_buffer.h: text built into memory that the caller owns and that has a maximum.
 *
 * A buffer is born with its maximum and never grows. What does not fit is not written and
 * sets `overflow`, which stays set: look at it once, at the end. JSON strings are escaped
 * as RFC 8259 §7 asks, with the short escapes, so that equal input gives equal bytes. */
#ifndef BASE_TEXT_BUFFER_H
#define BASE_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_buffer {
    char *bytes;     /* borrowed */
    size_t capacity; /* bytes that may be used */
    size_t size;     /* bytes used; no NUL is added */
    bool overflow;
};

void text_buffer_init(struct text_buffer *buffer, char *bytes, size_t capacity);
void text_put(struct text_buffer *buffer, const char *bytes, size_t size);
void text_put_string(struct text_buffer *buffer, const char *string);
void text_put_int(struct text_buffer *buffer, int64_t value);
/* A JSON string with its quotes. Bytes from 0x80 on are copied as they are: the caller
 * vouches for UTF-8, or calls text_put_json_lossy, which replaces what is not UTF-8 (and
 * NUL) by U+FFFD. */
void text_put_json(struct text_buffer *buffer, const char *bytes, size_t size);
void text_put_json_lossy(struct text_buffer *buffer, const char *bytes, size_t size);

#endif
