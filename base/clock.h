/* clock.h: monotonic time for deadlines, and wall-clock text. Business time is
 * Postgres's. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_unix_ms(void);
/* Sleeps; returns early at nothing. For adapters and drivers, never on a hot path. */
void clock_sleep_ms(int64_t duration_ms);

enum { CLOCK_TEXT_SIZE = 24 };
/* RFC 3339, UTC, milliseconds: 2026-01-31T12:00:00.000Z, and a NUL. Years 0..9999. */
void clock_format_ms(int64_t unix_ms, char text[CLOCK_TEXT_SIZE + 1]);

#endif
