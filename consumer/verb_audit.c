/* verb_audit.c: `postonce audit`: proves the books (DESIGN §6), and with --topic also
 * that topic, inbox and results belong together. Only reads, in one snapshot, so that it
 * can run beside consumers at work. Exit codes: 0 nothing found; 1 findings; 2 the server
 * or the rights refuse; 3 another schema than this program's; 69 not reachable. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer/postgres_audit.h"
#include "consumer/postgres_schema.h"
#include "consumer/verb.h"
#include "consumer/verb_audit_topic.h"

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

static struct audit_field number_field(const char *name, int64_t number, char text[24])
{
    snprintf(text, 24, "%" PRId64, number);
    return (struct audit_field){name, text, strlen(text), true};
}

static void end_report(const struct audit_report *report, const struct pg_rows *counts,
                       const struct topic_audit *topic)
{
    struct audit_field fields[COUNTS_MAX];
    char texts[2][24];
    size_t count = 0;
    for (int column = 0; column < pg_column_count(counts); column++) {
        struct audit_field *field = &fields[count++];
        field->name = pg_column_name(counts, column);
        field->value = pg_bytes(PG_CELL(counts, 0, column), &field->size);
        field->raw = true;
    }
    if (topic != NULL) {
        int64_t records, results;
        topic_audit_counts(topic, &records, &results);
        fields[count++] = number_field("records", records, texts[0]);
        fields[count++] = number_field("results", results, texts[1]);
    }
    audit_report_end(report, fields, count);
}

/* The topic comes after the books, in the same snapshot. */
static int audit_all(const struct verb_call *call, struct postgres_audit *audit,
                     struct topic_audit *topic)
{
    struct pg_rows *counts = NULL;
    enum port_status status = postgres_audit_begin(audit);
    if (status == PORT_OK)
        status = postgres_audit_books(audit);
    if (status == PORT_OK)
        status = postgres_audit_count(audit, &counts);
    if (status == PORT_OK && arguments_has(call->arguments, "digest"))
        status = postgres_audit_digest(audit);
    int code = status == PORT_OK ? EXIT_CODE_DONE : fail(call, audit->pg, status);
    if (code == EXIT_CODE_DONE && topic != NULL)
        code = topic_audit_run(topic, audit);
    if (code == EXIT_CODE_DONE)
        end_report(audit->report, counts, topic);
    pg_rows_free(counts);
    return code;
}

static int audit_with(const struct verb_call *call, struct pg *pg)
{
    static struct postgres_audit audit; /* its statement is too large for a stack */
    static struct audit_report report;
    report = (struct audit_report){
        .json = arguments_has(call->arguments, "json"),
        .limit = arguments_number(call->arguments, "limit", LIMIT_DEFAULT)};
    struct topic_audit *topic = NULL;
    audit.pg = pg;
    audit.report = &report;
    audit.progress = isatty(STDERR_FILENO) == 1;
    int code = check_schema(call, pg);
    if (code == EXIT_CODE_DONE && arguments_has(call->arguments, "topic"))
        topic = topic_audit_open(call, &code);
    if (code == EXIT_CODE_DONE)
        code = audit_all(call, &audit, topic);
    if (code == EXIT_CODE_DONE && audit_report_total(&report) > 0)
        code = EXIT_CODE_FINDINGS;
    topic_audit_close(topic);
    return code;
}

int verb_audit(const struct verb_call *call)
{
    if (arguments_has(call->arguments, "never-rewound") &&
        !arguments_has(call->arguments, "topic"))
        return verb_fail(call, EXIT_CODE_USAGE,
                         "--never-rewound says something about results; it needs "
                         "--topic");
    struct pg *pg =
        pg_open(&(struct pg_settings){.postgres = config_values(call->config)->postgres,
                                      .role = "audit",
                                      .profile = PG_AUDITING});
    int code = audit_with(call, pg);
    pg_close(pg);
    return code;
}
