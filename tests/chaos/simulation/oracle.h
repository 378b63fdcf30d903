/* oracle.h: the decisions once more, one record at a time and as plainly as it can be
 * said, with books of its own. Shares nothing with consumer/core. */
#ifndef TESTS_CHAOS_SIMULATION_ORACLE_H
#define TESTS_CHAOS_SIMULATION_ORACLE_H

#include "consumer/core/posting.h"

struct verdict {
    bool replay; /* a kept answer: nothing happens */
    enum outcome outcome;
    enum code code;
};

void oracle_begin(void);
/* A posting is judged: accounts that others have added after `snapshot` (a value of
 * oracle_snapshot) it could not see, nor a payment that is not among its facts. */
void oracle_begin_posting(const struct posting *posting, uint64_t snapshot);
uint64_t oracle_snapshot(void);
/* What the record has to be answered with, after everything before; and remembers it. */
struct verdict oracle_decide(const struct record *record, bool poisoned);
/* As an earlier state of the database comes back. */
void oracle_back_up(void);
void oracle_restore(void);
/* The balance and version of an account; false: there is none. */
bool oracle_account(const char *name, int64_t *balance_minor, int64_t *version);

#endif
