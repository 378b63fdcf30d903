/* uuid.c: see uuid.h.
 *
 * Owns the text form of RFC 9562 §4 (upper case is read, lower case is written) and the
 * bit layout of version 7 (§5.7). Any version and variant is read: what a UUID means is
 * decided by looking it up, not by its bits. Pure: takes the time and the random bits as
 * they are given; no heap. */
#include "schema/uuid.h"

#include <string.h>

/* A hyphen stands before these bytes: 8-4-4-4-12 digits. */
static bool is_group_start(unsigned index)
{
    return index == 4 || index == 6 || index == 8 || index == 10;
}

/* The value of a hexadecimal digit, or 0x10. */
static unsigned digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0');
    char lower = (char)(digit | 0x20);
    if (lower >= 'a' && lower <= 'f')
        return (unsigned)(lower - 'a' + 10);
    return 0x10;
}

bool uuid_parse(const char *text, size_t size, struct uuid *uuid)
{
    struct uuid read;
    if (size != UUID_TEXT_SIZE)
        return false;
    for (unsigned i = 0; i < UUID_SIZE; i++) {
        if (is_group_start(i) && *text++ != '-')
            return false;
        unsigned high = digit_value(*text++);
        unsigned low = digit_value(*text++);
        if ((high | low) > 0x0f)
            return false;
        read.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *uuid = read;
    return true;
}

void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < UUID_SIZE; i++) {
        if (is_group_start(i))
            *text++ = '-';
        *text++ = digits[uuid->bytes[i] >> 4];
        *text++ = digits[uuid->bytes[i] & 0x0f];
    }
    *text = '\0';
}

void uuid_v7(int64_t unix_ms, const uint8_t tail[UUID_TAIL_SIZE], struct uuid *uuid)
{
    for (unsigned i = 0; i < 6; i++)
        uuid->bytes[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
    memcpy(uuid->bytes + 6, tail, UUID_TAIL_SIZE);
    uuid->bytes[6] = (uint8_t)(0x70 | (uuid->bytes[6] & 0x0f)); /* version 7 */
    uuid->bytes[8] = (uint8_t)(0x80 | (uuid->bytes[8] & 0x3f)); /* variant 10 */
}

bool uuid_equal(const struct uuid *left, const struct uuid *right)
{
    return memcmp(left->bytes, right->bytes, UUID_SIZE) == 0;
}
