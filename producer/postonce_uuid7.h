/* postonce_uuid7.h: the two pure halves of postonce_uuid7, apart from clock and kernel so
 * that tests can choose the time and the random bytes. Internal. */
#ifndef PRODUCER_POSTONCE_UUID7_H
#define PRODUCER_POSTONCE_UUID7_H

#include "producer/postonce.h"

enum { POSTONCE_UUID7_RANDOM = 10 };

/* The next stamp (48 bits of milliseconds, a 12-bit counter), above `previous`. */
uint64_t postonce_uuid7_next(uint64_t previous, int64_t unix_ms,
                             const uint8_t random[POSTONCE_UUID7_RANDOM]);
/* Stamp and random bytes as text, with version and variant bits set, and a NUL. */
void postonce_uuid7_write(uint64_t stamp, const uint8_t random[POSTONCE_UUID7_RANDOM],
                          char text[POSTONCE_UUID7_SIZE]);

#endif
