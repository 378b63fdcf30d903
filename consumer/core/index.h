/* index.h: open addressing over the indexes of an array that somebody else owns. Bounded:
 * a table has at least four times as many slots as entries, so a search always ends.
 * Hostile input can make it slow (quadratic in the run), never wrong. Pure. */
#ifndef CONSUMER_CORE_INDEX_H
#define CONSUMER_CORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/posting.h"

/* Whether the entry at `index` has the key that is searched for. */
typedef bool index_matches(const void *context, size_t index, const void *key);

struct index_search {
    const void *key;
    const void *bytes; /* what is hashed */
    size_t size;
    index_matches *matches;
    const void *context;
};

enum { INDEX_NOT_FOUND = -1 };

uint32_t index_hash(const void *bytes, size_t size);
/* Empties the index and sizes it for up to `entries`. */
void index_clear(struct slot_index *index, size_t entries);
/* The index of the entry, or INDEX_NOT_FOUND. */
ptrdiff_t index_find(const struct slot_index *index, const struct index_search *search);
/* Adds an entry that is not there yet. */
void index_add(struct slot_index *index, const void *bytes, size_t size, size_t entry);

#endif
