/* reader.c: owns the partitions: claims them, has them read, decodes, and feeds the
 * posters.
 *
 * A partition's life here is a *lane*: owned but unclaimed → attached (being read) →
 * perhaps halted. Claiming asks Kafka and the database where the partition stands and
 * lets core/position decide. Never stops polling for long, whatever the stages behind it
 * do: when they have no room it holds one record, then pauses delivery and keeps polling.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "consumer/core/next_step.h"
#include "consumer/failpoint.h"
#include "consumer/jitter.h"
#include "consumer/metrics.h"
#include "consumer/stages.h"

enum {
    LANES_MAX = WORKER_PARTITIONS_MAX,
    POLL_MS = 100,
    TURN_RECORDS = 64, /* a fraction of a millisecond's work */
    CLAIM_BASE_MS = 100,
    CLAIM_CAP_MS = 2000,
    LAP_CAP_MS = 5000,
    COMMIT_FIRST_WAIT_MS = 8000,
    ROOM_WAIT_MS = 20,
    HOLD_MS =
        2000, /* shorter hiccups are waited for: resuming after a pause costs up to 1 s */
    NO_TIMESTAMP = -2, /* no record has this one */
    LOOK_EVERY_MS = 1000,
    DRAIN_MS = 5000, /* to finish what is in hand before partitions are given back */
};

enum lane_state { LANE_UNCLAIMED, LANE_ATTACHED, LANE_HALTED };

struct lane {
    int32_t partition;
    enum lane_state state;
    bool has_target, reached; /* for --until-end */
    int64_t epoch;
    int64_t position; /* everything below was handed on, or was decided before */
    int64_t target;   /* the end that the log had when we saw it first */
    bool checks;      /* the witness has to be read before anything else is believed */
    struct witness witness;
    enum halt_reason suspected; /* by the last claim; see is_confirmed() */
};

struct reader {
    const struct stage *stage;
    struct lane *lanes; /* sorted by partition */
    size_t lane_count;
    bool assigned; /* the group has spoken, and nothing was taken away since */
    int64_t assigned_at_ms;
    int64_t claim_at_ms;
    unsigned claim_attempt;
    unsigned idle_laps; /* in a row that ended before anything was answered */
    struct record held; /* what had no room; origin NULL: none */
    int64_t held_since_ms;
    bool paused;
    size_t halts_seen;
    bool anything_halted;
    int64_t look_at_ms;  /* look_around() */
    struct marks *marks; /* scratch of a claim, [LANES_MAX] like those below */
    struct claim *claims;
    int32_t *partitions;
    struct attachment *attachments;
    struct next_offset *first_offsets;
};

static struct lane *lane_of(struct reader *reader, int32_t partition)
{
    for (size_t i = 0; i < reader->lane_count; i++)
        if (reader->lanes[i].partition == partition)
            return &reader->lanes[i];
    return NULL;
}

/* --- laps --- */

static void drop_held(struct reader *reader)
{
    source_release(&reader->held);
    reader->paused = false;
}

static void unclaim(struct lane *lane)
{
    if (lane->state == LANE_ATTACHED)
        lane->state = LANE_UNCLAIMED;
    lane->reached = false;
}

/* Where no call is at hand that could fail, a failpoint ends the lap. */
static void end_lap_if(struct reader *reader, bool failed)
{
    if (failed)
        pipeline_end_lap(reader->stage->pipeline, pipeline_lap(reader->stage->pipeline),
                         "failpoint");
}

/* The one way back from every trouble. */
static void start_over(struct reader *reader)
{
    end_lap_if(reader, FAILPOINT(RESTART_BEGUN));
    pipeline_new_lap(reader->stage->pipeline);
    drop_held(reader);
    source_detach(reader->stage->settings->source);
    for (size_t i = 0; i < reader->lane_count; i++)
        unclaim(&reader->lanes[i]);
    if (pipeline_take_progress(reader->stage->pipeline))
        reader->idle_laps = 0;
    reader->claim_at_ms =
        clock_monotonic_ms() + jitter_ms(reader->idle_laps++, CLAIM_BASE_MS, LAP_CAP_MS);
    end_lap_if(reader, FAILPOINT(RESTART_DONE));
}

/* --- halts --- */

static void halt_lane(struct reader *reader, struct lane *lane, enum halt_reason reason,
                      int64_t offset)
{
    end_lap_if(reader, FAILPOINT(HALT_BEGUN));
    log_event(LOG_ERROR, "halted", position_halt_sentence(reason),
              LOG_T("reason", position_halt_name(reason)),
              LOG_I("partition", lane->partition), LOG_I("offset", offset));
    lane->state = LANE_HALTED;
    metrics_halted(lane->partition, reason, offset);
    reader->anything_halted = true;
    end_lap_if(reader, FAILPOINT(HALT_DONE));
}

static void follow_halts(struct reader *reader)
{
    struct halt halt;
    for (; pipeline_halt_at(reader->stage->pipeline, reader->halts_seen, &halt);
         reader->halts_seen++) {
        struct lane *lane = lane_of(reader, halt.partition);
        if (lane == NULL || lane->state == LANE_HALTED)
            continue;
        source_halt(reader->stage->settings->source, halt.partition);
        halt_lane(reader, lane, halt.reason, halt.offset);
    }
}

/* --- the assignment --- */

static int compare_lanes(const void *left, const void *right)
{
    const struct lane *a = left, *b = right;
    return (a->partition > b->partition) - (a->partition < b->partition);
}

/* A halt that was noted after the partition had gone is of an earlier time; the claim
 * asks again. */
static void add_lane(struct reader *reader, int32_t partition)
{
    pipeline_forget_halt(reader->stage->pipeline, partition);
    reader->halts_seen = 0;
    reader->lanes[reader->lane_count++] = (struct lane){.partition = partition};
    metrics_own(partition);
}

static void follow_owned(struct reader *reader)
{
    size_t owned =
        source_owned(reader->stage->settings->source, reader->partitions, LANES_MAX);
    size_t known = reader->lane_count;
    for (size_t i = 0; i < owned; i++)
        if (lane_of(reader, reader->partitions[i]) == NULL)
            add_lane(reader, reader->partitions[i]);
    qsort(reader->lanes, reader->lane_count, sizeof *reader->lanes, compare_lanes);
    log_event(LOG_INFO, "assigned", "the group gave us partitions",
              LOG_I("partitions", owned), LOG_I("new", reader->lane_count - known));
    reader->assigned = true;
    reader->assigned_at_ms = clock_monotonic_ms();
    reader->claim_attempt = 0;
    reader->claim_at_ms = 0;
    end_lap_if(reader, FAILPOINT(ASSIGNED));
}

static bool is_owned(const int32_t *partitions, size_t count, int32_t partition)
{
    for (size_t i = 0; i < count; i++)
        if (partitions[i] == partition)
            return true;
    return false;
}

static void forget_lanes(struct reader *reader)
{
    size_t owned =
        source_owned(reader->stage->settings->source, reader->partitions, LANES_MAX);
    size_t kept = 0;
    for (size_t i = 0; i < reader->lane_count; i++) {
        struct lane lane = reader->lanes[i];
        if (is_owned(reader->partitions, owned, lane.partition)) {
            reader->lanes[kept++] = lane;
            continue;
        }
        pipeline_forget_halt(reader->stage->pipeline, lane.partition);
        metrics_disown(lane.partition);
    }
    reader->lane_count = kept;
    reader->halts_seen = 0;
}

/* What is in hand is finished first, so that the next owner has little to redo. */
static void give_back(struct reader *reader, bool lost)
{
    struct pipeline *pipeline = reader->stage->pipeline;
    end_lap_if(reader, FAILPOINT(REVOKE_BEGUN));
    bool drained = !lost && pipeline_wait_idle(pipeline, DRAIN_MS);
    bool finished = drained && reader->held.origin == NULL;
    log_event(LOG_INFO, lost ? "lost" : "revoked",
              lost ? "the group took partitions away"
                   : "the group asks for partitions back",
              LOG_T("finished", drained ? "yes" : "no"));
    if (!finished || FAILPOINT(REVOKE_DRAINED))
        start_over(reader);
    source_yield(reader->stage->settings->source);
    forget_lanes(reader);
    reader->assigned = reader->lane_count > 0;
    end_lap_if(reader, FAILPOINT(REVOKE_DONE));
}

/* --- claiming --- */

static size_t unclaimed(struct reader *reader)
{
    size_t count = 0;
    for (size_t i = 0; i < reader->lane_count; i++)
        if (reader->lanes[i].state == LANE_UNCLAIMED)
            reader->partitions[count++] = reader->lanes[i].partition;
    return count;
}

static void describe(struct reader *reader, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        reader->marks[i].has_next_offset = reader->claims[i].had_row;
        reader->marks[i].next_offset = reader->claims[i].next_offset;
        reader->marks[i].witness = reader->claims[i].last;
    }
}

/* Kafka first: a committed offset that another owner still adds while we claim can only
 * make us read a little more again. */
static enum port_status ask_everybody(struct reader *reader, size_t count)
{
    const struct worker_settings *settings = reader->stage->settings;
    if (FAILPOINT(CLAIM_BEGUN))
        return PORT_RETRY;
    enum port_status status =
        source_marks(settings->source, reader->partitions, reader->marks, count);
    if (status != PORT_OK || FAILPOINT(CLAIM_MARKED))
        return status == PORT_OK ? PORT_RETRY : status;
    for (size_t i = 0; i < count; i++)
        reader->claims[i] = (struct claim){.partition = reader->partitions[i],
                                           .log_start = reader->marks[i].log_start};
    status = store_claim(settings->reader_store, reader->claims, count);
    if (status == PORT_OK)
        describe(reader, count);
    else if (reader->claim_attempt < 2 || log_is_on(LOG_DEBUG))
        log_event(LOG_WARNING, "claim_failed", store_fault(settings->reader_store),
                  LOG_T("status", port_status_name(status)),
                  LOG_T("sqlstate", store_sqlstate(settings->reader_store)));
    return status;
}

static void take_claim(struct lane *lane, const struct claim *claim,
                       const struct marks *marks, const struct resume *resume)
{
    lane->epoch = claim->epoch;
    lane->checks = position_needs_witness(marks);
    lane->witness = marks->witness;
    lane->position = resume->offset;
    if (!lane->has_target)
        lane->target = marks->log_end;
    lane->has_target = true;
    lane->reached = resume->offset >= lane->target;
    metrics_resume(lane->partition, resume->offset, marks->log_end);
}

/* A witness below the position is only looked at. */
static int64_t first_to_read(const struct lane *lane)
{
    bool before = lane->checks && lane->witness.offset < lane->position;
    return before ? lane->witness.offset : lane->position;
}

struct plan {
    size_t to_attach, to_commit, to_confirm;
};

/* What Kafka said before our claim may be older than what another owner, a zombie
 * perhaps, posted until then. So it takes a second claim that finds the same. Until then
 * nothing is attached: with the eager protocol that is done for all at once. */
static bool is_confirmed(struct lane *lane, const struct resume *resume)
{
    bool again = lane->suspected == resume->reason;
    lane->suspected = resume->reason;
    return again;
}

static struct plan plan_resume(struct reader *reader, size_t count)
{
    struct plan plan = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = lane_of(reader, reader->partitions[i]);
        struct resume resume = position_resume(&reader->marks[i]);
        bool confirmed = is_confirmed(lane, &resume);
        if (resume.kind == RESUME_HALT && confirmed)
            halt_lane(reader, lane, resume.reason, resume.offset);
        if (resume.kind == RESUME_HALT) {
            plan.to_confirm += !confirmed;
            continue;
        }
        if (resume.kind == RESUME_COMMIT_FIRST)
            reader->first_offsets[plan.to_commit++] =
                (struct next_offset){lane->partition, resume.offset};
        take_claim(lane, &reader->claims[i], &reader->marks[i], &resume);
        reader->attachments[plan.to_attach++] =
            (struct attachment){lane->partition, first_to_read(lane)};
    }
    return plan;
}

static bool attach(struct reader *reader, size_t count)
{
    if (FAILPOINT(ATTACH_BEGUN) ||
        (count > 0 && source_attach(reader->stage->settings->source, reader->attachments,
                                    count) != PORT_OK))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = lane_of(reader, reader->attachments[i].partition);
        lane->state = LANE_ATTACHED;
        log_event(LOG_INFO, "reading", "a partition is claimed and read",
                  LOG_I("partition", lane->partition), LOG_I("offset", lane->position),
                  LOG_I("epoch", lane->epoch));
    }
    end_lap_if(reader, FAILPOINT(ATTACH_DONE));
    return true;
}

/* Nothing is read before the offset to start at is a committed one: a crash after the
 * first posting would leave answers that nobody sends. */
static bool commit_first(struct reader *reader, size_t count)
{
    if (count == 0)
        return true;
    return !FAILPOINT(FIRST_COMMIT_BEGUN) &&
           pipeline_commit_offsets(reader->stage->pipeline, reader->first_offsets, count,
                                   COMMIT_FIRST_WAIT_MS) &&
           !FAILPOINT(FIRST_COMMIT_DONE);
}

/* True when nothing is left to claim. Asked to stop, it is left at one fault: goes_on()
 * ends the reader before a second attempt. */
static bool claim(struct reader *reader, size_t count)
{
    enum port_status status = ask_everybody(reader, count);
    bool stopping = reader->stage->settings->stop_requested();
    enum step step = next_step(PROGRESS_CLAIMING, status, stopping);
    if (step == STEP_END)
        pipeline_fail(reader->stage->pipeline, EXIT_CODE_INTERNAL);
    if (step == STEP_TRY_AGAIN)
        metrics_retry(METRICS_CLAIM);
    if (step != STEP_GO_ON || FAILPOINT(CLAIM_DONE))
        return false;
    struct plan plan = plan_resume(reader, count);
    return plan.to_confirm == 0 && commit_first(reader, plan.to_commit) &&
           attach(reader, plan.to_attach);
}

static void claim_if_due(struct reader *reader)
{
    size_t count = unclaimed(reader);
    if (count == 0 || clock_monotonic_ms() < reader->claim_at_ms ||
        pipeline_is_replying(reader->stage->pipeline))
        return;
    if (claim(reader, count))
        reader->claim_attempt = 0;
    else
        reader->claim_at_ms =
            clock_monotonic_ms() +
            jitter_ms(reader->claim_attempt++, CLAIM_BASE_MS, CLAIM_CAP_MS);
}

/* --- records --- */

static bool put(struct reader *reader, struct record *record)
{
    enum put put = pipeline_put(reader->stage->pipeline, record);
    if (put == PUT_STALE)
        source_release(record);
    return put != PUT_NO_ROOM;
}

/* Waits a little for room, so that short hiccups need no pause; then holds the record. */
static void put_or_hold(struct reader *reader, struct record *record)
{
    if (put(reader, record))
        return;
    reader->held = *record;
    record->origin = NULL;
    reader->held_since_ms = clock_monotonic_ms();
}

/* With --until-end what came later is left alone, or under load no end would come. */
static bool is_beyond_target(const struct reader *reader, const struct lane *lane,
                             int64_t offset)
{
    return reader->stage->settings->until_end && offset >= lane->target;
}

/* False when the topic is not the one we know. */
static bool check_witness(struct reader *reader, struct lane *lane, int64_t offset,
                          int64_t timestamp_ms)
{
    if (!lane->checks || offset < lane->witness.offset)
        return true;
    lane->checks = false;
    if (position_is_witness(&lane->witness, offset, timestamp_ms))
        return true;
    source_halt(reader->stage->settings->source, lane->partition);
    halt_lane(reader, lane, HALT_TOPIC_REPLACED, lane->witness.offset);
    return false;
}

static void take_record(struct reader *reader, struct record *record)
{
    struct lane *lane = lane_of(reader, record->partition);
    if (lane == NULL || lane->state != LANE_ATTACHED ||
        !check_witness(reader, lane, record->offset, record->timestamp_ms) ||
        record->offset < lane->position) {
        source_release(record);
        return;
    }
    if (is_beyond_target(reader, lane, record->offset)) {
        lane->reached = true;
        source_release(record);
        return;
    }
    MUST(reader->held.origin == NULL);
    record->follows = lane->position;
    record->epoch = lane->epoch;
    lane->position = record->offset + 1;
    metrics_read(lane->partition, record->offset, record->timestamp_ms);
    lane->reached = lane->reached || lane->position >= lane->target;
    end_lap_if(reader, FAILPOINT(RECORD_TAKEN));
    put_or_hold(reader, record);
    end_lap_if(reader, FAILPOINT(RECORD_PUT));
}

static void serve_held(struct reader *reader)
{
    if (put(reader, &reader->held)) {
        if (reader->paused) {
            source_pause(reader->stage->settings->source, false);
            end_lap_if(reader, FAILPOINT(RESUMED));
        }
        reader->paused = false;
        return;
    }
    if (!reader->paused && clock_monotonic_ms() - reader->held_since_ms > HOLD_MS) {
        log_note(LOG_WARNING, "paused",
                 "nothing moves behind the reader; reading pauses");
        source_pause(reader->stage->settings->source, true);
        reader->paused = true;
        end_lap_if(reader, FAILPOINT(PAUSED));
    }
    pipeline_wait_room(reader->stage->pipeline, ROOM_WAIT_MS);
}

static void reach_end(struct reader *reader, const struct record *record)
{
    struct lane *lane = lane_of(reader, record->partition);
    if (lane == NULL || lane->state != LANE_ATTACHED ||
        !check_witness(reader, lane, record->offset, NO_TIMESTAMP))
        return;
    lane->reached = lane->reached || record->offset >= lane->target;
    metrics_end(lane->partition, record->offset);
}

static void out_of_range(struct reader *reader, const struct record *record)
{
    struct lane *lane = lane_of(reader, record->partition);
    if (lane == NULL || lane->state != LANE_ATTACHED)
        return;
    if (lane->checks && lane->witness.offset < lane->position) {
        pipeline_end_lap(reader->stage->pipeline, pipeline_lap(reader->stage->pipeline),
                         "the witness was deleted meanwhile");
        return;
    }
    source_halt(reader->stage->settings->source, lane->partition);
    halt_lane(reader, lane, HALT_RECORDS_DELETED, lane->position);
}

static void serve(struct reader *reader, enum source_event event, struct record *record)
{
    switch (event) {
    case SOURCE_NOTHING:
        break;
    case SOURCE_RECORD:
        take_record(reader, record);
        break;
    case SOURCE_END:
        reach_end(reader, record);
        break;
    case SOURCE_ASSIGNED:
        follow_owned(reader);
        break;
    case SOURCE_REVOKED:
        give_back(reader, false);
        break;
    case SOURCE_LOST:
        give_back(reader, true);
        break;
    case SOURCE_OUT_OF_RANGE:
        out_of_range(reader, record);
        break;
    case SOURCE_GONE:
        pipeline_end_lap(reader->stage->pipeline, pipeline_lap(reader->stage->pipeline),
                         "the topic is gone");
        break;
    case SOURCE_FENCED:
        pipeline_fail(reader->stage->pipeline, EXIT_CODE_USAGE);
        break;
    case SOURCE_FATAL:
        pipeline_fail(reader->stage->pipeline, EXIT_CODE_INTERNAL);
        break;
    }
}

/* While a record is held, the only records that may come are events: after the pause
 * nothing is delivered, and before it nobody polls. True when there may be more to read
 * at once. */
static bool poll_once(struct reader *reader, int wait_ms)
{
    struct record record;
    if (reader->held.origin != NULL)
        serve_held(reader);
    if (reader->held.origin != NULL && !reader->paused)
        return false;
    enum source_event event = source_poll(reader->stage->settings->source,
                                          reader->paused ? 0 : wait_ms, &record);
    if (event == SOURCE_RECORD && reader->held.origin != NULL) {
        source_release(&record);
        pipeline_end_lap(reader->stage->pipeline, pipeline_lap(reader->stage->pipeline),
                         "a record came in spite of the pause");
        return false;
    }
    serve(reader, event, &record);
    return event == SOURCE_RECORD && reader->held.origin == NULL;
}

/* Under a backlog the look at everything else is shared by many records. */
static void poll_some(struct reader *reader)
{
    for (int i = 0; i < TURN_RECORDS && poll_once(reader, i == 0 ? POLL_MS : 0); i++)
        continue;
}

/* --- what the admin endpoint shows --- */

/* Who is idle hears of nothing: looks after the other sides now and then. */
static void look_around(struct reader *reader)
{
    const struct worker_settings *settings = reader->stage->settings;
    metrics_beat();
    if (clock_monotonic_ms() < reader->look_at_ms)
        return;
    reader->look_at_ms = clock_monotonic_ms() + LOOK_EVERY_MS;
    for (size_t i = 0; i < reader->lane_count; i++)
        if (reader->lanes[i].state == LANE_ATTACHED)
            metrics_log_end(reader->lanes[i].partition,
                            source_log_end(settings->source, reader->lanes[i].partition));
    if (!metrics_is_up(METRICS_SIDE_KAFKA))
        (void)source_probe(settings->source);
    if (pipeline_is_idle(reader->stage->pipeline))
        (void)store_probe(settings->reader_store);
}

/* --- the end --- */

/* The group gives partitions to members that are dead, until it notices: what nobody
 * reads is not at its end. */
static bool may_inherit(const struct reader *reader)
{
    return reader->lane_count == 0 && clock_monotonic_ms() - reader->assigned_at_ms <
                                          reader->stage->settings->handover_ms;
}

static bool is_at_end(const struct reader *reader)
{
    if (!reader->stage->settings->until_end || !reader->assigned ||
        reader->held.origin != NULL || may_inherit(reader))
        return false;
    for (size_t i = 0; i < reader->lane_count; i++)
        if (reader->lanes[i].state != LANE_HALTED &&
            (reader->lanes[i].state != LANE_ATTACHED || !reader->lanes[i].reached ||
             reader->lanes[i].checks))
            return false;
    return pipeline_is_idle(reader->stage->pipeline);
}

static bool goes_on(struct reader *reader)
{
    return !reader->stage->settings->stop_requested() &&
           pipeline_failure(reader->stage->pipeline) == EXIT_CODE_DONE &&
           !is_at_end(reader);
}

static void *room_for(size_t size)
{
    void *memory = calloc(LANES_MAX, size);
    MUST(memory != NULL);
    return memory;
}

static void reader_init(struct reader *reader, const struct stage *stage)
{
    *reader = (struct reader){.stage = stage};
    reader->lanes = room_for(sizeof *reader->lanes);
    reader->marks = room_for(sizeof *reader->marks);
    reader->claims = room_for(sizeof *reader->claims);
    reader->partitions = room_for(sizeof *reader->partitions);
    reader->attachments = room_for(sizeof *reader->attachments);
    reader->first_offsets = room_for(sizeof *reader->first_offsets);
}

static void reader_clear(struct reader *reader)
{
    free(reader->lanes);
    free(reader->marks);
    free(reader->claims);
    free(reader->partitions);
    free(reader->attachments);
    free(reader->first_offsets);
}

enum exit_code reader_run(const struct stage *stage)
{
    struct reader reader;
    reader_init(&reader, stage);
    while (goes_on(&reader)) {
        if (pipeline_take_restart(stage->pipeline))
            start_over(&reader);
        follow_halts(&reader);
        claim_if_due(&reader);
        look_around(&reader);
        poll_some(&reader);
    }
    follow_halts(&reader);
    end_lap_if(&reader, FAILPOINT(STOP_BEGUN));
    drop_held(&reader);
    pipeline_close(stage->pipeline);
    bool halted = stage->settings->until_end && reader.anything_halted;
    reader_clear(&reader);
    return halted ? EXIT_CODE_HALTED : EXIT_CODE_DONE;
}
