/* backoff.h: how long to wait before the next attempt, as a value. Pure: the caller
 * brings the random number and does the sleeping. */
#ifndef CONSUMER_CORE_BACKOFF_H
#define CONSUMER_CORE_BACKOFF_H

#include <stdint.h>

/* Full jitter: a value in [0, min(cap_ms, base_ms × 2^attempt)], at least 1 when the
 * bound is; attempt counts from 0 and may be any number. `random` is uniform over its
 * range. */
int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, uint64_t random);

#endif
