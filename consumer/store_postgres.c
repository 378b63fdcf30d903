/* store_postgres.c: the store on PostgreSQL: its life, the schema check, the claim, and
 * the frame around the two round trips of a batch. Whatever goes wrong, a call that does
 * not end OK leaves no transaction open: it is rolled back, or its connection is closed.
 * */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "consumer/failpoint.h"
#include "consumer/postgres_schema.h"
#include "consumer/postgres_store.h"

enum {
    LOCKED_AT_FIRST = 8,
    LOCKED_AFTER_COLLISION = 64, /* the first; then twice as many, and so on */
    LOCKED_MOST = 1024,
    TRUST_AGAIN = 64, /* trusting batches after which a collision is a first one again */
};

struct store *store_open(const struct store_settings *settings)
{
    struct store *store = calloc(1, sizeof *store);
    MUST(store != NULL);
    store->settings = *settings;
    store->pg = pg_open(&(struct pg_settings){
        .postgres = settings->postgres, .role = settings->role, .profile = PG_POSTING});
    store->memory = postgres_memory_new();
    store->turns = calloc(STORE_TURNS_MAX, sizeof *store->turns);
    MUST(store->turns != NULL);
    store->locked_left = LOCKED_AT_FIRST;
    store->locked_next = LOCKED_AFTER_COLLISION;
    return store;
}

static void forget_kept(struct store *store)
{
    pg_rows_free(store->inbox_rows);
    pg_rows_free(store->letter_rows);
    store->inbox_rows = NULL;
    store->letter_rows = NULL;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    forget_kept(store);
    pg_close(store->pg);
    postgres_memory_free(store->memory);
    free(store->turns);
    free(store);
}

const char *store_sqlstate(const struct store *store)
{
    return pg_sqlstate(store->pg);
}

const char *store_fault(const struct store *store)
{
    return pg_fault(store->pg);
}

enum port_status store_check(struct store *store, enum store_schema *schema, int *found,
                             int *wanted)
{
    return postgres_schema_check(store->pg, schema, found, wanted);
}

bool store_probe(struct store *store)
{
    return pg_probe(store->pg);
}

/* --- the claim --- */

static struct claim *claim_of(struct claim *claims, size_t count, int32_t partition)
{
    for (size_t i = 0; i < count; i++)
        if (claims[i].partition == partition)
            return &claims[i];
    return NULL;
}

static void read_witness(struct witness *last, struct pg_cell offset,
                         struct pg_cell timestamp_ms)
{
    last->known = !pg_is_null(offset);
    last->offset = last->known ? pg_int8(offset) : 0;
    last->timestamp_ms = last->known ? pg_int8(timestamp_ms) : 0;
}

static void read_claims(const struct store *store, struct claim *claims, size_t count)
{
    const struct pg_rows *rows = pg_answer(store->pg, &statement_claim);
    MUST(pg_row_count(rows) == count);
    for (size_t i = 0; i < count; i++) {
        struct claim *claim = claim_of(claims, count, pg_int4(PG_CELL(rows, i, 0)));
        MUST(claim != NULL);
        claim->next_offset = pg_int8(PG_CELL(rows, i, 1));
        claim->epoch = pg_int8(PG_CELL(rows, i, 2));
        claim->had_row = pg_bool(PG_CELL(rows, i, 3));
        read_witness(&claim->last, PG_CELL(rows, i, 4), PG_CELL(rows, i, 5));
    }
}

static void send_claim(struct store *store, const struct claim *claims, size_t count)
{
    struct pg_params *params = pg_params(store->pg);
    pg_param_text(params, store->settings.topic);
    struct pg_param *partitions = pg_param_array(params, PG_INT4);
    struct pg_param *log_starts = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < count; i++) {
        pg_array_int4(partitions, claims[i].partition);
        pg_array_int8(log_starts, claims[i].log_start);
    }
    pg_send(store->pg, &statement_claim);
}

/* One statement, one transaction of its own. A claim that may or may not have happened is
 * simply made again: the epoch only has to rise. */
enum port_status store_claim(struct store *store, struct claim *claims, size_t count)
{
    enum port_status status = pg_connect(store->pg);
    if (status != PORT_OK)
        return status;
    pg_begin(store->pg);
    send_claim(store, claims, count);
    status = pg_wait(store->pg);
    if (status == PORT_OK)
        read_claims(store, claims, count);
    return status;
}

/* --- the batch --- */

static enum port_status prepare(struct store *store)
{
    if (store->prepared_number == pg_connection_number(store->pg))
        return PORT_OK;
    postgres_memory_forget(store->memory);
    store->lookups = 0;
    pg_begin(store->pg);
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        pg_send_prepare(store->pg, &statements[i]);
    enum port_status status = pg_wait(store->pg);
    if (status == PORT_OK)
        store->prepared_number = pg_connection_number(store->pg);
    else
        pg_disconnect(store->pg); /* half of them may be prepared */
    return status;
}

static enum port_status get_ready(struct store *store)
{
    MUST(!store->in_transaction);
    forget_kept(store);
    enum port_status status = pg_connect(store->pg);
    return status == PORT_OK ? prepare(store) : status;
}

/* --- trust --- */

static bool is_collision(const struct store *store)
{
    return strcmp(pg_sqlstate(store->pg), STORE_COLLISION) == 0 ||
           strncmp(pg_sqlstate(store->pg), "40", 2) == 0;
}

static void doubt_accounts(struct store *store)
{
    postgres_memory_doubt(store->memory);
    store->trusted_count = 0;
}

/* After a fault. When others move the same accounts, these are locked for a while, each
 * time for a longer one. */
static void distrust(struct store *store)
{
    doubt_accounts(store);
    if (!store->trusting || !is_collision(store))
        return;
    store->locked_left = store->locked_next;
    if (store->locked_next < LOCKED_MOST)
        store->locked_next *= 2;
}

static void trust(struct store *store, const struct posting *posting)
{
    postgres_lookup_keep(store, posting);
    if (!store->trusting && store->locked_left > 0)
        store->locked_left--;
    if (store->trusting && ++store->trusted_count >= TRUST_AGAIN)
        store->locked_next = LOCKED_AFTER_COLLISION;
}

enum port_status store_lookup(struct store *store, struct posting *posting)
{
    enum port_status status = get_ready(store);
    if (status != PORT_OK)
        return status;
    postgres_lookup_send(store, posting);
    status = pg_wait(store->pg);
    if (status == PORT_OK)
        status = postgres_lookup_read(store, posting);
    if (status == PORT_OK) {
        store->in_transaction = true;
        return PORT_OK;
    }
    distrust(store);
    pg_rollback(store->pg);
    return status;
}

enum port_status store_commit(struct store *store, const struct posting *posting)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
    postgres_commit_send(store, posting);
    if (FAILPOINT(COMMIT_SENT)) {
        doubt_accounts(store);
        pg_disconnect(store->pg);
        return PORT_IN_DOUBT;
    }
    enum port_status status = pg_wait(store->pg);
    if (status == PORT_OK) {
        trust(store, posting);
        return PORT_OK;
    }
    distrust(store);
    pg_rollback(store->pg);
    return status;
}

void store_rollback(struct store *store)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
    doubt_accounts(store);
    pg_rollback(store->pg);
}
