/* posting_memory.h: the memory of a posting: allocated once, reused for every run. */
#ifndef CONSUMER_POSTING_MEMORY_H
#define CONSUMER_POSTING_MEMORY_H

#include <stddef.h>

#include "consumer/core/posting.h"

/* Room for `capacity` records; never NULL. Pages become resident when they are used. */
struct posting *posting_new(size_t capacity);
void posting_free(struct posting *posting); /* NULL is fine */

#endif
