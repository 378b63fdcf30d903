/* next_step.h: what to do next, as one table: how far the work in hand has got × what the
 * port said × whether a stop was asked for. Pure; every cell is defined, and
 * docs/next-step.md is printed from it. Waiting, logging and doing are elsewhere. */
#ifndef CONSUMER_CORE_NEXT_STEP_H
#define CONSUMER_CORE_NEXT_STEP_H

#include <stdbool.h>

#include "consumer/core/port.h"

/* How far the work in hand has got, and so what is at stake. */
enum progress {
    PROGRESS_CLAIMING,  /* nothing read: asking where a partition stands, claiming it */
    PROGRESS_MANY,      /* a run of records is being posted: not known to be committed */
    PROGRESS_SINGLE,    /* a run of one record */
    PROGRESS_POISON,    /* a run of one record that was refused and is posted as poison */
    PROGRESS_ANSWERING, /* committed in Postgres; answers and offsets are owed to Kafka */
    PROGRESS_SETTLING,  /* a Kafka transaction failed: finding out how it ended */
    PROGRESS_COUNT
};

enum step {
    STEP_GO_ON,      /* done; the next thing */
    STEP_TRY_AGAIN,  /* the same again after a rest; a run is redone from its lookup */
    STEP_HALVE,      /* the database refuses the data of the run: post half of it */
    STEP_POISON,     /* the one refused record becomes poison */
    STEP_START_OVER, /* drop what is in flight; claim and read from what is committed */
    STEP_SETTLE,     /* find out how the Kafka transaction ended, then start over */
    STEP_LEAVE,      /* stopping: leave it as it is; it will be delivered again */
    STEP_YIELD,      /* another process lives under our name: tell it, end with 2 */
    STEP_END,        /* end the process with 70: a restart is safe */
    STEP_COUNT
};

/* Asserts on values outside of the enums. */
enum step next_step(enum progress progress, enum port_status status, bool stopping);

const char *progress_name(enum progress progress);
const char *step_name(enum step step);
/* One sentence of what the step does. */
const char *step_sentence(enum step step);

#endif
