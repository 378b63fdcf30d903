/* kafka_inspect.h: looking at topics and at the group from outside of it, for start-up
 * checks and operator verbs. Every call has a bounded time. */
#ifndef CONSUMER_KAFKA_INSPECT_H
#define CONSUMER_KAFKA_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

enum { KAFKA_INSPECT_ERROR_MAX = 512 };

enum kafka_inspect_status {
    KAFKA_INSPECT_OK,
    KAFKA_INSPECT_UNREACHABLE, /* try again later */
    KAFKA_INSPECT_REFUSED,     /* it answered: missing, not allowed, or a bad setting */
    KAFKA_INSPECT_BUSY         /* the group has members */
};

struct kafka_inspect;

/* Whether librdkafka takes every `kafka.NAME`; false and one sentence that names the
 * origin. */
bool kafka_inspect_settings(const struct config *config,
                            char error[KAFKA_INSPECT_ERROR_MAX]);

/* NULL: settings that librdkafka does not take; kafka_inspect_open_error has the
 * sentence. */
struct kafka_inspect *kafka_inspect_open(const struct config *config,
                                         char error[KAFKA_INSPECT_ERROR_MAX]);
void kafka_inspect_close(struct kafka_inspect *inspect); /* NULL is fine */
/* One sentence about the last call that was not OK. */
const char *kafka_inspect_error(const struct kafka_inspect *inspect);

/* Whether the topic exists and may be described, and how many partitions it has. */
enum kafka_inspect_status kafka_inspect_topic(struct kafka_inspect *inspect,
                                              const char *topic,
                                              int32_t *partition_count);

/* A partition as `rewind` sees it. */
struct kafka_partition {
    int32_t partition;
    int64_t log_start, log_end;
    bool has_committed;
    int64_t committed; /* of the group */
    int64_t target;    /* where to move it */
};
/* Fills log_start, log_end, committed for partitions[i].partition. */
enum kafka_inspect_status kafka_inspect_partitions(struct kafka_inspect *inspect,
                                                   struct kafka_partition *partitions,
                                                   size_t count);
/* Fills target: the first record at or after unix_ms, log_end if there is none. */
enum kafka_inspect_status kafka_inspect_times(struct kafka_inspect *inspect,
                                              int64_t unix_ms,
                                              struct kafka_partition *partitions,
                                              size_t count);
/* OK: the group has no members; BUSY: it has. */
enum kafka_inspect_status kafka_inspect_group(struct kafka_inspect *inspect,
                                              size_t *members);
/* Moves the group's committed offsets to the targets; BUSY while it has members. */
enum kafka_inspect_status kafka_inspect_move(struct kafka_inspect *inspect,
                                             const struct kafka_partition *partitions,
                                             size_t count);

#endif
