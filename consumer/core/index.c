/* index.c: see index.h. Linear probing; the hash multiplies a word of the key at a time,
 * by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4). */
#include "consumer/core/index.h"

#include <string.h>

#include "base/must.h"

enum { WORD_SIZE = 8 };

/* A bit changes those above it only; what that gives is folded down again. */
static uint64_t multiply(uint64_t value)
{
    value *= UINT64_C(0x9e3779b97f4a7c15);
    return value ^ value >> 32;
}

static uint64_t mix(uint64_t value, const void *word)
{
    uint64_t bits;
    memcpy(&bits, word, sizeof bits);
    return multiply(value ^ bits);
}

/* The last word overlaps the one before it; less than a word is filled up. */
uint32_t index_hash(const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    uint8_t filled[WORD_SIZE] = {0};
    uint64_t value = size;
    for (size_t at = 0; at + WORD_SIZE < size; at += WORD_SIZE)
        value = mix(value, byte + at);
    if (size >= WORD_SIZE)
        return (uint32_t)multiply(mix(value, byte + size - WORD_SIZE));
    for (size_t i = 0; i < size; i++)
        filled[i] = byte[i];
    return (uint32_t)multiply(mix(value, filled));
}

void index_clear(struct slot_index *index, size_t entries)
{
    size_t slots = 16;
    while (slots < 4 * entries)
        slots *= 2;
    MUST(slots <= index->slot_count);
    memset(index->slots, 0, slots * sizeof *index->slots);
    index->mask = slots - 1;
}

ptrdiff_t index_find(const struct slot_index *index, const struct index_search *search)
{
    size_t at = index_hash(search->bytes, search->size) & index->mask;
    for (; index->slots[at] != 0; at = (at + 1) & index->mask)
        if (search->matches(search->context, index->slots[at] - 1, search->key))
            return (ptrdiff_t)index->slots[at] - 1;
    return INDEX_NOT_FOUND;
}

void index_add(struct slot_index *index, const void *bytes, size_t size, size_t entry)
{
    size_t at = index_hash(bytes, size) & index->mask;
    while (index->slots[at] != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = (uint32_t)entry + 1;
}
