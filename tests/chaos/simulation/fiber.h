/* fiber.h: one thread that plays many. Fibers take turns where a thread could be
 * preempted, in an order that one seed decides; time is a number that jumps to the next
 * deadline when nobody can run. What the product calls of pthread, clock and heap is
 * linked to this (see wraps.c), so a history is repeated exactly by its seed.
 *
 * A fiber belongs to a process, or to nobody: Kafka, Postgres and the director do. */
#ifndef TESTS_CHAOS_SIMULATION_FIBER_H
#define TESTS_CHAOS_SIMULATION_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIBERS_MAX = 192 };

struct fiber;
struct block;

/* What a process is to the scheduler: killed, stopped or running; and its memory. */
struct owner {
    bool dead;
    bool stopped;         /* SIGSTOP */
    struct block *blocks; /* its heap, given back when it is killed */
    size_t bytes;
};

/* A new history: time 0, no fibers. `yield_per_mille`: how often a lock is a turn. */
void fiber_begin(uint64_t seed, unsigned yield_per_mille);
/* Runs fibers until `first` ends; false: nobody can ever go on. The others are dropped,
 * wherever they are. */
bool fiber_run(struct fiber *first);

/* owner NULL: nobody. Forgotten when it ends. */
void fiber_start(struct owner *owner, void (*run)(void *), void *context);
/* One whose end can be waited for, on itself as the channel; forgotten with its owner. */
struct fiber *fiber_start_joinable(struct owner *owner, void (*run)(void *),
                                   void *context);
bool fiber_is_done(const struct fiber *fiber);
struct owner *fiber_owner(void); /* of the running fiber */
/* Its fibers never run again and its memory is gone. Does not return when it is the
 * running fiber's own. */
void fiber_kill(struct owner *owner);

void fiber_yield(void);
void fiber_yield_perhaps(void);
void fiber_sleep_us(int64_t duration_us);
/* Until somebody wakes the channel, or the deadline has passed: false. */
bool fiber_wait(const void *channel, int64_t deadline_us);
void fiber_wake(const void *channel);

int64_t fiber_now_us(void);
uint64_t fiber_turns(void);
uint64_t fiber_digest(void); /* of who had which turn, and when */

/* The one source of chance. */
uint64_t chance(void);
uint64_t chance_below(uint64_t limit); /* limit ≥ 1 */
bool chance_per_mille(unsigned per_mille);
int64_t chance_between(int64_t low, int64_t high); /* both included */

enum { SECOND_US = 1000000, MILLISECOND_US = 1000 };
#define NEVER_US INT64_MAX

#endif
