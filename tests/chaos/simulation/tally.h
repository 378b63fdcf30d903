/* tally.h: what took effect, over all histories of a run: a run in which nothing happened
 * shows nothing. */
#ifndef TESTS_CHAOS_SIMULATION_TALLY_H
#define TESTS_CHAOS_SIMULATION_TALLY_H

#include "tests/chaos/simulation/history.h"

/* After each history. */
void tally_note(void);
void tally_print(enum mode mode);
/* Prints what the mode is about and never took effect; returns how many such things. By
 * chance everything has to happen; of the planned histories, every action at every point,
 * and of pairs also a good part with both. */
uint64_t tally_voids(enum mode mode);

#endif
