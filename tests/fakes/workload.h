/* workload.h: about 150 commands over three partitions, of every kind and with every
 * kind of trouble. The order between partitions does not matter to the books: accounts
 * that are debited are credited from their own partition only, and what is shared has
 * no limit. */
#ifndef TESTS_FAKES_WORKLOAD_H
#define TESTS_FAKES_WORKLOAD_H

#include "tests/fakes/world.h"

/* A key of partition 1 that comes once, and one of partition 2 that comes again. */
#define WORKLOAD_KEY_ONCE "1-pay-2"
#define WORKLOAD_KEY_TWICE "2-turn-0"

void workload_fill(struct world *world);

#endif
