/* jitter.c: see jitter.h. */
#include "consumer/jitter.h"

#include <sys/random.h>

#include "base/clock.h"
#include "consumer/core/backoff.h"

/* Without entropy the clock is good enough: it only has to differ between processes. */
int64_t jitter_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)clock_monotonic_us() * UINT64_C(0x9E3779B97F4A7C15);
    return backoff_ms(attempt, base_ms, cap_ms, random);
}
