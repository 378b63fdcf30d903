/* store.h: the port to the books. One store = one connection = one thread.
 *
 * Opens lazily: the first call connects, and so does the first one after a fault. Every
 * call has a bounded time. SQLSTATE classes are sorted here (DESIGN §3); callers see
 * port_status. */
#ifndef CONSUMER_STORE_H
#define CONSUMER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/port.h"
#include "consumer/core/posting.h"

struct store;

struct store_settings {
    const char *postgres; /* connection string or URI; "" = libpq's environment */
    const char *topic;    /* the command topic: part of every coordinate */
    const char *role;     /* "poster-0", "reader": shown in application_name */
};

/* Never NULL; does not connect. Borrows the strings. */
struct store *store_open(const struct store_settings *settings);
void store_close(struct store *store); /* NULL is fine */

enum store_schema {
    STORE_SCHEMA_CURRENT,
    STORE_SCHEMA_MISSING,
    STORE_SCHEMA_OLDER,
    STORE_SCHEMA_NEWER
};
/* FATAL: cannot log in as configured (wrong password, no such role or database): retrying
 * does not help; store_fault() has the sentence. RETRY: not reachable. */
__attribute__((warn_unused_result)) enum port_status
store_check(struct store *store, enum store_schema *schema, int *found, int *wanted);

/* Whether the server is there: looks at the connection, or makes one. For idle times. */
bool store_probe(struct store *store);

/* A claim of one partition: raises the epoch of its stream_position row (inserted with
 * next_offset = log_start if there is none) and fences everybody who claimed it before.
 */
struct claim {
    int32_t partition;
    int64_t log_start;   /* in */
    bool had_row;        /* out: false = inserted now */
    int64_t next_offset; /* out */
    int64_t epoch;       /* out */
    struct witness last; /* out: the last record that was decided */
};
__attribute__((warn_unused_result)) enum port_status
store_claim(struct store *store, struct claim *claims, size_t count);

/* Round trip 1: BEGIN, the fence, all facts of the run. Accounts are either locked, in
 * the order of their ids, or checked and locked by store_commit(), which then refuses a
 * run that rests on what is not so any more (STORE_COLLISION): it is redone. Fills inbox,
 * letters, accounts, payments, new_account_ids, positions[].known_next_offset. Anything
 * but OK leaves no transaction open. */
__attribute__((warn_unused_result)) enum port_status
store_lookup(struct store *store, struct posting *posting);
/* Round trip 2: everything new, and COMMIT, sent at once. OK means: the server said
 * COMMIT. IN_DOUBT: it was sent and no answer came. Anything but OK leaves no transaction
 * open. */
__attribute__((warn_unused_result)) enum port_status
store_commit(struct store *store, const struct posting *posting);
/* Gives up the transaction that a successful store_lookup opened. */
void store_rollback(struct store *store);

/* Of a commit that found an account moved by somebody else: where several processes move
 * the same ones this is how it goes, and no fault of the world. */
#define STORE_COLLISION "ZP002"
/* The last fault: SQLSTATE ("" if none) and one sentence without secrets or payload. */
const char *store_sqlstate(const struct store *store);
const char *store_fault(const struct store *store);

#endif
