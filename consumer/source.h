/* source.h: the port to the command topic. Used by the reader thread alone, except where
 * a function says otherwise.
 *
 * Owning and reading are two things: the group gives us partitions (owned); the worker
 * claims them in the database and then attaches each at an exact offset. Whatever goes
 * wrong, the way back is the same: detach everything, claim again, attach where the
 * *group's* committed offset says. */
#ifndef CONSUMER_SOURCE_H
#define CONSUMER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/port.h"
#include "consumer/core/position.h"
#include "consumer/core/record.h"

struct source;

enum source_event {
    SOURCE_NOTHING,  /* the time is over */
    SOURCE_RECORD,   /* *record is filled; the caller owns record->origin */
    SOURCE_END,      /* *record has partition and offset of the end that was reached */
    SOURCE_ASSIGNED, /* the owned set grew: source_owned() */
    SOURCE_REVOKED,  /* partitions are asked back: finish what is in hand, then
                        source_yield */
    SOURCE_LOST,     /* they are gone already: drop what is in hand, then source_yield */
    SOURCE_OUT_OF_RANGE, /* *record has the partition: its offset is not in the log */
    SOURCE_GONE,         /* the topic is, or was for a moment, not there: claim anew */
    SOURCE_FENCED,       /* another process is the same member of the group */
    SOURCE_FATAL         /* the handle is dead: end the process, a restart is safe */
};

/* Waits up to timeout_ms for the next event; must be called at least every 30 s. */
enum source_event source_poll(struct source *source, int timeout_ms,
                              struct record *record);
/* Lets go of a record's origin; any thread. */
void source_release(struct record *record);

/* The owned partitions, ascending; returns their number (up to capacity). */
size_t source_owned(const struct source *source, int32_t *partitions, size_t capacity);
/* Answers SOURCE_REVOKED or SOURCE_LOST: what was asked back is detached and not owned.
 */
void source_yield(struct source *source);
/* Whether the assignment was lost, perhaps not seen by a poll yet; any thread. */
bool source_is_lost(struct source *source);

/* Committed offset, log start and log end of each partition; bounded time. */
enum port_status source_marks(struct source *source, const int32_t *partitions,
                              struct marks *marks, size_t count);

struct attachment {
    int32_t partition;
    int64_t offset;
};
/* Reads these from exactly these offsets, beside what is attached already. */
enum port_status source_attach(struct source *source,
                               const struct attachment *attachments, size_t count);
/* Stops reading everything; what is queued is dropped. */
void source_detach(struct source *source);
/* Stops reading one partition, the others go on. */
void source_halt(struct source *source, int32_t partition);
/* Stops and resumes the delivery of records; events still come. Attaching resumes. */
void source_pause(struct source *source, bool paused);

/* Behind the last record of a partition, as far as is known without asking; -1: not. */
int64_t source_log_end(struct source *source, int32_t partition);
/* Asks Kafka whether it is there; bounded, a second or so. For when it was away. */
bool source_probe(struct source *source);

/* Leaves the group; nothing but source_close may follow. NULL is fine. */
void source_leave(struct source *source);
/* Frees everything. May hang inside librdkafka 2.0 when a topic has been deleted. */
void source_close(struct source *source);

#endif
