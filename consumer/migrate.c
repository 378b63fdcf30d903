/* migrate.c: see migrate.h.
 *
 * Under the lock, each turn is one transaction: see what is there, apply the next
 * migration and write it down, or find that nothing is left. The lock is the session's
 * and taken before the transaction begins: one that had begun already could still
 * believe, from the server's caches, that there is no schema. */
#include "consumer/migrate.h"

#include <string.h>

#include "base/must.h"
#include "consumer/migrations.h"

/* The lock's number is any that nobody else uses in this database: "postonce" as bytes.
 * */
static const struct pg_statement take_lock = {
    .sql = "SELECT pg_advisory_lock(8101821198585717605)"};
static const struct pg_statement release_lock = {
    .sql = "SELECT pg_advisory_unlock(8101821198585717605)"};
static const struct pg_statement begin = {.sql = "BEGIN"};
static const struct pg_statement commit = {.sql = "COMMIT", .is_commit = true};
static const struct pg_statement look = {
    .sql = "SELECT to_regclass('postonce.schema_version') IS NOT NULL,"
           "       current_setting('server_encoding') = 'UTF8',"
           "       current_setting('server_version_num')::int4 >= 140000"};
static const struct pg_statement read_versions = {
    .sql = "SELECT version::int4, sha256 FROM postonce.schema_version ORDER BY version"};
static const struct pg_statement write_down = {
    .sql = "INSERT INTO postonce.schema_version (version, name, sha256)"
           " VALUES ($1::int8, $2::text, $3::text)"};

struct migrator {
    struct pg *pg;
    struct migrate_report *report;
    int found; /* the version that is there now */
};

static enum migrate_status fault(struct migrator *migrator, enum port_status status)
{
    migrator->report->fault = status;
    return MIGRATE_FAULT;
}

/* Nothing but ASCII would survive in another encoding, and references are UTF-8. */
static enum migrate_status check_server(struct migrator *migrator,
                                        const struct pg_rows *rows)
{
    if (!pg_bool(PG_CELL(rows, 0, 2))) {
        pg_set_fault(migrator->pg,
                     "this PostgreSQL is too old; postonce needs version 14");
        return fault(migrator, PORT_FATAL);
    }
    if (!pg_bool(PG_CELL(rows, 0, 1))) {
        pg_set_fault(migrator->pg,
                     "the database has another encoding than UTF8; create it "
                     "with ENCODING 'UTF8'");
        return fault(migrator, PORT_FATAL);
    }
    return MIGRATE_CURRENT;
}

static bool is_ours(const struct pg_rows *rows, size_t row,
                    const struct migration *migration)
{
    size_t size;
    const char *sha256 = pg_bytes(PG_CELL(rows, row, 1), &size);
    return pg_int4(PG_CELL(rows, row, 0)) == migration->version &&
           size == strlen(migration->sha256) &&
           memcmp(sha256, migration->sha256, size) == 0;
}

/* Compares what was applied with what we know, in order. */
static enum migrate_status compare(struct migrator *migrator, const struct pg_rows *rows)
{
    size_t count = pg_row_count(rows);
    migrator->found = count > 0 ? pg_int4(PG_CELL(rows, count - 1, 0)) : 0;
    if (migrator->found > migrator->report->wanted)
        return MIGRATE_NEWER;
    for (size_t i = 0; i < count && i < migration_count; i++)
        if (!is_ours(rows, i, &migrations[i])) {
            migrator->report->altered = migrations[i].version;
            return MIGRATE_ALTERED;
        }
    return migrator->found < migrator->report->wanted ? MIGRATE_BEHIND : MIGRATE_CURRENT;
}

/* Begins a transaction and leaves it open. */
static enum migrate_status look_around(struct migrator *migrator)
{
    struct pg *pg = migrator->pg;
    pg_begin(pg);
    pg_send(pg, &begin);
    pg_send(pg, &look);
    enum port_status status = pg_wait(pg);
    if (status != PORT_OK)
        return fault(migrator, status);
    const struct pg_rows *rows = pg_answer(pg, &look);
    enum migrate_status server = check_server(migrator, rows);
    if (server != MIGRATE_CURRENT)
        return server;
    migrator->found = 0;
    if (!pg_bool(PG_CELL(rows, 0, 0)))
        return MIGRATE_BEHIND;
    pg_begin(pg);
    pg_send(pg, &read_versions);
    status = pg_wait(pg);
    return status == PORT_OK ? compare(migrator, pg_answer(pg, &read_versions))
                             : fault(migrator, status);
}

/* Inside the transaction of look_around; on success it is committed. */
static enum port_status apply_next(struct migrator *migrator)
{
    struct pg *pg = migrator->pg;
    const struct migration *migration = &migrations[migrator->found];
    MUST(migration->version == migrator->found + 1);
    enum port_status status = pg_run_script(pg, migration->sql);
    if (status != PORT_OK)
        return status;
    pg_begin(pg);
    struct pg_params *params = pg_params(pg);
    pg_param_int8(params, migration->version);
    pg_param_text(params, migration->name);
    pg_param_text(params, migration->sha256);
    pg_send(pg, &write_down);
    pg_send(pg, &commit);
    return pg_wait(pg);
}

/* One transaction. MIGRATE_BEHIND: one migration was applied, look again. */
static enum migrate_status take_turn(struct migrator *migrator)
{
    enum migrate_status status = look_around(migrator);
    if (status == MIGRATE_BEHIND) {
        enum port_status applied = apply_next(migrator);
        if (applied == PORT_OK) {
            migrator->report->applied++;
            return MIGRATE_BEHIND;
        }
        status = fault(migrator, applied);
    }
    pg_rollback(migrator->pg);
    return status;
}

static enum port_status run_alone(struct pg *pg, const struct pg_statement *statement)
{
    pg_begin(pg);
    pg_send(pg, statement);
    return pg_wait(pg);
}

static enum migrate_status apply_all(struct migrator *migrator)
{
    enum port_status locked = run_alone(migrator->pg, &take_lock);
    if (locked != PORT_OK)
        return fault(migrator, locked);
    enum migrate_status status = MIGRATE_BEHIND;
    while (status == MIGRATE_BEHIND)
        status = take_turn(migrator);
    if (pg_is_connected(migrator->pg) &&
        run_alone(migrator->pg, &release_lock) != PORT_OK)
        pg_disconnect(migrator->pg); /* which releases it as well */
    return status;
}

enum migrate_status migrate_run(struct pg *pg, bool check, struct migrate_report *report)
{
    struct migrator migrator = {.pg = pg, .report = report};
    *report = (struct migrate_report){.wanted = migrations[migration_count - 1].version};
    enum port_status connected = pg_connect(pg);
    if (connected != PORT_OK)
        return fault(&migrator, connected);
    enum migrate_status status = look_around(&migrator);
    pg_rollback(pg);
    report->found = migrator.found;
    return check || status != MIGRATE_BEHIND ? status : apply_all(&migrator);
}
