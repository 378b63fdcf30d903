/* postgres_audit_passes.h: the audit as SQL, and nothing but the text of it. A pass is
 * one sweep over a table and what is joined to it; its conditions each say what is wrong
 * with a row. NULL is not wrong: a condition that has nothing to compare with leaves the
 * finding to the one that misses what is not there. */
#ifndef CONSUMER_POSTGRES_AUDIT_PASSES_H
#define CONSUMER_POSTGRES_AUDIT_PASSES_H

#include <stdbool.h>
#include <stddef.h>

#include "consumer/audit.h"

enum { AUDIT_CONDITIONS_MAX = 12 };

struct audit_pass {
    const char *title;   /* for the progress: what is looked at */
    const char *columns; /* of a finding, and their order */
    const char *from;
    struct audit_condition {
        enum audit_check check;
        const char *sql; /* NULL ends the list */
    } conditions[AUDIT_CONDITIONS_MAX];
    bool uses_currencies;  /* $2, $3: their codes and exponents */
    bool only_after_break; /* only if CHAIN_BROKEN was found: says where */
    bool names_command;    /* payment_id is a column: tell the record of its command */
};

/* The passes of the database, in their order. */
extern const struct audit_pass audit_passes[];
extern const size_t audit_pass_count;

/* One row and column: the digest of the books (DESIGN, I7), in hex. */
extern const char audit_sql_digest[];

/* For a run of records of the command topic, and of results: $2 is the command topic, the
 * arrays behind it are described where they are filled (verb_audit_topic.c). */
extern const struct audit_pass audit_pass_commands;
extern const struct audit_pass audit_pass_results;
/* $1: the command topic; the records that left no row of their own, by their offsets. */
extern const char audit_sql_not_own[];
/* $1: the command topic; the coordinates of all rows, as the cursor audit_rows. */
extern const char audit_sql_rows[];

#endif
