/* postgres_session.h: what every session is set to before it is used. Pure data; the sending
 * is pg.c's. */
#ifndef CONSUMER_POSTGRES_SESSION_H
#define CONSUMER_POSTGRES_SESSION_H

#include "consumer/pg.h"

/* The settings of a profile, as the parameters of session_set. */
void session_put_settings(struct pg_params *params, enum pg_profile profile);
extern const struct pg_statement session_set;
/* Without parameters. */
extern const struct pg_statement session_set_durable;

#endif
