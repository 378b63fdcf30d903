/* tally.c: see tally.h. */
#include "tests/chaos/simulation/tally.h"

#include <stdio.h>
#include <time.h>

enum { BOTH_OF_PAIRS_MIN_PER_CENT = 33 };

static const char *const texts[EVENT_COUNT] = {
#define X(name, text) [EVENT_##name] = (text),
    EVENTS(X)
#undef X
};

static uint64_t histories, turns, both_acted;
static uint64_t hits[FAILPOINT_COUNT], fired[FAILPOINT_COUNT][ACTION_COUNT];

void tally_note(void)
{
    histories++;
    turns += fiber_turns();
    both_acted += world.plan == SIM_PLANS;
    for (size_t i = 0; i < FAILPOINT_COUNT; i++) {
        hits[i] += world.hits[i];
        for (size_t j = 0; j < ACTION_COUNT; j++)
            fired[i][j] += world.fired[i][j];
    }
}

static void line(uint64_t count, const char *text)
{
    printf("%12llu  %s\n", (unsigned long long)count, text);
}

static bool has_acted(size_t point)
{
    for (size_t i = 0; i < ACTION_COUNT; i++)
        if (fired[point][i] > 0)
            return true;
    return false;
}

static void print_points(void)
{
    size_t hit = 0, acted = 0, actions = 0;
    for (size_t i = 0; i < FAILPOINT_COUNT; i++) {
        hit += hits[i] > 0;
        acted += has_acted(i);
        for (size_t j = 0; j < ACTION_COUNT; j++)
            actions += fired[i][j] > 0;
    }
    printf("%12zu  failpoints of %d were passed, %zu acted\n", hit, FAILPOINT_COUNT,
           acted);
    printf("%12zu  actions of %d at a point have acted\n", actions, HISTORY_PLANS);
}

/* Of the processor's time: other programs may run next to this one. */
static void print_speed(void)
{
    uint64_t spent = (uint64_t)clock() + 1;
    line(histories * (uint64_t)CLOCKS_PER_SEC / spent,
         "histories a second of processor time");
}

void tally_print(enum mode mode)
{
    for (size_t i = 0; i < EVENT_COUNT; i++)
        line(events[i], texts[i]);
    line(turns, "turns of a fiber");
    if (mode == MODE_PAIRS)
        line(both_acted, "pairs of which the one acted, and then the other");
    print_points();
    print_speed();
}

static uint64_t void_events(void)
{
    uint64_t voids = 0;
    for (size_t i = 0; i < EVENT_COUNT; i++)
        if (events[i] == 0) {
            voids++;
            printf("FAIL nothing was seen of: %s\n", texts[i]);
        }
    for (size_t i = 0; i < FAILPOINT_COUNT; i++)
        if (hits[i] == 0) {
            voids++;
            printf("FAIL %s was never passed\n", failpoint_label((enum failpoint)i));
        }
    return voids;
}

static uint64_t void_actions(void)
{
    uint64_t voids = 0;
    for (size_t i = 0; i < FAILPOINT_COUNT; i++)
        for (size_t j = 0; j < ACTION_COUNT; j++)
            if (fired[i][j] == 0) {
                voids++;
                printf("FAIL %s at %s never acted, of %llu times that it was passed\n",
                       action_name((enum action)j), failpoint_label((enum failpoint)i),
                       (unsigned long long)hits[i]);
            }
    return voids;
}

static uint64_t void_pairs(void)
{
    if (both_acted * 100 >= histories * BOTH_OF_PAIRS_MIN_PER_CENT)
        return 0;
    printf("FAIL both points acted in %llu pairs only, of %llu\n",
           (unsigned long long)both_acted, (unsigned long long)histories);
    return 1;
}

uint64_t tally_voids(enum mode mode)
{
    switch (mode) {
    case MODE_CHANCE:
        return void_events();
    case MODE_SINGLES:
        return void_actions();
    case MODE_PAIRS:
        break;
    }
    return void_actions() + void_pairs();
}
