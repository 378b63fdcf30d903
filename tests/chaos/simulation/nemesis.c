/* nemesis.c: does to processes, Postgres and Kafka what the history's troubles allow,
 * as long as they are on; and supervises: what has ended is started again. */
#include "tests/chaos/simulation/world.h"

enum { TICK_MS = 100 };

static bool now(unsigned per_mille_a_second)
{
    return world.trouble.on &&
           chance_per_mille(per_mille_a_second * TICK_MS / 1000 + 1) &&
           per_mille_a_second > 0;
}

static void judge_end(const struct process *process)
{
    bool restart_is_safe = process->code == EXIT_CODE_INTERNAL;
    if (process->leaked)
        violate("I16: process %d leaves memory behind", process->slot);
    if (process->code == EXIT_CODE_DONE && !process->stop_requested)
        violate("process %d ended by itself", process->slot);
    if (process->code != EXIT_CODE_DONE && !restart_is_safe)
        violate("process %d ended with %d", process->slot, process->code);
}

/* One for each slot: starts it again, a little later, until that is no longer wanted. */
static void supervise(void *context)
{
    struct process *process = context;
    while (world.supervised) {
        process_start(process);
        while (process->alive)
            fiber_wait(process->main, fiber_now_us() + SECOND_US);
        if (fiber_is_done(process->main) && !process->owner.dead)
            judge_end(process);
        fiber_sleep_us(chance_between(1, 1500 * MILLISECOND_US));
    }
}

/* Shorter than the session, longer, or longer than a Kafka transaction may take. */
static int64_t draw_pause(void)
{
    static const int64_t at_most_ms[] = {3000, 6000, 12000, 25000};
    return chance_between(1, at_most_ms[chance_below(4)]) * MILLISECOND_US;
}

static void harass(void *context)
{
    struct process *process = context;
    const struct trouble *trouble = &world.trouble;
    while (world.supervised) {
        fiber_sleep_us(chance_between(1, 2 * TICK_MS * MILLISECOND_US));
        if (!process->alive)
            continue;
        if (now(trouble->kill))
            process_kill(process);
        else if (now(trouble->stop) && !process->owner.stopped)
            process_stop(process, draw_pause());
        else if (now(trouble->quit)) {
            COUNT(QUITS);
            process->stop_requested = true;
        }
    }
}

static void trouble_postgres(void *context)
{
    (void)context;
    while (world.supervised) {
        fiber_sleep_us(chance_between(1, 2 * TICK_MS * MILLISECOND_US));
        if (world.trouble.restore > 0 && chance_per_mille(50))
            postgres_back_up();
        if (!now(world.trouble.crash))
            continue;
        trace("the database crashes");
        postgres_crash();
        if (chance_per_mille(world.trouble.restore))
            postgres_restore();
        fiber_sleep_us(chance_between(1, 4000) * MILLISECOND_US);
        world.postgres_up = true;
    }
}

static void trouble_kafka(void *context)
{
    (void)context;
    while (world.supervised) {
        fiber_sleep_us(chance_between(1, 2 * TICK_MS * MILLISECOND_US));
        if (now(world.trouble.rebalance))
            world.kafka.group.rebalance = true;
        if (!now(world.trouble.kafka_down))
            continue;
        trace("the brokers are away");
        world.kafka.up = false;
        fiber_sleep_us(chance_between(1, 5000) * MILLISECOND_US);
        world.kafka.up = true;
    }
}

/* Of one phase: they end when it does. */
void nemesis_start(void)
{
    world.supervised = true;
    for (size_t i = 0; i < world.process_count; i++) {
        world.processes[i].slot = (int)i;
        fiber_start(NULL, supervise, &world.processes[i]);
        fiber_start(NULL, harass, &world.processes[i]);
    }
    fiber_start(NULL, trouble_postgres, NULL);
    fiber_start(NULL, trouble_kafka, NULL);
}
