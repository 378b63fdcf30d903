/* verb_migrate.c: `postonce migrate`: brings the schema up to this version; `--check`
 * only tells. Exit codes: 0 current; 1 behind (--check); 2 the server does not let us in,
 * or does not let us create things; 3 newer, or altered: an operator must decide; 69
 * unreachable. */
#include <stdio.h>

#include "consumer/migrate.h"
#include "consumer/verb.h"

static void print_text(const struct migrate_report *report, enum migrate_status status)
{
    if (status == MIGRATE_BEHIND)
        printf(
            "the schema has version %d, this program needs %d; run `postonce migrate`\n",
            report->found, report->wanted);
    else if (report->applied > 0)
        printf("the schema is migrated from version %d to %d\n",
               report->wanted - report->applied, report->wanted);
    else
        printf("the schema has version %d: nothing to do\n", report->wanted);
}

static void print_json(const struct migrate_report *report, enum migrate_status status)
{
    printf("{\"found\":%d,\"wanted\":%d,\"applied\":%d,\"current\":%s}\n", report->found,
           report->wanted, report->applied, status == MIGRATE_CURRENT ? "true" : "false");
}

static void print(const struct verb_call *call, const struct migrate_report *report,
                  enum migrate_status status)
{
    if (arguments_has(call->arguments, "json"))
        print_json(report, status);
    else
        print_text(report, status);
}

/* An interrupted migration was rolled back; running it again is right. Whatever the
 * server refuses for itself is a matter of rights or configuration. */
static int fail(const struct verb_call *call, const struct pg *pg,
                const struct migrate_report *report)
{
    bool unreachable = report->fault == PORT_RETRY || report->fault == PORT_IN_DOUBT;
    return verb_fail(call, unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_USAGE, "%s",
                     pg_fault(pg));
}

static int migrate(const struct verb_call *call, struct pg *pg)
{
    struct migrate_report report;
    enum migrate_status status =
        migrate_run(pg, arguments_has(call->arguments, "check"), &report);
    switch (status) {
    case MIGRATE_CURRENT:
    case MIGRATE_BEHIND:
        print(call, &report, status);
        return status == MIGRATE_CURRENT ? EXIT_CODE_DONE : EXIT_CODE_FINDINGS;
    case MIGRATE_NEWER:
        return verb_fail(
            call, EXIT_CODE_HALTED,
            "the schema is newer than version %d, the last one that this program "
            "knows; run a newer postonce",
            report.wanted);
    case MIGRATE_ALTERED:
        return verb_fail(
            call, EXIT_CODE_HALTED,
            "migration %d was applied with other contents than this program has "
            "(its checksum differs); run the postonce that applied it",
            report.altered);
    case MIGRATE_FAULT:
        break;
    }
    return fail(call, pg, &report);
}

int verb_migrate(const struct verb_call *call)
{
    struct pg *pg =
        pg_open(&(struct pg_settings){.postgres = config_values(call->config)->postgres,
                                      .role = "migrate",
                                      .profile = PG_MIGRATING});
    int code = migrate(call, pg);
    pg_close(pg);
    return code;
}
