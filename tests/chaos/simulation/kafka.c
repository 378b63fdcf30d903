/* kafka.c: the group and transaction coordinators of a world; see world.h. The group is
 * cooperative: a partition is asked back first, and given on with the next generation
 * after it was yielded, or its owner expelled. Or it is eager: all are asked back. */
#include "tests/chaos/simulation/world.h"

#include <string.h>

enum {
    SESSION_MS = 6000,
    TRANSACTION_MS = 15000,
    TICK_MS = 250,
    MARKER_MAX_MS = 400,
    POLL_MAX_MS = 30000
};

/* --- the group --- */

static bool is_running(const struct member *member)
{
    const struct process *process = member->process;
    return process->alive && process->life == member->life && !process->owner.stopped;
}

struct member *group_join(struct process *process)
{
    struct sim_group *group = &world.kafka.group;
    if (group->member_count == SIM_MEMBERS) {
        violate("the members of the group never settle");
        return &group->members[SIM_MEMBERS - 1];
    }
    struct member *member = &group->members[group->member_count++];
    *member = (struct member){
        .in = true, .process = process, .life = process->life, .seen_us = fiber_now_us()};
    group->rebalance = true;
    return member;
}

void group_leave(struct member *member)
{
    if (!member->in)
        return;
    member->in = false;
    world.kafka.group.rebalance = true;
    fiber_wake(KAFKA_CHANGED);
}

static unsigned owned_by_all(void)
{
    unsigned owned = 0;
    const struct sim_group *group = &world.kafka.group;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].in)
            owned |= group->members[i].owned | group->members[i].granted;
    return owned;
}

static size_t living(struct member *alive[SIM_MEMBERS])
{
    size_t count = 0;
    struct sim_group *group = &world.kafka.group;
    for (size_t i = 0; i < group->member_count; i++)
        if (group->members[i].in)
            alive[count++] = &group->members[i];
    return count;
}

/* Everybody has to answer before it takes effect; who is dead or stopped holds it up
 * until the session is over. */
static void rebalance_if_wanted(void)
{
    struct sim_group *group = &world.kafka.group;
    struct member *alive[SIM_MEMBERS];
    size_t count = living(alive);
    if (!group->rebalance || count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (!is_running(alive[i]))
            return;
    size_t first = chance_below(count);
    for (size_t i = 0; i < count; i++)
        alive[i]->target = 0;
    if (world.eager && owned_by_all() != 0) {
        fiber_wake(KAFKA_CHANGED); /* everybody gives back first */
        return;
    }
    for (unsigned i = 0; i < SIM_PARTITIONS; i++)
        alive[(first + i) % count]->target |= 1U << i;
    for (size_t i = 0; i < count; i++)
        alive[i]->granted |= alive[i]->target & ~owned_by_all();
    group->generation++;
    COUNT(GENERATIONS);
    group->rebalance = false;
    trace("generation %d with %zu members", group->generation, count);
    fiber_wake(KAFKA_CHANGED);
}

static void expel_the_silent(void)
{
    struct member *alive[SIM_MEMBERS];
    size_t count = living(alive);
    for (size_t i = 0; i < count; i++) {
        if (is_running(alive[i])) {
            alive[i]->seen_us = fiber_now_us();
        } else if (fiber_now_us() - alive[i]->seen_us > SESSION_MS * MILLISECOND_US) {
            trace("process %d is expelled", alive[i]->process->slot);
            COUNT(EXPELLED);
            group_leave(alive[i]);
        }
    }
}

/* --- transactions --- */

static bool has_offsets(const struct sim_transaction *transaction, int32_t partition)
{
    return transaction->state != TRANSACTION_EMPTY && transaction->has_offset[partition];
}

bool offsets_are_unstable(const int32_t *partitions, size_t count)
{
    for (size_t i = 0; i < SIM_SLOTS; i++)
        for (size_t j = 0; j < count; j++)
            if (has_offsets(&world.kafka.transactions[i], partitions[j]))
                return true;
    return false;
}

bool transactions_rest(void)
{
    for (size_t i = 0; i < SIM_SLOTS; i++)
        if (world.kafka.transactions[i].state != TRANSACTION_EMPTY)
            return false;
    return true;
}

static void empty(struct sim_transaction *transaction)
{
    int epoch = transaction->epoch;
    *transaction = (struct sim_transaction){.epoch = epoch};
    fiber_wake(KAFKA_CHANGED);
}

void transaction_abort(struct sim_transaction *transaction)
{
    if (transaction->state != TRANSACTION_ONGOING)
        return;
    COUNT(ABORTED);
    empty(transaction);
}

static void finish_marker(struct sim_transaction *transaction)
{
    if (--transaction->markers_missing == 0)
        empty(transaction);
}

static void show_answers(void *context)
{
    struct sim_transaction *transaction = context;
    fiber_sleep_us(chance_between(0, MARKER_MAX_MS * MILLISECOND_US));
    for (size_t i = 0; i < transaction->answer_count; i++)
        judge_answer(&transaction->answers[i]);
    finish_marker(transaction);
}

static void commit_offset(int32_t partition, int64_t offset)
{
    struct sim_group *group = &world.kafka.group;
    int64_t before = group->committed[partition];
    if (!group->has_committed[partition])
        before = world.kafka.logs[partition].start;
    group->has_committed[partition] = true;
    group->committed[partition] = offset;
    trace("partition %d: committed offset %lld", partition, (long long)offset);
    judge_offset(partition, before, offset);
}

static void show_offsets(void *context)
{
    struct sim_transaction *transaction = context;
    fiber_sleep_us(chance_between(0, MARKER_MAX_MS * MILLISECOND_US));
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        if (transaction->has_offset[i])
            commit_offset(i, transaction->offset[i]);
    finish_marker(transaction);
}

/* Decided; the partitions learn of it each in its own time. */
void transaction_commit(struct sim_transaction *transaction)
{
    if (transaction->state != TRANSACTION_ONGOING)
        return;
    COUNT(PUBLISHED);
    transaction->state = TRANSACTION_COMMITTING;
    transaction->markers_missing = 2;
    fiber_start(NULL, show_answers, transaction);
    fiber_start(NULL, show_offsets, transaction);
}

/* As the coordinator does it: the next call of that producer is fenced. */
static void time_out_transactions(void)
{
    for (size_t i = 0; i < SIM_SLOTS; i++) {
        struct sim_transaction *transaction = &world.kafka.transactions[i];
        if (transaction->state != TRANSACTION_ONGOING ||
            fiber_now_us() - transaction->begun_us < TRANSACTION_MS * MILLISECOND_US)
            continue;
        trace("the transaction of process %zu runs out of time", i);
        COUNT(TIMED_OUT);
        transaction->epoch++;
        transaction_abort(transaction);
    }
}

/* --- the life of it --- */

static void check_polls(void)
{
    for (size_t i = 0; i < world.process_count; i++) {
        struct process *process = &world.processes[i];
        if (!process->alive || process->owner.stopped || process->stop_requested)
            process->polled_us = fiber_now_us();
        else if (fiber_now_us() - process->polled_us > POLL_MAX_MS * MILLISECOND_US)
            violate("process %zu has not polled for 30 s", i);
    }
}

static void coordinate(void *context)
{
    (void)context;
    for (;;) {
        fiber_sleep_us(chance_between(1, TICK_MS * MILLISECOND_US));
        check_polls();
        if (!world.kafka.up)
            continue;
        expel_the_silent();
        rebalance_if_wanted();
        time_out_transactions();
    }
}

static size_t records_at(const struct workload *workload, int32_t partition,
                         int64_t now_us)
{
    size_t count = 0;
    while (count < workload->count[partition] &&
           workload->records[partition][count].at_us <= now_us)
        count++;
    return count;
}

/* True when nothing is left to write. */
static bool write_what_is_due(void)
{
    bool done = true;
    for (int32_t i = 0; i < SIM_PARTITIONS; i++) {
        struct sim_log *log = &world.kafka.logs[i];
        log->count = records_at(world.workload, i, fiber_now_us());
        if (log->count > 0)
            log->end = log->records[log->count - 1].decoded.offset + 1;
        done = done && log->count == world.workload->count[i];
    }
    fiber_wake(KAFKA_CHANGED);
    return done;
}

static void produce(void *context)
{
    (void)context;
    while (!write_what_is_due())
        fiber_sleep_us(chance_between(1, 300 * MILLISECOND_US));
}

void kafka_begin(void)
{
    struct sim_kafka *kafka = &world.kafka;
    memset(kafka, 0, sizeof *kafka);
    kafka->up = true;
    for (size_t i = 0; i < SIM_PARTITIONS; i++)
        kafka->logs[i] = (struct sim_log){.records = world.workload->records[i],
                                          .start = world.workload->first_offset[i],
                                          .end = world.workload->first_offset[i]};
    fiber_start(NULL, coordinate, NULL);
    fiber_start(NULL, produce, NULL);
}

/* Another partition with the same key would miss the row, too. */
static bool is_only_here(const char *key, int32_t partition)
{
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        for (size_t j = 0; i != partition && j < world.workload->count[i]; j++)
            if (strcmp(world.workload->records[i][j].decoded.intake.command.key, key) ==
                0)
                return false;
    return true;
}

static void forget_decided_row(int32_t partition)
{
    struct books *books = world.books;
    for (size_t i = 0; i < books->inbox_count; i++) {
        if (books->inbox[i].partition != partition ||
            !is_only_here(books->inbox[i].key, partition))
            continue;
        books->inbox[i] = books->inbox[--books->inbox_count];
        return;
    }
    for (size_t i = 0; i < books->letter_count; i++)
        if (books->letters[i].partition == partition) {
            books->letters[i] = books->letters[--books->letter_count];
            return;
        }
}

void break_partition(void)
{
    int32_t partition = (int32_t)chance_below(SIM_PARTITIONS);
    struct sim_log *log = &world.kafka.logs[partition];
    world.broken = partition;
    switch (chance_below(4)) {
    case 0:
        log->count = chance_below(log->count);
        log->end = log->count == 0 ? log->start
                                   : log->records[log->count - 1].decoded.offset + 1;
        trace("partition %d is truncated to %lld", partition, (long long)log->end);
        break;
    case 1:
        world.kafka.group.committed[partition] = log->start;
        log->start += chance_between(1, log->end - log->start);
        trace("partition %d begins at %lld", partition, (long long)log->start);
        break;
    case 2:
        log->replaced = true;
        trace("partition %d is another one", partition);
        break;
    default:
        forget_decided_row(partition);
        trace("a decided row of partition %d is lost", partition);
        break;
    }
}

bool lag_is_zero(void)
{
    for (size_t i = 0; i < SIM_PARTITIONS; i++) {
        if ((int32_t)i == world.broken)
            continue;
        const struct sim_log *log = &world.kafka.logs[i];
        int64_t end = log->count == 0 ? log->start
                                      : log->records[log->count - 1].decoded.offset + 1;
        if (log->count < world.workload->count[i] ||
            !world.kafka.group.has_committed[i] || world.kafka.group.committed[i] < end)
            return false;
    }
    return transactions_rest();
}
