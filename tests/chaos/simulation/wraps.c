/* wraps.c: what the linker gives the product in the place of threads, clock, jitter, log
 * and heap (ld --wrap). A mutex is whether somebody holds it; a condition is an address
 * to wait on. See fiber.h. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "consumer/core/backoff.h"
#include "consumer/jitter.h"
#include "tests/chaos/simulation/fiber.h"
#include "tests/chaos/simulation/heap.h"
#include "tests/chaos/simulation/world.h"

/* --- heap --- */

struct block {
    struct owner *owner;
    struct block *next, *previous;
    size_t size;
};

void *__real_calloc(size_t count, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

void *heap_take_for(struct owner *owner, size_t size)
{
    struct block *block = __real_calloc(1, sizeof *block + size);
    MUST(block != NULL);
    block->owner = owner;
    block->size = size;
    if (block->owner == NULL)
        return block + 1;
    block->next = block->owner->blocks;
    if (block->next != NULL)
        block->next->previous = block;
    block->owner->blocks = block;
    block->owner->bytes += size;
    return block + 1;
}

void *heap_take(size_t size)
{
    return heap_take_for(fiber_owner(), size);
}

static void unlink_block(struct block *block)
{
    struct owner *owner = block->owner;
    if (owner == NULL)
        return;
    if (block->previous != NULL)
        block->previous->next = block->next;
    else
        owner->blocks = block->next;
    if (block->next != NULL)
        block->next->previous = block->previous;
    owner->bytes -= block->size;
}

void heap_give(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;
    unlink_block(block);
    __real_free(block);
}

void heap_drop(struct owner *owner)
{
    while (owner->blocks != NULL)
        heap_give(owner->blocks + 1);
}

void *__wrap_malloc(size_t size)
{
    return heap_take(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return heap_take(count * size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    void *moved = heap_take(size);
    if (memory != NULL) {
        size_t old = ((struct block *)memory - 1)->size;
        memcpy(moved, memory, old < size ? old : size);
    }
    heap_give(memory);
    return moved;
}

void __wrap_free(void *memory)
{
    heap_give(memory);
}

/* Batches are mapped by the product; here they are heap like everything else. */
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t from);
int __wrap_munmap(void *memory, size_t size);

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file, off_t from)
{
    (void)at;
    (void)protection;
    (void)flags;
    MUST(file == -1 && from == 0);
    return heap_take(size);
}

int __wrap_munmap(void *memory, size_t size)
{
    (void)size;
    heap_give(memory);
    return 0;
}

/* --- threads --- */

struct start {
    void *(*run)(void *);
    void *context;
};

static void run_thread(void *context)
{
    struct start start = *(struct start *)context;
    heap_give(context);
    start.run(start.context);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context);
int __wrap_pthread_join(pthread_t thread, void **result);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *context)
{
    (void)attributes;
    struct start *start = heap_take(sizeof *start);
    *start = (struct start){run, context};
    *thread = (pthread_t)fiber_start_joinable(fiber_owner(), run_thread, start);
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    const struct fiber *fiber = (const struct fiber *)thread;
    (void)result;
    while (!fiber_is_done(fiber))
        fiber_wait(fiber, NEVER_US);
    return 0;
}

struct mutex {
    bool held;
};
_Static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "it lives in there");

static struct mutex *inside(pthread_mutex_t *mutex)
{
    return (struct mutex *)(void *)mutex;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    inside(mutex)->held = false;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    fiber_yield_perhaps();
    while (inside(mutex)->held)
        fiber_wait(mutex, NEVER_US);
    inside(mutex)->held = true;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    MUST(inside(mutex)->held);
    inside(mutex)->held = false;
    fiber_wake(mutex);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    MUST(!inside(mutex)->held);
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *condition,
                             const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *condition);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);

int __wrap_pthread_cond_init(pthread_cond_t *condition,
                             const pthread_condattr_t *attributes)
{
    (void)condition;
    (void)attributes;
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *condition)
{
    (void)condition;
    return 0;
}

static bool wait_condition(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           int64_t deadline_us)
{
    __wrap_pthread_mutex_unlock(mutex);
    bool woken = fiber_wait(condition, deadline_us);
    __wrap_pthread_mutex_lock(mutex);
    return woken;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    wait_condition(condition, mutex, NEVER_US);
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    int64_t deadline_us = (int64_t)until->tv_sec * SECOND_US + until->tv_nsec / 1000;
    return wait_condition(condition, mutex, deadline_us) ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    fiber_wake(condition);
    return 0;
}

/* --- clock and jitter --- */

int64_t clock_monotonic_us(void)
{
    return fiber_now_us();
}

int64_t clock_monotonic_ms(void)
{
    return fiber_now_us() / MILLISECOND_US;
}

int64_t clock_unix_ms(void)
{
    return clock_monotonic_ms();
}

void clock_sleep_ms(int64_t duration_ms)
{
    fiber_sleep_us(duration_ms * MILLISECOND_US);
}

void clock_format_ms(int64_t unix_ms, char text[CLOCK_TEXT_SIZE + 1])
{
    struct timespec at = {.tv_sec = unix_ms / 1000};
    struct tm parts;
    gmtime_r(&at.tv_sec, &parts);
    MUST(strftime(text, CLOCK_TEXT_SIZE + 1, "%Y-%m-%dT%H:%M:%S.", &parts) == 20);
    for (int i = 0, divisor = 100; i < 3; i++, divisor /= 10)
        text[20 + i] = (char)('0' + unix_ms / divisor % 10);
    memcpy(&text[23], "Z", 2);
}

int64_t jitter_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
    return backoff_ms(attempt, base_ms, cap_ms, chance());
}

/* --- log: part of the trace --- */

bool log_is_on(enum log_level level)
{
    (void)level;
    return world.tracing;
}

bool log_is_due(uint64_t *count)
{
    return ++*count > 0;
}

/* That a partition has halted is said in the log, and nowhere else. */
static void note_halt(const char *event, const struct log_field *fields)
{
    if (strcmp(event, "halted") != 0)
        return;
    COUNT(HALTS);
    while (strcmp(fields->name, "partition") != 0)
        fields++;
    world.halted[fields->number] = true;
    if (fields->number != world.broken)
        violate("partition %d halts for nothing", (int)fields->number);
}

void log_fields(enum log_level level, const char *event, const char *sentence,
                const struct log_field *fields)
{
    char text[256] = "";
    (void)level;
    note_halt(event, fields);
    if (!world.tracing)
        return;
    for (size_t used = 0; fields->name != NULL && used < sizeof text; fields++)
        used += (size_t)(fields->type == LOG_INT
                             ? snprintf(&text[used], sizeof text - used, " %s=%lld",
                                        fields->name, (long long)fields->number)
                             : snprintf(&text[used], sizeof text - used, " %s=%s",
                                        fields->name, fields->text));
    trace("  %d %s:%s (%s)", process_running(), event, text, sentence);
}
