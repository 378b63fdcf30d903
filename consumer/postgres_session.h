/* postgres_session.h: what every session is set to before it is used. Pure data; the
 * sending is pg.c's. */
#ifndef CONSUMER_POSTGRES_SESSION_H
#define CONSUMER_POSTGRES_SESSION_H

#include "consumer/pg.h"

/* The settings of a profile, as the parameters of postgres_session_set. */
void postgres_session_put(struct pg_params *params, enum pg_profile profile);
extern const struct pg_statement postgres_session_set;
/* Without parameters. */
extern const struct pg_statement postgres_session_set_durable;

#endif
