/* verb_audit.c: `postonce audit`: proves the books (DESIGN §6), and with --topic also
 * that topic, inbox and results belong together. Only reads, in one snapshot, so that it
 * can run beside consumers at work. Exit codes: 0 nothing found; 1 findings; 2 the server
 * or the rights refuse; 3 another schema than this program's; 69 not reachable. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/postgres_audit.h"
#include "consumer/postgres_schema.h"
#include "consumer/verb.h"

enum { LIMIT_DEFAULT = 100, COUNTS_MAX = 8 };

static int fail(const struct verb_call *call, const struct pg *pg,
                enum port_status status)
{
    bool unreachable = status == PORT_RETRY || status == PORT_IN_DOUBT;
    return verb_fail(call, unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_USAGE, "%s",
                     pg_fault(pg));
}

static int check_schema(const struct verb_call *call, struct pg *pg)
{
    enum store_schema schema;
    int found, wanted;
    enum port_status status = postgres_schema_check(pg, &schema, &found, &wanted);
    if (status != PORT_OK)
        return fail(call, pg, status);
    if (schema == STORE_SCHEMA_CURRENT)
        return EXIT_CODE_DONE;
    if (schema == STORE_SCHEMA_NEWER)
        return verb_fail(
            call, EXIT_CODE_HALTED,
            "the schema has version %d, this program knows only %d; run a newer "
            "postonce",
            found, wanted);
    return verb_fail(call, EXIT_CODE_HALTED,
                     "the database has no postonce schema of version %d; run `postonce "
                     "migrate`",
                     wanted);
}

static void end_report(const struct audit_report *report, const struct pg_rows *counts)
{
    struct audit_field fields[COUNTS_MAX];
    size_t count = 0;
    for (int column = 0; column < pg_column_count(counts); column++) {
        struct audit_field *field = &fields[count++];
        field->name = pg_column_name(counts, column);
        field->value = pg_bytes(PG_CELL(counts, 0, column), &field->size);
        field->raw = true;
    }
    audit_report_end(report, fields, count);
}

static enum port_status audit_all(struct postgres_audit *audit, struct pg_rows **counts)
{
    enum port_status status = postgres_audit_begin(audit);
    if (status == PORT_OK)
        status = postgres_audit_books(audit);
    if (status == PORT_OK)
        status = postgres_audit_count(audit, counts);
    return status;
}

static int audit_with(const struct verb_call *call, struct pg *pg)
{
    static struct postgres_audit audit; /* its statement is too large for a stack */
    struct audit_report report = {
        .json = arguments_has(call->arguments, "json"),
        .limit = arguments_number(call->arguments, "limit", LIMIT_DEFAULT)};
    struct pg_rows *counts = NULL;
    audit.pg = pg;
    audit.report = &report;
    audit.progress = isatty(STDERR_FILENO) == 1;
    int code = check_schema(call, pg);
    if (code != EXIT_CODE_DONE)
        return code;
    enum port_status status = audit_all(&audit, &counts);
    if (status == PORT_OK)
        end_report(&report, counts);
    else
        code = fail(call, pg, status);
    pg_rows_free(counts);
    if (code == EXIT_CODE_DONE && audit_report_total(&report) > 0)
        code = EXIT_CODE_FINDINGS;
    return code;
}

int verb_audit(const struct verb_call *call)
{
    struct pg *pg =
        pg_open(&(struct pg_settings){.postgres = config_values(call->config)->postgres,
                                      .role = "audit",
                                      .profile = PG_AUDITING});
    int code = audit_with(call, pg);
    pg_close(pg);
    return code;
}
