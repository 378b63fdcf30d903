/* jitter.h: the random number that core/backoff.h wants, and the wait it asks for. */
#ifndef CONSUMER_JITTER_H
#define CONSUMER_JITTER_H

#include <stdint.h>

/* backoff_ms with a random number from the kernel. */
int64_t jitter_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms);

#endif
