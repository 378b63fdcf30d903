/* worker_test.c: the whole worker against Kafka and Postgres in memory (tests/fakes).
 * First once without trouble: that is the reference. Then in a new world for each
 * single call of each port and each way it can end, and after each the whole topic
 * again from its start. What must hold at every moment is looked at by the fakes
 * themselves (tests/fakes/checks.c). Worlds are independent, so several are tried at
 * once: most of a retry is waiting. */
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "tests/fakes/run.h"
#include "tests/fakes/workload.h"
#include "tests/unit/test.h"

enum { THREADS = 12, EVERY_CALL_UP_TO = 16, CALL_STEP = 5, CALLS_MAX = 400, SEEDS = 60 };

static struct world *reference;
static const struct run_setup plain = {.posters = 1, .batch_records = 16};

static struct world *new_world(void)
{
    struct world *world = world_new();
    workload_fill(world);
    return world;
}

/* Runs to the end, compares, rewinds, runs again, compares again. */
static bool survives(struct world *world, struct run_setup setup,
                     char difference[RUN_DIFFERENCE_MAX])
{
    if (!run_to_end(world, setup, difference) || !run_same(world, reference, difference))
        return false;
    world_rewind(world);
    return run_to_end(world, setup, difference) &&
           run_same(world, reference, difference) && run_all_replayed(world, difference);
}

static void check_survives(struct world *world, struct run_setup setup)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    (void)survives(world, setup, difference);
    CHECK_TEXT(difference, "");
    CHECK_INT(world->early_ends, 0);
}

/* --- every call, every way it can end --- */

struct sweep {
    struct fault fault;
    struct run_setup setup;
    unsigned cases, failures;
    char difference[RUN_DIFFERENCE_MAX]; /* of the first failure */
    unsigned number;
    unsigned seed; /* instead of a sweep: one world with several faults */
};

#define ENDS(call_, status_)                           \
    {                                                  \
        .call = CALL_##call_, .status = PORT_##status_ \
    }
#define ENDS_APPLIED(call_, status_)                                    \
    {                                                                   \
        .call = CALL_##call_, .status = PORT_##status_, .applied = true \
    }
#define ENDS_UNSETTLED(call_)                                           \
    {                                                                   \
        .call = CALL_##call_, .status = PORT_IN_DOUBT, .applied = true, \
        .unsettled = true                                               \
    }
#define ENDS_STOLEN(call_)                                      \
    {                                                           \
        .call = CALL_##call_, .status = PORT_OK, .stolen = true \
    }

static const struct fault faults[] = {
    ENDS(MARKS, RETRY),
    ENDS(CLAIM, RETRY),
    ENDS(CLAIM, IN_DOUBT),
    ENDS_APPLIED(CLAIM, IN_DOUBT),
    ENDS(CLAIM, FATAL),
    ENDS(ATTACH, RETRY),
    ENDS(LOOKUP, RETRY),
    ENDS(LOOKUP, FENCED),
    ENDS(LOOKUP, FATAL),
    ENDS_STOLEN(LOOKUP),
    ENDS(COMMIT, RETRY),
    ENDS(COMMIT, IN_DOUBT),
    ENDS_APPLIED(COMMIT, IN_DOUBT),
    ENDS(COMMIT, FENCED),
    ENDS(COMMIT, FATAL),
    ENDS_APPLIED(COMMIT, FATAL),
    ENDS_STOLEN(COMMIT),
    ENDS(PUBLISH, RETRY),
    ENDS(PUBLISH, IN_DOUBT),
    ENDS_APPLIED(PUBLISH, IN_DOUBT),
    ENDS(PUBLISH, FENCED),
    ENDS_UNSETTLED(PUBLISH),
    ENDS(OFFSETS, RETRY),
    ENDS(OFFSETS, IN_DOUBT),
    ENDS_APPLIED(OFFSETS, IN_DOUBT),
    ENDS_UNSETTLED(OFFSETS),
    ENDS(OFFSETS, FENCED),
    ENDS(RECOVER, RETRY),
    ENDS(RECOVER, FENCED),
    ENDS(RECOVER, FATAL),
    ENDS(ANY, RETRY),
};

enum { FAULTS = sizeof faults / sizeof *faults };

/* False when the worker did not get to that call any more, or nowhere: the sweep is over.
 */
static bool try_call(struct sweep *sweep, unsigned number)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    struct world *world = new_world();
    struct fault fault = sweep->fault;
    fault.first = number;
    world_add_fault(world, fault);
    bool survived = survives(world, sweep->setup, difference) && world->early_ends == 0;
    bool goes_on = world->fired > 0 && !world->overdue;
    sweep->cases++;
    if (!survived && sweep->failures++ == 0) {
        memcpy(sweep->difference, difference, sizeof difference);
        sweep->number = number;
    }
    world_free(world);
    return goes_on;
}

/* The same seed gives the same numbers. */
static unsigned next_random(uint64_t *state, unsigned bound)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33) % bound;
}

/* FENCED by Kafka ends the worker for good, so it stays out. */
static void add_random_fault(struct world *world, uint64_t *state)
{
    struct fault fault = faults[next_random(state, FAULTS)];
    if (fault.status == PORT_FENCED && fault.call != CALL_LOOKUP &&
        fault.call != CALL_COMMIT)
        fault.status = PORT_RETRY;
    fault.first = 1 + next_random(state, 12);
    fault.times = 1 + next_random(state, 2);
    world_add_fault(world, fault);
}

static void try_seed(struct sweep *sweep)
{
    uint64_t state = sweep->seed;
    struct world *world = new_world();
    for (size_t i = 0; i < WORLD_FAULTS_MAX; i++)
        add_random_fault(world, &state);
    sweep->cases = 1;
    if (!survives(world, sweep->setup, sweep->difference) || world->early_ends > 0)
        sweep->failures = 1;
    world_free(world);
}

static void run_sweep(struct sweep *sweep)
{
    if (sweep->seed > 0) {
        try_seed(sweep);
        return;
    }
    unsigned number = 1;
    while (number < CALLS_MAX && sweep->failures < 3 && try_call(sweep, number))
        number += number < EVERY_CALL_UP_TO ? 1 : CALL_STEP;
}

struct crew {
    pthread_mutex_t mutex;
    struct sweep *sweeps;
    size_t count, taken;
};

static void *work(void *context)
{
    struct crew *crew = context;
    for (;;) {
        MUST(pthread_mutex_lock(&crew->mutex) == 0);
        struct sweep *sweep =
            crew->taken < crew->count ? &crew->sweeps[crew->taken++] : NULL;
        MUST(pthread_mutex_unlock(&crew->mutex) == 0);
        if (sweep == NULL)
            return NULL;
        run_sweep(sweep);
    }
}

static void run_all(struct sweep *sweeps, size_t count)
{
    struct crew crew = {
        .mutex = PTHREAD_MUTEX_INITIALIZER, .sweeps = sweeps, .count = count};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_create(&threads[i], NULL, work, &crew) == 0);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
}

static void report(const struct sweep *sweep)
{
    char name[120], text[RUN_DIFFERENCE_MAX + 40] = "";
    snprintf(name, sizeof name, "%s ends with %s%s%s, %zu posters",
             call_name(sweep->fault.call), port_status_name(sweep->fault.status),
             sweep->fault.unsettled ? " (unsettled)"
             : sweep->fault.applied ? " (applied)"
                                    : "",
             sweep->fault.stolen ? " (stolen)" : "", sweep->setup.posters);
    test_case(name);
    if (sweep->failures > 0)
        snprintf(text, sizeof text, "call %u: %s", sweep->number, sweep->difference);
    CHECK_TEXT(text, "");
    CHECK(sweep->cases > 1);
}

static void every_call(void)
{
    struct sweep *sweeps = calloc(FAULTS, sizeof *sweeps);
    MUST(sweeps != NULL);
    unsigned cases = 0;
    for (size_t i = 0; i < FAULTS; i++)
        sweeps[i] = (struct sweep){
            .fault = faults[i],
            .setup = {.posters = 1 + i % 2, .batch_records = i % 3 == 0 ? 7 : 16}};
    run_all(sweeps, FAULTS);
    for (size_t i = 0; i < FAULTS; i++) {
        report(&sweeps[i]);
        cases += sweeps[i].cases;
    }
    printf("%u worlds with a fault\n", cases);
    free(sweeps);
}

/* Several at once, here and there. */
static void many_faults(void)
{
    struct sweep *sweeps = calloc(SEEDS, sizeof *sweeps);
    MUST(sweeps != NULL);
    for (unsigned i = 0; i < SEEDS; i++)
        sweeps[i] = (struct sweep){.seed = i + 1,
                                   .setup = {.posters = 1 + i % 2, .batch_records = 7}};
    run_all(sweeps, SEEDS);
    for (unsigned i = 0; i < SEEDS; i++) {
        char name[40];
        snprintf(name, sizeof name, "several faults, seed %u", i + 1);
        test_case(name);
        CHECK_TEXT(sweeps[i].difference, "");
        CHECK_INT(sweeps[i].failures, 0);
    }
    free(sweeps);
}

/* --- the reference, and other sizes --- */

static void make_reference(void)
{
    char difference[RUN_DIFFERENCE_MAX] = "";
    test_case("reference");
    reference = new_world();
    (void)run_to_end(reference, plain, difference);
    CHECK_TEXT(difference, "");
    CHECK_INT(reference->violations, 0);
    CHECK(reference->results.count > 100 && reference->letters.count > 10);
    CHECK_INT(reference->origins_out, 0);
}

static void sizes(void)
{
    static const size_t records[] = {1, 7, 1000};
    for (size_t posters = 1; posters <= 3; posters++)
        for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
            char name[60];
            snprintf(name, sizeof name, "%zu posters, %zu records", posters, records[i]);
            test_case(name);
            struct world *world = new_world();
            check_survives(world, (struct run_setup){posters, records[i]});
            world_free(world);
        }
}

/* --- the group --- */

static void group_event(struct group_event event, const char *name)
{
    static const unsigned moments[] = {1, 20, 75, 140};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        char text[60];
        snprintf(text, sizeof text, "%s after %u", name, moments[i]);
        test_case(text);
        struct world *world = new_world();
        event.delivered = moments[i];
        world->event = event;
        check_survives(world, (struct run_setup){.posters = 2, .batch_records = 7});
        CHECK_INT(world->event.event, SOURCE_NOTHING);
        world_free(world);
    }
}

static void group_events(void)
{
    group_event((struct group_event){.event = SOURCE_REVOKED}, "revoked");
    group_event((struct group_event){.event = SOURCE_LOST}, "lost");
    group_event((struct group_event){SOURCE_REVOKED, .only_one = true, .partition = 1},
                "one revoked");
    group_event((struct group_event){SOURCE_LOST, .only_one = true, .partition = 2},
                "one lost");
}

int main(void)
{
    log_configure("error", "text");
    make_reference();
    if (test_failed > 0)
        return test_end(); /* nothing can be compared */
    sizes();
    group_events();
    every_call();
    many_faults();
    world_free(reference);
    return test_end();
}
