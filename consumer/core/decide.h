/* decide.h: the decision. Facts in, decisions out; pure: no I/O, clock, random or heap.
 *
 * Walks the run in order. For each record, in this order: a kept dead letter at its
 * coordinates; malformed; a kept key (replay or conflict), first of the database, then of
 * this run; a hole below next_offset (halt); poison; then the money. Refusals stand above
 * a line in each function, effects below it. */
#ifndef CONSUMER_CORE_DECIDE_H
#define CONSUMER_CORE_DECIDE_H

#include "consumer/core/posting.h"

/* Fills decisions[0..count), moves posting->accounts, appends opened accounts and made
 * payments, sets positions[].halted/halt_offset and cuts next_offset of a halted
 * partition down to the halting record. The facts MUST be complete. */
void decide_posting(struct posting *posting);

#endif
