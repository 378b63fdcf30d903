/* batch.h: what travels through the pipeline: records on the way to the poster, answers
 * on the way to the replier. Memory is allocated once per batch and reused; a batch has
 * one owner at a time. */
#ifndef CONSUMER_BATCH_H
#define CONSUMER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/record.h"
#include "schema/code.h"

/* What a record is answered with. */
struct answer {
    enum outcome outcome; /* NONE: not decided (its partition halted): nothing is sent */
    enum code code;
    bool replayed;      /* decided before this delivery */
    const char *result; /* inside the batch's memory; NULL: no result is sent */
    size_t result_size;
};

/* The offset to commit for a partition once the batch is answered. */
struct next_offset {
    int32_t partition;
    int64_t offset;
};

struct batch {
    uint64_t lap; /* see worker.h: a batch of an earlier lap is dropped unanswered */
    size_t capacity;
    size_t count;
    size_t bytes;                     /* that the records' origins hold */
    struct record *records;           /* [capacity] */
    struct answer *answers;           /* [capacity] */
    struct next_offset *next_offsets; /* [capacity] */
    size_t next_offset_count;
    char *results; /* the bytes that answers point into */
    size_t results_capacity, results_used;
    struct batch *next; /* link of the queue that owns it */
};

struct batch *batch_new(size_t capacity);
void batch_free(struct batch *batch); /* MUST be empty of origins; NULL is fine */
/* Room for `size` bytes of result; never fails (the capacity covers the worst case). */
char *batch_reserve(struct batch *batch, size_t size);

#endif
