/* reply_fake.c: result topic, dead-letter topic and committed offsets of a world; a
 * Kafka transaction changes all three at once, or nothing. As with Kafka, offsets count
 * only under the membership that was read before the question whether they are stale. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "tests/fakes/world.h"

enum { STALL_MS = 300, HOLD_MS = 20000 };

struct reply {
    struct world *world;
    struct source *source; /* borrowed: its membership */
    bool ready;            /* recovered since the last fault */
};

struct reply *reply_fake_open(struct world *world, struct source *source)
{
    struct reply *reply = calloc(1, sizeof *reply);
    MUST(reply != NULL);
    reply->world = world;
    reply->source = source;
    return reply;
}

void reply_take_back(struct reply *reply)
{
    (void)reply;
}

void reply_close(struct reply *reply)
{
    free(reply);
}

enum port_status reply_recover(struct reply *reply)
{
    enum port_status status = PORT_OK;
    if (reply->ready)
        return PORT_OK;
    world_lock(reply->world);
    const struct fault *fault = world_call(reply->world, CALL_RECOVER);
    if (fault != NULL)
        status = fault->status;
    if (status == PORT_OK)
        reply->world->group.unsettled = false;
    world_unlock(reply->world);
    reply->ready = status == PORT_OK;
    return status;
}

/* --- what becomes visible --- */

static void publish_one(struct world *world, struct topic *topic,
                        const struct record *record, const struct answer *answer)
{
    MUST(topic->count < WORLD_RESULTS_MAX);
    struct published *message = &topic->messages[topic->count++];
    *message = (struct published){.pass = world->pass,
                                  .partition = record->partition,
                                  .offset = record->offset,
                                  .replayed = answer->replayed,
                                  .outcome = answer->outcome,
                                  .code = answer->code,
                                  .size = answer->result_size};
    MUST(message->size <= sizeof message->bytes);
    memcpy(message->key, record->intake.command.key, sizeof message->key);
    if (message->size > 0)
        memcpy(message->bytes, answer->result, message->size);
}

static bool is_dead_letter(enum outcome outcome)
{
    return outcome == OUTCOME_CONFLICT || outcome == OUTCOME_MALFORMED ||
           outcome == OUTCOME_EXPIRED || outcome == OUTCOME_POISON;
}

static void publish_record(struct world *world, const struct record *record,
                           const struct answer *answer)
{
    if (record->origin == NULL)
        world_violation(world, "record %d/%lld is published without its origin",
                        record->partition, (long long)record->offset);
    if (answer->result != NULL) {
        publish_one(world, &world->results, record, answer);
        check_result(world, &world->results.messages[world->results.count - 1]);
    }
    if (is_dead_letter(answer->outcome))
        publish_one(world, &world->letters, record, answer);
}

/* For each partition the highest offset of all batches. */
static void collect(int64_t *highest, const struct batch *batch)
{
    for (size_t i = 0; i < batch->next_offset_count; i++) {
        const struct next_offset *next = &batch->next_offsets[i];
        if (next->offset > highest[next->partition])
            highest[next->partition] = next->offset;
    }
}

static void publish_all(struct world *world, struct batch *const *batches, size_t count)
{
    int64_t highest[WORLD_PARTITIONS] = {-1, -1, -1};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < batches[i]->count; j++)
            publish_record(world, &batches[i]->records[j], &batches[i]->answers[j]);
        collect(highest, batches[i]);
    }
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        if (highest[i] >= 0)
            world_commit_offset(world, &(struct next_offset){i, highest[i]}, false);
    world->published_count++;
    world_changed(world);
}

/* --- another member --- */

static void answer_as_heir(struct world *world, const struct logged *logged)
{
    const struct record *record = &logged->decoded;
    const struct letter_row *letter =
        books_letter(world->books, record->partition, logged->offset);
    const struct inbox_row *row = books_inbox(world->books, record->intake.command.key);
    struct record answered = *record;
    struct answer answer = {.outcome = OUTCOME_NONE, .replayed = true};
    answered.origin = &answered; /* only looked at */
    answered.offset = logged->offset;
    if (letter != NULL) {
        answer.outcome = letter->outcome;
        answer.code = letter->code;
        answer.result = letter->has_result ? letter->result : NULL;
        answer.result_size = letter->result_size;
    } else if (row != NULL) {
        answer.outcome = row->outcome;
        answer.code = row->code;
        answer.result = row->result;
        answer.result_size = row->result_size;
    }
    publish_record(world, &answered, &answer);
}

void world_answer_as_heir(struct world *world, int32_t partition)
{
    const struct position_row *row = books_position(world->books, partition);
    int64_t committed = world->group.committed[partition];
    const struct partition_log *log = &world->logs[partition];
    if (!world->group.has_committed[partition] || row == NULL ||
        row->next_offset <= committed)
        return;
    for (size_t i = 0; i < log->count; i++)
        if (log->records[i].offset >= committed &&
            log->records[i].offset < row->next_offset)
            answer_as_heir(world, &log->records[i]);
    world_commit_offset(world, &(struct next_offset){partition, row->next_offset}, false);
}

/* --- the Kafka transaction --- */

struct transaction {
    enum call call;
    struct batch *const *batches;
    const struct next_offset *offsets;
    size_t count;
    reply_is_stale *is_stale;
    void *context;
};

static void apply(struct world *world, const struct transaction *transaction)
{
    if (transaction->call == CALL_PUBLISH) {
        publish_all(world, transaction->batches, transaction->count);
        return;
    }
    for (size_t i = 0; i < transaction->count; i++)
        world_commit_offset(world, &transaction->offsets[i], true);
}

/* While the offsets are on their way, somebody else claims everything; the worker may
 * have begun a new lap by the time they arrive. */
static void stall(struct world *world)
{
    for (size_t i = 0; i < world->books->position_count; i++)
        world->books->positions[i].epoch++;
    world_wait_beyond(world, &world->attached_count, world->attached_count, STALL_MS);
}

/* As when the coordinator has written that it commits and has not come to it. */
static void leave_unsettled(struct group *group)
{
    memcpy(group->has_settled, group->has_committed, sizeof group->has_settled);
    memcpy(group->settled, group->committed, sizeof group->settled);
    group->unsettled = true;
}

static enum port_status finish(struct reply *reply, const struct transaction *transaction,
                               const struct fault *fault, uint64_t generation)
{
    struct world *world = reply->world;
    if (fault != NULL && fault->stalled)
        stall(world);
    if (generation == 0 || source_fake_generation(reply->source) != generation)
        return PORT_IN_DOUBT;
    if (fault != NULL && fault->unsettled)
        leave_unsettled(&world->group);
    apply(world, transaction);
    return fault == NULL ? PORT_OK : fault->status;
}

static enum port_status transact(struct reply *reply,
                                 const struct transaction *transaction)
{
    struct world *world = reply->world;
    MUST(reply->ready);
    world_lock(world);
    const struct fault *fault = world_call(world, transaction->call);
    if (fault != NULL && fault->held)
        world_wait_beyond(world, &world->assigned_count, 1, HOLD_MS);
    uint64_t generation = source_fake_generation(reply->source);
    world_unlock(world);
    enum port_status status = fault == NULL ? PORT_OK : fault->status;
    if (fault == NULL || fault->applied || fault->stalled || fault->held) {
        if (transaction->is_stale(transaction->context))
            status = PORT_RETRY;
        else {
            world_lock(world);
            status = finish(reply, transaction, fault, generation);
            world_unlock(world);
        }
    }
    reply->ready = status == PORT_OK;
    return status;
}

enum port_status reply_publish(struct reply *reply, struct batch *const *batches,
                               size_t count, reply_is_stale *is_stale, void *context)
{
    struct transaction transaction = {.call = CALL_PUBLISH,
                                      .batches = batches,
                                      .count = count,
                                      .is_stale = is_stale,
                                      .context = context};
    return transact(reply, &transaction);
}

enum port_status reply_commit(struct reply *reply, const struct next_offset *offsets,
                              size_t count, reply_is_stale *is_stale, void *context)
{
    struct transaction transaction = {.call = CALL_OFFSETS,
                                      .offsets = offsets,
                                      .count = count,
                                      .is_stale = is_stale,
                                      .context = context};
    return transact(reply, &transaction);
}
