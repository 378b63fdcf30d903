/* postonce_uuid7.c: UUID version 7 (RFC 9562 §5.7 and §6.2), for idempotency keys.
 *
 * Owns one word for the whole process: the last stamp given out, so that keys ascend also
 * across threads and when the clock is set back. The 62 random bits come fresh from the
 * kernel each time, so that a forked child does not repeat its parent's keys.
 *
 * The product has UUIDs in schema/uuid.h too. They are not used here because this goes
 * into a static library, where names such as uuid_parse would meet those of other
 * libraries. */
#include "producer/postonce_uuid7.h"

#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

enum { COUNTER_BITS = 12, UUID_BYTES = 16 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* In a new millisecond the counter starts at a random number below half of its range,
 * which leaves room for 2,048 more; beyond them the stamp runs ahead of the clock. */
uint64_t postonce_uuid7_next(uint64_t previous, int64_t unix_ms,
                             const uint8_t random[POSTONCE_UUID7_RANDOM])
{
    uint64_t seed = (uint64_t)(random[8] & 0x07) << 8 | random[9];
    uint64_t fresh = (uint64_t)unix_ms << COUNTER_BITS | seed;
    bool is_later = fresh >> COUNTER_BITS > previous >> COUNTER_BITS;
    return is_later ? fresh : previous + 1;
}

void postonce_uuid7_write(uint64_t stamp, const uint8_t random[POSTONCE_UUID7_RANDOM],
                          char text[POSTONCE_UUID7_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[UUID_BYTES];
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(stamp >> (52 - 8 * i));
    bytes[6] = (uint8_t)(0x70 | (stamp >> 8 & 0x0f));
    bytes[7] = (uint8_t)stamp;
    bytes[8] = (uint8_t)(0x80 | (random[0] & 0x3f));
    for (unsigned i = 9; i < UUID_BYTES; i++)
        bytes[i] = random[i - 8];
    for (unsigned i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 0x0f];
    }
    *text = '\0';
}

enum postonce_error postonce_uuid7(char text[POSTONCE_UUID7_SIZE])
{
    static _Atomic uint64_t last;
    uint8_t random[POSTONCE_UUID7_RANDOM];
    /* So few bytes are never cut short and never interrupted: getrandom(2). */
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return POSTONCE_NO_RANDOM;
    uint64_t previous = atomic_load(&last), stamp;
    do
        stamp = postonce_uuid7_next(previous, now_ms(), random);
    while (!atomic_compare_exchange_weak(&last, &previous, stamp));
    postonce_uuid7_write(stamp, random, text);
    return POSTONCE_OK;
}
