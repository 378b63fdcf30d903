/* fiber.c: see fiber.h. Stacks are mapped once and used again by later fibers; below
 * each lies a page that nobody may touch. A fiber is entered by setcontext() and from
 * then on switched to by _longjmp(), which needs no system call; the address sanitizer
 * wants to be told of each switch, and knows swapcontext() only. */
#include "tests/chaos/simulation/fiber.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/must.h"
#include "tests/chaos/simulation/heap.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

#ifdef ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
enum { STACK_SIZE = 512 * 1024, GUARD_SIZE = 4096 };
#else
enum { STACK_SIZE = 96 * 1024, GUARD_SIZE = 4096 };
#endif

struct fiber {
    enum { FIBER_FREE, FIBER_READY, FIBER_WAITING, FIBER_DONE } state;
    struct owner *owner;
    void (*run)(void *);
    void *context;
    const void *channel;
    int64_t deadline_us;
    bool woken, joinable;
    char *stack;
    ucontext_t at;
    bool entered;
    jmp_buf left_at;
};

static struct fiber fibers[FIBERS_MAX];
static size_t fiber_count; /* slots that were ever used in this history */
static struct fiber *running;
static int64_t now_us;
static uint64_t turns, digest, state;
static unsigned lock_yields;

#ifdef ADDRESS_SANITIZER
static ucontext_t scheduler;
static const void *scheduler_stack;
static size_t scheduler_size;
#else
static jmp_buf scheduler_left_at;
#endif

/* --- chance: splitmix64 --- */

uint64_t chance(void)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t chance_below(uint64_t limit)
{
    MUST(limit > 0);
    return chance() % limit;
}

bool chance_per_mille(unsigned per_mille)
{
    return chance() % 1000 < per_mille;
}

int64_t chance_between(int64_t low, int64_t high)
{
    MUST(low <= high);
    return low + (int64_t)chance_below((uint64_t)(high - low) + 1);
}

/* --- switching --- */

static void to_scheduler(void)
{
#ifdef ADDRESS_SANITIZER
    void *fake = NULL;
    __sanitizer_start_switch_fiber(running->state == FIBER_DONE ? NULL : &fake,
                                   scheduler_stack, scheduler_size);
    swapcontext(&running->at, &scheduler);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#else
    if (_setjmp(running->left_at) == 0)
        _longjmp(scheduler_left_at, 1);
#endif
}

#ifndef ADDRESS_SANITIZER
static void enter_or_go_on(struct fiber *fiber)
{
    if (fiber->entered)
        _longjmp(fiber->left_at, 1);
    fiber->entered = true;
    setcontext(&fiber->at);
}
#endif

static void to_fiber(struct fiber *fiber)
{
    running = fiber;
#ifdef ADDRESS_SANITIZER
    void *fake;
    __sanitizer_start_switch_fiber(&fake, fiber->stack, STACK_SIZE);
    swapcontext(&scheduler, &fiber->at);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#else
    if (_setjmp(scheduler_left_at) == 0)
        enter_or_go_on(fiber);
#endif
    running = NULL;
}

static void enter(void)
{
#ifdef ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_size);
#endif
    running->run(running->context);
    running->state = FIBER_DONE;
    fiber_wake(running);
    to_scheduler();
}

/* Not the simulated one. */
void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t from);

static void map_stack(struct fiber *fiber)
{
    char *memory = __real_mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(memory != MAP_FAILED);
    MUST(mprotect(memory, GUARD_SIZE, PROT_NONE) == 0);
    fiber->stack = memory + GUARD_SIZE;
}

static struct fiber *free_slot(void)
{
    for (size_t i = 0; i < fiber_count; i++)
        if (fibers[i].state == FIBER_FREE)
            return &fibers[i];
    MUST(fiber_count < FIBERS_MAX);
    struct fiber *fiber = &fibers[fiber_count++];
    if (fiber->stack == NULL)
        map_stack(fiber);
    return fiber;
}

static struct fiber *start(struct owner *owner, void (*run)(void *), void *context)
{
    struct fiber *fiber = free_slot();
    fiber->state = FIBER_READY;
    fiber->owner = owner;
    fiber->run = run;
    fiber->context = context;
    fiber->entered = false;
    MUST(getcontext(&fiber->at) == 0);
    fiber->at.uc_stack.ss_sp = fiber->stack;
    fiber->at.uc_stack.ss_size = STACK_SIZE;
    fiber->at.uc_link = NULL;
    makecontext(&fiber->at, enter, 0);
    return fiber;
}

void fiber_start(struct owner *owner, void (*run)(void *), void *context)
{
    start(owner, run, context)->joinable = false;
}

struct fiber *fiber_start_joinable(struct owner *owner, void (*run)(void *),
                                   void *context)
{
    struct fiber *fiber = start(owner, run, context);
    fiber->joinable = true;
    return fiber;
}

bool fiber_is_done(const struct fiber *fiber)
{
    return fiber->state == FIBER_DONE;
}

struct owner *fiber_owner(void)
{
    return running == NULL ? NULL : running->owner;
}

/* --- the schedule --- */

void fiber_begin(uint64_t seed, unsigned yield_per_mille)
{
    for (size_t i = 0; i < fiber_count; i++)
        fibers[i].state = FIBER_FREE;
    fiber_count = 0;
    running = NULL;
    now_us = 0;
    turns = digest = 0;
    state = seed;
    lock_yields = yield_per_mille;
}

static bool may_run(const struct fiber *fiber)
{
    if (fiber->owner != NULL && fiber->owner->stopped)
        return false;
    return fiber->state == FIBER_READY ||
           (fiber->state == FIBER_WAITING &&
            (fiber->woken || fiber->deadline_us <= now_us));
}

static struct fiber *any_ready(void)
{
    struct fiber *ready[FIBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < fiber_count; i++)
        if (may_run(&fibers[i]))
            ready[count++] = &fibers[i];
    return count == 0 ? NULL : ready[count == 1 ? 0 : chance_below(count)];
}

/* False when nobody waits for any time. */
static bool skip_time(void)
{
    int64_t next_us = NEVER_US;
    for (size_t i = 0; i < fiber_count; i++) {
        const struct fiber *fiber = &fibers[i];
        if (fiber->state == FIBER_WAITING && fiber->deadline_us < next_us &&
            (fiber->owner == NULL || !fiber->owner->stopped))
            next_us = fiber->deadline_us;
    }
    if (next_us == NEVER_US)
        return false;
    if (next_us > now_us)
        now_us = next_us;
    return true;
}

static void note_turn(const struct fiber *fiber)
{
    static const uint64_t prime = UINT64_C(0x100000001B3);
    turns++;
    digest = (digest ^ (uint64_t)(fiber - fibers)) * prime;
    digest = (digest ^ (uint64_t)now_us) * prime;
}

bool fiber_run(struct fiber *first)
{
    while (first->state != FIBER_DONE) {
        struct fiber *next = any_ready();
        if (next == NULL) {
            if (!skip_time())
                return false;
            continue;
        }
        now_us += (int64_t)(chance() & 15) + 1;
        note_turn(next);
        next->state = FIBER_READY;
        to_fiber(next);
        if (next->state == FIBER_DONE && !next->joinable)
            next->state = FIBER_FREE;
    }
    return true;
}

void fiber_kill(struct owner *owner)
{
    owner->dead = true;
    for (size_t i = 0; i < fiber_count; i++)
        if (fibers[i].owner == owner)
            fibers[i].state = FIBER_FREE;
    heap_drop(owner);
    if (running != NULL && running->owner == owner) {
        /* The slot must not be taken while its stack is still in use. */
        running->state = FIBER_DONE;
        running->joinable = false;
        to_scheduler();
    }
}

void fiber_yield(void)
{
    to_scheduler();
}

void fiber_yield_perhaps(void)
{
    if (chance_per_mille(lock_yields))
        to_scheduler();
}

bool fiber_wait(const void *channel, int64_t deadline_us)
{
    running->state = FIBER_WAITING;
    running->channel = channel;
    running->deadline_us = deadline_us;
    running->woken = false;
    to_scheduler();
    return running->woken;
}

void fiber_sleep_us(int64_t duration_us)
{
    fiber_wait(NULL, now_us + duration_us);
}

void fiber_wake(const void *channel)
{
    for (size_t i = 0; i < fiber_count; i++)
        if (fibers[i].state == FIBER_WAITING && fibers[i].channel == channel &&
            channel != NULL)
            fibers[i].woken = true;
}

int64_t fiber_now_us(void)
{
    return now_us;
}

uint64_t fiber_turns(void)
{
    return turns;
}

uint64_t fiber_digest(void)
{
    return digest;
}
