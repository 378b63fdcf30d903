/* postgres_statements.h: the SQL of the store, in one place and readable as SQL. All of
 * it is prepared once a connection; arrays hold one element a row. */
#ifndef CONSUMER_POSTGRES_STATEMENTS_H
#define CONSUMER_POSTGRES_STATEMENTS_H

#include "consumer/pg.h"

enum statement {
    /* round trip 1 */
    STATEMENT_BEGIN,
    STATEMENT_REPLAN,   /* for tables that have grown since */
    STATEMENT_FENCE,    /* topic, partitions → partition, epoch, next_offset, locked */
    STATEMENT_ACCOUNTS, /* ids, names, payment ids → the accounts, locked, by id */
    STATEMENT_READ_ACCOUNTS, /* names → the accounts, not locked */
    STATEMENT_INBOX,         /* keys → ordinal, outcome, code, fingerprint, result */
    STATEMENT_LETTERS,  /* topic, partitions, firsts, lasts → partition, offset, … */
    STATEMENT_PAYMENTS, /* payment ids → the payments and what was refunded of them */
    STATEMENT_NEW_IDS,  /* count → account ids */
    /* round trip 2 */
    STATEMENT_INSERT_INBOX,
    STATEMENT_INSERT_LETTERS,
    STATEMENT_INSERT_ACCOUNTS,
    STATEMENT_INSERT_TRANSFERS,
    STATEMENT_MOVE_ACCOUNTS,
    STATEMENT_HOLD_ACCOUNTS, /* that did not move, and that decisions rest on */
    STATEMENT_MOVE_POSITIONS,
    STATEMENT_COMMIT,
    STATEMENT_COUNT
};

extern const struct pg_statement statements[STATEMENT_COUNT];

/* Not prepared: asked once an assignment. Topic, partitions, log starts → partition,
 * next_offset, epoch, whether there was a row. */
extern const struct pg_statement statement_claim;

#endif
