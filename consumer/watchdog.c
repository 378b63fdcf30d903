/* watchdog.c: see watchdog.h. One slot per guarded thread, handed out on first use. */
#include "consumer/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/must.h"

enum { SLOTS_MAX = 80, TICK_MS = 250 };

struct slot {
    atomic_int ticks_left; /* 0: not armed */
    atomic_int exit_code;
    _Atomic(const char *) what;
};

static struct slot slots[SLOTS_MAX];
static atomic_int slots_used;
static _Thread_local struct slot *own_slot;

static void bite(struct slot *slot)
{
    const char *what = atomic_load(&slot->what);
    if (what != NULL)
        log_event(LOG_FATAL, "watchdog",
                  "a call did not come back in time; the process ends, a restart is safe",
                  LOG_T("call", what));
    _exit(atomic_load(&slot->exit_code));
}

static void tick(struct slot *slot)
{
    int left = atomic_load(&slot->ticks_left);
    if (left == 0)
        return;
    if (left == 1)
        bite(slot);
    atomic_compare_exchange_strong(&slot->ticks_left, &left, left - 1);
}

static void *watch(void *context)
{
    (void)context;
    for (;;) {
        clock_sleep_ms(TICK_MS);
        for (int i = 0; i < atomic_load(&slots_used); i++)
            tick(&slots[i]);
    }
    return NULL;
}

static void start_once(void)
{
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, watch, NULL) == 0);
    pthread_detach(thread);
}

void watchdog_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, start_once) == 0);
}

static void arm(const char *what, int seconds, int exit_code)
{
    if (own_slot == NULL) {
        int index = atomic_fetch_add(&slots_used, 1);
        MUST(index < SLOTS_MAX);
        own_slot = &slots[index];
    }
    atomic_store(&own_slot->what, what);
    atomic_store(&own_slot->exit_code, exit_code);
    atomic_store(&own_slot->ticks_left, 1 + seconds * 1000 / TICK_MS);
}

void watchdog_arm(const char *what, int seconds)
{
    arm(what, seconds, EXIT_CODE_INTERNAL);
}

void watchdog_arm_last(int seconds, int exit_code)
{
    arm(NULL, seconds, exit_code);
}

void watchdog_disarm(void)
{
    MUST(own_slot != NULL);
    atomic_store(&own_slot->ticks_left, 0);
}
