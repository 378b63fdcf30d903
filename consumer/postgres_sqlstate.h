/* postgres_sqlstate.h: what a SQLSTATE means for us, in one table (DESIGN §3). Pure.
 *
 * Decided by code, never by the text, which the server writes in its own language. */
#ifndef CONSUMER_POSTGRES_SQLSTATE_H
#define CONSUMER_POSTGRES_SQLSTATE_H

#include <stdbool.h>

#include "consumer/core/port.h"

enum { SQLSTATE_SIZE = 5 };

struct sqlstate_verdict {
    const char *prefix;      /* what the SQLSTATE begins with; "" = any */
    const char *constraint;  /* only if this one was violated; NULL = any */
    enum port_status status; /* never OK or IN_DOUBT */
    bool drop;               /* this connection is of no use any more */
    const char *advice;      /* what a person can do; NULL: nothing needs to be done */
};

/* Never NULL; `constraint` may be. What is in no row is REFUSED: the data's fault. */
const struct sqlstate_verdict *postgres_sqlstate_judge(const char *sqlstate,
                                                       const char *constraint);
/* Whether the server's own sentence may quote data of the command (class 22, triggers).
 * */
bool postgres_sqlstate_may_quote_data(const char *sqlstate);
/* Finds the last SQLSTATE in what libpq says after a login failed, provided that it was
 * asked to be verbose: "SEVERITY:  CODE: sentence", with two spaces, in any language.
 * Returns where the sentence begins, or NULL: no server said anything. */
const char *postgres_sqlstate_find_in_login(const char *message,
                                            char sqlstate[SQLSTATE_SIZE + 1]);

#endif
