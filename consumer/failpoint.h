/* failpoint.h: labelled points before and after each effect, where a test build can be
 * told to die, to stop, to fail or to wait. In a release they are nothing at all: the
 * option POSTONCE_FAILPOINTS is off, and FAILPOINT() is the constant false.
 *
 *     FAILPOINTS='commit.sent=kill@3 publish.begun=error@1' postonce consume …
 *
 * label=action@n: on the n-th hit, kill (SIGKILL), stop (SIGSTOP), error (the call at
 * hand fails; where there is none, the lap ends) or delay (700 ms, or as many as the
 * variable FAILPOINT_DELAY_MS says). A hit that acts is logged. */
#ifndef CONSUMER_FAILPOINT_H
#define CONSUMER_FAILPOINT_H

#include <stdbool.h>

/* clang-format off */
#define FAILPOINT_LIST(X)                                                                \
    X(ASSIGNED, "assigned")                  /* the group gave partitions */             \
    X(REVOKE_BEGUN, "revoke.begun")          /* they are asked back; nothing done yet */ \
    X(REVOKE_DRAINED, "revoke.drained")      /* in hand: nothing; still owned */         \
    X(REVOKE_DONE, "revoke.done")            /* not owned any more */                    \
    X(RESTART_BEGUN, "restart.begun")        /* a new lap begins */                      \
    X(RESTART_DONE, "restart.done")          /* nothing is read, nothing claimed */      \
    X(CLAIM_BEGUN, "claim.begun")            /* before Kafka is asked */                 \
    X(CLAIM_MARKED, "claim.marked")          /* Kafka answered; epoch not raised */      \
    X(CLAIM_DONE, "claim.done")              /* epoch raised */                          \
    X(FIRST_COMMIT_BEGUN, "first_commit.begun") /* no committed offset yet */            \
    X(FIRST_COMMIT_DONE, "first_commit.done")                                            \
    X(ATTACH_BEGUN, "attach.begun")          /* about to be read */                      \
    X(ATTACH_DONE, "attach.done")                                                        \
    X(RECORD_TAKEN, "record.taken")          /* read, in no batch yet */                 \
    X(RECORD_PUT, "record.put")              /* in a batch */                            \
    X(HALT_BEGUN, "halt.begun")              /* a partition is to halt */                \
    X(HALT_DONE, "halt.done")                                                            \
    X(PAUSED, "paused")                      /* reading paused: no room */               \
    X(RESUMED, "resumed")                                                                \
    X(STOP_BEGUN, "stop.begun")              /* the reader ends */                       \
    X(STOP_DONE, "stop.done")                /* all stages have ended */                 \
    X(BATCH_TAKEN, "batch.taken")            /* the poster has it */                     \
    X(LOOKUP_BEGUN, "lookup.begun")                                                      \
    X(LOOKUP_DONE, "lookup.done")            /* facts read, accounts locked */           \
    X(DECIDED, "decided")                    /* nothing written */                       \
    X(COMMIT_BEGUN, "commit.begun")                                                      \
    X(COMMIT_SENT, "commit.sent")            /* the bytes are out, no answer was read */ \
    X(COMMIT_DONE, "commit.done")            /* the server said COMMIT */                \
    X(SETTLED, "settled")                    /* answers are laid out */                  \
    X(HAND_OVER_BEGUN, "hand_over.begun")                                                \
    X(HAND_OVER_DONE, "hand_over.done")      /* the replier may have it */               \
    X(POISONED, "poisoned")                  /* a record was marked as poison */         \
    X(CONNECT_BEGUN, "connect.begun")        /* to Postgres */                           \
    X(CONNECT_DONE, "connect.done")                                                      \
    X(PUBLISH_BEGUN, "publish.begun")                                                    \
    X(TRANSACTION_BEGUN, "transaction.begun")                                            \
    X(OFFSETS_SENT, "offsets.sent")          /* no answer produced */                    \
    X(ANSWERS_QUEUED, "answers.queued")      /* Kafka transaction not committed */       \
    X(PUBLISH_DONE, "publish.done")          /* visible and committed */                 \
    X(ABORT_BEGUN, "abort.begun")            /* a Kafka transaction failed */            \
    X(ABORT_DONE, "abort.done")                                                          \
    X(RECOVER_BEGUN, "recover.begun")        /* init_transactions */                     \
    X(RECOVER_DONE, "recover.done")                                                      \
    X(LEAVE_BEGUN, "leave.begun")            /* the group is left */                     \
    X(LEAVE_DONE, "leave.done")
/* clang-format on */

#define FAILPOINT_ENUM(name, label) FAILPOINT_##name,
enum failpoint { FAILPOINT_LIST(FAILPOINT_ENUM) FAILPOINT_COUNT };
#undef FAILPOINT_ENUM

#ifdef POSTONCE_FAILPOINTS
/* True: the caller is to fail. Does not return after kill; any thread. */
bool failpoint_hit(enum failpoint point);
const char *failpoint_label(enum failpoint point);
#define FAILPOINT(name) failpoint_hit(FAILPOINT_##name)
#else
#define FAILPOINT(name) false
#endif

#endif
