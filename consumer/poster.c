/* poster.c: takes a batch, has it decided and committed in Postgres, and hands the
 * answers to the replier.
 *
 * A batch is posted in runs: normally one run. When the database refuses a run for its
 * data, the run is halved until the record stands alone; that record becomes poison, and
 * the runs grow again. A run is redone from the lookup after anything unclear: the unique
 * key settles what was in doubt. Checks right before COMMIT that the lap and the
 * assignment still stand. */
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "consumer/core/decide.h"
#include "consumer/core/next_step.h"
#include "consumer/failpoint.h"
#include "consumer/jitter.h"
#include "consumer/metrics.h"
#include "consumer/posting_memory.h"
#include "consumer/stages.h"
#include "schema/result.h"

enum { RETRY_BASE_MS = 5, RETRY_CAP_MS = 1000 };

struct poster {
    const struct stage *stage;
    struct store *store;
    struct posting *posting;
    uint64_t faults; /* in a row, for the log */
    int64_t begun_at_us;
};

static bool is_stale(const struct poster *poster, const struct batch *batch)
{
    return pipeline_lap(poster->stage->pipeline) != batch->lap ||
           source_is_lost(poster->stage->settings->source);
}

/* --- the run: positions, lookup, decision, results, commit --- */

static struct position *position_of(struct posting *posting, int32_t partition)
{
    for (size_t i = posting->position_count; i > 0; i--)
        if (posting->positions[i - 1].partition == partition)
            return &posting->positions[i - 1];
    return NULL;
}

static void add_position(struct posting *posting, const struct record *record)
{
    struct position *position = position_of(posting, record->partition);
    if (position == NULL) {
        position = &posting->positions[posting->position_count++];
        *position = (struct position){.partition = record->partition,
                                      .epoch = record->epoch,
                                      .from_offset = record->follows};
    }
    position->next_offset = record->offset + 1;
    position->last = (struct witness){true, record->offset, record->timestamp_ms};
}

static void begin_run(struct poster *poster, const struct batch *batch, size_t first,
                      size_t count)
{
    struct posting *posting = poster->posting;
    posting->records = &batch->records[first];
    posting->count = count;
    posting->position_count = 0;
    for (size_t i = 0; i < count; i++)
        add_position(posting, &posting->records[i]);
}

/* A database that stands before the position we read from has lost what it once
 * committed: posting on would leave a hole. Claiming again finds the right place (DESIGN
 * §4, C > W). */
static bool went_back(const struct posting *posting)
{
    for (size_t i = 0; i < posting->position_count; i++) {
        const struct position *position = &posting->positions[i];
        if (position->known_next_offset >= position->from_offset)
            continue;
        log_event(LOG_ERROR, "database_went_back",
                  "the database knows less than it had committed",
                  LOG_I("partition", position->partition),
                  LOG_I("next_offset", position->known_next_offset),
                  LOG_I("expected", position->from_offset));
        return true;
    }
    return false;
}

static void write_result(struct posting *posting, struct batch *batch, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    posting->results[index] = NULL;
    posting->result_sizes[index] = 0;
    if (decision->kind != DECISION_NEW || !record->intake.has_key)
        return;
    struct result result = {.intake = &record->intake,
                            .outcome = decision->outcome,
                            .code = decision->code,
                            .payment_id = &record->payment_id,
                            .balance_minor = decision->balance_minor};
    char *bytes = batch_reserve(batch, RESULT_MAX);
    posting->result_sizes[index] = result_write(&result, bytes);
    posting->results[index] = bytes;
    batch->results_used -= RESULT_MAX - posting->result_sizes[index];
}

static enum port_status give_up(struct poster *poster, enum port_status why)
{
    store_rollback(poster->store);
    return why;
}

static enum port_status try_run(struct poster *poster, struct batch *batch)
{
    struct posting *posting = poster->posting;
    if (is_stale(poster, batch))
        return PORT_FENCED;
    enum port_status status =
        FAILPOINT(LOOKUP_BEGUN) ? PORT_RETRY : store_lookup(poster->store, posting);
    if (status != PORT_OK)
        return status;
    if (went_back(posting))
        return give_up(poster, PORT_FENCED);
    if (FAILPOINT(LOOKUP_DONE))
        return give_up(poster, PORT_RETRY);
    decide_posting(posting);
    for (size_t i = 0; i < posting->count; i++)
        write_result(posting, batch, i);
    if (is_stale(poster, batch))
        return give_up(poster, PORT_FENCED);
    if (FAILPOINT(DECIDED) || FAILPOINT(COMMIT_BEGUN))
        return give_up(poster, PORT_RETRY);
    status = store_commit(poster->store, posting);
    return status == PORT_OK && FAILPOINT(COMMIT_DONE) ? PORT_IN_DOUBT : status;
}

/* --- after the commit: answers, offsets, halts --- */

static void keep_bytes(struct batch *batch, struct answer *answer,
                       const struct kept *kept)
{
    if (kept->result == NULL)
        return;
    char *bytes = batch_reserve(batch, kept->result_size);
    memcpy(bytes, kept->result, kept->result_size);
    answer->result = bytes;
    answer->result_size = kept->result_size;
}

static void settle_one(struct batch *batch, struct answer *answers,
                       const struct posting *posting, size_t index)
{
    const struct decision *decision = &posting->decisions[index];
    struct answer *answer = &answers[index];
    *answer = (struct answer){.outcome = decision->outcome,
                              .code = decision->code,
                              .replayed = decision->kind != DECISION_NEW};
    switch (decision->kind) {
    case DECISION_NEW:
        answer->result = posting->results[index];
        answer->result_size = posting->result_sizes[index];
        break;
    case DECISION_TWIN:
        answer->result = answers[decision->twin].result;
        answer->result_size = answers[decision->twin].result_size;
        break;
    case DECISION_INBOX:
        keep_bytes(batch, answer, &posting->inbox[index]);
        break;
    case DECISION_LETTER:
        keep_bytes(batch, answer, &posting->letters[index]);
        break;
    case DECISION_HALT:
    case DECISION_SKIPPED:
        answer->outcome = OUTCOME_NONE;
        break;
    }
}

static void advance(struct batch *batch, int32_t partition, int64_t offset)
{
    for (size_t i = 0; i < batch->next_offset_count; i++)
        if (batch->next_offsets[i].partition == partition) {
            batch->next_offsets[i].offset = offset;
            return;
        }
    batch->next_offsets[batch->next_offset_count++] =
        (struct next_offset){.partition = partition, .offset = offset};
}

static void settle_position(struct poster *poster, struct batch *batch,
                            const struct position *position)
{
    advance(batch, position->partition, position->next_offset);
    if (!position->halted)
        return;
    struct halt halt = {.partition = position->partition,
                        .reason = HALT_ROWS_MISSING,
                        .offset = position->halt_offset};
    pipeline_halt(poster->stage->pipeline, &halt);
}

static void settle(struct poster *poster, struct batch *batch, size_t first)
{
    const struct posting *posting = poster->posting;
    for (size_t i = 0; i < posting->count; i++)
        settle_one(batch, &batch->answers[first], posting, i);
    for (size_t i = 0; i < posting->position_count; i++)
        settle_position(poster, batch, &posting->positions[i]);
}

/* --- faults --- */

static void log_fault(struct poster *poster, const struct batch *batch, size_t first,
                      enum port_status status)
{
    const struct record *record = &batch->records[first];
    bool expected = status == PORT_RETRY &&
                    strcmp(store_sqlstate(poster->store), STORE_COLLISION) == 0;
    if (log_is_due(&poster->faults))
        log_event(expected ? LOG_DEBUG : LOG_WARNING, "posting_failed",
                  store_fault(poster->store), LOG_T("status", port_status_name(status)),
                  LOG_T("sqlstate", store_sqlstate(poster->store)),
                  LOG_I("partition", record->partition), LOG_I("offset", record->offset),
                  LOG_I("records", poster->posting->count),
                  LOG_I("faults", poster->faults));
}

static enum progress progress_of(const struct posting *posting)
{
    if (posting->count > 1)
        return PROGRESS_MANY;
    return posting->records[0].poisoned ? PROGRESS_POISON : PROGRESS_SINGLE;
}

/* A run is what of the batch is posted at once: records[first..first + count). */
struct run {
    size_t first, count;
    size_t wanted; /* for the next one */
    unsigned attempt;
};

static enum step post_run(struct poster *poster, struct batch *batch,
                          const struct run *run)
{
    size_t results_mark = batch->results_used;
    begin_run(poster, batch, run->first, run->count);
    enum port_status status = try_run(poster, batch);
    if (status != PORT_OK) {
        batch->results_used = results_mark;
        log_fault(poster, batch, run->first, status);
        metrics_posting_failed(status);
    }
    return next_step(progress_of(poster->posting), status,
                     pipeline_is_closing(poster->stage->pipeline));
}

/* --- the batch --- */

/* Takes records of halted partitions out of what is still to be posted. */
static void leave_out_halted(struct poster *poster, struct batch *batch, size_t first)
{
    struct pipeline *pipeline = poster->stage->pipeline;
    struct halt halt;
    if (!pipeline_halt_at(pipeline, 0, &halt))
        return;
    for (size_t i = first; i < batch->count; i++) {
        if (!pipeline_is_halted(pipeline, batch->records[i].partition))
            continue;
        source_release(&batch->records[i]);
        batch->answers[i].outcome = OUTCOME_NONE;
    }
    pipeline_compact(pipeline, batch, first);
}

static void poison(struct poster *poster, struct record *record)
{
    record->poisoned = true;
    log_event(LOG_ERROR, "poison",
              "the database refuses this record; it is dead-lettered",
              LOG_T("sqlstate", store_sqlstate(poster->store)),
              LOG_I("partition", record->partition), LOG_I("offset", record->offset),
              LOG_T("key", record->intake.command.key));
}

/* Where no call is at hand that could fail, a failpoint ends the lap. */
static void end_lap_if(struct poster *poster, const struct batch *batch, bool failed)
{
    if (failed)
        pipeline_end_lap(poster->stage->pipeline, batch->lap, "failpoint");
}

static void go_on(struct poster *poster, struct batch *batch, struct run *run)
{
    poster->faults = 0;
    settle(poster, batch, run->first);
    end_lap_if(poster, batch, FAILPOINT(SETTLED));
    run->first += run->count;
    run->wanted = 2 * run->count;
    run->attempt = 0;
}

/* False when the batch is to be dropped. */
static bool take_step(struct poster *poster, struct batch *batch, struct run *run,
                      enum step step)
{
    struct pipeline *pipeline = poster->stage->pipeline;
    switch (step) {
    case STEP_GO_ON:
        go_on(poster, batch, run);
        return true;
    case STEP_TRY_AGAIN:
        pipeline_rest(pipeline, batch->lap,
                      jitter_ms(run->attempt++, RETRY_BASE_MS, RETRY_CAP_MS));
        return true;
    case STEP_HALVE:
        run->wanted = run->count / 2;
        return true;
    case STEP_POISON:
        poison(poster, &batch->records[run->first]);
        end_lap_if(poster, batch, FAILPOINT(POISONED));
        return true;
    case STEP_START_OVER:
    case STEP_SETTLE:
    case STEP_LEAVE:
        pipeline_end_lap(pipeline, batch->lap, step_name(step));
        return false;
    case STEP_YIELD:
    case STEP_END:
    case STEP_COUNT:
        break;
    }
    pipeline_fail(pipeline, EXIT_CODE_INTERNAL);
    return false;
}

static bool post_batch(struct poster *poster, struct batch *batch)
{
    struct run run = {.wanted = batch->count};
    for (;;) {
        leave_out_halted(poster, batch, run.first);
        if (run.first == batch->count)
            return true;
        size_t left = batch->count - run.first;
        run.count = run.wanted < left ? run.wanted : left;
        if (!take_step(poster, batch, &run, post_run(poster, batch, &run)))
            return false;
    }
}

static void hand_over(struct poster *poster, struct batch *batch)
{
    struct pipeline *pipeline = poster->stage->pipeline;
    metrics_posted(batch, clock_monotonic_us() - poster->begun_at_us);
    end_lap_if(poster, batch, FAILPOINT(HAND_OVER_BEGUN));
    pipeline_hand_over(pipeline, batch);
    if (FAILPOINT(HAND_OVER_DONE))
        pipeline_end_lap(pipeline, pipeline_lap(pipeline), "failpoint");
}

void poster_run(const struct stage *stage)
{
    struct poster poster = {.stage = stage,
                            .store = stage->settings->poster_stores[stage->poster],
                            .posting = posting_new(stage->settings->batch_records)};
    struct batch *batch;
    while ((batch = pipeline_take(stage->pipeline, stage->poster)) != NULL) {
        poster.begun_at_us = clock_monotonic_us();
        end_lap_if(&poster, batch, FAILPOINT(BATCH_TAKEN));
        if (!is_stale(&poster, batch) && post_batch(&poster, batch))
            hand_over(&poster, batch);
        else
            pipeline_drop(stage->pipeline, batch);
    }
    posting_free(poster.posting);
}
