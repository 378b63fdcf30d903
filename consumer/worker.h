/* worker.h: the pipeline of one process (DESIGN §2).
 *
 *     reader (poll, decode) → posters (one Postgres transaction a batch) → replier (one
 * Kafka transaction: results + dead letters + offsets)
 *
 * Each stage is a blocking loop in its own thread and takes whatever is waiting when its
 * last unit of work returns. There is one way back from every trouble: a new *lap*. It
 * drops what is in flight, detaches, claims the partitions again in the database, and
 * resumes where the group's committed offsets say. What was committed meanwhile is
 * answered from the inbox. */
#ifndef CONSUMER_WORKER_H
#define CONSUMER_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/exit_code.h"
#include "consumer/reply.h"
#include "consumer/source.h"
#include "consumer/store.h"

enum { WORKER_POSTERS_MAX = 64, WORKER_PARTITIONS_MAX = 4096 };

/* All borrowed; opened before and closed after by the caller. */
struct worker_settings {
    struct source *source;
    struct reply *reply;
    struct store *reader_store;         /* claims */
    struct store *const *poster_stores; /* [posters] */
    size_t posters;
    size_t batch_records;
    bool until_end; /* stop when every owned partition reached the end it had at the start
                     */
    int64_t handover_ms; /* with until_end: who owns none waits so long for the partitions
                            of a member that has died */
    bool (*stop_requested)(void);
};

/* Runs until a stop is asked for, the end is reached, or it cannot go on; everything in
 * hand is finished or dropped by then. Returns the program's exit code: 0, 2, 3 or 70. */
enum exit_code worker_run(const struct worker_settings *settings);

#endif
