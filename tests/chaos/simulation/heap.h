/* heap.h: the memory of the simulated processes. Every allocation of the program goes
 * through it (wraps.c), is counted for the process that made it, and dies with it. */
#ifndef TESTS_CHAOS_SIMULATION_HEAP_H
#define TESTS_CHAOS_SIMULATION_HEAP_H

#include "tests/chaos/simulation/fiber.h"

/* Zeroed; for the process of the running fiber. */
void *heap_take(size_t size);
void *heap_take_for(struct owner *owner, size_t size); /* NULL: nobody's */
void heap_give(void *memory);                          /* NULL is fine */
/* Everything that a process has. */
void heap_drop(struct owner *owner);

#endif
