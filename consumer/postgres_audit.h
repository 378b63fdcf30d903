/* postgres_audit.h: runs the passes of the audit over one snapshot of the database. The
 * server does the work; what comes back are findings, at most `limit` of each check. */
#ifndef CONSUMER_POSTGRES_AUDIT_H
#define CONSUMER_POSTGRES_AUDIT_H

#include "consumer/audit.h"
#include "consumer/pg.h"
#include "consumer/postgres_audit_passes.h"

enum { AUDIT_SQL_MAX = 24576 };

struct postgres_audit {
    struct pg *pg;               /* connected; borrowed */
    struct audit_report *report; /* borrowed */
    bool progress;               /* tell on stderr what is looked at */
    char sql[AUDIT_SQL_MAX];     /* of the pass that runs */
};

/* Begins the one read-only transaction: everything from here on is one snapshot. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_begin(struct postgres_audit *audit);
/* All passes of the database. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_books(struct postgres_audit *audit);
/* One pass with parameters behind the limit, which `put` adds. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_run(struct postgres_audit *audit, const struct audit_pass *pass,
                   void (*put)(struct pg_params *params, const void *context),
                   const void *context);
/* Records of a run that left no row of their own: offsets, binary. The caller frees. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_not_own(struct postgres_audit *audit,
                       void (*put)(struct pg_params *params, const void *context),
                       const void *context, struct pg_rows **rows);
/* The coordinates of all rows of a topic, some at a time: partition, offset, binary; none
 * left: no rows. The caller frees. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_rows_begin(struct postgres_audit *audit, const char *topic);
__attribute__((warn_unused_result)) enum port_status
postgres_audit_rows_next(struct postgres_audit *audit, struct pg_rows **rows);
/* Of a topic: partition, next offset, offset (-1: none) and time of the last record that
 * was decided; binary, in order. The caller frees. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_positions(struct postgres_audit *audit, const char *topic,
                         struct pg_rows **rows);
/* Into the report: the digest of the books. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_digest(struct postgres_audit *audit);
/* One row, as text: how much there is of everything. The caller frees it. */
__attribute__((warn_unused_result)) enum port_status
postgres_audit_count(struct postgres_audit *audit, struct pg_rows **counts);

#endif
