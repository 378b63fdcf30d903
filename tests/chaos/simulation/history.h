/* history.h: one history of the simulation. */
#ifndef TESTS_CHAOS_SIMULATION_HISTORY_H
#define TESTS_CHAOS_SIMULATION_HISTORY_H

#include "tests/chaos/simulation/world.h"

enum { HISTORY_PLANS = FAILPOINT_COUNT * ACTION_COUNT };

enum mode {
    MODE_CHANCE,  /* troubles drawn from the seed */
    MODE_SINGLES, /* one failpoint acts: the seed says which, and how */
    MODE_PAIRS    /* one, and then another */
};

/* True when everything held; else world.violation says what did not. */
bool history(enum mode mode, uint64_t seed);

#endif
