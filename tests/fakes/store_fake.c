/* store_fake.c: the books of a world behind store.h. What a lookup hands out lives in
 * memory of its own, freed by the next lookup, so that a sanitizer sees who keeps it
 * for longer. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "tests/fakes/world.h"

struct store {
    struct world *world;
    bool in_transaction;
    unsigned setbacks; /* seen when the transaction began: it does not outlive one */
    char *kept;        /* the results of the last lookup */
    char fault[BOOKS_FAULT_MAX];
};

struct store *store_fake_open(struct world *world)
{
    struct store *store = calloc(1, sizeof *store);
    MUST(store != NULL);
    store->world = world;
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    MUST(!store->in_transaction);
    free(store->kept);
    free(store);
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
    return store->fault;
}

bool store_probe(struct store *store)
{
    (void)store;
    return true;
}

/* --- claims --- */

static void claim_one(struct books *books, struct claim *claim)
{
    struct position_row *row = books_position(books, claim->partition);
    claim->had_row = row != NULL;
    if (row == NULL) {
        MUST(books->position_count < BOOKS_POSITIONS_MAX);
        row = &books->positions[books->position_count++];
        *row = (struct position_row){.partition = claim->partition,
                                     .next_offset = claim->log_start};
    }
    claim->epoch = ++row->epoch;
    claim->next_offset = row->next_offset;
    claim->last = row->last;
}

enum port_status store_claim(struct store *store, struct claim *claims, size_t count)
{
    struct world *world = store->world;
    world_lock(world);
    const struct fault *fault = world_call(world, CALL_CLAIM);
    enum port_status status = fault == NULL ? PORT_OK : fault->status;
    for (size_t i = 0; i < count && (fault == NULL || fault->applied); i++) {
        struct claim claim = claims[i];
        claim_one(world->books, &claim);
        if (status == PORT_OK)
            claims[i] = claim;
    }
    world_unlock(world);
    return status;
}

/* --- the lookup --- */

static size_t kept_size(const struct posting *posting)
{
    size_t size = 1;
    for (size_t i = 0; i < posting->count; i++)
        size += posting->inbox[i].result_size + posting->letters[i].result_size;
    return size;
}

static char *keep(char *to, struct kept *kept, const char *bytes)
{
    if (kept->result_size == 0)
        return to;
    memcpy(to, bytes, kept->result_size);
    kept->result = to;
    return to + kept->result_size;
}

static void keep_results(struct store *store, struct posting *posting)
{
    struct books *books = store->world->books;
    char *to = store->kept = malloc(kept_size(posting));
    MUST(to != NULL);
    for (size_t i = 0; i < posting->count; i++) {
        const struct record *record = &posting->records[i];
        if (posting->inbox[i].found)
            to = keep(to, &posting->inbox[i],
                      books_inbox(books, record->intake.command.key)->result);
        if (posting->letters[i].found)
            to = keep(to, &posting->letters[i],
                      books_letter(books, record->partition, record->offset)->result);
    }
}

static void steal(struct books *books)
{
    for (size_t i = 0; i < books->position_count; i++)
        books->positions[i].epoch++;
}

static enum port_status look_up(struct store *store, struct posting *posting)
{
    const struct fault *fault = world_call(store->world, CALL_LOOKUP);
    if (fault != NULL && fault->stolen)
        steal(store->world->books);
    if (fault != NULL && fault->status != PORT_OK)
        return fault->status;
    enum port_status status = books_lookup(store->world->books, posting);
    store->setbacks = store->world->setback.happened;
    if (status == PORT_OK)
        keep_results(store, posting);
    return status;
}

enum port_status store_lookup(struct store *store, struct posting *posting)
{
    MUST(!store->in_transaction);
    free(store->kept);
    store->kept = NULL;
    world_lock(store->world);
    enum port_status status = look_up(store, posting);
    world_unlock(store->world);
    store->in_transaction = status == PORT_OK;
    return status;
}

/* --- the commit --- */

static void check_first_offsets(struct world *world, const struct posting *posting)
{
    for (size_t i = 0; i < posting->position_count; i++)
        if (!world->group.has_committed[posting->positions[i].partition])
            world_violation(world, "partition %d is posted before its first offset",
                            posting->positions[i].partition);
}

static bool is_poison(const struct world *world, const char *key)
{
    for (size_t i = 0; i < world->poison_count; i++)
        if (strcmp(world->poison[i], key) == 0)
            return true;
    return false;
}

/* A poison record is refused as what it is, and taken as a dead letter. */
static bool refuses(const struct world *world, const struct posting *posting)
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct decision *decision = &posting->decisions[i];
        if (decision->kind == DECISION_NEW &&
            (decision->outcome == OUTCOME_APPLIED ||
             decision->outcome == OUTCOME_REJECTED || world->poison_in_letters) &&
            is_poison(world, posting->records[i].intake.command.key))
            return true;
    }
    return false;
}

static enum port_status commit(struct store *store, const struct posting *posting)
{
    struct world *world = store->world;
    const struct fault *fault = world_call(world, CALL_COMMIT);
    if (fault != NULL && fault->stolen)
        steal(world->books);
    if (fault != NULL && fault->status != PORT_OK && !fault->applied)
        return fault->status;
    if (store->setbacks != world->setback.happened)
        return PORT_RETRY;
    if (refuses(world, posting))
        return PORT_REFUSED;
    check_first_offsets(world, posting);
    enum port_status status = books_commit(world->books, posting, store->fault);
    check_books(world);
    return status == PORT_OK && fault != NULL ? fault->status : status;
}

enum port_status store_commit(struct store *store, const struct posting *posting)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
    world_lock(store->world);
    enum port_status status = commit(store, posting);
    world_unlock(store->world);
    return status;
}

void store_rollback(struct store *store)
{
    MUST(store->in_transaction);
    store->in_transaction = false;
}
