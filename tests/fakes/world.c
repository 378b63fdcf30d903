/* world.c: the life of a world: its log, its group, the faults that wait for their
 * call, and what is noted when something does not hold. See world.h. */
#include "tests/fakes/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "consumer/decode.h"
#include "schema/digest.h"

enum { FIRST_TIMESTAMP_MS = 1000000 };

static const char *const call_names[CALL_COUNT] = {[CALL_ANY] = "any call",
#define X(suffix, name) [CALL_##suffix] = #name,
                                                   CALLS(X)
#undef X
};

const char *call_name(enum call call)
{
    MUST((unsigned)call < CALL_COUNT);
    return call_names[call];
}

static void *room_for(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    MUST(memory != NULL);
    return memory;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    MUST(pthread_condattr_init(&attributes) == 0);
    MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(condition, &attributes) == 0);
    MUST(pthread_condattr_destroy(&attributes) == 0);
}

/* The logs do not begin at 0, so that nothing can take that for granted. */
struct world *world_new(void)
{
    struct world *world = room_for(1, sizeof *world);
    MUST(pthread_mutex_init(&world->mutex, NULL) == 0);
    init_condition(&world->changed);
    for (int i = 0; i < WORLD_PARTITIONS; i++) {
        struct partition_log *log = &world->logs[i];
        log->records = room_for(WORLD_LOG_MAX, sizeof *log->records);
        log->log_start = log->log_end = 3 * i;
    }
    world->books = room_for(1, sizeof *world->books);
    world->results.messages = room_for(WORLD_RESULTS_MAX, sizeof(struct published));
    world->letters.messages = room_for(WORLD_RESULTS_MAX, sizeof(struct published));
    return world;
}

void world_free(struct world *world)
{
    if (world == NULL)
        return;
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        free(world->logs[i].records);
    free(world->books);
    free(world->setback.backup);
    free(world->results.messages);
    free(world->letters.messages);
    pthread_cond_destroy(&world->changed);
    pthread_mutex_destroy(&world->mutex);
    free(world);
}

void world_lock(struct world *world)
{
    MUST(pthread_mutex_lock(&world->mutex) == 0);
}

void world_unlock(struct world *world)
{
    MUST(pthread_mutex_unlock(&world->mutex) == 0);
}

void world_changed(struct world *world)
{
    MUST(pthread_cond_broadcast(&world->changed) == 0);
}

void world_wait_beyond(struct world *world, const unsigned *counter, unsigned value,
                       int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    struct timespec at = {.tv_sec = deadline_ms / 1000,
                          .tv_nsec = (deadline_ms % 1000) * 1000000};
    while (*counter == value &&
           pthread_cond_timedwait(&world->changed, &world->mutex, &at) == 0)
        continue;
}

/* --- the log --- */

static void decode(struct logged *logged, int32_t partition)
{
    struct record *record = &logged->decoded;
    struct digest *digest = digest_new();
    *record = (struct record){.partition = partition,
                              .offset = logged->offset,
                              .timestamp_ms = logged->timestamp_ms};
    intake_init(&record->intake);
    if (logged->has_header)
        intake_key_header(&record->intake, logged->header, strlen(logged->header));
    decode_value(record, digest, logged->has_value ? logged->value : NULL,
                 logged->value_size);
    digest_free(digest);
}

int64_t world_append(struct world *world, int32_t partition, const char *header,
                     const char *value)
{
    struct partition_log *log = &world->logs[partition];
    MUST(log->count < WORLD_LOG_MAX);
    struct logged *logged = &log->records[log->count++];
    *logged = (struct logged){.offset = log->log_end++,
                              .timestamp_ms = FIRST_TIMESTAMP_MS,
                              .has_header = header != NULL,
                              .has_value = value != NULL};
    if (header != NULL) {
        MUST(strlen(header) < sizeof logged->header);
        memcpy(logged->header, header, strlen(header) + 1);
    }
    if (value != NULL) {
        MUST(strlen(value) < sizeof logged->value);
        logged->value_size = strlen(value);
        memcpy(logged->value, value, logged->value_size);
    }
    decode(logged, partition);
    return logged->offset;
}

void world_skip_offset(struct world *world, int32_t partition)
{
    world->logs[partition].log_end++;
}

const struct logged *world_find(const struct world *world, int32_t partition,
                                int64_t offset)
{
    const struct partition_log *log = &world->logs[partition];
    for (size_t i = 0; i < log->count; i++)
        if (log->records[i].offset == offset)
            return &log->records[i];
    return NULL;
}

/* --- faults and violations --- */

void world_add_fault(struct world *world, struct fault fault)
{
    MUST(world->fault_count < WORLD_FAULTS_MAX);
    if (fault.times == 0)
        fault.times = 1;
    world->faults[world->fault_count++] = fault;
}

static bool meets(const struct world *world, const struct fault *fault, enum call call)
{
    unsigned number = world->calls[fault->call];
    return (fault->call == CALL_ANY || fault->call == call) && number >= fault->first &&
           number - fault->first < fault->times;
}

const struct fault *world_call(struct world *world, enum call call)
{
    world->calls[CALL_ANY]++;
    world->calls[call]++;
    for (size_t i = 0; i < world->fault_count; i++) {
        if (!meets(world, &world->faults[i], call))
            continue;
        world->fired++;
        return &world->faults[i];
    }
    return NULL;
}

void world_violation(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (world->violations++ == 0)
        vsnprintf(world->violation, sizeof world->violation, format, arguments);
    va_end(arguments);
}

bool world_should_stop(struct world *world)
{
    world_lock(world);
    bool delivered =
        world->stop_at_delivered > 0 && world->delivered >= world->stop_at_delivered;
    bool stop = delivered || (world->stop_at_fault && world->fired > 0);
    world_unlock(world);
    return stop;
}

void world_count_delivered(struct world *world)
{
    struct setback *setback = &world->setback;
    world->delivered++;
    if (setback->backup_at > 0 && setback->backup == NULL &&
        world->delivered >= setback->backup_at) {
        setback->backup = room_for(1, sizeof *setback->backup);
        *setback->backup = *world->books;
    }
    if (setback->restore_at > 0 && setback->happened == 0 &&
        world->delivered >= setback->restore_at) {
        *world->books = *setback->backup;
        setback->happened = 1;
    }
}

/* --- the group --- */

void world_new_pass(struct world *world)
{
    world_lock(world);
    world->pass++;
    world_unlock(world);
}

void world_rewind(struct world *world)
{
    world_lock(world);
    world->pass++;
    for (int i = 0; i < WORLD_PARTITIONS; i++)
        if (world->group.has_committed[i])
            world->group.committed[i] = world->logs[i].log_start;
    world_unlock(world);
}

bool world_is_at_end(struct world *world)
{
    world_lock(world);
    bool at_end = true;
    for (int i = 0; i < WORLD_PARTITIONS; i++) {
        const struct partition_log *log = &world->logs[i];
        int64_t end =
            log->count == 0 ? log->log_start : log->records[log->count - 1].offset + 1;
        at_end =
            at_end && world->group.has_committed[i] && world->group.committed[i] >= end;
    }
    world_unlock(world);
    return at_end;
}

void world_commit_offset(struct world *world, const struct next_offset *next,
                         bool only_offsets)
{
    int32_t partition = next->partition;
    struct group *group = &world->group;
    int64_t before = group->committed[partition];
    if (world->setback.happened > 0)
        only_offsets =
            true; /* what was answered above the restored books is answered again */
    if (!only_offsets && !group->has_committed[partition])
        world_violation(world, "partition %d: answers before any committed offset",
                        partition);
    else if (!only_offsets && next->offset < before)
        world_violation(world, "partition %d: committed offset went back to %lld",
                        partition, (long long)next->offset);
    group->has_committed[partition] = true;
    group->committed[partition] = next->offset;
    check_committed(world, partition);
    if (!only_offsets)
        check_answers(world, partition, before, next->offset);
    world_changed(world);
}
