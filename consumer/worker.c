/* worker.c: starts the stages, runs the reader in the calling thread, and ends them in
 * order: the reader closes the pipeline, the posters drain it, the replier publishes what
 * is left. */
#include "consumer/worker.h"

#include <pthread.h>

#include "base/must.h"
#include "consumer/failpoint.h"
#include "consumer/stages.h"

/* So that `top -H` tells which stage is busy; the reader keeps the program's name. */
static void name_thread(const char *name)
{
    MUST(pthread_setname_np(pthread_self(), name) == 0);
}

static void *run_poster(void *context)
{
    name_thread("poster");
    poster_run(context);
    return NULL;
}

static void *run_replier(void *context)
{
    name_thread("replier");
    replier_run(context);
    return NULL;
}

static pthread_t start(void *(*run)(void *), struct stage *stage)
{
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, run, stage) == 0);
    return thread;
}

enum exit_code worker_run(const struct worker_settings *settings)
{
    struct pipeline *pipeline = pipeline_new(settings->posters, settings->batch_records);
    struct stage stages[WORKER_POSTERS_MAX + 1];
    pthread_t threads[WORKER_POSTERS_MAX + 1];
    for (size_t i = 0; i <= settings->posters; i++) {
        stages[i] =
            (struct stage){.settings = settings, .pipeline = pipeline, .poster = i};
        threads[i] = start(i < settings->posters ? run_poster : run_replier, &stages[i]);
    }
    enum exit_code code = reader_run(&stages[0]);
    for (size_t i = 0; i <= settings->posters; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    enum exit_code failure = pipeline_failure(pipeline);
    pipeline_free(pipeline);
    if (FAILPOINT(STOP_DONE))
        return EXIT_CODE_INTERNAL;
    return failure != EXIT_CODE_DONE ? failure : code;
}
