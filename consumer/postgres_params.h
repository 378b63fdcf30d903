/* postgres_params.h: the parameters of one statement in PostgreSQL's binary format, built
 * into memory that is reused for the next one: no allocation for an element, none at all
 * once the buffers have grown to what a batch needs. Knows nothing of libpq. */
#ifndef CONSUMER_POSTGRES_PARAMS_H
#define CONSUMER_POSTGRES_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/uuid.h"

enum { PG_PARAMS_MAX = 16 };

/* Element types of arrays; the numbers are PostgreSQL's own, from pg_type.dat. */
enum pg_type {
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950
};

struct pg_param {
    char *bytes; /* owned */
    size_t size, capacity;
    uint32_t elements; /* of an array */
    bool is_array, has_null;
};

struct pg_params {
    struct pg_param params[PG_PARAMS_MAX];
    size_t count;
};

/* A struct of zeros is ready for use. */
void pg_params_free(struct pg_params *params);
/* Before the next statement: no parameters, memory kept. */
void pg_params_reset(struct pg_params *params);

/* Each adds the next parameter: $1, $2, … */
void pg_param_int8(struct pg_params *params, int64_t value);
void pg_param_text(struct pg_params *params, const char *text);
void pg_param_uuid(struct pg_params *params, const struct uuid *uuid);
void pg_param_time_ms(struct pg_params *params,
                      int64_t unix_ms); /* ≥ 0; as in an array */
/* An empty array to be filled; valid until the parameters are reset. */
struct pg_param *pg_param_array(struct pg_params *params, enum pg_type type);
/* What is sent, `size` bytes of it; its count is written only now, not at each element.
 */
const char *pg_param_bytes(struct pg_param *param);

void pg_array_int4(struct pg_param *array, int32_t value);
void pg_array_int8(struct pg_param *array, int64_t value);
void pg_array_bytes(struct pg_param *array, const void *bytes, size_t size);
void pg_array_text(struct pg_param *array, const char *text);
void pg_array_uuid(struct pg_param *array, const struct uuid *uuid);
/* Unix milliseconds; below 0: NULL (the record has no time). Kafka lets a sender choose
 * any time: what lies beyond the year 9999 is taken as its last second, so that a command
 * does not fail for its time. */
void pg_array_time_ms(struct pg_param *array, int64_t unix_ms);
void pg_array_null(struct pg_param *array);

#endif
