/* history.c: one seed, one history: what it is made of, what goes wrong in it, how it
 * heals, and a second part that must change nothing: a rewind, or a partition that has to
 * halt. */
#include "tests/chaos/simulation/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    HEAL_MAX_S = 60, /* I12 */
    STOP_MAX_S = 45,
    MEMORY_MAX = 4 * 1024 * 1024 /* I16: of one process, with such small batches */
};

struct world world;
uint64_t events[EVENT_COUNT];

static struct workload workload;

/* --- what is told --- */

void violate(const char *format, ...)
{
    va_list arguments;
    if (world.violations++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(world.violation, sizeof world.violation, format, arguments);
    va_end(arguments);
    trace("VIOLATION: %s", world.violation);
}

void trace(const char *format, ...)
{
    if (!world.tracing)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%10.6f  ", (double)fiber_now_us() / SECOND_US);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

/* --- a history --- */

static unsigned sometimes(unsigned per_mille, unsigned rate)
{
    return chance_per_mille(per_mille) ? 1 + (unsigned)chance_below(rate) : 0;
}

/* --- planned histories: one failpoint, or one and then another --- */

static struct plan plan_of(uint64_t number)
{
    return (struct plan){
        .point = (enum failpoint)(number / ACTION_COUNT % FAILPOINT_COUNT),
        .action = (enum action)(number % ACTION_COUNT),
        .on_hit = chance_per_mille(700) ? 1 : 1 + (unsigned)chance_below(4)};
}

static bool is_planned(const struct trouble *trouble, enum failpoint point)
{
    for (size_t i = 0; i < SIM_PLANS; i++)
        if (trouble->plans[i].on_hit > 0 && trouble->plans[i].point == point)
            return true;
    return false;
}

/* What would rarely be passed: nobody pauses who has not waited for long, and nothing
 * halts without a reason; who is asked to end does neither. */
static void make_way(struct trouble *trouble)
{
    bool pauses =
        is_planned(trouble, FAILPOINT_PAUSED) || is_planned(trouble, FAILPOINT_RESUMED);
    bool halts = is_planned(trouble, FAILPOINT_HALT_BEGUN) ||
                 is_planned(trouble, FAILPOINT_HALT_DONE);
    if (pauses) {
        trouble->crash = 800;
        trouble->kafka_call = trouble->kafka_down = trouble->rebalance = 0;
        world.batch_records = 1;
    }
    if (pauses || halts)
        trouble->plans[0].stopping = false;
    world.breaks = halts || chance_per_mille(500);
}

/* A little of everything, so that every point is passed; the plan does the rest. */
static void plan_trouble(struct trouble *trouble, enum mode mode, uint64_t number)
{
    *trouble = (struct trouble){.on = true,
                                .kafka_call = 10,
                                .quit = 60,
                                .crash = 300,
                                .kafka_down = 60,
                                .rebalance = 150,
                                .poison = true};
    bool stopping = chance_per_mille(mode == MODE_PAIRS ? 200 : 400);
    if (stopping)
        trouble->quit = 600;
    trouble->plans[0] = plan_of(mode == MODE_PAIRS ? number / HISTORY_PLANS : number);
    if (mode == MODE_PAIRS)
        trouble->plans[1] = plan_of(number);
    trouble->plans[0].stopping = stopping;
    make_way(trouble);
}

/* Each history has troubles of its own: a few kinds of them, rarely all. */
static void draw_trouble(struct trouble *trouble)
{
    *trouble = (struct trouble){.on = true,
                                .failpoint = sometimes(300, 4),
                                .kafka_call = sometimes(300, 60),
                                .kafka_answer = sometimes(300, 60),
                                .postgres_cut_before = sometimes(250, 60),
                                .postgres_cut_after = sometimes(300, 80),
                                .postgres_mute = sometimes(100, 20),
                                .postgres_error = sometimes(250, 80),
                                .kill = sometimes(400, 300),
                                .stop = sometimes(350, 200),
                                .quit = sometimes(200, 200),
                                .crash = sometimes(300, 200),
                                .kafka_down = sometimes(200, 100),
                                .rebalance = sometimes(300, 400),
                                .poison = chance_per_mille(100)};
    if (trouble->crash > 0 && chance_per_mille(100))
        trouble->restore = 500;
}

static void draw_poison(void)
{
    for (size_t i = 0; world.trouble.poison && i < SIM_POISON; i++) {
        int32_t partition = (int32_t)chance_below(SIM_PARTITIONS);
        size_t index = chance_below(world.workload->count[partition]);
        const struct intake *intake =
            &world.workload->records[partition][index].decoded.intake;
        if (intake->has_key)
            memcpy(world.poison[i], intake->command.key, sizeof world.poison[i]);
    }
}

static void draw_shape(void)
{
    world.process_count = 1 + chance_below(SIM_SLOTS);
    world.eager = chance_per_mille(500);
    world.posters = 1 + chance_below(SIM_POSTERS);
    world.batch_records = 1 + chance_below(SIM_BATCH);
}

static void heal(void)
{
    trace("everything heals");
    world.trouble.on = false;
    world.kafka.up = true;
    world.postgres_up = true;
    for (size_t i = 0; i < world.process_count; i++) {
        world.processes[i].owner.stopped = false;
        if (world.restored) /* nobody looks at the database when nothing comes */
            world.processes[i].stop_requested = true;
    }
    if (world.restored)
        fiber_sleep_us(20 * SECOND_US);
}

static bool wait_for(bool (*condition)(void), int64_t seconds)
{
    int64_t deadline_us = fiber_now_us() + seconds * SECOND_US;
    while (!condition() && fiber_now_us() < deadline_us)
        fiber_sleep_us(50 * MILLISECOND_US);
    return condition();
}

static bool all_ended(void)
{
    for (size_t i = 0; i < world.process_count; i++)
        if (world.processes[i].alive)
            return false;
    return true;
}

static void check_memory(void)
{
    for (size_t i = 0; i < world.process_count; i++)
        if (world.processes[i].owner.bytes > MEMORY_MAX)
            violate("I16: process %zu has %zu bytes", i, world.processes[i].owner.bytes);
}

static void stop_all(void)
{
    check_memory();
    world.supervised = false;
    for (size_t i = 0; i < world.process_count; i++)
        world.processes[i].stop_requested = true;
    fiber_wake(KAFKA_CHANGED);
    if (!wait_for(all_ended, STOP_MAX_S))
        violate("a process does not stop in %d s", STOP_MAX_S);
    if (!wait_for(transactions_rest, STOP_MAX_S))
        violate("a Kafka transaction never ends");
}

/* Troubles while the records come and some time after; then peace, and no lag. */
static void live_through(int64_t trouble_us)
{
    nemesis_start();
    fiber_sleep_us(trouble_us);
    heal();
    if (!wait_for(lag_is_zero, HEAL_MAX_S))
        violate("I12: the lag is not zero %d s after everything healed", HEAL_MAX_S);
    stop_all();
    judge_rest();
}

static void rewind_topic(bool deleted)
{
    struct sim_kafka *kafka = &world.kafka;
    trace("rewind%s", deleted ? ", the group is deleted" : "");
    kafka->pass++;
    memset(kafka->results, 0, sizeof kafka->results);
    memset(kafka->letters, 0, sizeof kafka->letters);
    for (size_t i = 0; i < SIM_PARTITIONS; i++) {
        kafka->group.committed[i] = kafka->logs[i].start;
        kafka->group.has_committed[i] = !deleted;
    }
}

static bool peace_or_halt(void)
{
    return lag_is_zero() && (world.broken < 0 || world.halted[world.broken]);
}

/* The whole topic again, or one partition of it that has to halt; troubles or not. */
static void live_again(void)
{
    world.trouble.on = world.trouble.plans[0].on_hit > 0 || chance_per_mille(500);
    nemesis_start();
    fiber_sleep_us(chance_between(1, 6) * SECOND_US);
    heal();
    if (!wait_for(peace_or_halt, HEAL_MAX_S))
        violate("I12: after a rewind the lag is not zero in %d s, or no halt",
                HEAL_MAX_S);
    stop_all();
}

/* With the group gone, the offset to start from is next_offset: nothing is answered. */
static void rewind_and_compare(void)
{
    uint64_t digest = judge_digest();
    rewind_topic(chance_per_mille(300));
    bool answers = world.kafka.group.has_committed[0];
    live_again();
    if (answers)
        judge_rest();
    if (judge_digest() != digest && !world.restored)
        violate("I7: a rewind has changed the books");
}

static void break_and_halt(void)
{
    rewind_topic(false);
    world.trouble.restore = 0;
    break_partition();
    uint64_t digest = judge_digest();
    live_again();
    if (judge_digest() != digest)
        violate("a partition that halts has changed the books");
}

static void run_history(void *context)
{
    (void)context;
    kafka_begin();
    postgres_begin();
    int64_t longer_s = world.trouble.stop > 0 ? 30 : 8; /* the stopped come back */
    live_through(world.workload->end_us + chance_between(0, longer_s) * SECOND_US);
    if (world.violations > 0)
        return;
    if (world.breaks || chance_per_mille(100))
        break_and_halt();
    else
        rewind_and_compare();
}

static void forget_books(void)
{
    struct books *books = world.books;
    books->inbox_count = books->letter_count = books->account_count = 0;
    books->transfer_count = books->position_count = 0;
    books->last_account_id = 0;
}

static void begin(enum mode mode, uint64_t seed)
{
    struct books *books = world.books;
    bool tracing = world.tracing, unfenced = world.unfenced;
    for (size_t i = 0; i < SIM_SLOTS; i++)
        fiber_kill(&world.processes[i].owner);
    memset(&world, 0, sizeof world);
    world.books = books;
    world.tracing = tracing;
    world.unfenced = unfenced;
    world.workload = &workload;
    workload_make(&workload, ~seed); /* not what is drawn below */
    fiber_begin(seed, 0);
    fiber_begin(seed, (unsigned)chance_below(250));
    draw_shape();
    if (mode == MODE_CHANCE)
        draw_trouble(&world.trouble);
    else
        plan_trouble(&world.trouble, mode, seed);
    draw_poison();
    world.broken = -1;
    forget_books();
    judge_begin();
}

bool history(enum mode mode, uint64_t seed)
{
    begin(mode, seed);
    trace("seed %llu: %zu processes, %zu posters, batches of %zu",
          (unsigned long long)seed, world.process_count, world.posters,
          world.batch_records);
    struct fiber *first = fiber_start_joinable(NULL, run_history, NULL);
    if (!fiber_run(first))
        violate("nobody can go on");
    return world.violations == 0;
}
