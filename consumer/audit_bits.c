/* audit_bits.c: see audit_bits.h. */
#include "consumer/audit_bits.h"

#include <stdlib.h>

#include "base/must.h"

enum { WORD_BITS = 64 };

void audit_bits_init(struct audit_bits *bits, int64_t first, int64_t end)
{
    bits->first = first;
    bits->end = end > first ? end : first;
    size_t count = (size_t)(bits->end - first) / WORD_BITS + 1;
    bits->words = calloc(count, sizeof *bits->words);
    MUST(bits->words != NULL);
}

void audit_bits_clear(struct audit_bits *bits)
{
    free(bits->words);
    bits->words = NULL;
}

bool audit_bits_covers(const struct audit_bits *bits, int64_t offset)
{
    return offset >= bits->first && offset < bits->end;
}

static uint64_t *word_of(const struct audit_bits *bits, int64_t offset, uint64_t *mask)
{
    MUST(audit_bits_covers(bits, offset));
    size_t index = (size_t)(offset - bits->first);
    *mask = UINT64_C(1) << index % WORD_BITS;
    return &bits->words[index / WORD_BITS];
}

bool audit_bits_get(const struct audit_bits *bits, int64_t offset)
{
    uint64_t mask;
    return (*word_of(bits, offset, &mask) & mask) != 0;
}

bool audit_bits_put(struct audit_bits *bits, int64_t offset, bool value)
{
    uint64_t mask;
    uint64_t *word = word_of(bits, offset, &mask);
    bool before = (*word & mask) != 0;
    *word = value ? *word | mask : *word & ~mask;
    return before;
}

int64_t audit_bits_find(const struct audit_bits *bits, int64_t offset)
{
    for (; audit_bits_covers(bits, offset); offset++)
        if (audit_bits_get(bits, offset))
            return offset;
    return -1;
}
