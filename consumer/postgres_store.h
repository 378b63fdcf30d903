/* postgres_store.h: what the files of the store share; for store_postgres.c,
 * postgres_lookup.c and postgres_commit.c only. */
#ifndef CONSUMER_POSTGRES_STORE_H
#define CONSUMER_POSTGRES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/pg.h"
#include "consumer/postgres_memory.h"
#include "consumer/postgres_statements.h"
#include "consumer/store.h"

enum { STORE_TURNS_MAX = 3 * POSTING_RECORDS_MAX };

/* An account of a posting, and when it is its turn to be locked: in the order of ids. */
struct lock_turn {
    int64_t account_id;
    size_t slot;
};

struct store {
    struct store_settings settings;
    struct pg *pg;
    uint64_t prepared_number; /* the connection in which the statements are prepared */
    uint64_t lookups; /* on that connection; at 1, 2, 4, 8, … plans are made anew */
    bool in_transaction;
    /* How batches come by their accounts. Trusting: those that are remembered are not
     * looked up, none is locked before the commit, which checks all that a decision rests
     * on. Otherwise all are looked up and locked at once, in the order of their ids, with
     * no more than the ids from memory: at first, for refunds, and for a while after
     * others have moved an account under us. */
    struct postgres_memory *memory;
    bool trusting;           /* the batch in hand */
    size_t asked_by_id;      /* accounts of the batch in hand */
    unsigned locked_left;    /* batches that are not trusting */
    unsigned locked_next;    /* after the next collision */
    unsigned trusted_count;  /* trusting batches in a row */
    struct lock_turn *turns; /* [STORE_TURNS_MAX] owned; scratch of the commit */
    /* What struct kept borrows from, until the next lookup. */
    struct pg_rows *inbox_rows, *letter_rows;
};

/* postgres_lookup.c: sends the statements of round trip 1; then reads their answers into
 * the facts of the posting. FENCED: a partition has another epoch; FATAL: a row that this
 * version cannot read. */
void postgres_lookup_send(struct store *store, struct posting *posting);
__attribute__((warn_unused_result)) enum port_status
postgres_lookup_read(struct store *store, struct posting *posting);
/* postgres_lookup.c: the batch has committed, and its accounts are remembered. */
void postgres_lookup_keep(struct store *store, const struct posting *posting);
/* postgres_commit.c: sends the statements of round trip 2, COMMIT among them. */
void postgres_commit_send(struct store *store, const struct posting *posting);

#endif
