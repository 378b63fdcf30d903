/* pipeline.c: see pipeline.h. Every function takes the one mutex, looks or moves
 * pointers, and lets go; waits are on one condition, which any change broadcasts. Batches
 * are made on demand up to a fixed number; records in flight are bounded too, so memory
 * is. */
#include "consumer/pipeline.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "consumer/source.h"
#include "consumer/worker.h"

enum {
    SPARE_BATCHES = 14, /* small batches that may wait for the replier while it commits */
    FULL_BATCHES = 4,   /* records in flight: at most so many full batches */
    BYTES_MAX = 32 << 20, /* and no more once they hold so much: large ones are few */
    HALTS_MAX = WORKER_PARTITIONS_MAX
};

/* What the reader asks of the replier. */
struct request {
    enum {
        REQUEST_NONE,
        REQUEST_ASKED,
        REQUEST_TAKEN,
        REQUEST_DONE,
        REQUEST_FAILED
    } state;
    struct next_offset *offsets; /* owned */
    size_t count, capacity;
    uint64_t lap;
};

struct pipeline {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t lap;
    bool restart;
    bool progress; /* answers became visible since the reader asked last */
    bool replying; /* the replier has work in hand */
    bool closing;
    enum exit_code failure;
    size_t posters, posters_running;
    size_t batch_records;
    struct batch *filling[WORKER_POSTERS_MAX]; /* one for each poster, NULL: none begun */
    struct batch *decided, **decided_end;
    size_t decided_count;
    struct batch *spare;
    size_t batches_made, batches_max, batches_out;
    size_t records_out, bytes_out; /* in flight */
    struct request request;
    struct halt halts[HALTS_MAX];
    size_t halt_count;
};

static void lock(struct pipeline *pipeline)
{
    MUST(pthread_mutex_lock(&pipeline->mutex) == 0);
}

static void unlock(struct pipeline *pipeline)
{
    MUST(pthread_mutex_unlock(&pipeline->mutex) == 0);
}

static void change(struct pipeline *pipeline)
{
    MUST(pthread_cond_broadcast(&pipeline->changed) == 0);
}

static void wait_change(struct pipeline *pipeline)
{
    MUST(pthread_cond_wait(&pipeline->changed, &pipeline->mutex) == 0);
}

/* False when the time is over. */
static bool wait_change_until(struct pipeline *pipeline, int64_t deadline_ms)
{
    struct timespec at = {.tv_sec = deadline_ms / 1000,
                          .tv_nsec = (deadline_ms % 1000) * 1000000};
    return pthread_cond_timedwait(&pipeline->changed, &pipeline->mutex, &at) == 0;
}

static void init_monotonic(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    MUST(pthread_condattr_init(&attributes) == 0);
    MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(condition, &attributes) == 0);
    MUST(pthread_condattr_destroy(&attributes) == 0);
}

struct pipeline *pipeline_new(size_t posters, size_t batch_records)
{
    MUST(posters >= 1 && posters <= WORKER_POSTERS_MAX);
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    MUST(pipeline != NULL);
    MUST(pthread_mutex_init(&pipeline->mutex, NULL) == 0);
    init_monotonic(&pipeline->changed);
    pipeline->posters = pipeline->posters_running = posters;
    pipeline->batch_records = batch_records;
    pipeline->batches_max = SPARE_BATCHES + 2 * posters;
    pipeline->decided_end = &pipeline->decided;
    return pipeline;
}

void pipeline_free(struct pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    MUST(pipeline->batches_out == 0);
    while (pipeline->spare != NULL) {
        struct batch *batch = pipeline->spare;
        pipeline->spare = batch->next;
        batch_free(batch);
    }
    free(pipeline->request.offsets);
    pthread_cond_destroy(&pipeline->changed);
    pthread_mutex_destroy(&pipeline->mutex);
    free(pipeline);
}

/* --- laps --- */

uint64_t pipeline_lap(struct pipeline *pipeline)
{
    lock(pipeline);
    uint64_t lap = pipeline->lap;
    unlock(pipeline);
    return lap;
}

void pipeline_end_lap(struct pipeline *pipeline, uint64_t lap, const char *why)
{
    lock(pipeline);
    bool current = pipeline->lap == lap;
    if (current) {
        pipeline->lap++;
        pipeline->restart = true;
        change(pipeline);
    }
    unlock(pipeline);
    if (current)
        log_event(
            LOG_INFO, "start_over",
            "what is in flight is dropped; reading resumes at the committed offsets",
            LOG_T("why", why));
}

bool pipeline_take_restart(struct pipeline *pipeline)
{
    lock(pipeline);
    bool restart = pipeline->restart;
    pipeline->restart = false;
    unlock(pipeline);
    return restart;
}

void pipeline_note_progress(struct pipeline *pipeline)
{
    lock(pipeline);
    pipeline->progress = true;
    unlock(pipeline);
}

bool pipeline_take_progress(struct pipeline *pipeline)
{
    lock(pipeline);
    bool progress = pipeline->progress;
    pipeline->progress = false;
    unlock(pipeline);
    return progress;
}

static void release_records(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        source_release(&batch->records[i]);
}

static void give_back(struct pipeline *pipeline, struct batch *batch)
{
    pipeline->records_out -= batch->count;
    pipeline->bytes_out -= batch->bytes;
    batch->bytes = 0;
    batch->count = batch->next_offset_count = batch->results_used = 0;
    batch->next = pipeline->spare;
    pipeline->spare = batch;
    pipeline->batches_out--;
}

void pipeline_new_lap(struct pipeline *pipeline)
{
    lock(pipeline);
    pipeline->lap++;
    pipeline->restart = false;
    for (size_t i = 0; i < pipeline->posters; i++) {
        struct batch *batch = pipeline->filling[i];
        pipeline->filling[i] = NULL;
        if (batch == NULL)
            continue;
        release_records(batch);
        give_back(pipeline, batch);
    }
    change(pipeline);
    unlock(pipeline);
}

/* --- reader to poster --- */

static struct batch *take_spare(struct pipeline *pipeline)
{
    struct batch *batch = pipeline->spare;
    if (batch != NULL)
        pipeline->spare = batch->next;
    else if (pipeline->batches_made < pipeline->batches_max) {
        batch = batch_new(pipeline->batch_records);
        pipeline->batches_made++;
    }
    if (batch == NULL)
        return NULL;
    batch->next = NULL;
    batch->lap = pipeline->lap;
    pipeline->batches_out++;
    return batch;
}

/* Of the records in flight; a batch has its own limit. */
static bool has_room(const struct pipeline *pipeline)
{
    return pipeline->records_out <
               (FULL_BATCHES + 2 * pipeline->posters) * pipeline->batch_records &&
           pipeline->bytes_out < BYTES_MAX;
}

static enum put put_locked(struct pipeline *pipeline, struct record *record)
{
    struct batch **filling =
        &pipeline->filling[(uint32_t)record->partition % pipeline->posters];
    if (pipeline->restart || (*filling != NULL && (*filling)->lap != pipeline->lap))
        return PUT_STALE;
    if (*filling == NULL && has_room(pipeline))
        *filling = take_spare(pipeline);
    if (*filling == NULL || (*filling)->count == (*filling)->capacity ||
        !has_room(pipeline))
        return PUT_NO_ROOM;
    (*filling)->records[(*filling)->count++] = *record;
    record->origin = NULL;
    (*filling)->bytes += record->size;
    pipeline->records_out++;
    pipeline->bytes_out += record->size;
    if ((*filling)->count == 1)
        change(pipeline);
    return PUT_DONE;
}

enum put pipeline_put(struct pipeline *pipeline, struct record *record)
{
    lock(pipeline);
    enum put put = put_locked(pipeline, record);
    unlock(pipeline);
    return put;
}

void pipeline_wait_room(struct pipeline *pipeline, int64_t wait_ms)
{
    lock(pipeline);
    wait_change_until(pipeline, clock_monotonic_ms() + wait_ms);
    unlock(pipeline);
}

/* Offsets that were asked for and are not committed yet are in flight, too: carried out
 * after a rebalance, they would go back behind what the next owner has committed. */
static bool has_in_flight(const struct pipeline *pipeline)
{
    return pipeline->batches_out > 0 || pipeline->request.state == REQUEST_ASKED ||
           pipeline->request.state == REQUEST_TAKEN;
}

bool pipeline_wait_idle(struct pipeline *pipeline, int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    lock(pipeline);
    while (has_in_flight(pipeline) && !pipeline->restart &&
           wait_change_until(pipeline, deadline_ms))
        continue;
    bool idle = !has_in_flight(pipeline) && !pipeline->restart;
    unlock(pipeline);
    return idle;
}

bool pipeline_is_idle(struct pipeline *pipeline)
{
    lock(pipeline);
    bool idle = !has_in_flight(pipeline) && !pipeline->restart;
    unlock(pipeline);
    return idle;
}

static struct batch *take_filling(struct pipeline *pipeline, size_t poster)
{
    while (pipeline->filling[poster] == NULL && !pipeline->closing)
        wait_change(pipeline);
    struct batch *batch = pipeline->filling[poster];
    pipeline->filling[poster] = NULL;
    if (batch == NULL)
        pipeline->posters_running--;
    change(pipeline);
    return batch;
}

struct batch *pipeline_take(struct pipeline *pipeline, size_t poster)
{
    lock(pipeline);
    struct batch *batch = take_filling(pipeline, poster);
    unlock(pipeline);
    return batch;
}

/* --- poster to replier --- */

void pipeline_hand_over(struct pipeline *pipeline, struct batch *batch)
{
    lock(pipeline);
    batch->next = NULL;
    *pipeline->decided_end = batch;
    pipeline->decided_end = &batch->next;
    pipeline->decided_count++;
    change(pipeline);
    unlock(pipeline);
}

void pipeline_drop(struct pipeline *pipeline, struct batch *batch)
{
    release_records(batch);
    lock(pipeline);
    give_back(pipeline, batch);
    change(pipeline);
    unlock(pipeline);
}

void pipeline_compact(struct pipeline *pipeline, struct batch *batch, size_t first)
{
    size_t kept = first, released = 0;
    for (size_t i = first; i < batch->count; i++)
        if (batch->records[i].origin != NULL)
            batch->records[kept++] = batch->records[i];
        else
            released += batch->records[i].size;
    lock(pipeline);
    pipeline->records_out -= batch->count - kept;
    pipeline->bytes_out -= released;
    batch->bytes -= released;
    batch->count = kept;
    unlock(pipeline);
}

static bool has_decided_work(const struct pipeline *pipeline)
{
    return pipeline->decided != NULL || pipeline->request.state == REQUEST_ASKED;
}

static void take_request(struct pipeline *pipeline, struct replier_work *work)
{
    pipeline->request.state = REQUEST_TAKEN;
    work->offsets = pipeline->request.offsets;
    work->offset_count = pipeline->request.count;
    work->lap = pipeline->request.lap;
}

static void take_batches(struct pipeline *pipeline, struct replier_work *work)
{
    work->batches = pipeline->decided;
    work->count = pipeline->decided_count;
    pipeline->decided = NULL;
    pipeline->decided_end = &pipeline->decided;
    pipeline->decided_count = 0;
}

bool pipeline_take_decided(struct pipeline *pipeline, struct replier_work *work)
{
    memset(work, 0, sizeof *work);
    lock(pipeline);
    pipeline->replying = false;
    while (!has_decided_work(pipeline) && pipeline->posters_running > 0)
        wait_change(pipeline);
    bool found = has_decided_work(pipeline);
    pipeline->replying = found;
    if (pipeline->decided != NULL)
        take_batches(pipeline, work);
    else if (found)
        take_request(pipeline, work);
    unlock(pipeline);
    return found;
}

bool pipeline_is_replying(struct pipeline *pipeline)
{
    lock(pipeline);
    bool replying = pipeline->replying;
    unlock(pipeline);
    return replying;
}

static void ask(struct pipeline *pipeline, const struct next_offset *offsets,
                size_t count)
{
    struct request *request = &pipeline->request;
    if (count > request->capacity) {
        free(request->offsets);
        request->offsets = calloc(count, sizeof *offsets);
        MUST(request->offsets != NULL);
        request->capacity = count;
    }
    memcpy(request->offsets, offsets, count * sizeof *offsets);
    request->count = count;
    request->lap = pipeline->lap;
    request->state = REQUEST_ASKED;
    change(pipeline);
}

/* A request that the replier has taken is not taken back: it may still be carried out,
 * which does no harm, but a second one must wait until it is answered. */
bool pipeline_commit_offsets(struct pipeline *pipeline, const struct next_offset *offsets,
                             size_t count, int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    struct request *request = &pipeline->request;
    lock(pipeline);
    while (request->state == REQUEST_TAKEN && !pipeline->closing &&
           wait_change_until(pipeline, deadline_ms))
        continue;
    if (request->state != REQUEST_TAKEN)
        ask(pipeline, offsets, count);
    while ((request->state == REQUEST_ASKED || request->state == REQUEST_TAKEN) &&
           !pipeline->closing && wait_change_until(pipeline, deadline_ms))
        continue;
    bool done = request->state == REQUEST_DONE;
    if (request->state != REQUEST_TAKEN)
        request->state = REQUEST_NONE;
    unlock(pipeline);
    return done;
}

void pipeline_answer_request(struct pipeline *pipeline, bool done)
{
    lock(pipeline);
    pipeline->request.state = done ? REQUEST_DONE : REQUEST_FAILED;
    change(pipeline);
    unlock(pipeline);
}

/* --- halted partitions --- */

static size_t find_halt(const struct pipeline *pipeline, int32_t partition)
{
    size_t index = 0;
    while (index < pipeline->halt_count && pipeline->halts[index].partition != partition)
        index++;
    return index;
}

void pipeline_halt(struct pipeline *pipeline, const struct halt *halt)
{
    lock(pipeline);
    if (find_halt(pipeline, halt->partition) == pipeline->halt_count) {
        MUST(pipeline->halt_count < HALTS_MAX);
        pipeline->halts[pipeline->halt_count++] = *halt;
    }
    unlock(pipeline);
}

bool pipeline_is_halted(struct pipeline *pipeline, int32_t partition)
{
    lock(pipeline);
    bool halted = find_halt(pipeline, partition) < pipeline->halt_count;
    unlock(pipeline);
    return halted;
}

bool pipeline_halt_at(struct pipeline *pipeline, size_t index, struct halt *halt)
{
    lock(pipeline);
    bool found = index < pipeline->halt_count;
    if (found)
        *halt = pipeline->halts[index];
    unlock(pipeline);
    return found;
}

void pipeline_forget_halt(struct pipeline *pipeline, int32_t partition)
{
    lock(pipeline);
    size_t index = find_halt(pipeline, partition);
    if (index < pipeline->halt_count)
        pipeline->halts[index] = pipeline->halts[--pipeline->halt_count];
    unlock(pipeline);
}

/* --- the end --- */

void pipeline_close(struct pipeline *pipeline)
{
    lock(pipeline);
    pipeline->closing = true;
    change(pipeline);
    unlock(pipeline);
}

bool pipeline_is_closing(struct pipeline *pipeline)
{
    lock(pipeline);
    bool closing = pipeline->closing;
    unlock(pipeline);
    return closing;
}

void pipeline_fail(struct pipeline *pipeline, enum exit_code code)
{
    lock(pipeline);
    if (pipeline->failure == EXIT_CODE_DONE)
        pipeline->failure = code;
    pipeline->lap++;
    pipeline->restart = true;
    change(pipeline);
    unlock(pipeline);
}

enum exit_code pipeline_failure(struct pipeline *pipeline)
{
    lock(pipeline);
    enum exit_code code = pipeline->failure;
    unlock(pipeline);
    return code;
}

void pipeline_rest(struct pipeline *pipeline, uint64_t lap, int64_t wait_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + wait_ms;
    lock(pipeline);
    while (pipeline->lap == lap && !pipeline->closing &&
           wait_change_until(pipeline, deadline_ms))
        continue;
    unlock(pipeline);
}
