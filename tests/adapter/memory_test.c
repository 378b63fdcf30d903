/* memory_test.c: accounts that are remembered instead of looked up, against a real
 * PostgreSQL: whatever others do to them meanwhile, nothing is committed that rests on
 * what is not so any more.
 *
 * TEST_POSTGRES='host=… dbname=scratch' adapter_memory_test
 *
 * The database and the role are those of store_test.c, not at the same time. */
#include <pthread.h>

#include "consumer/store.h"
#include "tests/adapter/store_bench.h"

enum { BATCHES_MAX = 400 };

/* Whether a lookup locks the account `a`. */
static bool locks(struct consumer *consumer)
{
    begin_posting(consumer);
    add_transfer(consumer, "never", "a", "b", 1);
    CHECK(look_up(consumer) == PORT_OK);
    const char *refusal = refusal_of(
        "SELECT FROM postonce.account WHERE name = 'a' FOR NO KEY UPDATE NOWAIT");
    bool locked = strcmp(refusal, "55P03") == 0;
    store_rollback(consumer->store);
    consumer->offset--;
    return locked;
}

static enum port_status pay(struct consumer *consumer, const char *key)
{
    begin_posting(consumer);
    add_transfer(consumer, key, "a", "b", 1);
    return post(consumer);
}

/* Under a key of its own. */
static void pay_any(struct consumer *consumer)
{
    static int payments;
    char key[24];
    snprintf(key, sizeof key, "any-%d", payments++);
    CHECK(pay(consumer, key) == PORT_OK);
}

/* Posts until accounts are not locked any more, and once more: they are remembered.
 * Returns how many batches it took. */
static int make_trusting(struct consumer *consumer)
{
    int batches = 0;
    for (; locks(consumer) && batches < BATCHES_MAX; batches++)
        pay_any(consumer);
    CHECK(batches > 0 && batches < BATCHES_MAX);
    pay_any(consumer);
    return batches;
}

static struct consumer *trusting_consumer(void)
{
    struct consumer *consumer = consumer_with_books();
    make_trusting(consumer);
    return consumer;
}

static void check_collides(struct consumer *consumer, enum port_status status)
{
    CHECK(status == PORT_RETRY);
    CHECK(strcmp(store_sqlstate(consumer->store), "ZP002") == 0);
}

/* A batch that was redone finds things as they are, and they are locked from then on. */
static void check_redone(struct consumer *consumer, const char *sum)
{
    check_count("inbox WHERE key = 'late'", 0);
    consumer->offset--;
    CHECK(pay(consumer, "late") == PORT_OK);
    check_count("inbox WHERE key = 'late'", 1);
    check_count(sum, 2);
    CHECK(locks(consumer));
}

static void test_moved_by_others(void)
{
    struct consumer *consumer = trusting_consumer();
    test_case("an account that somebody else has moved");
    run_sql(
        "UPDATE postonce.account SET version = version + 1,"
        "       balance_minor = balance_minor + CASE name WHEN 'a' THEN -7 ELSE 7 END");
    check_collides(consumer, pay(consumer, "late"));
    check_redone(consumer, "account WHERE abs(balance_minor) ="
                           " (SELECT sum(amount_minor) + 7 FROM postonce.transfer)");
    consumer_free(consumer);
}

static void test_balance_set_by_hand(void)
{
    struct consumer *consumer = trusting_consumer();
    test_case("a balance that was set by hand, with its version as it was");
    run_sql(
        "UPDATE postonce.account SET"
        "       balance_minor = balance_minor + CASE name WHEN 'a' THEN -7 ELSE 7 END");
    check_collides(consumer, pay(consumer, "late"));
    check_redone(consumer, "account WHERE abs(balance_minor) ="
                           " (SELECT sum(amount_minor) + 7 FROM postonce.transfer)");
    consumer_free(consumer);
}

/* For want of funds on `a`: nothing moves, and yet the decision rests on the account. */
static enum port_status look_up_and_refuse(struct consumer *consumer)
{
    begin_posting(consumer);
    add_transfer(consumer, "refused", "a", "b", 1);
    if (look_up(consumer) != PORT_OK)
        return PORT_FATAL;
    consumer->posting->accounts[slot_of(consumer->posting, "a")].rests = true;
    answer(consumer, 0, OUTCOME_REJECTED, CODE_INSUFFICIENT_FUNDS);
    return PORT_OK;
}

static void test_refusals(void)
{
    struct consumer *consumer = trusting_consumer();
    test_case("a refusal that rests on what is not so any more");
    CHECK(look_up_and_refuse(consumer) == PORT_OK);
    run_sql("UPDATE postonce.account SET version = version + 1 WHERE name = 'a'");
    check_collides(consumer, store_commit(consumer->store, consumer->posting));
    check_count("inbox WHERE key = 'refused'", 0);

    test_case("and one that rests on what is");
    make_trusting(consumer);
    CHECK(look_up_and_refuse(consumer) == PORT_OK);
    CHECK(store_commit(consumer->store, consumer->posting) == PORT_OK);
    check_count("inbox WHERE key = 'refused'", 1);
    consumer_free(consumer);
}

struct late {
    struct consumer *consumer;
    enum port_status status;
};

static void *commit_late(void *context)
{
    struct late *late = context;
    late->status = store_commit(late->consumer->store, late->consumer->posting);
    return NULL;
}

/* A connection that has done this in a transaction that is still open. */
static struct pg *holder_after(const char *sql)
{
    struct pg *holder = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_MIGRATING});
    CHECK(pg_connect(holder) == PORT_OK);
    CHECK(pg_run_script(holder, "BEGIN") == PORT_OK);
    CHECK(pg_run_script(holder, sql) == PORT_OK);
    return holder;
}

static void let_go(struct pg *holder)
{
    CHECK(pg_run_script(holder, "COMMIT") == PORT_OK);
    pg_close(holder);
}

/* Without a lock two batches could each be refused for want of what the other brings. */
static void test_refusal_beside_a_movement(void)
{
    struct late late = {.consumer = trusting_consumer()};
    pthread_t thread;
    test_case("a refusal waits for whoever is moving what it rests on");
    CHECK(look_up_and_refuse(late.consumer) == PORT_OK);
    struct pg *holder = holder_after(
        "UPDATE postonce.account SET version = version + 1 WHERE name = 'a'");
    MUST(pthread_create(&thread, NULL, commit_late, &late) == 0);
    CHECK(wait_for_lock());
    let_go(holder);
    MUST(pthread_join(thread, NULL) == 0);
    check_collides(late.consumer, late.status);
    check_count("inbox WHERE key = 'refused'", 0);
    consumer_free(late.consumer);
}

/* Or two batches could each wait for what the other one has. */
static void test_locks_by_id(void)
{
    struct late late = {.consumer = trusting_consumer()};
    pthread_t thread;
    test_case("what moves is locked in the order of ids, whoever is named first");
    begin_posting(late.consumer);
    add_transfer(late.consumer, "back", "b", "a", 1);
    CHECK(look_up(late.consumer) == PORT_OK);
    apply_all(late.consumer);
    struct pg *holder =
        holder_after("SELECT FROM postonce.account WHERE name = 'a' FOR NO KEY UPDATE");
    MUST(pthread_create(&thread, NULL, commit_late, &late) == 0);
    CHECK(wait_for_lock());
    CHECK(strcmp(refusal_of("SELECT FROM postonce.account WHERE name = 'b'"
                            " FOR NO KEY UPDATE NOWAIT"),
                 "") == 0);
    let_go(holder);
    MUST(pthread_join(thread, NULL) == 0);
    CHECK(late.status == PORT_OK);
    consumer_free(late.consumer);
}

static void test_refunds_lock(void)
{
    struct consumer *consumer = trusting_consumer();
    test_case("refunds lock the accounts of their payment at once");
    begin_posting(consumer);
    add_refund(consumer, "back", "pay", 1);
    CHECK(look_up(consumer) == PORT_OK);
    CHECK(strcmp(refusal_of("SELECT FROM postonce.account WHERE name = 'a'"
                            " FOR NO KEY UPDATE NOWAIT"),
                 "55P03") == 0);
    apply_all(consumer);
    CHECK(store_commit(consumer->store, consumer->posting) == PORT_OK);
    CHECK(pay(consumer, "later") == PORT_OK);
    check_count("account WHERE abs(balance_minor) = (SELECT sum(amount_minor * CASE WHEN"
                " refunds IS NULL THEN 1 ELSE -1 END) FROM postonce.transfer)",
                2);
    consumer_free(consumer);
}

/* Nobody does that; but if somebody did, no command may be refused for it. */
static void test_another_id(void)
{
    struct consumer *consumer = trusting_consumer();
    test_case("an account that has another id than a moment ago");
    run_sql(
        "UPDATE postonce.account SET account_id = account_id + 1000 WHERE name = 'b'");
    check_collides(consumer, pay(consumer, "late"));
    consumer->offset--;
    CHECK(pay(consumer, "late") == PORT_RETRY);
    check_redone(consumer, "account WHERE abs(balance_minor) ="
                           " (SELECT sum(amount_minor) FROM postonce.transfer)");
    consumer_free(consumer);
}

static void test_longer_and_longer(void)
{
    struct consumer *consumer = trusting_consumer();
    int batches[2];
    test_case("who collides again locks for longer");
    for (int i = 0; i < 2; i++) {
        run_sql("UPDATE postonce.account SET version = version + 1");
        check_collides(consumer, pay(consumer, "late"));
        consumer->offset--;
        batches[i] = make_trusting(consumer);
    }
    CHECK(batches[1] > batches[0]);
    consumer_free(consumer);
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
    test_moved_by_others();
    test_balance_set_by_hand();
    test_refusals();
    test_refusal_beside_a_movement();
    test_locks_by_id();
    test_refunds_lock();
    test_another_id();
    test_longer_and_longer();
    pg_close(admin);
    return test_end();
}
