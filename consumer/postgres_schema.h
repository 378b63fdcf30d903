/* postgres_schema.h: whether the schema in the database is the one of this version. */
#ifndef CONSUMER_POSTGRES_SCHEMA_H
#define CONSUMER_POSTGRES_SCHEMA_H

#include "consumer/pg.h"
#include "consumer/store.h"

/* Connects if needed. See store_check() in store.h. */
__attribute__((warn_unused_result)) enum port_status
postgres_schema_check(struct pg *pg, enum store_schema *schema, int *found, int *wanted);

#endif
