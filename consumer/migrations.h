/* migrations.h: the numbered migrations of schema/sql, embedded at build time in order.
 */
#ifndef CONSUMER_MIGRATIONS_H
#define CONSUMER_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int version; /* 1, 2, 3, … without gaps */
    const char *name;
    const char *sql;
    const char *sha256; /* of the file, lower-case hex */
};

extern const struct migration migrations[];
extern const size_t migration_count;

#endif
