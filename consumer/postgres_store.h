/* postgres_store.h: what the files of the store share; for store_postgres.c,
 * postgres_lookup.c and postgres_commit.c only. */
#ifndef CONSUMER_POSTGRES_STORE_H
#define CONSUMER_POSTGRES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "consumer/pg.h"
#include "consumer/postgres_statements.h"
#include "consumer/store.h"

struct store {
    struct store_settings settings;
    struct pg *pg;
    uint64_t prepared_number; /* the connection in which the statements are prepared */
    bool in_transaction;
    /* What struct kept borrows from, until the next lookup. */
    struct pg_rows *inbox_rows, *letter_rows;
};

/* postgres_lookup.c: sends the statements of round trip 1; then reads their answers into
 * the facts of the posting. FENCED: a partition has another epoch; FATAL: a row that this
 * version cannot read. */
void postgres_lookup_send(struct store *store, const struct posting *posting);
__attribute__((warn_unused_result)) enum port_status
postgres_lookup_read(struct store *store, struct posting *posting);
/* postgres_commit.c: sends the statements of round trip 2, COMMIT among them. */
void postgres_commit_send(struct store *store, const struct posting *posting);

#endif
