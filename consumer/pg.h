/* pg.h: the one door to PostgreSQL. Only pg.c includes libpq.
 *
 * A connection that opens when it is needed, statements sent in a pipeline, one wait for
 * all their answers, and every fault sorted into a port_status. Every call has a bounded
 * time; one connection belongs to one thread. (The name of a host is resolved by the
 * system's resolver, which has its own bounds.) Never shows a password or what a command
 * contains. */
#ifndef CONSUMER_PG_H
#define CONSUMER_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/port.h"
#include "consumer/postgres_params.h"

struct pg;
struct pg_rows; /* the answer to one statement */

/* How long a session may take for what, and what its planner may do. */
enum pg_profile { PG_POSTING, PG_READING, PG_MIGRATING, PG_AUDITING, PG_PROFILE_COUNT };

struct pg_settings {
    const char *postgres; /* connection string or URI; "" = libpq's environment */
    const char *role;     /* application_name is "postonce ROLE" */
    enum pg_profile profile;
};

/* Never NULL; does not connect. Borrows the strings. */
struct pg *pg_open(const struct pg_settings *settings);
void pg_close(struct pg *pg); /* NULL is fine */

/* OK if there is a connection or could be made one. FATAL: the server does not let us in
 * as configured; trying again does not help. RETRY: not reachable, or not ready. */
__attribute__((warn_unused_result)) enum port_status pg_connect(struct pg *pg);
void pg_disconnect(struct pg *pg);
bool pg_is_connected(const struct pg *pg);
/* How many connections there have been: what was prepared in an earlier one is gone. */
/* Whether the server is there: connects, or looks at the connection that there is. */
bool pg_probe(struct pg *pg);
uint64_t pg_connection_number(const struct pg *pg);

struct pg_statement {
    const char *name; /* prepared by pg_send_prepare; NULL: not prepared */
    const char *sql;
    bool is_commit; /* without an answer to it, the outcome is in doubt */
    bool text;      /* the answer as text; otherwise binary */
};

/* --- one round trip: begin; for each statement parameters and send; wait --- */
enum { PG_STATEMENTS_MAX = 32 };
/* Needs a connection. Forgets the answers of the last round trip. */
void pg_begin(struct pg *pg);
/* The parameters of the next statement, none yet. */
struct pg_params *pg_params(struct pg *pg);
void pg_send(struct pg *pg, const struct pg_statement *statement);
void pg_send_prepare(struct pg *pg, const struct pg_statement *statement);
/* OK: every statement succeeded, and a COMMIT was answered COMMIT. Otherwise no answers
 * are left, and the connection, if it still stands, may be inside a failed transaction.
 * IN_DOUBT: a COMMIT was sent and there is no telling what became of it. */
__attribute__((warn_unused_result)) enum port_status pg_wait(struct pg *pg);
/* Ends whatever transaction is open; disconnects if that cannot be done at once. */
void pg_rollback(struct pg *pg);
/* Many statements in one text, without parameters or answers. */
__attribute__((warn_unused_result)) enum port_status pg_run_script(struct pg *pg,
                                                                   const char *sql);

/* --- answers --- */
/* The answer to a statement of the last round trip, or NULL if it was not sent. */
const struct pg_rows *pg_answer(const struct pg *pg,
                                const struct pg_statement *statement);
/* The same, now owned by the caller. */
struct pg_rows *pg_take_answer(struct pg *pg, const struct pg_statement *statement);
void pg_rows_free(struct pg_rows *rows);         /* NULL is fine */
size_t pg_row_count(const struct pg_rows *rows); /* NULL: 0 */
int pg_column_count(const struct pg_rows *rows);
const char *pg_column_name(const struct pg_rows *rows, int column);
bool pg_column_is_integer(const struct pg_rows *rows, int column);

struct pg_cell {
    const struct pg_rows *rows;
    size_t row;
    int column;
};
#define PG_CELL(rows, row, column) ((struct pg_cell){(rows), (row), (column)})
bool pg_is_null(struct pg_cell cell);
/* Binary answers. The type MUST be the column's. */
bool pg_bool(struct pg_cell cell);
int32_t pg_int4(struct pg_cell cell);
int64_t pg_int8(struct pg_cell cell);
/* The bytes of any column, followed by a NUL; valid as long as the answer. */
const char *pg_bytes(struct pg_cell cell, size_t *size);

/* --- the last fault --- */
const char *pg_sqlstate(const struct pg *pg); /* "" if none */
const char *pg_fault(const struct pg *pg);    /* one sentence */
/* For faults that the caller found in an answer. */
__attribute__((format(printf, 2, 3))) void pg_set_fault(struct pg *pg, const char *format,
                                                        ...);

#endif
