/* metrics.h: what the process counts and where its partitions stand (CONTRACT §7), for
 * the admin endpoint. Process-wide, because that is what is scraped.
 *
 * Every call is a few relaxed atomic operations, from any thread; nothing here blocks,
 * allocates or fails. A reader may see numbers of slightly different moments. */
#ifndef CONSUMER_METRICS_H
#define CONSUMER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "consumer/batch.h"
#include "consumer/core/port.h"
#include "consumer/core/position.h"

/* X(enum suffix, label): who is away, or in the way, when something is tried again. */
#define METRICS_CAUSES(X)                     \
    X(POSTGRES, "postgres")                   \
    X(POSTGRES_IN_DOUBT, "commit_in_doubt")   \
    X(POSTGRES_FENCED, "fenced")              \
    X(POSTGRES_REFUSED, "database_refuses")   \
    X(KAFKA_TRANSACTION, "kafka_transaction") \
    X(CLAIM, "claim")

enum metrics_cause {
#define X(name, label) METRICS_##name,
    METRICS_CAUSES(X)
#undef X
        METRICS_CAUSE_COUNT
};

enum metrics_side { METRICS_SIDE_POSTGRES, METRICS_SIDE_KAFKA, METRICS_SIDE_COUNT };

/* --- what is noted --- */

/* A batch was posted: answers[0..count) and the records they belong to. */
void metrics_posted(const struct batch *batch, int64_t duration_us);
/* A batch is answered: visible, and its offsets are committed. */
void metrics_answered(const struct batch *batch);
void metrics_retry(enum metrics_cause cause);
/* Of a posting that did not succeed. */
void metrics_posting_failed(enum port_status status);
/* The other side answered, or could not be reached. */
void metrics_side(enum metrics_side side, bool up);
bool metrics_is_up(enum metrics_side side);

/* The reader goes round: it is alive. */
void metrics_beat(void);
/* Partitions are shown from metrics_own to metrics_disown. */
void metrics_own(int32_t partition);
void metrics_disown(int32_t partition);
/* Claimed: reading starts at `offset`, everything below is answered. */
void metrics_resume(int32_t partition, int64_t offset, int64_t log_end);
/* A record was handed on. */
void metrics_read(int32_t partition, int64_t offset, int64_t timestamp_ms);
/* Nothing lies between what was read last and this offset, the end of the log. */
void metrics_end(int32_t partition, int64_t end_offset);
void metrics_log_end(int32_t partition, int64_t log_end);
void metrics_halted(int32_t partition, enum halt_reason reason, int64_t offset);

/* --- what is told --- */

/* The Prometheus text format 0.0.4; the labels of build_info as they are to appear. */
void metrics_print(FILE *out, const char *build_labels);
/* One row a metric: name, type, meaning. */
void metrics_print_markdown(FILE *out);

struct metrics_partition {
    int32_t partition;
    int64_t next_offset; /* everything below is answered */
    int64_t lag;
    enum halt_reason halted; /* HALT_NONE: it is not */
    int64_t halt_offset;
};
/* The owned partitions, ascending; returns their number (up to capacity). */
size_t metrics_partitions(struct metrics_partition *partitions, size_t capacity);
/* The group has spoken. */
bool metrics_is_assigned(void);
/* Milliseconds since the last metrics_beat; -1: none yet. */
int64_t metrics_silence_ms(void);

#endif
