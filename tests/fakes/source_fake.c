/* source_fake.c: the command topic of a world, one record a poll, the attached
 * partitions in turn. Reads from exactly the attached offsets and tells each end once.
 * The group asks partitions back when the world's event says so, and gives them again
 * after source_yield. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "consumer/decode.h"
#include "schema/digest.h"
#include "tests/fakes/world.h"

enum { IDLE_WAIT_MS = 2 };

struct lane {
    bool owned, asked_back, attached, end_told, out_of_range;
    int64_t position;
};

struct source {
    struct world *world;
    struct digest *digest;
    struct lane lanes[WORLD_PARTITIONS];
    enum source_event pending; /* ASSIGNED, REVOKED, LOST or NOTHING */
    bool paused;
    int32_t turn;
    uint64_t generation; /* 0: not a member */
};

/* What record->origin points to. */
struct origin {
    struct world *world;
};

struct source *source_fake_open(struct world *world)
{
    struct source *source = calloc(1, sizeof *source);
    MUST(source != NULL);
    source->world = world;
    source->digest = digest_new();
    source->pending = SOURCE_ASSIGNED;
    return source;
}

void source_leave(struct source *source)
{
    (void)source;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    digest_free(source->digest);
    free(source);
}

uint64_t source_fake_generation(const struct source *source)
{
    return source->pending == SOURCE_LOST ? 0 : source->generation;
}

/* --- the group --- */

static enum source_event assign(struct source *source)
{
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        source->lanes[i].owned = true;
    source->generation = ++source->world->group.generation;
    source->world->assigned_count++;
    world_changed(source->world);
    source->pending = SOURCE_NOTHING;
    return SOURCE_ASSIGNED;
}

/* Lost partitions have a new owner already, which claimed them and answered what was
 * decided and not answered. */
static void ask_back(struct source *source, const struct group_event *event)
{
    struct world *world = source->world;
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++) {
        source->lanes[i].asked_back = !event->only_one || event->partition == i;
        if (event->event == SOURCE_LOST && source->lanes[i].asked_back)
            world_answer_as_heir(world, i);
    }
    source->pending = event->event;
    if (event->event == SOURCE_LOST)
        for (size_t i = 0; i < world->books->position_count; i++)
            world->books->positions[i].epoch++;
    world->event.event = SOURCE_NOTHING;
}

/* Records that were delivered and that the database does not have. */
static size_t undecided(const struct source *source, int32_t partition)
{
    const struct partition_log *log = &source->world->logs[partition];
    const struct position_row *row = books_position(source->world->books, partition);
    size_t count = 0;
    for (size_t i = 0; i < log->count; i++)
        count += log->records[i].offset < source->lanes[partition].position &&
                 (row == NULL || log->records[i].offset >= row->next_offset);
    return count;
}

static bool is_at_end(const struct source *source)
{
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        if (!source->lanes[i].end_told)
            return false;
    return true;
}

/* Nothing more is delivered, and nothing of it is with a poster; while it is paused the
 * reader holds one record. */
static bool is_quiet(const struct source *source)
{
    size_t count = 0;
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        count += undecided(source, i);
    return source->paused ? count <= 1 : is_at_end(source) && count == 0;
}

static void ask_back_if_due(struct source *source)
{
    const struct world *world = source->world;
    const struct group_event *event = &world->event;
    if (event->event != SOURCE_NOTHING && world->delivered >= event->delivered &&
        (!event->comes_last || (world->fired > 0 && is_quiet(source))))
        ask_back(source, event);
}

size_t source_owned(const struct source *source, int32_t *partitions, size_t capacity)
{
    size_t count = 0;
    world_lock(source->world);
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        if (source->lanes[i].owned) {
            MUST(count < capacity);
            partitions[count++] = i;
        }
    world_unlock(source->world);
    return count;
}

void source_yield(struct source *source)
{
    world_lock(source->world);
    if (source->pending != SOURCE_REVOKED && source->pending != SOURCE_LOST)
        world_violation(source->world, "source_yield without a request");
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        if (source->lanes[i].asked_back)
            source->lanes[i] = (struct lane){.owned = false};
    if (source->pending == SOURCE_LOST)
        source->generation = 0;
    source->pending = SOURCE_ASSIGNED;
    world_unlock(source->world);
}

bool source_is_lost(struct source *source)
{
    world_lock(source->world);
    bool lost = source->pending == SOURCE_LOST;
    world_unlock(source->world);
    return lost;
}

/* --- delivery --- */

static void fill(struct source *source, const struct logged *logged,
                 struct record *record)
{
    struct origin *origin = malloc(sizeof *origin);
    MUST(origin != NULL);
    origin->world = source->world;
    *record = (struct record){.partition = logged->decoded.partition,
                              .offset = logged->offset,
                              .timestamp_ms = logged->timestamp_ms,
                              .origin = origin};
    intake_init(&record->intake);
    if (logged->has_header)
        intake_key_header(&record->intake, logged->header, strlen(logged->header));
    decode_value(record, source->digest, logged->has_value ? logged->value : NULL,
                 logged->value_size);
}

void source_release(struct record *record)
{
    struct origin *origin = record->origin;
    if (origin == NULL)
        return;
    world_lock(origin->world);
    origin->world->origins_out--;
    world_unlock(origin->world);
    free(origin);
    record->origin = NULL;
}

static const struct logged *next_record(const struct partition_log *log, int64_t position)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->records[i].offset >= position)
            return &log->records[i];
    return NULL;
}

/* What lies between the position and the last record is gone. */
static void delete_unread(struct source *source)
{
    struct deletion *deletion = &source->world->deletion;
    struct partition_log *log = &source->world->logs[deletion->partition];
    if (deletion->at == 0 || source->world->delivered < deletion->at)
        return;
    log->log_start = log->records[log->count - 1].offset;
    MUST(source->lanes[deletion->partition].position < log->log_start);
    deletion->at = 0;
}

static enum source_event deliver(struct source *source, const struct logged *logged,
                                 struct record *record)
{
    struct world *world = source->world;
    fill(source, logged, record);
    source->lanes[record->partition].position = logged->offset + 1;
    world->origins_out++;
    world_count_delivered(world);
    delete_unread(source);
    ask_back_if_due(source);
    return SOURCE_RECORD;
}

static enum source_event serve_lane(struct source *source, int32_t partition,
                                    struct record *record)
{
    struct lane *lane = &source->lanes[partition];
    const struct partition_log *log = &source->world->logs[partition];
    if (!lane->attached || lane->out_of_range)
        return SOURCE_NOTHING;
    record->partition = partition;
    record->offset = lane->position;
    if (lane->position < log->log_start || lane->position > log->log_end) {
        lane->out_of_range = true;
        return SOURCE_OUT_OF_RANGE;
    }
    const struct logged *logged = next_record(log, lane->position);
    if (logged != NULL)
        return deliver(source, logged, record);
    if (lane->end_told)
        return SOURCE_NOTHING;
    lane->end_told = true;
    record->offset = lane->position = log->log_end;
    return SOURCE_END;
}

static enum source_event serve_lanes(struct source *source, struct record *record)
{
    enum source_event event = SOURCE_NOTHING;
    for (int i = 0; i < WORLD_PARTITIONS && event == SOURCE_NOTHING; i++) {
        event = serve_lane(source, source->turn, record);
        source->turn = (source->turn + 1) % WORLD_PARTITIONS;
    }
    return event;
}

static enum source_event next_event(struct source *source, struct record *record)
{
    if (source->pending == SOURCE_ASSIGNED)
        return assign(source);
    if (source->pending == SOURCE_NOTHING && source->world->event.comes_last)
        ask_back_if_due(source);
    if (source->pending != SOURCE_NOTHING)
        return source->pending;
    return source->paused ? SOURCE_NOTHING : serve_lanes(source, record);
}

/* Nothing to tell: waits for something to be published, for a moment. */
enum source_event source_poll(struct source *source, int timeout_ms,
                              struct record *record)
{
    struct world *world = source->world;
    world_lock(world);
    enum source_event event = next_event(source, record);
    if (event == SOURCE_NOTHING && timeout_ms > 0)
        world_wait_beyond(world, &world->published_count, world->published_count,
                          timeout_ms < IDLE_WAIT_MS ? timeout_ms : IDLE_WAIT_MS);
    world_unlock(world);
    return event;
}

int64_t source_log_end(struct source *source, int32_t partition)
{
    (void)source;
    (void)partition;
    return -1;
}

bool source_probe(struct source *source)
{
    (void)source;
    return true;
}

/* --- reading --- */

static enum port_status answer_marks(struct world *world, const int32_t *partitions,
                                     struct marks *marks, size_t count)
{
    const struct fault *fault = world_call(world, CALL_MARKS);
    if (fault != NULL)
        return fault->status;
    for (size_t i = 0; i < count; i++) {
        int32_t partition = partitions[i];
        const struct group *group = &world->group;
        bool old = group->unsettled;
        marks[i] = (struct marks){.has_committed = old ? group->has_settled[partition]
                                                       : group->has_committed[partition],
                                  .committed = old ? group->settled[partition]
                                                   : group->committed[partition],
                                  .log_start = world->logs[partition].log_start,
                                  .log_end = world->logs[partition].log_end};
    }
    return PORT_OK;
}

enum port_status source_marks(struct source *source, const int32_t *partitions,
                              struct marks *marks, size_t count)
{
    world_lock(source->world);
    enum port_status status = answer_marks(source->world, partitions, marks, count);
    world_unlock(source->world);
    return status;
}

static void attach_one(struct source *source, const struct attachment *attachment)
{
    struct lane *lane = &source->lanes[attachment->partition];
    if (!lane->owned || lane->attached)
        world_violation(source->world, "partition %d is attached %s",
                        attachment->partition, lane->owned ? "twice" : "and not owned");
    lane->attached = true;
    lane->end_told = lane->out_of_range = false;
    lane->position = attachment->offset;
}

enum port_status source_attach(struct source *source,
                               const struct attachment *attachments, size_t count)
{
    struct world *world = source->world;
    world_lock(world);
    const struct fault *fault = world_call(world, CALL_ATTACH);
    enum port_status status = fault == NULL ? PORT_OK : fault->status;
    for (size_t i = 0; i < count && status == PORT_OK; i++)
        attach_one(source, &attachments[i]);
    if (status == PORT_OK) {
        source->paused = false;
        world->attached_count++;
        world_changed(world);
    }
    world_unlock(world);
    return status;
}

void source_detach(struct source *source)
{
    world_lock(source->world);
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        source->lanes[i].attached = false;
    world_unlock(source->world);
}

void source_halt(struct source *source, int32_t partition)
{
    world_lock(source->world);
    source->lanes[partition].attached = false;
    world_unlock(source->world);
}

void source_pause(struct source *source, bool paused)
{
    world_lock(source->world);
    source->paused = paused;
    world_unlock(source->world);
}
