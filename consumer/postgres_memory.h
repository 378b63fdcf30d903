/* postgres_memory.h: the accounts as the last committed batches of one connection left
 * them, by name, so that the dearest statement of a batch, the lookup of accounts, can be
 * left out for those that are used again and again.
 *
 * Nothing here is believed: a batch that rests on it checks version and balance of each
 * account again when it commits (postgres_statements.c), and is redone without it when
 * anything is not as remembered. Bounded: what has no room takes the place of another. */
#ifndef CONSUMER_POSTGRES_MEMORY_H
#define CONSUMER_POSTGRES_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/posting.h"

struct postgres_memory;

/* What is known of an account. */
struct recalled {
    uint32_t place; /* where, until the next call that keeps or forgets; 0: nothing */
    int64_t account_id;
    bool fresh; /* balance and version may be rested on; otherwise id and name only */
    bool first; /* this batch has not asked for it before */
};

struct postgres_memory *postgres_memory_new(void);
void postgres_memory_free(struct postgres_memory *memory); /* NULL is fine */

/* Nothing is known any more. */
void postgres_memory_forget(struct postgres_memory *memory);
/* Balances and versions may have changed. Costs nothing. */
void postgres_memory_doubt(struct postgres_memory *memory);
/* A new batch begins: each account will be told once. */
void postgres_memory_begin(struct postgres_memory *memory);
struct recalled postgres_memory_recall(struct postgres_memory *memory, const char *name);
/* The account at a place, as a lookup would have read it. */
void postgres_memory_read(const struct postgres_memory *memory, uint32_t place,
                          struct account *account);
/* Whether this batch has recalled the account: its name, with this id. */
bool postgres_memory_was_asked(struct postgres_memory *memory,
                               const struct account *account);
/* What a batch that has committed left of an account. */
void postgres_memory_keep(struct postgres_memory *memory, const struct account *account);

#endif
