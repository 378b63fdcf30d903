/* postgres_schema.c: see postgres_schema.h. */
#include "consumer/postgres_schema.h"

#include <string.h>

#include "consumer/migrations.h"

static const struct pg_statement read_version = {
    .sql = "SELECT max(version)::int4 FROM postonce.schema_version"};

static bool is_missing(const char *sqlstate)
{
    return strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0;
}

static enum store_schema judge_version(int found, int wanted)
{
    if (found == wanted)
        return STORE_SCHEMA_CURRENT;
    return found < wanted ? STORE_SCHEMA_OLDER : STORE_SCHEMA_NEWER;
}

enum port_status postgres_schema_check(struct pg *pg, enum store_schema *schema,
                                       int *found, int *wanted)
{
    *schema = STORE_SCHEMA_MISSING;
    *found = 0;
    *wanted = migrations[migration_count - 1].version;
    enum port_status status = pg_connect(pg);
    if (status != PORT_OK)
        return status;
    pg_begin(pg);
    pg_send(pg, &read_version);
    status = pg_wait(pg);
    if (status != PORT_OK)
        return is_missing(pg_sqlstate(pg)) ? PORT_OK : status;
    const struct pg_rows *rows = pg_answer(pg, &read_version);
    if (pg_is_null(PG_CELL(rows, 0, 0)))
        return PORT_OK;
    *found = pg_int4(PG_CELL(rows, 0, 0));
    *schema = judge_version(*found, *wanted);
    return PORT_OK;
}
