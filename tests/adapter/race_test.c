/* race_test.c: what others commit while a lookup is under way, against a real
 * PostgreSQL. Each statement of a lookup sees what was committed when *it* began; so the
 * accounts that one statement locked and the payments that a later one finds need not fit
 * together.
 *
 * TEST_POSTGRES='host=… dbname=scratch' adapter_race_test
 *
 * The database and the role are those of store_test.c, not at the same time. */
#include "consumer/store.h"

#include <pthread.h>

#include "base/clock.h"
#include "tests/adapter/store_bench.h"

struct late {
    struct consumer *consumer;
    enum port_status status;
};

static void *look_up_late(void *context)
{
    struct late *late = context;
    late->status = look_up(late->consumer);
    return NULL;
}

/* False: it does not come to a lock within the time that it would wait for one. */
static bool wait_for_lock(void)
{
    int64_t end_ms = clock_monotonic_ms() + 10000;
    while (clock_monotonic_ms() < end_ms) {
        if (number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                   " AND application_name = 'postonce test-store'"
                   " AND datname = current_database()") > 0)
            return true;
        clock_sleep_ms(2);
    }
    return false;
}

static struct consumer *consumer_with_four_accounts(void)
{
    struct consumer *consumer = consumer_with_books();
    begin_posting(consumer);
    add_opening(consumer, "open-c", "c");
    add_opening(consumer, "open-d", "d");
    CHECK(post(consumer) == PORT_OK);
    return consumer;
}

static void begin_refund_of_late(struct consumer *consumer)
{
    begin_posting(consumer);
    add_transfer(consumer, "pay-2", "a", "b", 1);
    add_refund(consumer, "back", "late", 1);
}

/* The payment `late`, as another consumer would commit it. */
static void commit_late_payment(void)
{
    run_sql("INSERT INTO postonce.transfer (debit_account_id, credit_account_id,"
            "       amount_minor, debit_balance_minor, credit_balance_minor,"
            "       debit_version, credit_version, payment_id, client)"
            " SELECT c.account_id, d.account_id, 5, -5, 5, 1, 1,"
            "        '6c617465-0000-0000-0000-000000000000', 'c'"
            "   FROM postonce.account c, postonce.account d"
            "  WHERE c.name = 'c' AND d.name = 'd'");
}

static void test_payment_between_statements(void)
{
    struct late late = {.consumer = consumer_with_four_accounts()};
    struct posting *posting = late.consumer->posting;
    struct pg *holder = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_MIGRATING});
    pthread_t thread;
    test_case("a payment whose accounts were not locked is not there yet");
    CHECK(pg_connect(holder) == PORT_OK);
    CHECK(pg_run_script(holder, "BEGIN") == PORT_OK);
    CHECK(pg_run_script(holder, "SELECT FROM postonce.account WHERE name = 'a'"
                                " FOR UPDATE") == PORT_OK);
    begin_refund_of_late(late.consumer);
    MUST(pthread_create(&thread, NULL, look_up_late, &late) == 0);
    CHECK(wait_for_lock());
    commit_late_payment();
    pg_rollback(holder);
    MUST(pthread_join(thread, NULL) == 0);
    CHECK(late.status == PORT_OK);
    CHECK_INT(posting->account_count, 2);
    CHECK_INT(posting->payment_count, 0);
    store_rollback(late.consumer->store);

    test_case("and the next lookup has both");
    CHECK(look_up(late.consumer) == PORT_OK);
    CHECK_INT(posting->account_count, 4);
    CHECK_INT(posting->payment_count, 1);
    store_rollback(late.consumer->store);
    pg_close(holder);
    consumer_free(late.consumer);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    server = getenv("TEST_POSTGRES");
    if (server == NULL || server[0] == '\0') {
        printf("SKIPPED: TEST_POSTGRES names no scratch database\n");
        return 0;
    }
    admin = pg_open(
        &(struct pg_settings){.postgres = server, .role = "test", .profile = PG_READING});
    test_payment_between_statements();
    pg_close(admin);
    return test_end();
}
