/* session_test.c: what a server may end the session of an audit for. It reads for hours,
 * and whatever the role or the database was given must not end it in the middle. Needs
 * the database that TEST_POSTGRES names. */
#include <stdio.h>
#include <stdlib.h>

#include "consumer/pg.h"
#include "consumer/postgres_session.h"
#include "tests/unit/test.h"

/* A server that does not know the setting has nothing to end the session by. */
static const struct pg_statement ask = {
    .sql = "SELECT coalesce(current_setting($1::text, true), $2::text)"};

static void test_setting(struct pg *pg, const char *name, const char *wanted)
{
    size_t size;
    test_case(name);
    pg_begin(pg);
    struct pg_params *params = pg_params(pg);
    pg_param_text(params, name);
    pg_param_text(params, wanted);
    pg_send(pg, &ask);
    CHECK(pg_wait(pg) == PORT_OK);
    const struct pg_rows *rows = pg_answer(pg, &ask);
    CHECK(rows != NULL);
    if (rows != NULL)
        CHECK_TEXT(pg_bytes(PG_CELL(rows, 0, 0), &size), wanted);
}

int main(void)
{
    const char *server = getenv("TEST_POSTGRES");
    if (server == NULL || server[0] == '\0') {
        printf("SKIPPED: TEST_POSTGRES names no scratch database\n");
        return 0;
    }
    struct pg *pg = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_AUDITING});
    CHECK(pg_connect(pg) == PORT_OK);
    test_setting(pg, "statement_timeout", "0");
    test_setting(pg, "lock_timeout", "0");
    test_setting(pg, "transaction_timeout", "0");
    test_setting(pg, "idle_session_timeout", "0");
    test_setting(pg, "idle_in_transaction_session_timeout", "12h");
    pg_close(pg);
    return test_end();
}
