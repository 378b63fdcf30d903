/* replier_test.c: the replier alone, in this thread, on a real pipeline; Kafka's side of
 * its ports is here and says what the case wants to hear. */
#include "consumer/stages.h"

#include <string.h>

#include "tests/unit/test.h"

static struct pipeline *pipeline;
static char origin; /* only looked at */
static int recoveries, failing_recovery;
static int64_t published[8]; /* the next offset of each batch */
static size_t published_count;

/* A batch of one record, decided: it is due to be answered. */
static void decide_one(int64_t offset)
{
    struct record record = {.offset = offset, .origin = &origin};
    CHECK(pipeline_put(pipeline, &record) == PUT_DONE);
    struct batch *batch = pipeline_take(pipeline, 0);
    batch->next_offsets[0] = (struct next_offset){.partition = 0, .offset = offset + 1};
    batch->next_offset_count = 1;
    pipeline_hand_over(pipeline, batch);
}

/* --- the ports --- */

void source_release(struct record *record)
{
    record->origin = NULL;
}

bool source_is_lost(struct source *source)
{
    (void)source;
    return false;
}

/* While the one that fails is asked, the next batch is decided. */
enum port_status reply_recover(struct reply *reply)
{
    (void)reply;
    if (++recoveries != failing_recovery)
        return PORT_OK;
    decide_one(2);
    CHECK(pipeline_take(pipeline, 0) == NULL);
    return PORT_RETRY;
}

enum port_status reply_publish(struct reply *reply, struct batch *const *batches,
                               size_t count, reply_is_stale *is_stale, void *context)
{
    (void)reply;
    CHECK(!is_stale(context));
    for (size_t i = 0; i < count; i++)
        published[published_count++] = batches[i]->next_offsets[0].offset;
    return PORT_OK;
}

enum port_status reply_commit(struct reply *reply, const struct next_offset *offsets,
                              size_t count, reply_is_stale *is_stale, void *context)
{
    (void)reply;
    (void)offsets;
    (void)count;
    (void)is_stale;
    (void)context;
    return PORT_FATAL; /* nobody asks for it */
}

void reply_take_back(struct reply *reply)
{
    (void)reply;
}

/* --- the cases --- */

static void run_replier(int failing)
{
    static const struct worker_settings settings = {.posters = 1};
    recoveries = 0;
    failing_recovery = failing;
    published_count = 0;
    pipeline = pipeline_new(1, 4);
    decide_one(1);
    pipeline_close(pipeline);
    if (failing == 0) {
        decide_one(2);
        CHECK(pipeline_take(pipeline, 0) == NULL);
    }
    struct stage stage = {.settings = &settings, .pipeline = pipeline};
    replier_run(&stage);
    CHECK(pipeline_failure(pipeline) == EXIT_CODE_DONE);
    pipeline_free(pipeline);
}

int main(void)
{
    test_case("a stop: what is decided is answered");
    run_replier(0);
    CHECK_INT(published_count, 2);
    CHECK(published[0] == 2 && published[1] == 3);

    /* The first call is the replier's own, before any work. */
    test_case("a stop, and nobody knows how the last Kafka transaction ended: what comes "
              "later must not go out with its offsets, or the first is never answered");
    run_replier(2);
    CHECK_INT(published_count, 0);
    return test_end();
}
