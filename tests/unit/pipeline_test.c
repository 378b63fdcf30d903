/* pipeline_test.c: what counts as in flight, in one thread. */
#include "consumer/pipeline.h"

#include <pthread.h>

#include "base/must.h"
#include "consumer/source.h"
#include "tests/unit/test.h"

enum { WAIT_MS = 2000 };

static char origin; /* only looked at */

void source_release(struct record *record)
{
    record->origin = NULL;
}

static void test_records(void)
{
    struct pipeline *pipeline = pipeline_new(1, 4);
    struct record record = {.offset = 1, .origin = &origin};
    test_case("a record is in flight until its batch is dropped");
    CHECK(pipeline_is_idle(pipeline) && pipeline_wait_idle(pipeline, 0));
    CHECK(pipeline_put(pipeline, &record) == PUT_DONE);
    CHECK(!pipeline_is_idle(pipeline) && !pipeline_wait_idle(pipeline, 0));
    pipeline_drop(pipeline, pipeline_take(pipeline, 0));
    CHECK(pipeline_is_idle(pipeline) && pipeline_wait_idle(pipeline, 0));
    pipeline_free(pipeline);
}

/* What it returned, for the thread that joins: checks are counted in one thread. */
static void *ask(void *context)
{
    const struct next_offset offset = {.partition = 0, .offset = 7};
    bool done = pipeline_commit_offsets(context, &offset, 1, WAIT_MS);
    return done ? context : NULL;
}

/* Carried out after a rebalance, they went back behind what the next owner had
 * committed. */
static void test_offsets(void)
{
    struct pipeline *pipeline = pipeline_new(1, 4);
    struct replier_work work;
    pthread_t reader;
    void *done;
    test_case("offsets that nobody waits for any more are in flight until answered");
    MUST(pthread_create(&reader, NULL, ask, pipeline) == 0);
    CHECK(pipeline_take_decided(pipeline, &work) && work.offset_count == 1);
    MUST(pthread_join(reader, &done) == 0);
    CHECK(done == NULL);
    CHECK(!pipeline_is_idle(pipeline) && !pipeline_wait_idle(pipeline, 0));
    pipeline_answer_request(pipeline, true);
    CHECK(pipeline_is_idle(pipeline) && pipeline_wait_idle(pipeline, 0));
    pipeline_free(pipeline);
}

int main(void)
{
    test_records();
    test_offsets();
    return test_end();
}
