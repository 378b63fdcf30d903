/* world.h: Kafka and Postgres in memory, for the worker's ports (source_fake.c,
 * store_fake.c, reply_fake.c) and for the tests, which build a world, break it and look
 * at it.
 *
 * One mutex guards everything. A world never decides anything about money: it stores
 * what it is told, atomically, refuses what a constraint of the schema would refuse,
 * and checks at every change what must hold at every moment (checks.c). What does not
 * hold is noted as a *violation*: the first sentence is kept, all are counted. */
#ifndef TESTS_FAKES_WORLD_H
#define TESTS_FAKES_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/port.h"
#include "consumer/core/record.h"
#include "consumer/reply.h"
#include "consumer/source.h"
#include "consumer/store.h"
#include "tests/fakes/books.h"

enum {
    WORLD_PARTITIONS = 3,
    WORLD_LOG_MAX = 256, /* records of one partition */
    WORLD_VALUE_MAX = 512,
    WORLD_RESULTS_MAX = 4096,
    WORLD_POISON_MAX = 8,
    WORLD_FAULTS_MAX = 4,
    WORLD_VIOLATION_MAX = 240
};

/* --- the command topic --- */

/* A record as it lies in the log, and what the intake makes of it, for the checks. */
struct logged {
    int64_t offset;
    int64_t timestamp_ms;
    bool has_header, has_value;
    char header[COMMAND_KEY_MAX + 1]; /* idempotency-key */
    char value[WORLD_VALUE_MAX];
    size_t value_size;
    struct record decoded;
};

/* Offsets may have gaps, as a log with transactions has. */
struct partition_log {
    struct logged *records; /* [WORLD_LOG_MAX], ascending */
    size_t count;
    int64_t log_start, log_end;
};

/* --- the group, and what was published --- */

struct group {
    bool has_committed[WORLD_PARTITIONS];
    int64_t committed[WORLD_PARTITIONS];
    uint64_t generation; /* moves with every change of the assignment */
    bool unsettled; /* the last Kafka transaction: who asks is told what was before */
    bool has_settled[WORLD_PARTITIONS];
    int64_t settled[WORLD_PARTITIONS];
};

/* A visible message of the result topic or of the dead-letter topic. */
struct published {
    unsigned pass; /* see world_rewind */
    int32_t partition;
    int64_t offset;
    bool replayed;
    enum outcome outcome;
    enum code code;
    char key[COMMAND_KEY_MAX + 1];
    char bytes[BOOKS_RESULT_MAX];
    size_t size;
};

struct topic {
    struct published *messages; /* [WORLD_RESULTS_MAX] */
    size_t count;
};

/* --- what goes wrong --- */

/* X(enum suffix, name of the port's function) */
#define CALLS(X)              \
    X(CLAIM, store_claim)     \
    X(LOOKUP, store_lookup)   \
    X(COMMIT, store_commit)   \
    X(MARKS, source_marks)    \
    X(ATTACH, source_attach)  \
    X(PUBLISH, reply_publish) \
    X(OFFSETS, reply_commit)  \
    X(RECOVER, reply_recover)

enum call {
    CALL_ANY, /* in a fault: the global count of all calls */
#define X(suffix, name) CALL_##suffix,
    CALLS(X)
#undef X
        CALL_COUNT
};

const char *call_name(enum call call);

/* The calls number first … first + times − 1 (from 1) of this kind end with `status`. */
struct fault {
    enum call call;
    unsigned first, times;
    enum port_status status;
    bool applied;   /* what was asked is done all the same; only the answer is wrong */
    bool unsettled; /* … and the offsets show only when somebody has settled it */
    bool stolen;    /* before it, somebody else claims every partition */
    bool stalled;   /* publish: between the last question and the effect, a lap passes */
    bool held;      /* publish: asks its last question when the group has assigned anew */
};

/* At `delivered` records the group asks back all partitions, or only one; if it comes
 * last, not before a fault has fired and the database has all that is delivered. */
struct group_event {
    enum source_event event; /* SOURCE_REVOKED or SOURCE_LOST; NOTHING: none */
    unsigned delivered;
    bool only_one;
    int32_t partition;
    bool comes_last;
};

/* At `at` delivered records, all of this partition that was not delivered is deleted, but
 * for the last record: as by the topic's retention. */
struct deletion {
    unsigned at; /* 0: not */
    int32_t partition;
};

/* The database as it was at `backup_at` delivered records comes back at `restore_at`. */
struct setback {
    unsigned backup_at, restore_at; /* 0: not */
    struct books *backup;
    unsigned happened; /* from then on offsets may be ahead of the database */
};

struct world {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct partition_log logs[WORLD_PARTITIONS];
    struct group group;
    struct books *books;
    struct topic results, letters;
    unsigned pass;

    struct fault faults[WORLD_FAULTS_MAX];
    size_t fault_count;
    unsigned calls[CALL_COUNT];
    unsigned fired;
    struct group_event event;
    struct setback setback;
    struct deletion deletion;
    char poison[WORLD_POISON_MAX][COMMAND_KEY_MAX + 1]; /* keys the database refuses */
    size_t poison_count;
    bool poison_in_letters;   /* … even as a dead letter */
    unsigned attached_count;  /* successful source_attach calls */
    unsigned assigned_count;  /* assignments that the source told of */
    unsigned published_count; /* transactions that became visible */
    unsigned delivered;
    unsigned stop_at_delivered; /* world_should_stop() from then on; 0: never */
    bool stop_at_fault;         /* … or once a fault has fired */

    unsigned origins_out; /* delivered and not yet released */
    unsigned early_ends;  /* lives that ended with 0 before the end; see run.h */
    bool overdue;         /* a life was ended because it did not get anywhere */
    unsigned violations;
    char violation[WORLD_VIOLATION_MAX];
};

struct world *world_new(void);
void world_free(struct world *world);
void world_lock(struct world *world);
void world_unlock(struct world *world);

/* Appends a record; header NULL: none; value NULL: none. Returns its offset. */
int64_t world_append(struct world *world, int32_t partition, const char *header,
                     const char *value);
/* Makes a gap of one offset, as a transaction marker does. */
void world_skip_offset(struct world *world, int32_t partition);
const struct logged *world_find(const struct world *world, int32_t partition,
                                int64_t offset);

/* One more record is delivered; under the mutex. */
void world_count_delivered(struct world *world);
void world_add_fault(struct world *world, struct fault fault);
/* Counts the call; the fault that it meets, or NULL. Under the mutex. */
const struct fault *world_call(struct world *world, enum call call);
__attribute__((format(printf, 2, 3))) void world_violation(struct world *world,
                                                           const char *format, ...);

/* The group's offsets back to the log's start; answers are counted anew (a new
 * *pass*). */
void world_rewind(struct world *world);
/* Answers from here on are counted anew. */
void world_new_pass(struct world *world);
/* Every committed offset has passed the last record. */
bool world_is_at_end(struct world *world);
bool world_should_stop(struct world *world);
/* Changes something; waits until `*counter` is not `value` any more, or wait_ms are
 * over. */
void world_changed(struct world *world);
void world_wait_beyond(struct world *world, const unsigned *counter, unsigned value,
                       int64_t wait_ms);

/* Commits an offset for the group; under the mutex. `only_offsets`: without answers,
 * which is how a start is fixed, also a smaller one when the database was put back. */
void world_commit_offset(struct world *world, const struct next_offset *next,
                         bool only_offsets);

/* Another member answers what is decided of the partition and not answered, and commits;
 * under the mutex. */
void world_answer_as_heir(struct world *world, int32_t partition);

/* checks.c; all under the mutex. */
void check_committed(struct world *world, int32_t partition);
void check_books(struct world *world);
void check_answers(struct world *world, int32_t partition, int64_t from, int64_t to);
void check_result(struct world *world, const struct published *result);

/* The three ports on this world. */
struct source *source_fake_open(struct world *world);
struct store *store_fake_open(struct world *world);
struct reply *reply_fake_open(struct world *world, struct source *source);
/* The generation under which the source is a member; 0: it is none. Under the mutex. */
uint64_t source_fake_generation(const struct source *source);

#endif
