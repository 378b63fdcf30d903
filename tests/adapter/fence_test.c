/* fence_test.c: who may write (DESIGN §4), against a real PostgreSQL, with keys that
 * nobody has seen yet. The inbox stops a zombie that comes with old ones, and Kafka
 * fences its answers: from outside a missing fence shows in nothing. Only new keys tell.
 *
 * TEST_POSTGRES='host=… dbname=scratch' adapter_fence_test
 *
 * The database and the role are those of store_test.c, not at the same time. */
#include "consumer/store.h"

#include "tests/adapter/store_bench.h"

/* Nothing of what the zombie brought is there. */
static void check_kept_out(void)
{
    check_count("inbox WHERE key LIKE 'new%'", 0);
    check_count("dead_letter", 0);
    check_count("transfer", 1);
    check_count("account WHERE balance_minor IN (-100, 100)", 2);
    check_count("stream_position WHERE partition = 0 AND next_offset = 3", 1);
}

static void begin_new_keys(struct consumer *zombie)
{
    begin_posting(zombie);
    add_transfer(zombie, "new-1", "a", "b", 1);
    add_opening(zombie, "new-2", "c");
}

static void claim_again(struct consumer *heir)
{
    CHECK(store_claim(heir->store, &heir->claim, 1) == PORT_OK);
    heir->offset = heir->claim.next_offset;
}

static void check_heir_posts(struct consumer *heir)
{
    begin_posting(heir);
    add_transfer(heir, "heir", "a", "b", 1);
    CHECK(post(heir) == PORT_OK);
    check_count("transfer", 2);
}

static void test_before_the_lookup(void)
{
    struct consumer *zombie = consumer_with_books();
    struct consumer *heir = claimed_consumer(0);
    test_case("a zombie's new keys do not get past the lookup");
    begin_new_keys(zombie);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_kept_out();

    test_case("nor does a second attempt, nor do old keys, which would only be answered");
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    zombie->offset = 2;
    begin_posting(zombie);
    add_transfer(zombie, "pay", "a", "b", 100);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_kept_out();
    check_heir_posts(heir);
    consumer_free(zombie);
    consumer_free(heir);
}

/* A claim cannot come between lookup and commit: it waits for the row that they hold. */
static void test_claim_waits(void)
{
    struct consumer *zombie = consumer_with_books();
    struct consumer *heir = consumer_new(server, 0);
    test_case("a claim waits for a batch that has been looked up");
    begin_new_keys(zombie);
    CHECK(look_up(zombie) == PORT_OK);
    CHECK_TEXT(refusal_of("SELECT FROM postonce.stream_position"
                          " WHERE partition = 0 FOR NO KEY UPDATE NOWAIT"),
               "55P03");
    pg_disconnect(admin);
    apply_all(zombie);
    CHECK(store_commit(zombie->store, zombie->posting) == PORT_OK);
    claim_again(heir);
    CHECK_INT(heir->claim.next_offset, 5);
    test_case("and fences whatever comes after it");
    begin_posting(zombie);
    add_transfer(zombie, "newer", "a", "b", 1);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_count("inbox WHERE key = 'newer'", 0);
    consumer_free(zombie);
    consumer_free(heir);
}

/* Its session was ended while it held the row; it connects again and tries once more. */
static void test_lock_is_gone(void)
{
    struct consumer *zombie = consumer_with_books();
    struct consumer *heir = consumer_new(server, 0);
    test_case("a zombie whose session was ended comes back and is fenced");
    begin_new_keys(zombie);
    CHECK(look_up(zombie) == PORT_OK);
    apply_all(zombie);
    CHECK(number("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
                 " WHERE application_name = 'postonce test-store'"
                 "   AND datname = current_database()") >= 1);
    claim_again(heir);
    CHECK(store_commit(zombie->store, zombie->posting) != PORT_OK);
    begin_new_keys(zombie);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_kept_out();
    check_heir_posts(heir);
    consumer_free(zombie);
    consumer_free(heir);
}

static void test_one_of_two(void)
{
    struct consumer *zombie = consumer_with_books();
    struct claim other = {.partition = 1};
    test_case(
        "one partition of two was claimed by another: nothing of the batch commits");
    CHECK(store_claim(zombie->store, &other, 1) == PORT_OK);
    struct consumer *heir = claimed_consumer(1);
    begin_new_keys(zombie);
    move_to_partition(zombie, &other);
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_kept_out();

    test_case("nor when nobody has claimed it at all");
    begin_new_keys(zombie);
    move_to_partition(zombie, &(struct claim){.partition = 9, .epoch = 1});
    CHECK(store_lookup(zombie->store, zombie->posting) == PORT_FENCED);
    check_kept_out();

    test_case("the commit looks by itself, at each of them");
    begin_new_keys(zombie);
    move_to_partition(zombie, &heir->claim);
    CHECK(look_up(zombie) == PORT_OK);
    apply_all(zombie);
    zombie->posting->positions[1].epoch--;
    CHECK(store_commit(zombie->store, zombie->posting) == PORT_FENCED);
    CHECK_TEXT(store_sqlstate(zombie->store), "ZP001");
    check_kept_out();
    check_count("stream_position WHERE partition = 1 AND next_offset = 0", 1);
    consumer_free(zombie);
    consumer_free(heir);
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
    test_before_the_lookup();
    test_claim_waits();
    test_lock_is_gone();
    test_one_of_two();
    pg_close(admin);
    return test_end();
}
