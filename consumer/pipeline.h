/* pipeline.h: what the threads of the worker share: laps, batches on their way, halted
 * partitions, and the end. One mutex; nobody holds it while doing work. */
#ifndef CONSUMER_PIPELINE_H
#define CONSUMER_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/exit_code.h"
#include "consumer/batch.h"
#include "consumer/core/position.h"

struct pipeline;

struct pipeline *pipeline_new(size_t posters, size_t batch_records);
void pipeline_free(struct pipeline *pipeline); /* NULL is fine; MUST be at rest */

/* --- laps --- */
uint64_t pipeline_lap(struct pipeline *pipeline);
/* Ends lap `lap` (if it is still the current one): everything of it is dropped where it
 * is met, and the reader is asked to start over. `why` is an event name for the log. */
void pipeline_end_lap(struct pipeline *pipeline, uint64_t lap, const char *why);
/* Reader: true once after a lap was ended by somebody else. */
bool pipeline_take_restart(struct pipeline *pipeline);
/* Reader: begins a new lap and lets go of what waits for the posters. */
void pipeline_new_lap(struct pipeline *pipeline);

/* Replier: answers became visible. Reader: whether any did since it asked last; laps that
 * end without any follow each other more and more slowly. */
void pipeline_note_progress(struct pipeline *pipeline);
bool pipeline_take_progress(struct pipeline *pipeline);

/* --- reader → poster --- */
enum put { PUT_DONE, PUT_NO_ROOM, PUT_STALE };
/* Moves the record into the batch that waits for its poster; on DONE its origin is taken.
 */
enum put pipeline_put(struct pipeline *pipeline, struct record *record);
/* Waits until there may be room again, or for at most wait_ms. */
void pipeline_wait_room(struct pipeline *pipeline, int64_t wait_ms);
/* Waits until nothing is in flight: true; or wait_ms are over or the lap ended: false. */
bool pipeline_wait_idle(struct pipeline *pipeline, int64_t wait_ms);
bool pipeline_is_idle(struct pipeline *pipeline);
/* The next batch for this poster; NULL when the pipeline is closed and drained. */
struct batch *pipeline_take(struct pipeline *pipeline, size_t poster);

/* --- poster → replier --- */
void pipeline_hand_over(struct pipeline *pipeline, struct batch *batch);
/* Takes records without an origin out of records[first..count), keeping their order. */
void pipeline_compact(struct pipeline *pipeline, struct batch *batch, size_t first);
/* Releases the batch's records and gives its memory back. */
void pipeline_drop(struct pipeline *pipeline, struct batch *batch);
/* What the replier is to do next: all batches that wait (a list, in order), or offsets
 * that the reader wants committed before anything is read. Exactly one of the two is set.
 */
struct replier_work {
    struct batch *batches;
    size_t count;
    const struct next_offset *offsets; /* borrowed until answered */
    size_t offset_count;
    uint64_t lap; /* of the request */
};
/* Waits for work; false when the pipeline is closed and drained. */
bool pipeline_take_decided(struct pipeline *pipeline, struct replier_work *work);
/* Whether the replier has work in hand. While it has, a Kafka transaction of an earlier
 * lap may still commit, so the group's committed offsets are not the last word. */
bool pipeline_is_replying(struct pipeline *pipeline);
/* Reader: has the replier commit these; true when it did within wait_ms. */
bool pipeline_commit_offsets(struct pipeline *pipeline, const struct next_offset *offsets,
                             size_t count, int64_t wait_ms);
/* Replier: the request was carried out, or not. */
void pipeline_answer_request(struct pipeline *pipeline, bool done);

/* --- halted partitions --- */
struct halt {
    int32_t partition;
    enum halt_reason reason;
    int64_t offset;
};
/* Poster: this partition stops here. Its later records are not to be posted any more. */
void pipeline_halt(struct pipeline *pipeline, const struct halt *halt);
bool pipeline_is_halted(struct pipeline *pipeline, int32_t partition);
/* Reader: the i-th halt, in order of occurrence; false after the last. */
bool pipeline_halt_at(struct pipeline *pipeline, size_t index, struct halt *halt);
/* Reader: a new assignment asks again. */
void pipeline_forget_halt(struct pipeline *pipeline, int32_t partition);

/* --- the end --- */
/* No more records will come: posters and replier drain and end. */
void pipeline_close(struct pipeline *pipeline);
bool pipeline_is_closing(struct pipeline *pipeline);
/* The process cannot go on: the first code stays; also ends the lap. */
void pipeline_fail(struct pipeline *pipeline, enum exit_code code);
/* EXIT_CODE_DONE while nobody failed. */
enum exit_code pipeline_failure(struct pipeline *pipeline);
/* Sleeps for a back-off; returns early when the lap ends or the pipeline closes. */
void pipeline_rest(struct pipeline *pipeline, uint64_t lap, int64_t wait_ms);

#endif
