/* port_kafka.c: source.h and reply.h on a world, in the steps of the real adapters
 * (source_kafka.c, reply_kafka.c), so that anything can happen between two of them. */
#include <string.h>

#include "base/must.h"
#include "consumer/metrics.h"
#include "tests/chaos/simulation/heap.h"
#include "tests/chaos/simulation/world.h"

static struct sim_kafka *const kafka = &world.kafka;

/* Mostly quick; now and then a broker, or the way to it, takes its time. */
static void travel(void)
{
    uint64_t luck = chance_below(1000);
    int64_t at_most_ms = 3;
    if (world.trouble.on && luck < 30)
        at_most_ms = luck < 5 ? 8000 : 300;
    fiber_sleep_us(chance_between(50, at_most_ms * MILLISECOND_US));
}

/* --- the group --- */

static bool is_expelled(struct source *source)
{
    return source->joined && !source->member->in;
}

/* A member hears of it at one of its next heartbeats. */
static bool has_lost(struct source *source)
{
    if (!is_expelled(source) || source->told_lost)
        return source->told_lost;
    if (source->notice_us == 0)
        source->notice_us = fiber_now_us() + chance_between(0, SECOND_US);
    source->told_lost = fiber_now_us() >= source->notice_us;
    return source->told_lost;
}

static void join(struct source *source)
{
    source->member = group_join(source->process);
    source->joined = true;
    source->told_lost = false;
    source->notice_us = 0;
}

static enum source_event group_event(struct source *source)
{
    struct member *member = source->member;
    if (has_lost(source)) {
        COUNT(LOST);
        source->asked = member->owned;
        return SOURCE_LOST;
    }
    if (!member->in)
        return SOURCE_NOTHING;
    source->asked = member->owned & ~member->target;
    if (source->asked != 0) {
        COUNT(REVOKED);
        return SOURCE_REVOKED;
    }
    unsigned granted = member->granted;
    member->owned |= granted;
    member->granted = 0;
    return granted != 0 ? SOURCE_ASSIGNED : SOURCE_NOTHING;
}

size_t source_owned(const struct source *source, int32_t *partitions, size_t capacity)
{
    size_t count = 0;
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        if ((source->member->owned & (1U << i)) != 0) {
            MUST(count < capacity);
            partitions[count++] = i;
        }
    return count;
}

void source_yield(struct source *source)
{
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        if ((source->asked & (1U << i)) != 0)
            source->attached[i] = false;
    source->member->owned &= ~source->asked;
    source->asked = 0;
    if (source->told_lost)
        join(source);
    else
        kafka->group.rebalance = true;
    fiber_wake(KAFKA_CHANGED);
}

bool source_is_lost(struct source *source)
{
    return has_lost(source);
}

/* --- delivery --- */

static void deliver(const struct sim_log *log, const struct sim_record *logged,
                    struct record *record)
{
    *record = logged->decoded;
    if (log->replaced)
        record->timestamp_ms++;
    record->origin = heap_take(1);
}

void source_release(struct record *record)
{
    heap_give(record->origin);
    record->origin = NULL;
}

static const struct sim_record *next_record(const struct sim_log *log, int64_t position)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->records[i].decoded.offset >= position)
            return &log->records[i];
    return NULL;
}

static enum source_event serve_partition(struct source *source, int32_t partition,
                                         struct record *record)
{
    const struct sim_log *log = &kafka->logs[partition];
    int64_t position = source->position[partition];
    if (!source->attached[partition] || source->out_of_range[partition])
        return SOURCE_NOTHING;
    record->partition = partition;
    record->offset = position;
    if (position < log->start || position > log->end) {
        source->out_of_range[partition] = true;
        return SOURCE_OUT_OF_RANGE;
    }
    const struct sim_record *logged = next_record(log, position);
    if (logged != NULL) {
        deliver(log, logged, record);
        source->position[partition] = logged->decoded.offset + 1;
        source->end_told[partition] = false;
        return SOURCE_RECORD;
    }
    if (source->end_told[partition])
        return SOURCE_NOTHING;
    source->end_told[partition] = true;
    record->offset = source->position[partition] = log->end;
    return SOURCE_END;
}

static enum source_event next_event(struct source *source, struct record *record)
{
    enum source_event event = group_event(source);
    if (event != SOURCE_NOTHING || source->paused || !kafka->up)
        return event;
    int32_t first = (int32_t)chance_below(SIM_PARTITIONS);
    for (int32_t i = 0; i < SIM_PARTITIONS && event == SOURCE_NOTHING; i++)
        event = serve_partition(source, (first + i) % SIM_PARTITIONS, record);
    return event;
}

enum source_event source_poll(struct source *source, int timeout_ms,
                              struct record *record)
{
    source->process->polled_us = fiber_now_us();
    if (!source->joined)
        join(source);
    fiber_yield_perhaps();
    enum source_event event = next_event(source, record);
    if (event == SOURCE_NOTHING && timeout_ms > 0) {
        fiber_wait(KAFKA_CHANGED, fiber_now_us() + timeout_ms * MILLISECOND_US);
        event = next_event(source, record);
    }
    return event;
}

/* --- reading --- */

static bool loses_call(void)
{
    return !kafka->up || (world.trouble.on && chance_per_mille(world.trouble.kafka_call));
}

static bool loses_answer(void)
{
    return !kafka->up ||
           (world.trouble.on && chance_per_mille(world.trouble.kafka_answer));
}

enum port_status source_marks(struct source *source, const int32_t *partitions,
                              struct marks *marks, size_t count)
{
    (void)source;
    travel();
    bool unstable = offsets_are_unstable(partitions, count);
    events[EVENT_UNSTABLE] += unstable;
    if (loses_call() || unstable)
        return PORT_RETRY;
    for (size_t i = 0; i < count; i++) {
        marks[i].has_committed = kafka->group.has_committed[partitions[i]];
        marks[i].committed = kafka->group.committed[partitions[i]];
    }
    for (size_t i = 0; i < count; i++) {
        travel();
        marks[i].log_start = kafka->logs[partitions[i]].start;
        marks[i].log_end = kafka->logs[partitions[i]].end;
    }
    return loses_answer() ? PORT_RETRY : PORT_OK;
}

enum port_status source_attach(struct source *source,
                               const struct attachment *attachments, size_t count)
{
    if (world.eager) /* an assignment replaces the one before */
        memset(source->attached, 0, sizeof source->attached);
    for (size_t i = 0; i < count; i++) {
        int32_t partition = attachments[i].partition;
        if ((source->member->owned & (1U << partition)) == 0 ||
            source->attached[partition])
            violate("partition %d is attached %s", partition,
                    source->attached[partition] ? "twice" : "and not owned");
        source->attached[partition] = true;
        source->end_told[partition] = source->out_of_range[partition] = false;
        source->position[partition] = attachments[i].offset;
    }
    source->paused = false;
    return PORT_OK;
}

void source_detach(struct source *source)
{
    memset(source->attached, 0, sizeof source->attached);
}

void source_halt(struct source *source, int32_t partition)
{
    source->attached[partition] = false;
}

void source_pause(struct source *source, bool paused)
{
    source->paused = paused;
}

int64_t source_log_end(struct source *source, int32_t partition)
{
    (void)source;
    return kafka->logs[partition].end;
}

bool source_probe(struct source *source)
{
    (void)source;
    metrics_side(METRICS_SIDE_KAFKA, kafka->up);
    return kafka->up;
}

void source_leave(struct source *source)
{
    if (source->joined)
        group_leave(source->member);
}

/* --- the Kafka transaction --- */

static struct sim_transaction *transaction_of(const struct reply *reply)
{
    return &kafka->transactions[reply->process->slot];
}

static bool is_fenced(const struct reply *reply)
{
    return reply->epoch != transaction_of(reply)->epoch;
}

static void wait_markers(const struct sim_transaction *transaction)
{
    while (transaction->state == TRANSACTION_COMMITTING)
        fiber_wait(KAFKA_CHANGED, NEVER_US);
}

enum port_status reply_recover(struct reply *reply)
{
    struct sim_transaction *transaction = transaction_of(reply);
    if (reply->ready && !reply->dead)
        return PORT_OK;
    travel();
    if (loses_call())
        return PORT_RETRY;
    reply->epoch = ++transaction->epoch;
    transaction_abort(transaction);
    wait_markers(transaction);
    if (is_fenced(reply) || loses_answer())
        return PORT_RETRY;
    reply->ready = true;
    reply->dead = false;
    return PORT_OK;
}

void reply_take_back(struct reply *reply)
{
    (void)reply;
}

static struct sim_answer answer_of(const struct record *record,
                                   const struct answer *answer)
{
    return (struct sim_answer){.partition = record->partition,
                               .offset = record->offset,
                               .replayed = answer->replayed,
                               .outcome = answer->outcome,
                               .code = answer->code,
                               .size = answer->result_size,
                               .digest =
                                   digest_bytes(answer->result, answer->result_size)};
}

static void add_answer(struct sim_transaction *transaction,
                       const struct sim_answer *answer)
{
    MUST(transaction->answer_count < SIM_ANSWERS);
    transaction->answers[transaction->answer_count++] = *answer;
}

static bool is_letter(enum outcome outcome)
{
    return outcome == OUTCOME_CONFLICT || outcome == OUTCOME_MALFORMED ||
           outcome == OUTCOME_EXPIRED || outcome == OUTCOME_POISON;
}

static void queue_answers(struct sim_transaction *transaction, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct record *record = &batch->records[i];
        if (record->origin == NULL)
            violate("record %d/%lld is answered without its origin", record->partition,
                    (long long)record->offset);
        struct sim_answer answer = answer_of(record, &batch->answers[i]);
        if (batch->answers[i].result != NULL)
            add_answer(transaction, &answer);
        answer.is_letter = true;
        if (is_letter(answer.outcome))
            add_answer(transaction, &answer);
    }
}

static void collect(struct sim_transaction *transaction,
                    const struct next_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t partition = offsets[i].partition;
        if (!transaction->has_offset[partition] ||
            offsets[i].offset > transaction->offset[partition])
            transaction->offset[partition] = offsets[i].offset;
        transaction->has_offset[partition] = true;
    }
}

struct publication {
    struct batch *const *batches;
    const struct next_offset *offsets;
    size_t count;
    reply_is_stale *is_stale;
    void *context;
};

static enum port_status begin(struct reply *reply)
{
    struct sim_transaction *transaction = transaction_of(reply);
    travel();
    wait_markers(transaction);
    if (is_fenced(reply))
        return PORT_IN_DOUBT;
    if (loses_call())
        return PORT_RETRY;
    transaction->state = TRANSACTION_ONGOING;
    transaction->begun_us = fiber_now_us();
    return FAILPOINT(TRANSACTION_BEGUN) ? PORT_RETRY : PORT_OK;
}

static enum port_status send_answers(struct reply *reply,
                                     const struct publication *publication)
{
    if (publication->batches == NULL)
        return PORT_OK;
    if (is_fenced(reply))
        return PORT_IN_DOUBT;
    for (size_t i = 0; i < publication->count; i++)
        queue_answers(transaction_of(reply), publication->batches[i]);
    travel();
    if (loses_answer())
        return PORT_RETRY;
    return FAILPOINT(ANSWERS_QUEUED) ? PORT_RETRY : PORT_OK;
}

/* The membership is read first, then the question is asked, then it travels. */
static enum port_status send_offsets(struct reply *reply,
                                     const struct publication *publication)
{
    struct sim_transaction *transaction = transaction_of(reply);
    struct source *source = &reply->process->source;
    const struct member *member = source->member;
    int32_t generation = kafka->group.generation;
    if (!source->joined || source->told_lost ||
        publication->is_stale(publication->context))
        return PORT_RETRY;
    travel();
    if (loses_call())
        return PORT_RETRY;
    if (is_fenced(reply) || !member->in || generation != kafka->group.generation) {
        COUNT(STALE_MEMBER);
        return PORT_IN_DOUBT;
    }
    if (publication->batches == NULL)
        collect(transaction, publication->offsets, publication->count);
    for (size_t i = 0; publication->batches != NULL && i < publication->count; i++)
        collect(transaction, publication->batches[i]->next_offsets,
                publication->batches[i]->next_offset_count);
    transaction->only_offsets = publication->batches == NULL;
    travel();
    if (loses_answer())
        return PORT_RETRY;
    return FAILPOINT(OFFSETS_SENT) ? PORT_RETRY : PORT_OK;
}

static enum port_status commit(struct reply *reply)
{
    travel();
    if (loses_call())
        return PORT_IN_DOUBT;
    if (is_fenced(reply))
        return PORT_IN_DOUBT;
    transaction_commit(transaction_of(reply));
    travel();
    bool lost = loses_answer();
    events[EVENT_PUBLISH_IN_DOUBT] += lost;
    return lost ? PORT_IN_DOUBT : PORT_OK;
}

/* What cannot be aborted is left to a new producer, or to the coordinator's patience. */
static enum port_status give_up(struct reply *reply, enum port_status why)
{
    bool dead = FAILPOINT(ABORT_BEGUN) || why == PORT_IN_DOUBT;
    travel();
    if (!dead && !is_fenced(reply) && !loses_call())
        transaction_abort(transaction_of(reply));
    else
        dead = true;
    reply->dead = FAILPOINT(ABORT_DONE) || dead;
    return why;
}

static enum port_status transact(struct reply *reply,
                                 const struct publication *publication)
{
    MUST(reply->ready);
    enum port_status status = begin(reply);
    if (status == PORT_OK)
        status = send_offsets(reply, publication);
    if (status == PORT_OK)
        status = send_answers(reply, publication);
    if (status == PORT_OK)
        status = commit(reply);
    return status == PORT_OK ? PORT_OK : give_up(reply, status);
}

enum port_status reply_publish(struct reply *reply, struct batch *const *batches,
                               size_t count, reply_is_stale *is_stale, void *context)
{
    return transact(reply, &(struct publication){.batches = batches,
                                                 .count = count,
                                                 .is_stale = is_stale,
                                                 .context = context});
}

enum port_status reply_commit(struct reply *reply, const struct next_offset *offsets,
                              size_t count, reply_is_stale *is_stale, void *context)
{
    return transact(reply, &(struct publication){.offsets = offsets,
                                                 .count = count,
                                                 .is_stale = is_stale,
                                                 .context = context});
}
