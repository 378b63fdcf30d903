/* store_test.c: the store and its door against a real PostgreSQL, with postings built by
 * hand.
 *
 * TEST_POSTGRES='host=… dbname=scratch' adapter_store_test
 *
 * TEST_POSTGRES names a database that may be destroyed: its schema `postonce` is dropped
 * and made again for every case. The role must own the database and be allowed to create
 * roles and to end its own sessions. Without the variable nothing is tested, and it says
 * so. */
#include "consumer/store.h"

#include <pthread.h>

#include "base/clock.h"
#include "consumer/postgres_sqlstate.h"
#include "tests/adapter/store_bench.h"

/* --- the cases --- */

static void test_schema(void)
{
    enum store_schema schema;
    int found, wanted;
    struct consumer *consumer = consumer_new(server, 0);
    test_case("schema: missing, current, newer");
    run_sql("DROP SCHEMA IF EXISTS postonce CASCADE");
    CHECK(store_check(consumer->store, &schema, &found, &wanted) == PORT_OK);
    CHECK(schema == STORE_SCHEMA_MISSING);
    fresh_schema();
    CHECK(store_check(consumer->store, &schema, &found, &wanted) == PORT_OK);
    CHECK(schema == STORE_SCHEMA_CURRENT && found == wanted);
    run_sql("INSERT INTO postonce.schema_version VALUES (9999, 'later', '')");
    CHECK(store_check(consumer->store, &schema, &found, &wanted) == PORT_OK);
    CHECK(schema == STORE_SCHEMA_NEWER && found == 9999);
    run_sql("DELETE FROM postonce.schema_version");
    CHECK(store_check(consumer->store, &schema, &found, &wanted) == PORT_OK);
    CHECK(schema == STORE_SCHEMA_MISSING);
    consumer_free(consumer);
}

static void test_altered_migration(void)
{
    struct migrate_report report;
    struct pg *pg = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_MIGRATING});
    test_case("migrate: current, altered, newer");
    fresh_schema();
    CHECK(migrate_run(pg, false, &report) == MIGRATE_CURRENT);
    CHECK_INT(report.applied, 0);
    run_sql("UPDATE postonce.schema_version SET sha256 = 'x' WHERE version = 1");
    CHECK(migrate_run(pg, false, &report) == MIGRATE_ALTERED);
    CHECK_INT(report.altered, 1);
    run_sql("INSERT INTO postonce.schema_version VALUES (9999, 'later', '')");
    CHECK(migrate_run(pg, true, &report) == MIGRATE_NEWER);
    pg_close(pg);
}

static void test_login(void)
{
    enum store_schema schema;
    int found, wanted;
    static const struct {
        const char *name, *postgres;
        enum port_status status;
    } cases[] = {
        {"nobody listens", "host=127.0.0.1 port=1", PORT_RETRY},
        {"no such string", "host=127.0.0.1 pass word=secret", PORT_FATAL},
        {"an @ in the password", "postgresql://u:my@secret@127.0.0.1/x", PORT_FATAL},
        {"a / in the password", "postgresql://u:secret1/secret2@db/x", PORT_FATAL},
        {"a : behind an @", "postgresql://u:p@ss:secret/db", PORT_FATAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case(cases[i].name);
        struct consumer *consumer = consumer_new(cases[i].postgres, 0);
        CHECK(store_check(consumer->store, &schema, &found, &wanted) == cases[i].status);
        CHECK(store_fault(consumer->store)[0] != '\0');
        CHECK(strstr(store_fault(consumer->store), "secret") == NULL);
        consumer_free(consumer);
    }
    test_case("a role that may not log in");
    run_sql("DROP ROLE IF EXISTS postonce_test_nobody; CREATE ROLE postonce_test_nobody");
    char postgres[SQL_MAX];
    bool is_uri = strstr(server, "://") != NULL;
    snprintf(postgres, sizeof postgres, "%s%suser=postonce_test_nobody", server,
             !is_uri                       ? " "
             : strchr(server, '?') != NULL ? "&"
                                           : "?");
    struct consumer *consumer = consumer_new(postgres, 0);
    CHECK(store_check(consumer->store, &schema, &found, &wanted) == PORT_FATAL);
    CHECK(strncmp(store_sqlstate(consumer->store), "28", 2) == 0);
    consumer_free(consumer);
    run_sql("DROP ROLE postonce_test_nobody");
}

static void test_claims(void)
{
    fresh_schema();
    struct consumer *consumer = consumer_new(server, 0);
    struct claim claims[] = {{.partition = 7, .log_start = 70}, {.partition = 2}};
    test_case("claims: a row is made, then the epoch is raised");
    CHECK(store_claim(consumer->store, claims, 2) == PORT_OK);
    CHECK(!claims[0].had_row && !claims[1].had_row);
    CHECK_INT(claims[0].next_offset, 70);
    CHECK_INT(claims[0].epoch, 1);
    claims[0].log_start = 90;
    CHECK(store_claim(consumer->store, claims, 1) == PORT_OK);
    CHECK(claims[0].had_row);
    CHECK_INT(claims[0].next_offset, 70);
    CHECK_INT(claims[0].epoch, 2);
    check_count("stream_position WHERE topic = 't' AND epoch = 1 AND partition = 2", 1);
    consumer_free(consumer);
}

static void check_written(void)
{
    check_count("account WHERE name = 'a' AND balance_minor = -100 AND version = 1", 1);
    check_count("account WHERE name = 'b' AND balance_minor = 100 AND version = 1"
                " AND minimum_balance_minor IS NULL AND currency = 'USD'",
                1);
    check_count("transfer WHERE amount_minor = 100 AND debit_balance_minor = -100"
                " AND credit_version = 1 AND refunds IS NULL AND reference IS NULL",
                1);
    check_count(
        "inbox WHERE key = 'pay' AND operation = 'transfer' AND outcome = 'applied'"
        " AND code IS NULL AND payment_id IS NOT NULL AND result = 'answer to pay'"
        " AND topic = 't' AND partition = 0 AND \"offset\" = 2"
        " AND command_time = '2025-10-09 08:53:20+00'",
        1);
    check_count("inbox WHERE operation = 'open_account' AND payment_id IS NULL", 2);
    check_count("entry WHERE account = 'a' AND amount_minor = -100 AND version = 1", 1);
    check_count("stream_position WHERE next_offset = 3", 1);
}

static void test_facts(void)
{
    struct consumer *consumer = consumer_with_books();
    struct posting *posting = consumer->posting;
    test_case("what was committed is there, and is found again");
    check_written();
    begin_posting(consumer);
    add_transfer(consumer, "pay", "b", "unknown", 1);
    add_refund(consumer, "back", "pay", 1);
    add_refund(consumer, "back2", "no such payment", 1);
    add_opening(consumer, "open-c", "c");
    consumer->records[3].intake.code = CODE_FIELD_MISSING; /* malformed: no id for it */
    CHECK(look_up(consumer) == PORT_OK);
    CHECK(posting->inbox[0].found && posting->inbox[0].outcome == OUTCOME_APPLIED);
    CHECK_BYTES(posting->inbox[0].result, posting->inbox[0].result_size, "answer to pay",
                13);
    CHECK_INT(posting->inbox[0].fingerprint[31], 'p');
    CHECK(!posting->inbox[1].found && !posting->letters[0].found);
    CHECK_INT(posting->account_count, 2);
    CHECK(posting->accounts[0].account_id < posting->accounts[1].account_id);
    CHECK_INT(posting->accounts[0].version_before, 1);
    CHECK_INT(posting->payment_count, 1);
    CHECK_INT(posting->payments[0].amount_minor, 100);
    CHECK_INT(posting->payments[0].refunded_minor, 0);
    CHECK(!posting->payments[0].is_refund);
    CHECK_TEXT(posting->payments[0].client, "c");
    CHECK_INT(posting->new_account_id_count, 0);
    CHECK_INT(posting->positions[0].known_next_offset, 3);
    store_rollback(consumer->store);
    check_unharmed(consumer);
    consumer_free(consumer);
}

static void test_letters(void)
{
    struct consumer *consumer = consumer_with_books();
    struct posting *posting = consumer->posting;
    test_case("dead letters are kept by coordinates; times at their limits");
    begin_posting(consumer);
    int64_t first = consumer->offset;
    add_record(consumer, "x");
    add_record(consumer, "y");
    consumer->records[0].intake.code = CODE_AMOUNT_INVALID;
    consumer->records[0].timestamp_ms = -1;
    consumer->records[1].intake.has_key = false;
    consumer->records[1].intake.code = CODE_KEY_MISSING;
    consumer->records[1].timestamp_ms = INT64_MAX;
    CHECK(look_up(consumer) == PORT_OK);
    answer(consumer, 0, OUTCOME_MALFORMED, CODE_AMOUNT_INVALID);
    answer(consumer, 1, OUTCOME_MALFORMED, CODE_KEY_MISSING);
    CHECK(store_commit(consumer->store, posting) == PORT_OK);
    check_count("dead_letter WHERE key = 'x' AND command_time IS NULL", 1);
    check_count("dead_letter WHERE key IS NULL AND result IS NULL"
                " AND command_time = '9999-12-31 23:59:59+00'",
                1);
    consumer->offset = first;
    begin_posting(consumer);
    add_record(consumer, "x");
    add_record(consumer, "y");
    CHECK(look_up(consumer) == PORT_OK);
    CHECK(posting->letters[0].found && posting->letters[0].code == CODE_AMOUNT_INVALID);
    CHECK_BYTES(posting->letters[0].result, posting->letters[0].result_size,
                "answer to x", 11);
    CHECK(posting->letters[1].found && posting->letters[1].outcome == OUTCOME_MALFORMED);
    CHECK(posting->letters[1].result == NULL);
    CHECK(!posting->inbox[0].found);
    store_rollback(consumer->store);

    test_case("a dead letter of another partition is none of ours");
    struct claim other = {.partition = 1, .log_start = first};
    CHECK(store_claim(consumer->store, &other, 1) == PORT_OK);
    consumer->offset = first;
    begin_posting(consumer);
    add_record(consumer, "x");
    add_record(consumer, "y");
    move_to_partition(consumer, &other);
    CHECK(look_up(consumer) == PORT_OK);
    CHECK(posting->letters[0].found && !posting->letters[1].found);
    store_rollback(consumer->store);
    consumer_free(consumer);
}

/* A refusal is kept under its key, a conflict and a poison under their coordinates. */
static void test_kept_without_effect(void)
{
    struct consumer *consumer = consumer_with_books();
    struct posting *posting = consumer->posting;
    test_case("what moves no money is remembered all the same");
    int64_t first = consumer->offset;
    for (int turn = 0; turn < 2; turn++) {
        consumer->offset = first;
        begin_posting(consumer);
        add_transfer(consumer, "much", "a", "b", 1);
        add_transfer(consumer, "pay", "a", "b", 2);
        add_transfer(consumer, "worse", "a", "b", 3);
        CHECK(look_up(consumer) == PORT_OK);
        if (turn > 0)
            break;
        answer(consumer, 0, OUTCOME_REJECTED, CODE_INSUFFICIENT_FUNDS);
        answer(consumer, 1, OUTCOME_CONFLICT, CODE_KEY_REUSED);
        answer(consumer, 2, OUTCOME_POISON, CODE_REFUSED_BY_DATABASE);
        CHECK(store_commit(consumer->store, posting) == PORT_OK);
    }
    CHECK(posting->inbox[0].found && posting->inbox[0].outcome == OUTCOME_REJECTED);
    CHECK(posting->inbox[0].code == CODE_INSUFFICIENT_FUNDS);
    CHECK(posting->letters[1].found && posting->letters[1].code == CODE_KEY_REUSED);
    CHECK(posting->letters[2].found && posting->letters[2].outcome == OUTCOME_POISON);
    CHECK(!posting->letters[0].found && !posting->inbox[2].found);
    CHECK_BYTES(posting->inbox[1].result, posting->inbox[1].result_size, "answer to pay",
                13);
    store_rollback(consumer->store);
    check_count("transfer", 1);
    consumer_free(consumer);
}

static void test_fence(void)
{
    struct consumer *zombie = consumer_with_books();
    struct consumer *heir = claimed_consumer(0);
    test_case("a claim fences the one before");
    begin_posting(zombie);
    add_transfer(zombie, "late", "a", "b", 1);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_unharmed(heir);

    test_case("the epoch is checked by the commit too");
    begin_posting(heir);
    add_transfer(heir, "again", "a", "b", 1);
    CHECK(look_up(heir) == PORT_OK);
    apply_all(heir);
    heir->posting->positions[0].epoch++;
    CHECK(store_commit(heir->store, heir->posting) == PORT_FENCED);
    CHECK_TEXT(store_sqlstate(heir->store), "ZP001");
    check_count("transfer", 2);
    consumer_free(zombie);
    consumer_free(heir);
}

static void test_position_never_goes_back(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("next_offset never goes back");
    consumer->offset = 1;
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    CHECK(look_up(consumer) == PORT_OK);
    apply_all(consumer);
    consumer->posting->positions[0].known_next_offset = 0; /* or nothing would be sent */
    CHECK(store_commit(consumer->store, consumer->posting) == PORT_OK);
    check_count("stream_position WHERE next_offset = 3", 1);
    consumer_free(consumer);
}

static void test_twins(void)
{
    struct consumer *first = consumer_with_books();
    struct consumer *second = claimed_consumer(1);
    test_case(
        "two stores, one key: the second one fails before its COMMIT, and then sees it");
    begin_posting(first);
    add_opening(first, "twin", "c");
    begin_posting(second);
    add_opening(second, "twin", "d");
    CHECK(look_up(first) == PORT_OK);
    CHECK(look_up(second) == PORT_OK);
    apply_all(first);
    apply_all(second);
    CHECK(store_commit(first->store, first->posting) == PORT_OK);
    CHECK(store_commit(second->store, second->posting) == PORT_RETRY);
    CHECK_TEXT(store_sqlstate(second->store), "23505");
    check_count("account WHERE name = 'd'", 0);
    check_count("stream_position WHERE partition = 1 AND next_offset = 0", 1);
    CHECK(look_up(second) == PORT_OK);
    CHECK(second->posting->inbox[0].found);
    store_rollback(second->store);
    consumer_free(first);
    consumer_free(second);
}

static void test_refused(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("an amount that is not positive");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", -1);
    CHECK(post(consumer) == PORT_REFUSED);
    CHECK_TEXT(store_sqlstate(consumer->store), "23514");
    check_unharmed(consumer);

    test_case("a balance below the minimum");
    run_sql("UPDATE postonce.account SET minimum_balance_minor = -150 WHERE name = 'a'");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 50);
    CHECK(post(consumer) == PORT_REFUSED);
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 49);
    CHECK(post(consumer) == PORT_OK);

    test_case("a payment id that is taken is no twin: it would never end");
    begin_posting(consumer);
    add_transfer(consumer, "k2", "b", "a", 1);
    snprintf((char *)consumer->records[0].payment_id.bytes, UUID_SIZE, "pay");
    CHECK(post(consumer) == PORT_REFUSED);
    consumer_free(consumer);
}

static enum port_status refund(struct consumer *consumer, const char *key,
                               const char *payment, int64_t amount_minor)
{
    begin_posting(consumer);
    add_refund(consumer, key, payment, amount_minor);
    add_transfer(consumer, "unused", "a", "b", 1); /* so that both accounts are there */
    CHECK(look_up(consumer) == PORT_OK);
    consumer->posting->count = 1;
    apply_all(consumer);
    return store_commit(consumer->store, consumer->posting);
}

static void test_refunds(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("refunds never exceed their payment, whatever was decided");
    CHECK(refund(consumer, "r1", "pay", 60) == PORT_OK);
    CHECK(refund(consumer, "r2", "pay", 41) == PORT_REFUSED);
    CHECK_TEXT(store_sqlstate(consumer->store), "23514");
    CHECK(refund(consumer, "r3", "pay", 40) == PORT_OK);
    CHECK(refund(consumer, "r4", "no such payment", 1) == PORT_REFUSED);
    CHECK(refund(consumer, "r5", "r1", 1) == PORT_REFUSED);
    check_count("transfer WHERE refunds IS NOT NULL", 2);
    begin_posting(consumer);
    add_refund(consumer, "r6", "pay", 1);
    add_refund(consumer, "r7", "r1", 1);
    CHECK(look_up(consumer) == PORT_OK);
    CHECK_INT(consumer->posting->payment_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct payment *payment = &consumer->posting->payments[i];
        CHECK_INT(payment->refunded_minor, payment->is_refund ? 0 : 100);
    }
    store_rollback(consumer->store);
    consumer_free(consumer);
}

static void test_lost_update(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("an account that is not as it was looked up");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    CHECK(look_up(consumer) == PORT_OK);
    apply_all(consumer);
    consumer->posting->accounts[0].version_before++;
    consumer->posting->accounts[0].version++;
    CHECK(store_commit(consumer->store, consumer->posting) == PORT_RETRY);
    CHECK_TEXT(store_sqlstate(consumer->store), "ZP002");
    check_unharmed(consumer);
    consumer_free(consumer);
}

/* --- connections that break --- */

static void end_sessions(void)
{
    CHECK(number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                 " WHERE application_name = 'postonce test-store'"
                 "   AND datname = current_database()") >= 1);
    int64_t deadline_ms = clock_monotonic_ms() + 10000;
    while (number("SELECT count(*) FROM pg_stat_activity"
                  " WHERE application_name = 'postonce test-store'"
                  "   AND datname = current_database()") > 0 &&
           clock_monotonic_ms() < deadline_ms)
        clock_sleep_ms(5);
}

static void test_ended_session(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("the session is ended between lookup and commit");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    CHECK(look_up(consumer) == PORT_OK);
    apply_all(consumer);
    end_sessions();
    enum port_status status = store_commit(consumer->store, consumer->posting);
    CHECK(status == PORT_RETRY || status == PORT_IN_DOUBT);
    CHECK(store_fault(consumer->store)[0] != '\0');
    check_unharmed(consumer);

    test_case("the session is ended while idle, and before a rollback");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    end_sessions();
    CHECK(store_lookup(consumer->store, consumer->posting) == PORT_RETRY);
    CHECK(look_up(consumer) == PORT_OK);
    end_sessions();
    store_rollback(consumer->store);
    CHECK(post(consumer) == PORT_OK);
    consumer_free(consumer);
}

static void test_in_doubt(void)
{
    struct consumer *consumer = consumer_with_books();
    test_case("the session ends inside COMMIT: nobody can tell");
    run_sql(
        "CREATE FUNCTION postonce.die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$;"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON postonce.inbox"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION postonce.die()");
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    CHECK(post(consumer) == PORT_IN_DOUBT);
    run_sql("DROP TRIGGER die ON postonce.inbox");
    check_unharmed(consumer);
    consumer_free(consumer);
}

static void test_commit_tag(void)
{
    static const struct pg_statement begin = {.sql = "BEGIN"};
    static const struct pg_statement fails = {.sql = "SELECT 1 / 0"};
    static const struct pg_statement commit = {.sql = "COMMIT", .is_commit = true};
    test_case("COMMIT of a failed transaction succeeds with the tag ROLLBACK");
    CHECK(pg_connect(admin) == PORT_OK);
    pg_begin(admin);
    pg_send(admin, &begin);
    pg_send(admin, &fails);
    CHECK(pg_wait(admin) == PORT_REFUSED);
    CHECK_TEXT(pg_sqlstate(admin), "22012");
    pg_begin(admin);
    pg_send(admin, &commit);
    CHECK(pg_wait(admin) == PORT_RETRY);
    CHECK(strstr(pg_fault(admin), "ROLLBACK") != NULL);
}

/* libpq takes no statement without text. What was sent before must not be committed. */
static void test_statement_not_sent(void)
{
    static const struct pg_statement begin = {.sql = "BEGIN"}, nothing = {.sql = NULL},
                                     commit = {.sql = "COMMIT", .is_commit = true};
    static const struct pg_statement half = {
        .sql = "INSERT INTO postonce.schema_version VALUES (7777, 'half', '')"};
    test_case("behind a statement that could not be sent no COMMIT is sent");
    fresh_schema();
    CHECK(pg_connect(admin) == PORT_OK);
    pg_begin(admin);
    pg_send(admin, &begin);
    pg_send(admin, &half);
    pg_send(admin, &nothing);
    pg_send(admin, &commit);
    CHECK(pg_wait(admin) == PORT_RETRY);
    check_count("schema_version WHERE version = 7777", 0);
}

static void test_durable(void)
{
    static const char asked[] =
        "SELECT (current_setting('synchronous_commit') <> 'off')::int::int8";
    test_case("a database whose commits may be lost in a crash is not used so");
    run_sql("DO $$BEGIN EXECUTE format('ALTER DATABASE %%I SET synchronous_commit = off',"
            " current_database()); END$$");
    pg_disconnect(admin);
    CHECK_INT(number(asked), 1);
    run_sql("DO $$BEGIN EXECUTE format('ALTER DATABASE %%I RESET synchronous_commit',"
            " current_database()); END$$");
}

/* A zombie that was stopped between lookup and commit holds its locks for as long as an
 * idle transaction may; whoever comes after it waits that long, and no longer. */
static void test_zombie_locks(void)
{
    struct consumer *zombie = consumer_with_books();
    struct consumer *heir = claimed_consumer(1);
    test_case("the locks of a zombie die, and its commit fails");
    begin_posting(zombie);
    add_transfer(zombie, "k", "a", "b", 1);
    CHECK(look_up(zombie) == PORT_OK);
    apply_all(zombie);
    check_unharmed(heir);
    CHECK(store_commit(zombie->store, zombie->posting) == PORT_RETRY);
    CHECK_TEXT(store_sqlstate(zombie->store), "25P03");
    check_count("inbox WHERE key = 'k'", 0);
    consumer_free(zombie);
    consumer_free(heir);
}

static void test_lock_timeout(void)
{
    struct consumer *consumer = consumer_with_books();
    struct pg *holder = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_MIGRATING});
    test_case("a lock that is held is not waited for without end");
    CHECK(pg_connect(holder) == PORT_OK);
    CHECK(pg_run_script(holder, "BEGIN") == PORT_OK);
    CHECK(pg_run_script(holder, "SELECT FROM postonce.account FOR UPDATE") == PORT_OK);
    begin_posting(consumer);
    add_transfer(consumer, "k", "a", "b", 1);
    int64_t before_ms = clock_monotonic_ms();
    CHECK(store_lookup(consumer->store, consumer->posting) == PORT_RETRY);
    CHECK_TEXT(store_sqlstate(consumer->store), "55P03");
    CHECK(clock_monotonic_ms() - before_ms < 9000);
    pg_rollback(holder);
    check_unharmed(consumer);
    pg_close(holder);
    consumer_free(consumer);
}

/* --- rights --- */

/* Of the database: every new session begins in this role. */
static void forget_role(void)
{
    pg_disconnect(admin);
    run_sql("SET role = none");
    run_sql("DO $$BEGIN EXECUTE format('ALTER DATABASE %%I RESET role',"
            " current_database()); END$$");
    pg_disconnect(admin);
}

static void test_roles(void)
{
    static const char *const forbidden[] = {
        "DELETE FROM postonce.inbox",
        "UPDATE postonce.inbox SET code = 'x'",
        "DELETE FROM postonce.transfer",
        "UPDATE postonce.transfer SET amount_minor = 1",
        "DELETE FROM postonce.account",
        "UPDATE postonce.account SET name = 'x'",
        "DELETE FROM postonce.dead_letter",
        "DELETE FROM postonce.stream_position",
        "DELETE FROM postonce.schema_version",
        "CREATE TABLE postonce.x ()"};
    struct consumer *consumer = consumer_with_books();
    test_case("the consumer's role can post, and nothing else");
    run_sql("GRANT postonce_consumer TO CURRENT_USER");
    run_sql("DO $$BEGIN EXECUTE format('ALTER DATABASE %%I SET role = postonce_consumer',"
            " current_database()); END$$");
    end_sessions();
    CHECK(store_claim(consumer->store, &consumer->claim, 1) !=
          PORT_OK); /* the old session */
    CHECK(store_claim(consumer->store, &consumer->claim, 1) == PORT_OK);
    check_unharmed(consumer);
    pg_disconnect(admin);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        CHECK_TEXT(refusal_of(forbidden[i]), "42501");
    forget_role();
    consumer_free(consumer);
}

/* --- the table of SQLSTATEs --- */

static void test_sqlstates(void)
{
    static const struct {
        const char *sqlstate, *constraint;
        enum port_status status;
    } cases[] = {
        {"40001", NULL, PORT_RETRY},         {"40P01", NULL, PORT_RETRY},
        {"55P03", NULL, PORT_RETRY},         {"57014", NULL, PORT_RETRY},
        {"57P01", NULL, PORT_RETRY},         {"08006", NULL, PORT_RETRY},
        {"53300", NULL, PORT_RETRY},         {"25006", NULL, PORT_RETRY},
        {"23505", "inbox_pkey", PORT_RETRY}, {"23505", "transfer_pkey", PORT_REFUSED},
        {"23505", NULL, PORT_RETRY},         {"23514", "account_x", PORT_REFUSED},
        {"22003", NULL, PORT_REFUSED},       {"P0001", NULL, PORT_REFUSED},
        {"ZP001", NULL, PORT_FENCED},        {"ZP002", NULL, PORT_RETRY},
        {"42501", NULL, PORT_FATAL},         {"42P01", NULL, PORT_FATAL},
        {"28P01", NULL, PORT_FATAL},         {"3D000", NULL, PORT_FATAL},
        {"54000", NULL, PORT_FATAL},         {"XX001", NULL, PORT_FATAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case(cases[i].sqlstate);
        CHECK(postgres_sqlstate_judge(cases[i].sqlstate, cases[i].constraint)->status ==
              cases[i].status);
    }
    char sqlstate[SQLSTATE_SIZE + 1] = "";
    test_case("the SQLSTATE in what libpq says of a login, in any language");
    CHECK_TEXT(
        postgres_sqlstate_find_in_login("connection to server at \"h\" (::1), port 5432 "
                                        "failed: FATAL:  57P03: starting up\n"
                                        "connection to … failed: FATAL:  28P01: falsch",
                                        sqlstate),
        "falsch");
    CHECK_TEXT(sqlstate, "28P01");
    CHECK(postgres_sqlstate_find_in_login("failed: Connection refused:  no", sqlstate) ==
          NULL);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was said before a crash is not lost */
    server = getenv("TEST_POSTGRES");
    if (server == NULL || server[0] == '\0') {
        printf("SKIPPED: TEST_POSTGRES names no scratch database\n");
        return 0;
    }
    admin = pg_open(
        &(struct pg_settings){.postgres = server, .role = "test", .profile = PG_READING});
    forget_role(); /* of a run that did not come to its end */
    test_sqlstates();
    test_schema();
    test_altered_migration();
    test_login();
    test_claims();
    test_facts();
    test_letters();
    test_kept_without_effect();
    test_fence();
    test_position_never_goes_back();
    test_twins();
    test_refused();
    test_refunds();
    test_lost_update();
    test_ended_session();
    test_in_doubt();
    test_commit_tag();
    pg_rollback(admin);
    test_statement_not_sent();
    test_durable();
    test_zombie_locks();
    test_lock_timeout();
    test_roles();
    pg_close(admin);
    return test_end();
}
