/* uuid.h: RFC 9562 UUIDs as 16 bytes: reading, writing, and building version 7. Pure. */
#ifndef SCHEMA_UUID_H
#define SCHEMA_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UUID_SIZE = 16, UUID_TEXT_SIZE = 36, UUID_TAIL_SIZE = 10 };

struct uuid {
    uint8_t bytes[UUID_SIZE];
};

/* Reads exactly 36 characters 8-4-4-4-12 in any case; false for anything else. */
bool uuid_parse(const char *text, size_t size, struct uuid *uuid);
/* Writes 36 lower-case characters and a NUL. */
void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE + 1]);
/* Version 7: the low 48 bits of unix_ms, then the tail with version and variant bits set.
 */
void uuid_v7(int64_t unix_ms, const uint8_t tail[UUID_TAIL_SIZE], struct uuid *uuid);
bool uuid_equal(const struct uuid *left, const struct uuid *right);

#endif
