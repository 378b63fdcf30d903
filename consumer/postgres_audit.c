/* postgres_audit.c: see postgres_audit.h. Owns how a pass becomes one statement: each row
 * is judged once, into an array of verdicts; rows with a true one become a finding for
 * each, counted and cut to the limit by the server. */
#include "consumer/postgres_audit.h"

#include <string.h>

#include "base/must.h"
#include "base/parse.h"
#include "base/text_buffer.h"
#include "schema/currency.h"

/* --- the snapshot --- */

static const struct pg_statement begin = {
    .sql = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"};
/* Before the snapshot: a table that is rewritten between the two looks empty to it. */
static const struct pg_statement lock_tables = {
    .sql = "LOCK TABLE postonce.account, postonce.transfer, postonce.inbox,"
           " postonce.dead_letter, postonce.stream_position IN ACCESS SHARE MODE"};
/* Hash joins and aggregates of large tables want more than a server's careful default. */
static const struct pg_statement set_work_mem = {
    .sql = "SELECT set_config('work_mem', '64MB', true)"
           " WHERE pg_size_bytes(current_setting('work_mem')) < 64 * 1024 * 1024"};
static const struct pg_statement take_snapshot = {
    .sql = "SELECT count(*) FROM postonce.stream_position"};

enum port_status postgres_audit_begin(struct postgres_audit *audit)
{
    pg_begin(audit->pg);
    pg_send(audit->pg, &begin);
    pg_send(audit->pg, &lock_tables);
    pg_send(audit->pg, &set_work_mem);
    pg_send(audit->pg, &take_snapshot);
    return pg_wait(audit->pg);
}

/* --- a pass as a statement --- */

#define VERDICTS "bad" /* the column of them */

static void put_conditions(struct text_buffer *sql, const struct audit_pass *pass)
{
    text_put_string(sql, ", ARRAY[");
    for (size_t i = 0; i < AUDIT_CONDITIONS_MAX && pass->conditions[i].sql != NULL; i++) {
        text_put_string(sql, i > 0 ? ", (" : "(");
        text_put_string(sql, pass->conditions[i].sql);
        text_put_string(sql, ")");
    }
    text_put_string(sql, "] AS " VERDICTS);
}

/* A finding about a payment is told with the record of its command. Only the few that
 * are shown are looked up: one sweep over the inbox, and none if there is no finding.
 * More than one row of a payment id is damage that other passes tell; any of them
 * does. */
static void put_shown(struct text_buffer *sql, const struct audit_pass *pass)
{
    text_put_string(sql, "SELECT DISTINCT ON (s.ordinal, s.nth) s.*");
    if (pass->names_command)
        text_put_string(sql, ", i.key, i.topic, i.partition, i.\"offset\"");
    text_put_string(sql, " FROM (SELECT * FROM (");
}

static void put_shown_end(struct text_buffer *sql, const struct audit_pass *pass)
{
    text_put_string(sql, ") AS f WHERE f.nth <= $1::int8 LIMIT $1::int8 * ");
    text_put_int(sql, AUDIT_CONDITIONS_MAX);
    text_put_string(sql, ") AS s");
    if (pass->names_command)
        text_put_string(sql,
                        " LEFT JOIN postonce.inbox i ON i.payment_id = s.payment_id");
    text_put_string(sql, " ORDER BY s.ordinal, s.nth");
}

static void compose(struct postgres_audit *audit, const struct audit_pass *pass)
{
    struct text_buffer sql;
    text_buffer_init(&sql, audit->sql, sizeof audit->sql - 1);
    put_shown(&sql, pass);
    text_put_string(&sql,
                    "SELECT b.ordinal,"
                    " count(*) OVER (PARTITION BY b.ordinal) AS total,"
                    " row_number() OVER (PARTITION BY b.ordinal ORDER BY r) AS nth, r.*"
                    " FROM (SELECT ");
    text_put_string(&sql, pass->columns);
    put_conditions(&sql, pass);
    text_put_string(&sql, " FROM ");
    text_put_string(&sql, pass->from);
    text_put_string(&sql, ") AS r CROSS JOIN LATERAL unnest(r.bad) WITH ORDINALITY"
                          " AS b(is_bad, ordinal)"
                          " WHERE true = ANY (r.bad) AND b.is_bad");
    put_shown_end(&sql, pass);
    MUST(!sql.overflow);
    audit->sql[sql.size] = '\0';
}

/* --- findings --- */

enum { COLUMN_ORDINAL, COLUMN_TOTAL, COLUMN_NTH, COLUMN_FIRST, FIELDS_MAX = 12 };

static int64_t number_of(const struct pg_rows *rows, size_t row, int column)
{
    int64_t number;
    size_t size;
    const char *text = pg_bytes(PG_CELL(rows, row, column), &size);
    MUST(parse_int64(text, size, &number));
    return number;
}

static bool ends_with_minor(const char *name)
{
    static const char suffix[] = "_minor";
    size_t size = strlen(name);
    return size >= sizeof suffix && strcmp(&name[size + 1 - sizeof suffix], suffix) == 0;
}

/* All columns that have a value, but for the verdicts. */
static size_t fields_of(const struct pg_rows *rows, size_t row,
                        struct audit_field fields[FIELDS_MAX])
{
    size_t count = 0;
    for (int column = COLUMN_FIRST; column < pg_column_count(rows); column++) {
        struct pg_cell cell = PG_CELL(rows, row, column);
        struct audit_field *field = &fields[count];
        field->name = pg_column_name(rows, column);
        if (pg_is_null(cell) || strcmp(field->name, VERDICTS) == 0)
            continue;
        field->value = pg_bytes(cell, &field->size);
        field->raw = pg_column_is_integer(rows, column) || ends_with_minor(field->name);
        MUST(++count < FIELDS_MAX);
    }
    return count;
}

static void tell(struct audit_report *report, const struct audit_pass *pass,
                 const struct pg_rows *rows)
{
    struct audit_field fields[FIELDS_MAX];
    for (size_t row = 0; row < pg_row_count(rows); row++) {
        int64_t ordinal = number_of(rows, row, COLUMN_ORDINAL);
        MUST(ordinal >= 1 && ordinal <= AUDIT_CONDITIONS_MAX);
        enum audit_check check = pass->conditions[ordinal - 1].check;
        if (number_of(rows, row, COLUMN_NTH) == 1)
            audit_report_add(report, check, number_of(rows, row, COLUMN_TOTAL));
        audit_report_show(report, check, fields, fields_of(rows, row, fields));
    }
}

enum port_status
postgres_audit_run(struct postgres_audit *audit, const struct audit_pass *pass,
                   void (*put)(struct pg_params *params, const void *context),
                   const void *context)
{
    struct pg_statement statement = {.sql = audit->sql, .text = true};
    compose(audit, pass);
    pg_begin(audit->pg);
    struct pg_params *params = pg_params(audit->pg);
    pg_param_int8(params, audit->report->limit);
    if (put != NULL)
        put(params, context);
    pg_send(audit->pg, &statement);
    enum port_status status = pg_wait(audit->pg);
    if (status == PORT_OK)
        tell(audit->report, pass, pg_answer(audit->pg, &statement));
    return status;
}

/* --- the database --- */

static void put_currencies(struct pg_params *params, const void *unused)
{
    struct pg_param *codes = pg_param_array(params, PG_TEXT);
    struct pg_param *exponents = pg_param_array(params, PG_INT4);
    (void)unused;
    for (size_t i = 0; i < currency_count; i++) {
        pg_array_text(codes, currencies[i].code);
        pg_array_int4(exponents, currencies[i].exponent);
    }
}

enum port_status postgres_audit_books(struct postgres_audit *audit)
{
    enum port_status status = PORT_OK;
    for (size_t i = 0; status == PORT_OK && i < audit_pass_count; i++) {
        const struct audit_pass *pass = &audit_passes[i];
        if (pass->only_after_break && audit->report->found[AUDIT_CHAIN_BROKEN] == 0)
            continue;
        if (audit->progress)
            fprintf(stderr, "\r\033[Kaudit: %zu of %zu: %s", i + 1, audit_pass_count,
                    pass->title);
        status = postgres_audit_run(audit, pass,
                                    pass->uses_currencies ? put_currencies : NULL, NULL);
    }
    if (audit->progress)
        fputs("\r\033[K", stderr);
    return status;
}

enum port_status postgres_audit_digest(struct postgres_audit *audit)
{
    static const struct pg_statement digest = {.sql = audit_sql_digest, .text = true};
    if (audit->progress)
        fputs("\r\033[Kaudit: digest", stderr);
    pg_begin(audit->pg);
    pg_send(audit->pg, &digest);
    enum port_status status = pg_wait(audit->pg);
    if (status == PORT_OK) {
        size_t size;
        const char *hex = pg_bytes(PG_CELL(pg_answer(audit->pg, &digest), 0, 0), &size);
        MUST(size == AUDIT_DIGEST_SIZE);
        memcpy(audit->report->digest, hex, size + 1);
    }
    if (audit->progress)
        fputs("\r\033[K", stderr);
    return status;
}

static const struct pg_statement count_all = {
    .sql = "SELECT (SELECT count(*) FROM postonce.account) AS accounts,"
           "       (SELECT count(*) FROM postonce.transfer) AS transfers,"
           "       (SELECT count(*) FROM postonce.inbox) AS commands,"
           "       (SELECT count(*) FROM postonce.dead_letter) AS dead_letters,"
           "       (SELECT count(*) FROM postonce.stream_position) AS partitions",
    .text = true};

enum port_status postgres_audit_count(struct postgres_audit *audit,
                                      struct pg_rows **counts)
{
    pg_begin(audit->pg);
    pg_send(audit->pg, &count_all);
    enum port_status status = pg_wait(audit->pg);
    *counts = pg_take_answer(audit->pg, &count_all);
    return status;
}

/* --- the topic --- */

static enum port_status ask(struct postgres_audit *audit,
                            const struct pg_statement *statement, struct pg_rows **rows)
{
    pg_send(audit->pg, statement);
    enum port_status status = pg_wait(audit->pg);
    if (rows != NULL)
        *rows = pg_take_answer(audit->pg, statement);
    return status;
}

enum port_status postgres_audit_not_own(struct postgres_audit *audit,
                                        void (*put)(struct pg_params *params,
                                                    const void *context),
                                        const void *context, struct pg_rows **rows)
{
    static const struct pg_statement not_own = {.sql = audit_sql_not_own};
    pg_begin(audit->pg);
    put(pg_params(audit->pg), context);
    return ask(audit, &not_own, rows);
}

enum port_status postgres_audit_rows_begin(struct postgres_audit *audit,
                                           const char *topic)
{
    static const struct pg_statement declare = {.sql = audit_sql_rows};
    pg_begin(audit->pg);
    pg_param_text(pg_params(audit->pg), topic);
    return ask(audit, &declare, NULL);
}

enum port_status postgres_audit_rows_next(struct postgres_audit *audit,
                                          struct pg_rows **rows)
{
    static const struct pg_statement fetch = {.sql = "FETCH 10000 FROM audit_rows"};
    pg_begin(audit->pg);
    return ask(audit, &fetch, rows);
}

enum port_status postgres_audit_positions(struct postgres_audit *audit, const char *topic,
                                          struct pg_rows **rows)
{
    static const struct pg_statement positions = {
        .sql = "SELECT p.partition, p.next_offset, coalesce(p.last_offset, -1),"
               "       coalesce(p.last_timestamp_ms, -1) FROM postonce.stream_position p"
               " WHERE p.topic = $1::text ORDER BY p.partition"};
    pg_begin(audit->pg);
    pg_param_text(pg_params(audit->pg), topic);
    return ask(audit, &positions, rows);
}
