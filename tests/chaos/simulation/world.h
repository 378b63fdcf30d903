/* world.h: what the processes of a history live in: a log, a group, transactions, a
 * database, and what is to go wrong. Everything here survives a process; nothing here
 * decides about money.
 *
 * Kafka (kafka.c) and Postgres (postgres.c) are modelled as what they promise to a client
 * and as unkindly as they are allowed to be: sessions run out, generations move, offsets
 * of a committed transaction become visible late, a backend lives on after its client. */
#ifndef TESTS_CHAOS_SIMULATION_WORLD_H
#define TESTS_CHAOS_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/record.h"
#include "consumer/failpoint.h"
#include "consumer/worker.h"
#include "tests/chaos/simulation/fiber.h"
#include "tests/fakes/books.h"

enum {
    SIM_PARTITIONS = 3,
    SIM_SLOTS = 3,   /* processes at a time */
    SIM_POSTERS = 2, /* at most */
    SIM_BATCH = 8,   /* records, at most */
    SIM_LOG = 64,    /* records of a partition */
    SIM_ANSWERS = 256,
    SIM_MEMBERS = 256, /* over a history */
    SIM_CONNECTIONS = 48,
    SIM_PLANS = 2,
    SIM_POISON = 2
};

/* --- the command topic --- */

struct sim_record {
    struct record decoded; /* as a source delivers it, without origin and claim */
    int64_t at_us;         /* when the producer writes it */
};

struct workload {
    struct sim_record records[SIM_PARTITIONS][SIM_LOG];
    size_t count[SIM_PARTITIONS];
    int64_t first_offset[SIM_PARTITIONS];
    int64_t end_us; /* after the last record */
};

struct sim_log {
    const struct sim_record *records;
    size_t count; /* written so far */
    int64_t start, end;
    bool replaced; /* another topic of that name: other timestamps */
};

/* --- the group --- */

struct process;

/* One membership; a process that was expelled joins again as another member. */
struct member {
    bool in;
    struct process *process;
    unsigned life;
    int64_t seen_us;                 /* last heartbeat */
    unsigned owned, target, granted; /* partitions, as bits */
};

struct sim_group {
    int32_t generation;
    bool rebalance; /* wanted */
    bool has_committed[SIM_PARTITIONS];
    int64_t committed[SIM_PARTITIONS];
    struct member members[SIM_MEMBERS];
    size_t member_count;
};

/* --- transactions: one for each transactional.id, and so for each slot --- */

struct sim_answer {
    int32_t partition;
    int64_t offset;
    bool is_letter, replayed;
    enum outcome outcome;
    enum code code;
    size_t size;
    uint64_t digest; /* of the result */
};

struct sim_transaction {
    int epoch; /* of the producer that may use it */
    enum { TRANSACTION_EMPTY, TRANSACTION_ONGOING, TRANSACTION_COMMITTING } state;
    int64_t begun_us;
    struct sim_answer answers[SIM_ANSWERS];
    size_t answer_count;
    bool has_offset[SIM_PARTITIONS];
    bool only_offsets;
    int64_t offset[SIM_PARTITIONS];
    unsigned markers_missing;
};

struct sim_kafka {
    bool up;
    struct sim_log logs[SIM_PARTITIONS];
    struct sim_group group;
    struct sim_transaction transactions[SIM_SLOTS];
    unsigned pass; /* answers are counted anew after a rewind */
    uint8_t results[SIM_PARTITIONS][SIM_LOG], letters[SIM_PARTITIONS][SIM_LOG];
};

/* --- processes --- */

struct source {
    struct process *process;
    struct member *member;
    bool joined, told_lost, paused;
    int64_t notice_us; /* when an expelled member hears of it; 0: not expelled */
    unsigned asked;    /* partitions asked back and not yielded yet */
    bool attached[SIM_PARTITIONS], end_told[SIM_PARTITIONS], out_of_range[SIM_PARTITIONS];
    int64_t position[SIM_PARTITIONS];
};

struct reply {
    struct process *process;
    int epoch;
    bool ready, dead;
};

struct connection;

struct store {
    struct process *process;
    struct connection *connection;
    bool in_transaction;
    char kept[2 * SIM_BATCH][BOOKS_RESULT_MAX];
};

struct process {
    struct owner owner;
    int slot;
    unsigned life;
    bool alive, stop_requested;
    enum exit_code code; /* once it has ended by itself */
    bool leaked;         /* memory was left when it ended */
    int64_t polled_us;
    struct source source;
    struct reply reply;
    struct store stores[1 + SIM_POSTERS]; /* the reader's first */
    struct store *poster_stores[SIM_POSTERS];
    struct worker_settings settings;
    struct fiber *main;
};

/* --- what goes wrong: per mille of its occasions, all drawn from the seed --- */

enum action { ACTION_KILL, ACTION_STOP, ACTION_ERROR, ACTION_DELAY, ACTION_COUNT };

struct plan {
    enum failpoint point;
    enum action action;
    unsigned on_hit; /* from 1; 0: no plan */
    bool stopping;   /* only hits of a process that was asked to end count */
};

struct trouble {
    bool on;
    unsigned failpoint;                /* any action at any failpoint */
    unsigned kafka_call, kafka_answer; /* lost before, lost after the effect */
    unsigned postgres_cut_before, postgres_cut_after, postgres_mute, postgres_error;
    unsigned kill, stop, quit, crash, kafka_down, rebalance; /* per second */
    unsigned restore; /* … of the crashes: an earlier state comes back */
    bool poison;
    struct plan plans[SIM_PLANS]; /* each is armed when the one before has acted */
};

struct world {
    struct workload *workload;
    struct sim_kafka kafka;
    struct books *books;
    bool postgres_up;
    bool restored;  /* what was answered above the restored books comes again */
    int32_t broken; /* the partition that has to halt; -1: none */
    bool halted[SIM_PARTITIONS];
    struct process processes[SIM_SLOTS];
    size_t process_count, posters, batch_records;
    bool until_end;
    bool eager;      /* a rebalance takes everything from everybody */
    bool breaks;     /* the second part is a halt, not a rewind */
    bool supervised; /* what ends is started again */
    struct trouble trouble;
    size_t plan;        /* the armed one */
    unsigned plan_hits; /* of its point */
    unsigned hits[FAILPOINT_COUNT];
    unsigned fired[FAILPOINT_COUNT][ACTION_COUNT];
    char poison[SIM_POISON][COMMAND_KEY_MAX + 1];
    unsigned violations;
    char violation[320];
    bool tracing;
    bool unfenced; /* the database forgets to look at the epoch */
};

/* What took effect, over all histories (tally.h). */
#define EVENTS(X)                                                        \
    X(KILLS, "processes killed")                                         \
    X(STOPS, "processes stopped for a while")                            \
    X(QUITS, "processes asked to end")                                   \
    X(CRASHES, "database crashes")                                       \
    X(EXPELLED, "members expelled")                                      \
    X(GENERATIONS, "generations of the group")                           \
    X(REVOKED, "partitions asked back")                                  \
    X(LOST, "assignments lost")                                          \
    X(POSTINGS, "postings committed")                                    \
    X(FENCED, "postings fenced")                                         \
    X(IN_DOUBT, "commits without an answer")                             \
    X(IN_DOUBT_DONE, "... that had happened")                            \
    X(TWINS, "keys that a concurrent transaction had inserted")          \
    X(LOCK_WAITS, "waits for a row or a key")                            \
    X(PUBLISHED, "Kafka transactions committed")                         \
    X(ABORTED, "Kafka transactions aborted")                             \
    X(TIMED_OUT, "Kafka transactions out of time")                       \
    X(PUBLISH_IN_DOUBT, "Kafka commits without an answer")               \
    X(STALE_MEMBER, "offsets refused: another generation, or no member") \
    X(UNSTABLE, "offsets asked for while a transaction was open")        \
    X(FAILPOINTS, "failpoints that acted")                               \
    X(ANSWERS, "answers visible")                                        \
    X(REPLAYS, "... of them replays")                                    \
    X(HALTS, "partitions halted")                                        \
    X(RESTORES, "databases put back to an earlier state")

enum event {
#define X(name, text) EVENT_##name,
    EVENTS(X)
#undef X
        EVENT_COUNT
};

extern uint64_t events[EVENT_COUNT];
#define COUNT(name) (events[EVENT_##name]++)

extern struct world world;

/* The first is kept, all are counted. */
__attribute__((format(printf, 1, 2))) void violate(const char *format, ...);
__attribute__((format(printf, 1, 2))) void trace(const char *format, ...);

/* workload.c: filled in place; the same seed, the same records. */
void workload_make(struct workload *workload, uint64_t seed);
const struct sim_record *workload_find(int32_t partition, int64_t offset);

/* kafka.c */
/* The partition is not the one we know any more, in one of several ways, and has to
 * halt; the books lose a row for one of them. */
void break_partition(void);
void kafka_begin(void);
struct member *group_join(struct process *process);
void group_leave(struct member *member);
/* Whether a transaction may still change the committed offset of one of these. */
bool offsets_are_unstable(const int32_t *partitions, size_t count);
bool transactions_rest(void);
void transaction_abort(struct sim_transaction *transaction);
void transaction_commit(struct sim_transaction *transaction);
bool lag_is_zero(void);
/* The channel for everything that a poll may wait for. */
#define KAFKA_CHANGED (&world.kafka)

/* postgres.c */
void postgres_begin(void);
void postgres_crash(void);
/* The state that an operator may put back later; then everything since is gone. */
void postgres_back_up(void);
void postgres_restore(void);
struct request {
    enum { REQUEST_LOOKUP, REQUEST_COMMIT, REQUEST_ROLLBACK, REQUEST_CLAIM } kind;
    struct posting *posting; /* in: copied; out: its facts are filled */
    struct claim *claims;
    size_t claim_count;
};
/* NULL: not reachable. */
struct connection *postgres_connect(const struct process *client);
/* The client is gone, or gives up; the backend finishes what it was told. */
void postgres_hang_up(struct connection *connection);
/* Sends and waits; RETRY or, for a commit, IN_DOUBT when no answer came: hang up then. */
enum port_status postgres_call(struct connection *connection, struct request *request);
bool postgres_is_broken(const struct connection *connection);

/* process.c */
const char *action_name(enum action action);
void process_start(struct process *process);
void process_kill(struct process *process);
void process_stop(struct process *process, int64_t duration_us);
int process_running(void); /* the slot of the running fiber; -1: none */

/* judge.c: what must hold (DESIGN §6). */
void judge_begin(void);
void judge_restored(void);
/* What was just written: the order, and each decision once more. */
void judge_posting(const struct posting *posting, uint64_t snapshot);
void judge_books(void);
void judge_offset(int32_t partition, int64_t before, int64_t after);
void judge_answer(const struct sim_answer *answer);
/* When nothing moves any more. */
void judge_rest(void);
uint64_t judge_digest(void); /* I7 */
uint64_t digest_bytes(const char *bytes, size_t size);

/* nemesis.c */
void nemesis_start(void);

#endif
