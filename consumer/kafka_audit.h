/* kafka_audit.h: topics read from one end to the other, partition by partition, for the
 * audit. In no group and committing nothing, so it disturbs nobody. Reads what is
 * committed; where something uncommitted stands in the way of what must be read, it waits
 * until that is decided. Memory is bounded by librdkafka's queue. */
#ifndef CONSUMER_KAFKA_AUDIT_H
#define CONSUMER_KAFKA_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "consumer/core/record.h"
#include "consumer/kafka_inspect.h"

struct kafka_audit;

/* NULL and a sentence: settings that librdkafka does not take. */
struct kafka_audit *kafka_audit_open(const struct config *config,
                                     char error[KAFKA_INSPECT_ERROR_MAX]);
void kafka_audit_close(struct kafka_audit *audit); /* NULL is fine */
/* One sentence about the last call that failed. */
const char *kafka_audit_error(const struct kafka_audit *audit);

/* The group's committed offsets of all partitions, 0 where it has none. Does not wait for
 * a transaction that is about to commit others. */
enum kafka_inspect_status kafka_audit_committed(struct kafka_audit *audit,
                                                const char *topic, int64_t *offsets,
                                                size_t count);
/* First offset, and the one behind the last record, committed or not. */
enum kafka_inspect_status kafka_audit_bounds(struct kafka_audit *audit, const char *topic,
                                             int32_t partition, int64_t *start,
                                             int64_t *end);
/* What is read next: all that is visible from `start` on, below `end`. */
enum kafka_inspect_status kafka_audit_begin(struct kafka_audit *audit, const char *topic,
                                            int32_t partition, int64_t start,
                                            int64_t end);

/* A record of the result topic, as it is: nothing says that it is one of ours. */
struct kafka_result {
    int64_t offset;
    const void *key, *value; /* NULL: none; until the next call */
    size_t key_size, value_size;
    /* Of each header the only one of its name, as text; "" if it is not there exactly
     * once, empty or too long. */
    char header_key[256], outcome[16], replayed[8], topic[256];
    int64_t command_partition, command_offset; /* -1: no such number */
};

/* The next one, or *ended. A record's origin is not for the caller. */
enum kafka_inspect_status kafka_audit_next_command(struct kafka_audit *audit,
                                                   struct record *record, bool *ended);
enum kafka_inspect_status kafka_audit_next_result(struct kafka_audit *audit,
                                                  struct kafka_result *result,
                                                  bool *ended);

#endif
