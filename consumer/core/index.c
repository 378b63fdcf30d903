/* index.c: see index.h. FNV-1a, linear probing. */
#include "consumer/core/index.h"

#include <string.h>

#include "base/must.h"

uint32_t index_hash(const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    uint32_t value = UINT32_C(2166136261);
    for (size_t i = 0; i < size; i++)
        value = (value ^ byte[i]) * UINT32_C(16777619);
    return value ^ (value >> 15);
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
