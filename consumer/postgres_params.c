/* postgres_params.c: see postgres_params.h. The format of an array is array_send() in
 * PostgreSQL's arrayfuncs.c: number of dimensions, whether there are NULLs, element type,
 * and for the one dimension its size and lower bound; then each element after its size.
 * */
#include "consumer/postgres_params.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum {
    PARAM_FIRST_CAPACITY = 256,
    ARRAY_HEADER_SIZE = 20,
    ARRAY_AT_HAS_NULL = 4,
    ARRAY_AT_COUNT = 12,
    ARRAY_NULL_SIZE = -1,
    ELEMENT_SIZE_SIZE = 4
};

#define PARAM_MAX ((size_t)1 << 30)             /* the server refuses messages of 1 GB */
#define POSTGRES_EPOCH_MS INT64_C(946684800000) /* 2000-01-01 */
#define TIME_MAX_MS INT64_C(253402300799000)    /* 9999-12-31 23:59:59 */

void pg_params_free(struct pg_params *params)
{
    for (size_t i = 0; i < PG_PARAMS_MAX; i++)
        free(params->params[i].bytes);
    *params = (struct pg_params){0};
}

void pg_params_reset(struct pg_params *params)
{
    params->count = 0;
}

static void grow(struct pg_param *param, size_t needed)
{
    size_t capacity = param->capacity > 0 ? param->capacity : PARAM_FIRST_CAPACITY;
    MUST(needed <= PARAM_MAX);
    while (capacity < needed)
        capacity *= 2;
    param->bytes = realloc(param->bytes, capacity);
    MUST(param->bytes != NULL);
    param->capacity = capacity;
}

/* Room for `size` more bytes, counted as used. */
static char *extend(struct pg_param *param, size_t size)
{
    size_t needed = param->size + size;
    MUST(needed >= size);
    if (needed > param->capacity)
        grow(param, needed);
    char *room = param->bytes + param->size;
    param->size = needed;
    return room;
}

static void put_bytes(struct pg_param *param, const void *bytes, size_t size)
{
    char *room = extend(param, size);
    if (size > 0)
        memcpy(room, bytes, size);
}

static char *write_int4(char *room, int32_t value)
{
    uint32_t big = htobe32((uint32_t)value);
    memcpy(room, &big, sizeof big);
    return room + sizeof big;
}

static struct pg_param *next_param(struct pg_params *params)
{
    MUST(params->count < PG_PARAMS_MAX);
    struct pg_param *param = &params->params[params->count++];
    param->size = 0;
    param->elements = 0;
    param->is_array = param->has_null = false;
    (void)extend(param, 1); /* never NULL, which libpq takes for SQL's NULL */
    param->size = 0;
    return param;
}

void pg_param_int8(struct pg_params *params, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    put_bytes(next_param(params), &big, sizeof big);
}

void pg_param_text(struct pg_params *params, const char *text)
{
    put_bytes(next_param(params), text, strlen(text));
}

void pg_param_uuid(struct pg_params *params, const struct uuid *uuid)
{
    put_bytes(next_param(params), uuid->bytes, UUID_SIZE);
}

/* Microseconds since PostgreSQL's own epoch. */
static int64_t postgres_time(int64_t unix_ms)
{
    int64_t bounded_ms = unix_ms < TIME_MAX_MS ? unix_ms : TIME_MAX_MS;
    return (bounded_ms - POSTGRES_EPOCH_MS) * 1000;
}

void pg_param_time_ms(struct pg_params *params, int64_t unix_ms)
{
    MUST(unix_ms >= 0);
    pg_param_int8(params, postgres_time(unix_ms));
}

struct pg_param *pg_param_array(struct pg_params *params, enum pg_type type)
{
    struct pg_param *array = next_param(params);
    char *room = extend(array, ARRAY_HEADER_SIZE);
    room = write_int4(room, 1);
    room = write_int4(room, 0);
    room = write_int4(room, (int32_t)type);
    room = write_int4(room, 0);
    write_int4(room, 1);
    array->is_array = true;
    return array;
}

const char *pg_param_bytes(struct pg_param *param)
{
    if (param->is_array) {
        write_int4(param->bytes + ARRAY_AT_HAS_NULL, param->has_null);
        write_int4(param->bytes + ARRAY_AT_COUNT, (int32_t)param->elements);
    }
    return param->bytes;
}

/* Room for the next element, behind its size. */
static char *next_element(struct pg_param *array, size_t size)
{
    array->elements++;
    return write_int4(extend(array, ELEMENT_SIZE_SIZE + size), (int32_t)size);
}

void pg_array_bytes(struct pg_param *array, const void *bytes, size_t size)
{
    MUST(size <= INT32_MAX);
    char *room = next_element(array, size);
    if (size > 0)
        memcpy(room, bytes, size);
}

void pg_array_int4(struct pg_param *array, int32_t value)
{
    write_int4(next_element(array, sizeof value), value);
}

void pg_array_int8(struct pg_param *array, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    memcpy(next_element(array, sizeof big), &big, sizeof big);
}

void pg_array_text(struct pg_param *array, const char *text)
{
    pg_array_bytes(array, text, strlen(text));
}

void pg_array_uuid(struct pg_param *array, const struct uuid *uuid)
{
    memcpy(next_element(array, UUID_SIZE), uuid->bytes, UUID_SIZE);
}

void pg_array_time_ms(struct pg_param *array, int64_t unix_ms)
{
    if (unix_ms < 0)
        pg_array_null(array);
    else
        pg_array_int8(array, postgres_time(unix_ms));
}

void pg_array_null(struct pg_param *array)
{
    array->elements++;
    array->has_null = true;
    write_int4(extend(array, ELEMENT_SIZE_SIZE), ARRAY_NULL_SIZE);
}
