/* trouble_test.c: the worker where a retry is not the answer: poison, a stop, a topic
 * or a database that are not the ones we know (DESIGN §4, CONTRACT §2 Halt), a database
 * that was put back, and a transaction that arrives late. In memory, as worker_test.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "base/parse.h"
#include "consumer/metrics.h"
#include "tests/fakes/run.h"
#include "tests/fakes/workload.h"
#include "tests/unit/test.h"

static const struct run_setup plain = {.posters = 1, .batch_records = 16};
static const struct run_setup two = {.posters = 2, .batch_records = 7};
static struct world *reference;

static struct world *new_world(const char *name)
{
    test_case(name);
    struct world *world = world_new();
    workload_fill(world);
    return world;
}

static void check_end(struct world *world, struct run_setup setup)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    (void)run_to_end(world, setup, difference);
    CHECK_TEXT(difference, "");
    CHECK_INT(world->early_ends, 0);
}

static void check_same(struct world *world, const struct world *wanted)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    (void)run_same(world, wanted, difference);
    CHECK_TEXT(difference, "");
}

static void check_sound(struct world *world)
{
    CHECK_TEXT(world->violation, "");
    CHECK_INT(world->origins_out, 0);
}

static int64_t end_of(const struct world *world, int32_t partition)
{
    const struct partition_log *log = &world->logs[partition];
    return log->records[log->count - 1].offset + 1;
}

static void check_others_at_end(const struct world *world, int32_t halted)
{
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        if (i != halted)
            CHECK_INT(world->group.committed[i], end_of(world, i));
}

/* Stopped in the middle: what is in hand is finished, and nothing is lost. */
static struct world *stopped_world(const char *name, unsigned delivered)
{
    struct world *world = new_world(name);
    world->stop_at_delivered = delivered;
    CHECK_INT(run_once(world, plain), EXIT_CODE_DONE);
    world->stop_at_delivered = 0;
    CHECK(!world_is_at_end(world));
    check_sound(world);
    return world;
}

static void stops(void)
{
    struct world *world = stopped_world("stopped and started again", 60);
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

static int64_t claims_retried(void)
{
    static const char sample[] = "postonce_retries_total{cause=\"claim\"} ";
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    MUST(memory != NULL);
    metrics_print(memory, "");
    fclose(memory);
    const char *found = strstr(text, sample);
    MUST(found != NULL);
    int64_t count;
    found += sizeof sample - 1;
    MUST(parse_int64(found, strcspn(found, "\n"), &count));
    free(text);
    return count;
}

/* A claim that fails is made again; when a stop was asked for meanwhile, it is left. */
static void claim_fails(const char *name, bool stopping)
{
    struct world *world = new_world(name);
    int64_t before = claims_retried();
    world_add_fault(
        world,
        (struct fault){.call = CALL_CLAIM, .first = 1, .times = 1, .status = PORT_RETRY});
    world->stop_at_fault = stopping;
    CHECK_INT(run_once(world, plain), EXIT_CODE_DONE);
    CHECK_INT(claims_retried() - before, stopping ? 0 : 1);
    CHECK_INT(world_is_at_end(world), !stopping);
    if (stopping)
        CHECK_INT(world->calls[CALL_CLAIM], 1);
    world->stop_at_fault = false;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

/* --- poison --- */

static void mark_poison(struct world *world)
{
    static const char *const keys[] = {"0-sink-0", WORKLOAD_KEY_TWICE, "1-open-euro",
                                       "pool-1", "2-much"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        memcpy(world->poison[world->poison_count++], keys[i], strlen(keys[i]) + 1);
}

static void check_poisoned(struct world *world)
{
    size_t poisoned = 0;
    for (size_t i = 0; i < world->books->letter_count; i++)
        poisoned += world->books->letters[i].outcome == OUTCOME_POISON;
    CHECK(poisoned >= world->poison_count + 2); /* each delivery of a key by itself */
    for (size_t i = 0; i < world->poison_count; i++)
        CHECK(books_inbox(world->books, world->poison[i]) == NULL);
    check_sound(world);
}

/* However large the batch, the same records are isolated, and the others are not
 * touched. */
static void poisons(void)
{
    static const size_t records[] = {1, 7, 1000};
    struct world *alone = NULL;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct run_setup setup = {.posters = 1 + i % 2, .batch_records = records[i]};
        struct world *world = new_world("poison");
        mark_poison(world);
        check_end(world, setup);
        check_poisoned(world);
        if (alone == NULL)
            alone = world;
        check_same(world, alone);
        world_rewind(world);
        check_end(world, setup);
        check_same(world, alone);
        if (world != alone)
            world_free(world);
    }
    world_free(alone);
}

static void poison_even_as_letter(void)
{
    struct world *world = new_world("refused even as a dead letter");
    memcpy(world->poison[world->poison_count++], WORKLOAD_KEY_ONCE,
           sizeof WORKLOAD_KEY_ONCE);
    world->poison_in_letters = true;
    CHECK_INT(run_once(world, plain), EXIT_CODE_INTERNAL);
    CHECK(!world_is_at_end(world));
    check_sound(world);
    world->poison_count = 0;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

/* --- halts --- */

static void forget_key(struct books *books, const char *key)
{
    struct inbox_row *row = books_inbox(books, key);
    MUST(row != NULL);
    *row = books->inbox[--books->inbox_count];
}

/* A database without a row that must be there: that partition stops before the record. */
static void hole(struct run_setup setup)
{
    struct world *world = new_world("a hole below next_offset");
    check_end(world, setup);
    int64_t offset = books_inbox(world->books, WORKLOAD_KEY_ONCE)->offset;
    forget_key(world->books, WORKLOAD_KEY_ONCE);
    struct books *before = malloc(sizeof *before);
    MUST(before != NULL);
    *before = *world->books;
    world_rewind(world);
    CHECK_INT(run_once(world, setup), EXIT_CODE_HALTED);
    CHECK_INT(world->group.committed[1], offset);
    check_others_at_end(world, 1);
    CHECK_INT(world->books->inbox_count, before->inbox_count);
    CHECK_INT(world->books->letter_count, before->letter_count);
    CHECK_INT(world->books->transfer_count, before->transfer_count);
    CHECK(memcmp(world->books->accounts, before->accounts, sizeof before->accounts) == 0);
    check_sound(world);
    CHECK_INT(run_once(world, setup), EXIT_CODE_HALTED); /* a restart changes nothing */
    CHECK_INT(world->group.committed[1], offset);
    check_sound(world);
    free(before);
    world_free(world);
}

static void halts_until_mended(struct world *world, int32_t partition, int64_t committed)
{
    CHECK_INT(run_once(world, two), EXIT_CODE_HALTED);
    CHECK_INT(world->group.committed[partition], committed);
    check_others_at_end(world, partition);
    check_sound(world);
}

static void truncated_log(void)
{
    struct world *world = new_world("the log ends below next_offset");
    check_end(world, plain);
    struct partition_log *log = &world->logs[2];
    size_t count = log->count;
    int64_t end = end_of(world, 2), log_end = log->log_end;
    log->count -= 5;
    log->log_end = log->records[log->count].offset;
    halts_until_mended(world, 2, end);
    log->count = count;
    log->log_end = log_end;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

/* Made again and filled beyond next_offset: what tells is the last record decided. */
static void replaced_topic(void)
{
    struct world *world = new_world("another topic of the same name");
    check_end(world, plain);
    struct partition_log *log = &world->logs[2];
    int64_t end = end_of(world, 2);
    int64_t timestamp_ms = log->records[log->count - 1].timestamp_ms++;
    halts_until_mended(world, 2, end);
    log->records[log->count - 1].timestamp_ms = timestamp_ms;
    log->count--; /* the record was never there, but the log goes on behind it */
    halts_until_mended(world, 2, end);
    log->count++;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

static void deleted_records(void)
{
    struct world *world = stopped_world("the log starts above the resume offset", 60);
    int64_t committed = world->group.committed[0], log_start = world->logs[0].log_start;
    world->logs[0].log_start = committed + 2;
    halts_until_mended(world, 0, committed);
    world->logs[0].log_start = log_start;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

/* Not before it is read, as above, but while it is. */
static void deleted_while_read(void)
{
    struct world *world = new_world("records are deleted while the partition is read");
    world->deletion = (struct deletion){.at = 30, .partition = 1};
    CHECK_INT(run_once(world, plain), EXIT_CODE_HALTED);
    CHECK(!world->overdue);
    CHECK(world->group.committed[1] < world->logs[1].log_start);
    check_others_at_end(world, 1);
    check_sound(world);
    world->logs[1].log_start = 0;
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

/* --- a database that was put back --- */

static void check_answered_from(struct world *world, const int64_t *from)
{
    for (size_t i = 0; i < reference->results.count; i++) {
        const struct published *wanted = &reference->results.messages[i];
        size_t same = 0;
        for (size_t j = 0; j < world->results.count; j++) {
            const struct published *got = &world->results.messages[j];
            same += got->pass == world->pass && got->partition == wanted->partition &&
                    got->offset == wanted->offset && got->size == wanted->size &&
                    memcmp(got->bytes, wanted->bytes, wanted->size) == 0;
        }
        CHECK_INT(same, wanted->offset >= from[wanted->partition] ? 1 : 0);
    }
}

static void check_replays(struct world *world, const int64_t *from,
                          struct run_setup setup)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    world_new_pass(world);
    check_end(world, setup);
    (void)run_same_books(world, reference, difference);
    CHECK_TEXT(difference, "");
    check_answered_from(world, from);
}

static void restored_database(struct run_setup setup)
{
    struct world *world = stopped_world("a database put back behind the group", 50);
    struct books *backup = malloc(sizeof *backup);
    MUST(backup != NULL);
    *backup = *world->books;
    check_end(world, setup);
    *world->books = *backup;
    int64_t from[WORLD_PARTITIONS] = {0};
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        from[i] = books_position(backup, i)->next_offset;
    check_replays(world, from, setup);
    free(backup);
    world_free(world);
}

static void empty_database(void)
{
    struct world *world = new_world("an empty database under a group at the end");
    struct books *backup = malloc(sizeof *backup);
    MUST(backup != NULL);
    *backup = *world->books;
    check_end(world, plain);
    *world->books = *backup;
    int64_t from[WORLD_PARTITIONS] = {0};
    check_replays(world, from, plain);
    free(backup);
    world_free(world);
}

/* While the worker runs: what it knows of the past is wrong all of a sudden. */
static void setback_while_running(unsigned backup_at, struct run_setup setup)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    struct world *world = new_world("a database that goes back while the worker runs");
    world->setback =
        (struct setback){.backup_at = backup_at, .restore_at = backup_at + 40};
    check_end(world, setup);
    CHECK_INT(world->setback.happened, 1);
    (void)run_same_books(world, reference, difference);
    CHECK_TEXT(difference, "");
    world->setback.happened = 0; /* strict again */
    world_rewind(world);
    check_end(world, setup);
    check_same(world, reference);
    world_free(world);
}

/* --- late, and twice --- */

/* The offsets of one transaction are on their way while the lap ends: the new lap must
 * not begin to read before they have arrived or cannot arrive any more. */
static void late_publish(unsigned number, struct run_setup setup)
{
    struct world *world = new_world("a Kafka transaction that arrives late");
    world_add_fault(world, (struct fault){.call = CALL_PUBLISH,
                                          .first = number,
                                          .status = PORT_OK,
                                          .stalled = true});
    check_end(world, setup);
    check_same(world, reference);
    world_free(world);
}

/* Decided before the partitions were lost, published after they have come back: in
 * between their new owner has answered all of it, and nobody must do so again. Batches
 * have room for everything, and the database has it all: nothing else could tell. */
static void held_over_a_loss(struct run_setup setup)
{
    struct world *world = new_world("a Kafka transaction begun before a loss");
    world_add_fault(
        world, (struct fault){
                   .call = CALL_PUBLISH, .first = 1, .status = PORT_OK, .held = true});
    world->event = (struct group_event){.event = SOURCE_LOST, .comes_last = true};
    check_end(world, setup);
    CHECK_INT(world->event.event, SOURCE_NOTHING);
    check_same(world, reference);
    world_free(world);
}

static void two_of_one_name(void)
{
    struct world *world = new_world("fenced by another of our name");
    world_add_fault(
        world, (struct fault){.call = CALL_PUBLISH, .first = 2, .status = PORT_FENCED});
    CHECK_INT(run_once(world, plain), EXIT_CODE_USAGE);
    check_sound(world);
    check_end(world, plain);
    check_same(world, reference);
    world_free(world);
}

int main(void)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    log_configure("error", "text");
    reference = new_world("reference");
    CHECK(run_to_end(reference, plain, difference));
    stops();
    claim_fails("a claim fails", false);
    claim_fails("a claim fails, and a stop was asked for", true);
    poisons();
    poison_even_as_letter();
    hole(plain);
    hole(two);
    truncated_log();
    replaced_topic();
    deleted_records();
    deleted_while_read();
    restored_database(plain);
    restored_database(two);
    empty_database();
    for (unsigned backup_at = 10; backup_at <= 100; backup_at += 30) {
        setback_while_running(backup_at, plain);
        setback_while_running(backup_at, two);
    }
    two_of_one_name();
    for (unsigned number = 1; number <= 3; number++) {
        late_publish(number, plain);
        late_publish(number, two);
    }
    held_over_a_loss((struct run_setup){.posters = 1, .batch_records = 64});
    world_free(reference);
    return test_end();
}
