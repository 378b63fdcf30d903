/* text_buffer.c: see text_buffer.h.
 *
 * Owns the escaping of JSON strings and the check for UTF-8 in text that nobody vouches
 * for. Never writes past the capacity, never allocates, never looks at the locale. After
 * the first piece that did not fit nothing more is written, so that the text is always a
 * prefix of what was meant and never has a hole. */
#include "base/text_buffer.h"

#include <string.h>

void text_buffer_init(struct text_buffer *buffer, char *bytes, size_t capacity)
{
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    buffer->size = 0;
    buffer->overflow = false;
}

void text_put(struct text_buffer *buffer, const char *bytes, size_t size)
{
    if (buffer->overflow || size > buffer->capacity - buffer->size)
        buffer->overflow = true;
    else if (size > 0) { /* memcpy must not see a NULL, not even for nothing */
        memcpy(buffer->bytes + buffer->size, bytes, size);
        buffer->size += size;
    }
}

void text_put_string(struct text_buffer *buffer, const char *string)
{
    text_put(buffer, string, strlen(string));
}

void text_put_int(struct text_buffer *buffer, int64_t value)
{
    char digits[20]; /* INT64_MIN has 19 digits and a sign */
    char *at = digits + sizeof(digits);
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + magnitude % 10);
    while ((magnitude /= 10) > 0);
    if (value < 0)
        *--at = '-';
    text_put(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

/* Quotation mark, reverse solidus and the control characters (RFC 8259 §7). */
static bool is_escaped(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

static void put_escape(struct text_buffer *buffer, unsigned char byte)
{
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    static const char hex[] = "0123456789abcdef";
    const char *found = byte == '\0' ? NULL : strchr(plain, byte);
    if (found != NULL) {
        char escape[] = {'\\', letters[found - plain]};
        text_put(buffer, escape, sizeof(escape));
    } else {
        char escape[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 0x0f]};
        text_put(buffer, escape, sizeof(escape));
    }
}

static void put_escaped(struct text_buffer *buffer, const char *bytes, size_t size)
{
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_escaped((unsigned char)bytes[i]))
            continue;
        text_put(buffer, bytes + written, i - written);
        put_escape(buffer, (unsigned char)bytes[i]);
        written = i + 1;
    }
    if (size > written)
        text_put(buffer, bytes + written, size - written);
}

void text_put_json(struct text_buffer *buffer, const char *bytes, size_t size)
{
    text_put(buffer, "\"", 1);
    put_escaped(buffer, bytes, size);
    text_put(buffer, "\"", 1);
}

/* The size of the UTF-8 sequence at the start, or 0 if there is none: the table of RFC
 * 3629 §4, without overlong forms, surrogates and anything above U+10FFFF. The twin of
 * this in schema/command.c stays there because that floor includes nothing but libc. */
static size_t sequence_size(const unsigned char *bytes, size_t size)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || length > size)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

void text_put_json_lossy(struct text_buffer *buffer, const char *bytes, size_t size)
{
    size_t written = 0;
    text_put(buffer, "\"", 1);
    for (size_t i = 0; i < size;) {
        size_t length = sequence_size((const unsigned char *)bytes + i, size - i);
        if (length > 0 && bytes[i] != '\0') {
            i += length;
            continue;
        }
        put_escaped(buffer, bytes + written, i - written);
        text_put(buffer, "\xef\xbf\xbd", 3);
        written = ++i;
    }
    if (size > written)
        put_escaped(buffer, bytes + written, size - written);
    text_put(buffer, "\"", 1);
}
