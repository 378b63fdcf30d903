/* run.h: the worker on a world, and whether what came of it is what came of a
 * reference. Used from several threads at once, so nothing here reports by itself: a
 * difference is text. */
#ifndef TESTS_FAKES_RUN_H
#define TESTS_FAKES_RUN_H

#include "consumer/worker.h"
#include "tests/fakes/world.h"

enum { RUN_DIFFERENCE_MAX = 320 };

struct run_setup {
    size_t posters, batch_records;
};

/* One life of the worker, until the end; one that goes nowhere is stopped, and the world
 * is overdue. */
enum exit_code run_once(struct world *world, struct run_setup setup);
/* Lives until the end: the worker is started again when it ends before, which counts as
 * an early end if it does so with 0. True: it ended with 0 at the end; else
 * `difference` says what it did. */
bool run_to_end(struct world *world, struct run_setup setup,
                char difference[RUN_DIFFERENCE_MAX]);

/* True when books, inbox, dead letters and the visible answers of the present pass are
 * those of the reference (of its first pass), and nothing was violated or leaked. */
bool run_same(struct world *world, const struct world *reference,
              char difference[RUN_DIFFERENCE_MAX]);
/* The books only. */
bool run_same_books(struct world *world, const struct world *reference,
                    char difference[RUN_DIFFERENCE_MAX]);
/* Every visible result of the present pass says that it was decided before. */
bool run_all_replayed(struct world *world, char difference[RUN_DIFFERENCE_MAX]);

#endif
