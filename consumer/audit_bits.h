/* audit_bits.h: one bit for each offset of a partition, from `first` on: what the audit
 * must remember of a topic that it reads in another order than it was written. A hundred
 * million records are 12 MB for each set of bits. */
#ifndef CONSUMER_AUDIT_BITS_H
#define CONSUMER_AUDIT_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit_bits {
    int64_t first, end; /* offsets first … end − 1 */
    uint64_t *words;    /* owned */
};

/* All bits false. */
void audit_bits_init(struct audit_bits *bits, int64_t first, int64_t end);
void audit_bits_clear(struct audit_bits *bits);
bool audit_bits_covers(const struct audit_bits *bits, int64_t offset);
/* Of offsets that are covered. Put returns what was there before. */
bool audit_bits_get(const struct audit_bits *bits, int64_t offset);
bool audit_bits_put(struct audit_bits *bits, int64_t offset, bool value);
/* The first offset from `offset` on whose bit is true, or -1. */
int64_t audit_bits_find(const struct audit_bits *bits, int64_t offset);

#endif
