/* postgres_session.c: see postgres_session.h. */
#include "consumer/postgres_session.h"

/* Per profile, in its order; NULL = the server's own. A zombie's locks die with
 * idle_in_transaction_session_timeout, so waiting for a lock a little longer than that is
 * enough; the client's own patience (pg.c) is the longest. */
static const struct session_setting {
    const char *name;
    const char *values[PG_PROFILE_COUNT];
} settings[] = {
    /* Temporary tables last: nobody can put anything in front of pg_catalog. */
    {"search_path",
     {"pg_catalog, pg_temp", "pg_catalog, pg_temp", "pg_catalog, pg_temp",
      "pg_catalog, pg_temp"}},
    {"statement_timeout", {"8s", "8s", "0", "0"}},
    {"lock_timeout", {"6s", "6s", "0", "0"}},
    /* An audit may read a topic for hours without a question to the database; but one
     * that was left in a pager is not to keep its snapshot over a weekend. */
    {"idle_in_transaction_session_timeout", {"5s", "5s", "60s", "12h"}},
    {"transaction_timeout", {NULL, NULL, NULL, "0"}}, /* since version 17 */
    {"idle_session_timeout", {NULL, NULL, NULL, "0"}},
    {"default_transaction_isolation",
     {"read committed", "read committed", "read committed", "repeatable read"}},
    /* The posting statements all take a few keys into a big table, and there is one right
     * plan for that. A plan that was made while the tables were empty would scan them for
     * ever; so the planner is given no other choice. */
    {"plan_cache_mode", {"force_generic_plan", NULL, NULL, NULL}},
    {"enable_seqscan", {"off", NULL, NULL, NULL}},
    {"enable_hashjoin", {"off", NULL, NULL, NULL}},
    {"enable_mergejoin", {"off", NULL, NULL, NULL}},
    {"enable_bitmapscan", {"off", NULL, NULL, NULL}},
    {"jit", {"off", "off", "off", "off"}},
    {"standard_conforming_strings", {"on", "on", "on", "on"}},
    {"TimeZone", {NULL, "UTC", NULL, "UTC"}},
    {"DateStyle", {NULL, "ISO", NULL, "ISO"}},
    /* Whoever interrupts an audit does not leave its long statement running. */
    {"client_connection_check_interval", {NULL, NULL, NULL, "5s"}},
};

void postgres_session_put(struct pg_params *params, enum pg_profile profile)
{
    struct pg_param *names = pg_param_array(params, PG_TEXT);
    struct pg_param *values = pg_param_array(params, PG_TEXT);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (settings[i].values[profile] == NULL)
            continue;
        pg_array_text(names, settings[i].name);
        pg_array_text(values, settings[i].values[profile]);
    }
}

/* Names that an older server does not know are left out. Everything is qualified: until
 * this has run, the search path is whatever the role was given. */
const struct pg_statement postgres_session_set = {
    .sql = "SELECT pg_catalog.set_config(s.name, s.value, false)"
           "  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]),"
           "                  pg_catalog.unnest($2::pg_catalog.text[])) AS s(name, value)"
           " WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL"};

/* An answer that was sent must survive a crash of the server. Values other than `off` are
 * the administrator's choice among durable ones. */
const struct pg_statement postgres_session_set_durable = {
    .sql = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
           " WHERE pg_catalog.current_setting('synchronous_commit')"
           "       OPERATOR(pg_catalog.=) 'off'"};
