/* backoff.c: see backoff.h. */
#include "consumer/core/backoff.h"

int64_t backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, uint64_t random)
{
    int64_t bound = base_ms;
    for (unsigned i = 0; i < attempt && bound < cap_ms; i++)
        bound = bound > cap_ms / 2 ? cap_ms : 2 * bound;
    if (bound > cap_ms)
        bound = cap_ms;
    if (bound <= 0)
        return 0;
    int64_t wait = (int64_t)(random % ((uint64_t)bound + 1));
    return wait == 0 ? 1 : wait;
}
