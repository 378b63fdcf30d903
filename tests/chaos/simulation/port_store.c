/* port_store.c: store.h on a world, in the steps of store_postgres.c: connects when it is
 * used, and leaves no transaction open when a call does not end OK. */
#include <string.h>

#include "base/must.h"
#include "tests/chaos/simulation/world.h"

static void hang_up(struct store *store)
{
    if (store->connection != NULL)
        postgres_hang_up(store->connection);
    store->connection = NULL;
}

static bool is_connected(struct store *store)
{
    if (store->connection != NULL && postgres_is_broken(store->connection))
        hang_up(store);
    if (store->connection != NULL)
        return true;
    if (FAILPOINT(CONNECT_BEGUN))
        return false;
    store->connection = postgres_connect(store->process);
    if (store->connection != NULL && FAILPOINT(CONNECT_DONE))
        hang_up(store);
    return store->connection != NULL;
}

enum port_status store_check(struct store *store, enum store_schema *schema, int *found,
                             int *wanted)
{
    (void)store;
    *schema = STORE_SCHEMA_CURRENT;
    *found = *wanted = 1;
    return PORT_OK;
}

const char *store_sqlstate(const struct store *store)
{
    (void)store;
    return "";
}

const char *store_fault(const struct store *store)
{
    (void)store;
    return "";
}

bool store_probe(struct store *store)
{
    return store->connection != NULL && !postgres_is_broken(store->connection);
}

static enum port_status call(struct store *store, struct request *request)
{
    enum port_status status = postgres_call(store->connection, request);
    if (postgres_is_broken(store->connection))
        hang_up(store);
    return status;
}

enum port_status store_claim(struct store *store, struct claim *claims, size_t count)
{
    if (!is_connected(store))
        return PORT_RETRY;
    return call(
        store,
        &(struct request){.kind = REQUEST_CLAIM, .claims = claims, .claim_count = count});
}

/* --- the lookup --- */

static char *keep(char *to, struct kept *kept, const char *bytes)
{
    if (kept->result_size == 0)
        return to;
    memcpy(to, bytes, kept->result_size);
    kept->result = to;
    return to + kept->result_size;
}

/* Rows are never changed nor removed while a transaction looks at them. */
static void keep_results(struct store *store, struct posting *posting)
{
    char *to = store->kept[0];
    memset(store->kept, '?', sizeof store->kept); /* whoever still reads the last one */
    for (size_t i = 0; i < posting->count; i++) {
        const struct record *record = &posting->records[i];
        if (posting->inbox[i].found)
            to = keep(to, &posting->inbox[i],
                      books_inbox(world.books, record->intake.command.key)->result);
        if (posting->letters[i].found)
            to = keep(
                to, &posting->letters[i],
                books_letter(world.books, record->partition, record->offset)->result);
    }
}

enum port_status store_lookup(struct store *store, struct posting *posting)
{
    MUST(!store->in_transaction);
    if (!is_connected(store))
        return PORT_RETRY;
    struct request request = {.kind = REQUEST_LOOKUP, .posting = posting};
    enum port_status status = call(store, &request);
    if (status == PORT_OK)
        keep_results(store, posting);
    store->in_transaction = status == PORT_OK;
    return status;
}

enum port_status store_commit(struct store *store, const struct posting *posting)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
    struct posting copy = *posting;
    struct request request = {.kind = REQUEST_COMMIT, .posting = &copy};
    return call(store, &request);
}

void store_rollback(struct store *store)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
    if (store->connection != NULL)
        (void)call(store, &(struct request){.kind = REQUEST_ROLLBACK});
}
