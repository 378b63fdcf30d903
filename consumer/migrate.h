/* migrate.h: brings the schema up to this version. Migrations are numbered without gaps
 * and checksummed; each is one transaction, under an advisory lock, so that any number of
 * processes may do this at once. Never goes back, never changes what was applied. */
#ifndef CONSUMER_MIGRATE_H
#define CONSUMER_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>

#include "consumer/pg.h"

enum migrate_status {
    MIGRATE_CURRENT, /* the schema has this version, now at the latest */
    MIGRATE_BEHIND,  /* only told when asked to check */
    MIGRATE_NEWER,   /* the schema was migrated by a later version */
    MIGRATE_ALTERED, /* an applied migration is not the one of this name that we know */
    MIGRATE_FAULT /* the database said no, or nothing: port_status and pg_fault() tell */
};

struct migrate_report {
    int found;   /* version before; 0: no schema */
    int wanted;  /* version of this program */
    int applied; /* migrations applied by this call: the last ones up to `wanted` */
    int altered; /* the version that differs */
    enum port_status fault;
};

/* The session should be of the profile PG_MIGRATING. With `check` nothing is changed. */
enum migrate_status migrate_run(struct pg *pg, bool check, struct migrate_report *report);

#endif
