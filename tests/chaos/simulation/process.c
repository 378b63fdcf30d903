/* process.c: the lives of the processes: each runs the real worker on the ports of the
 * world, until it ends by itself or is killed; and the failpoints inside of it. */
#include <string.h>

#include "base/must.h"
#include "tests/chaos/simulation/heap.h"
#include "tests/chaos/simulation/world.h"

enum { DELAY_MAX_MS = 3000, STOP_MAX_MS = 12000 };

static struct process *current(void)
{
    struct owner *owner = fiber_owner();
    for (size_t i = 0; i < SIM_SLOTS; i++)
        if (&world.processes[i].owner == owner)
            return &world.processes[i];
    return NULL;
}

int process_running(void)
{
    const struct process *process = current();
    return process == NULL ? -1 : process->slot;
}

static bool stop_requested(void)
{
    return current()->stop_requested;
}

/* Everything is let go of in the order of verb_consume.c. */
static void live(void *context)
{
    struct process *process = context;
    process->code = worker_run(&process->settings);
    process->leaked = process->owner.blocks != NULL;
    bool stays = FAILPOINT(LEAVE_BEGUN);
    if (!stays)
        source_leave(&process->source);
    (void)FAILPOINT(LEAVE_DONE);
    process->alive = false;
    trace("process %d ended with %d", process->slot, process->code);
}

static void hang_up_all(struct process *process)
{
    for (size_t i = 0; i < 1 + SIM_POSTERS; i++) {
        if (process->stores[i].connection != NULL)
            postgres_hang_up(process->stores[i].connection);
        process->stores[i].connection = NULL;
    }
}

static void open_ports(struct process *process)
{
    process->source = (struct source){.process = process};
    process->reply = (struct reply){.process = process};
    for (size_t i = 0; i < 1 + SIM_POSTERS; i++)
        process->stores[i] = (struct store){.process = process};
    for (size_t i = 0; i < SIM_POSTERS; i++)
        process->poster_stores[i] = &process->stores[1 + i];
    process->settings = (struct worker_settings){.source = &process->source,
                                                 .reply = &process->reply,
                                                 .reader_store = &process->stores[0],
                                                 .poster_stores = process->poster_stores,
                                                 .posters = world.posters,
                                                 .batch_records = world.batch_records,
                                                 .until_end = world.until_end,
                                                 .stop_requested = stop_requested};
}

void process_start(struct process *process)
{
    hang_up_all(process);
    fiber_kill(&process->owner); /* what is left of the life before */
    process->owner = (struct owner){.dead = false};
    process->life++;
    process->alive = true;
    process->stop_requested = false;
    process->polled_us = fiber_now_us();
    open_ports(process);
    trace("process %d starts life %u", process->slot, process->life);
    process->main = fiber_start_joinable(&process->owner, live, process);
}

/* kill -9: the kernel closes its sockets, Kafka learns of it by the session. */
void process_kill(struct process *process)
{
    COUNT(KILLS);
    trace("process %d is killed", process->slot);
    process->alive = false;
    hang_up_all(process);
    fiber_wake(&process->alive);
    fiber_kill(&process->owner);
}

/* --- stop and continue --- */

struct pause {
    struct process *process;
    unsigned life;
    int64_t duration_us;
};

static void go_on_later(void *context)
{
    struct pause pause = *(struct pause *)context;
    heap_give(context);
    fiber_sleep_us(pause.duration_us);
    if (pause.process->life == pause.life && pause.process->alive) {
        pause.process->owner.stopped = false;
        trace("process %d goes on", pause.process->slot);
    }
}

void process_stop(struct process *process, int64_t duration_us)
{
    struct owner *nobody = NULL;
    struct pause *pause = heap_take_for(nobody, sizeof *pause);
    *pause = (struct pause){process, process->life, duration_us};
    trace("process %d is stopped for %lld ms", process->slot,
          (long long)duration_us / MILLISECOND_US);
    process->owner.stopped = true;
    COUNT(STOPS);
    fiber_start(NULL, go_on_later, pause);
    if (fiber_owner() == &process->owner)
        fiber_yield();
}

/* --- failpoints --- */

const char *failpoint_label(enum failpoint point)
{
    static const char *const labels[FAILPOINT_COUNT] = {
#define LABEL(name, label) [FAILPOINT_##name] = (label),
        FAILPOINT_LIST(LABEL)
#undef LABEL
    };
    return labels[point];
}

const char *action_name(enum action action)
{
    static const char *const names[ACTION_COUNT] = {"kill", "stop", "error", "delay"};
    return names[action];
}

static bool act(struct process *process, enum failpoint point, enum action action)
{
    trace("process %d: %s at %s", process->slot, action_name(action),
          failpoint_label(point));
    world.fired[point][action]++;
    COUNT(FAILPOINTS);
    if (action == ACTION_KILL)
        process_kill(process);
    if (action == ACTION_STOP)
        process_stop(process, chance_between(1, STOP_MAX_MS) * MILLISECOND_US);
    if (action == ACTION_DELAY)
        fiber_sleep_us(chance_between(1, DELAY_MAX_MS) * MILLISECOND_US);
    return action == ACTION_ERROR;
}

static bool is_planned(const struct process *process, enum failpoint point)
{
    const struct plan *plan = &world.trouble.plans[world.plan];
    if (world.plan == SIM_PLANS || plan->on_hit == 0 || plan->point != point ||
        (plan->stopping && !process->stop_requested) || ++world.plan_hits < plan->on_hit)
        return false;
    world.plan++;
    world.plan_hits = 0;
    return true;
}

bool failpoint_hit(enum failpoint point)
{
    struct process *process = current();
    world.hits[point]++;
    if (!world.trouble.on || process == NULL)
        return false;
    if (is_planned(process, point))
        return act(process, point, world.trouble.plans[world.plan - 1].action);
    if (chance_per_mille(world.trouble.failpoint))
        return act(process, point, (enum action)chance_below(ACTION_COUNT));
    return false;
}
