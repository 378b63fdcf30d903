/* replier.c: publishes what was decided. Takes all batches that wait and makes one Kafka
 * transaction of them. After any failure the lap ends: what is visible and committed is
 * then read from Kafka again, never from memory. */
#include "base/log.h"
#include "consumer/core/next_step.h"
#include "consumer/failpoint.h"
#include "consumer/jitter.h"
#include "consumer/metrics.h"
#include "consumer/stages.h"

enum {
    RECOVER_BASE_MS = 50,
    RECOVER_CAP_MS = 2000,
    TOGETHER_MAX = 256,
};

struct replier {
    const struct stage *stage;
    uint64_t lap; /* of the work in hand */
};

static bool is_stale(void *context)
{
    const struct replier *replier = context;
    return pipeline_lap(replier->stage->pipeline) != replier->lap ||
           source_is_lost(replier->stage->settings->source);
}

/* Another process lives under our group and instance. Taking the transactional id back
 * once has that one fenced in its turn, so that neither of the two goes on unnoticed. */
static void yield(struct replier *replier)
{
    log_note(LOG_FATAL, "instance_not_unique",
             "another process uses the same group and instance; give each process an "
             "instance of its own");
    reply_take_back(replier->stage->settings->reply);
    pipeline_fail(replier->stage->pipeline, EXIT_CODE_USAGE);
}

static void end_with(struct replier *replier, enum step step)
{
    if (step == STEP_YIELD)
        yield(replier);
    else if (step == STEP_END)
        pipeline_fail(replier->stage->pipeline, EXIT_CODE_INTERNAL);
}

static enum port_status recover(struct replier *replier)
{
    if (FAILPOINT(RECOVER_BEGUN))
        return PORT_RETRY;
    enum port_status status = reply_recover(replier->stage->settings->reply);
    return status == PORT_OK && FAILPOINT(RECOVER_DONE) ? PORT_RETRY : status;
}

/* Finds out how the last Kafka transaction ended: a new producer finishes or aborts what
 * the old one left, and only then are committed offsets final. Costs nothing when all is
 * well. False when that is left to the next process. */
static bool become_ready(struct replier *replier)
{
    struct pipeline *pipeline = replier->stage->pipeline;
    for (unsigned attempt = 0; pipeline_failure(pipeline) == EXIT_CODE_DONE; attempt++) {
        bool stopping = pipeline_is_closing(pipeline);
        enum port_status status = recover(replier);
        if (status == PORT_OK)
            return true;
        enum step step = next_step(PROGRESS_SETTLING, status, stopping);
        end_with(replier, step);
        if (step != STEP_TRY_AGAIN)
            return false;
        pipeline_rest(pipeline, pipeline_lap(pipeline),
                      jitter_ms(attempt, RECOVER_BASE_MS, RECOVER_CAP_MS));
    }
    return false;
}

/* Whether the answers are visible and their offsets committed. */
static bool conclude(struct replier *replier, enum port_status status)
{
    struct pipeline *pipeline = replier->stage->pipeline;
    enum step step = next_step(PROGRESS_ANSWERING, status, pipeline_is_closing(pipeline));
    if (step == STEP_GO_ON)
        return true;
    metrics_retry(METRICS_KAFKA_TRANSACTION);
    end_with(replier, step);
    if (step == STEP_SETTLE)
        become_ready(replier);
    pipeline_end_lap(pipeline, replier->lap, step_name(step));
    return false;
}

static void drop_all(struct replier *replier, struct batch *const *batches, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pipeline_drop(replier->stage->pipeline, batches[i]);
}

static enum port_status try_publish(struct replier *replier, struct batch *const *batches,
                                    size_t count)
{
    if (FAILPOINT(PUBLISH_BEGUN))
        return PORT_RETRY;
    enum port_status status =
        reply_publish(replier->stage->settings->reply, batches, count, is_stale, replier);
    return status == PORT_OK && FAILPOINT(PUBLISH_DONE) ? PORT_IN_DOUBT : status;
}

static void publish_now(struct replier *replier, struct batch *const *batches,
                        size_t count)
{
    if (!conclude(replier, try_publish(replier, batches, count)))
        return;
    pipeline_note_progress(replier->stage->pipeline);
    for (size_t i = 0; i < count; i++)
        metrics_answered(batches[i]);
}

/* What is not published ends the lap: a later batch that went out with its offsets would
 * leave these answers behind for ever. */
static void publish(struct replier *replier, struct batch *const *batches, size_t count)
{
    if (count == 0)
        return;
    if (!is_stale(replier) && become_ready(replier))
        publish_now(replier, batches, count);
    else
        pipeline_end_lap(replier->stage->pipeline, replier->lap, "nothing was published");
    drop_all(replier, batches, count);
}

/* Batches of an earlier lap are dropped unanswered; all others are of the current one. */
static void publish_list(struct replier *replier, struct batch *list)
{
    struct batch *together[TOGETHER_MAX];
    size_t count = 0;
    replier->lap = pipeline_lap(replier->stage->pipeline);
    while (list != NULL) {
        struct batch *batch = list;
        list = batch->next;
        if (batch->lap == replier->lap)
            together[count++] = batch;
        else
            pipeline_drop(replier->stage->pipeline, batch);
    }
    publish(replier, together, count);
}

static void commit_offsets(struct replier *replier, const struct replier_work *work)
{
    replier->lap = work->lap;
    bool done =
        !is_stale(replier) && become_ready(replier) &&
        conclude(replier, reply_commit(replier->stage->settings->reply, work->offsets,
                                       work->offset_count, is_stale, replier));
    pipeline_answer_request(replier->stage->pipeline, done);
}

void replier_run(const struct stage *stage)
{
    struct replier replier = {.stage = stage};
    struct replier_work work;
    become_ready(&replier);
    while (pipeline_take_decided(stage->pipeline, &work)) {
        if (work.batches != NULL)
            publish_list(&replier, work.batches);
        else
            commit_offsets(&replier, &work);
    }
}
