/* stages.h: the three loops of the pipeline, each run in its own thread by worker.c. */
#ifndef CONSUMER_STAGES_H
#define CONSUMER_STAGES_H

#include "consumer/pipeline.h"
#include "consumer/worker.h"

struct stage {
    const struct worker_settings *settings;
    struct pipeline *pipeline;
    size_t poster; /* its number, for a poster */
};

/* Reads and claims until a stop, the end or a failure; closes the pipeline. Returns 0
 * or 3. */
enum exit_code reader_run(const struct stage *stage);
/* Posts batches until the pipeline is closed and drained. */
void poster_run(const struct stage *stage);
/* Publishes decided batches until the pipeline is closed and drained. */
void replier_run(const struct stage *stage);

#endif
