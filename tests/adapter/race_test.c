/* race_test.c: what others commit while a lookup is under way, and two that post at
 * once, against a real PostgreSQL. Each statement of a lookup sees what was committed
 * when *it* began; so the accounts that one statement locked and the payments that a
 * later one finds need not fit together.
 *
 * TEST_POSTGRES='host=… dbname=scratch' adapter_race_test
 *
 * The database and the role are those of store_test.c, not at the same time. */
#include "consumer/store.h"

#include <pthread.h>

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

/* --- two at once --- */

enum { ROUNDS = 200 };

struct racer {
    struct consumer *consumer;
    const char *source, *destination;
    int faults;
};

/* Collisions are no faults: the batch is redone. */
static void race_once(struct racer *racer, int round)
{
    struct consumer *consumer = racer->consumer;
    enum port_status status;
    char key[32];
    snprintf(key, sizeof key, "%s%d", racer->source, round);
    int64_t offset = consumer->offset;
    do {
        consumer->offset = offset;
        begin_posting(consumer);
        add_transfer(consumer, key, racer->source, racer->destination, 1);
        status = post(consumer);
    } while (status == PORT_RETRY &&
             strcmp(store_sqlstate(consumer->store), STORE_COLLISION) == 0);
    racer->faults += status != PORT_OK;
}

static void *race(void *argument)
{
    for (int i = 0; i < ROUNDS; i++)
        race_once(argument, i);
    return NULL;
}

static void test_lock_order(void)
{
    struct racer racers[2] = {
        {.consumer = consumer_with_books(), .source = "a", .destination = "b"},
        {.consumer = claimed_consumer(1), .source = "b", .destination = "a"}};
    pthread_t threads[2];
    test_case("two stores that lock the same accounts in opposite order");
    for (int i = 0; i < 2; i++)
        MUST(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    CHECK_INT(racers[0].faults + racers[1].faults, 0);
    check_count("transfer", 1 + 2 * ROUNDS);
    check_count("account WHERE abs(balance_minor) = 100", 2);
    for (int i = 0; i < 2; i++)
        consumer_free(racers[i].consumer);
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
    test_lock_order();
    pg_close(admin);
    return test_end();
}
