/* next_step.c: see next_step.h. */
#include "consumer/core/next_step.h"

#include "base/must.h"

/* FENCED while claiming is the race for an epoch that somebody else won; asking again
 * shows whether the partition is still ours. FENCED by Kafka means that another process
 * uses our transactional id; one that stops lets it have it. IN_DOUBT while posting is no
 * failure: the unique key of the inbox tells on the next lookup. Stopping never changes
 * what was done, only whether it is tried again: one fault is enough, nothing is lost. */
/* clang-format off */
static const enum step table[PROGRESS_COUNT][PORT_STATUS_COUNT][2] = {
    /* progress, port said           running          stopping */
    [PROGRESS_CLAIMING] = {
        [PORT_OK]       = {STEP_GO_ON,      STEP_GO_ON},
        [PORT_RETRY]    = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_IN_DOUBT] = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FENCED]   = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_END,        STEP_END},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
    [PROGRESS_MANY] = {
        [PORT_OK]       = {STEP_GO_ON,      STEP_GO_ON},
        [PORT_RETRY]    = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_IN_DOUBT] = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FENCED]   = {STEP_START_OVER, STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_HALVE,      STEP_HALVE},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
    [PROGRESS_SINGLE] = {
        [PORT_OK]       = {STEP_GO_ON,      STEP_GO_ON},
        [PORT_RETRY]    = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_IN_DOUBT] = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FENCED]   = {STEP_START_OVER, STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_POISON,     STEP_POISON},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
    [PROGRESS_POISON] = {
        [PORT_OK]       = {STEP_GO_ON,      STEP_GO_ON},
        [PORT_RETRY]    = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_IN_DOUBT] = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FENCED]   = {STEP_START_OVER, STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_END,        STEP_END},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
    [PROGRESS_ANSWERING] = {
        [PORT_OK]       = {STEP_GO_ON,      STEP_GO_ON},
        [PORT_RETRY]    = {STEP_SETTLE,     STEP_SETTLE},
        [PORT_IN_DOUBT] = {STEP_SETTLE,     STEP_SETTLE},
        [PORT_FENCED]   = {STEP_YIELD,      STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_SETTLE,     STEP_SETTLE},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
    [PROGRESS_SETTLING] = {
        [PORT_OK]       = {STEP_START_OVER, STEP_LEAVE},
        [PORT_RETRY]    = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_IN_DOUBT] = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FENCED]   = {STEP_YIELD,      STEP_LEAVE},
        [PORT_REFUSED]  = {STEP_TRY_AGAIN,  STEP_LEAVE},
        [PORT_FATAL]    = {STEP_END,        STEP_END},
    },
};
/* clang-format on */

enum step next_step(enum progress progress, enum port_status status, bool stopping)
{
    MUST((unsigned)progress < PROGRESS_COUNT);
    MUST((unsigned)status < PORT_STATUS_COUNT);
    return table[progress][status][stopping];
}

const char *progress_name(enum progress progress)
{
    static const char *const names[PROGRESS_COUNT] = {
        [PROGRESS_CLAIMING] = "claiming",   [PROGRESS_MANY] = "many",
        [PROGRESS_SINGLE] = "single",       [PROGRESS_POISON] = "poison",
        [PROGRESS_ANSWERING] = "answering", [PROGRESS_SETTLING] = "settling",
    };
    MUST((unsigned)progress < PROGRESS_COUNT);
    return names[progress];
}

struct step_text {
    const char *name, *sentence;
};

static const struct step_text step_texts[STEP_COUNT] = {
    [STEP_GO_ON] = {"go on", "It is done; the next thing is taken."},
    [STEP_TRY_AGAIN] = {"try again", "The same again after a rest that grows with each "
                                     "attempt; a run is redone from its lookup."},
    [STEP_HALVE] = {"halve", "The database refuses the data of the run: half of it is "
                             "posted, until the refused record stands alone."},
    [STEP_POISON] = {"poison", "The refused record is posted as poison: remembered, "
                               "answered and dead-lettered; the others go on."},
    [STEP_START_OVER] = {"start over", "What is in flight is dropped; the partitions are "
                                       "claimed again and read from the committed "
                                       "offsets."},
    [STEP_SETTLE] = {"settle", "How the Kafka transaction ended is found out before "
                               "anything is read again."},
    [STEP_LEAVE] = {"leave", "A stop was asked for: it is left as it is and will be "
                             "delivered again."},
    [STEP_YIELD] = {"yield",
                    "Another process lives under the same group and instance: it "
                    "is told by taking the name back once, and this one ends "
                    "with exit code 2."},
    [STEP_END] = {"end", "The process ends with exit code 70; a restart is safe."},
};

static const struct step_text *text_of(enum step step)
{
    MUST((unsigned)step < STEP_COUNT);
    return &step_texts[step];
}

const char *step_name(enum step step)
{
    return text_of(step)->name;
}

const char *step_sentence(enum step step)
{
    return text_of(step)->sentence;
}
