/* postgres.c: the database of a world: backends with transactions, row locks and unique
 * keys that block, over the committed rows of tests/fakes/books.h. READ COMMITTED: what a
 * lookup takes is locked first and read then; what it does not lock may change until the
 * commit. A backend is a fiber of its own: it finishes what it was told, also when its
 * client is gone, unless the server crashes under it. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "consumer/posting_memory.h"
#include "tests/chaos/simulation/oracle.h"
#include "tests/chaos/simulation/world.h"

enum {
    IDLE_IN_TRANSACTION_MS = 5000,
    LOCK_TIMEOUT_MS = 6000,
    PATIENCE_MS = 10000, /* of the client */
    LOCKS_MAX = 512
};

enum lock_kind { LOCK_POSITION, LOCK_ACCOUNT, LOCK_KEY, LOCK_NAME, LOCK_LETTER };

/* What a transaction may hold: a row, or a unique key that it has inserted. */
struct lock {
    const struct connection *holder; /* NULL: free */
    enum lock_kind kind;
    int64_t number;
    char text[COMMAND_KEY_MAX + 1];
};

struct connection {
    bool held;   /* by its client */
    bool served; /* by its backend, which may outlive the client: not to be reused */
    bool broken; /* the client sees it at its next wait */
    const struct process *client;
    unsigned life; /* of the client */
    bool mute;     /* answers are lost, and nobody is told */
    bool requested, answered, in_transaction;
    struct owner owner; /* of the backend's fiber */
    struct request request;
    struct claim claims[SIM_PARTITIONS];
    struct posting *posting;
    struct record records[SIM_BATCH];
    char results[SIM_BATCH][BOOKS_RESULT_MAX];
    enum port_status status;
    uint64_t snapshot; /* what the lookup could see; see oracle.h */
};

/* Who claimed a partition last, as the judge knows it: no epoch is asked. */
struct claimer {
    const struct process *process;
    unsigned life;
};

static struct connection connections[SIM_CONNECTIONS];
static struct claimer claimers[SIM_PARTITIONS];
static struct lock locks[LOCKS_MAX];
static size_t lock_count;
static struct books *backup;
static bool has_backup;

/* --- locks --- */

static struct lock *find_lock(const struct lock *like)
{
    for (size_t i = 0; i < lock_count; i++)
        if (locks[i].holder != NULL && locks[i].kind == like->kind &&
            locks[i].number == like->number && strcmp(locks[i].text, like->text) == 0)
            return &locks[i];
    return NULL;
}

static void add_lock(const struct lock *lock)
{
    size_t index = 0;
    while (index < lock_count && locks[index].holder != NULL)
        index++;
    MUST(index < LOCKS_MAX);
    if (index == lock_count)
        lock_count++;
    locks[index] = *lock;
}

/* False: not in time. */
static bool acquire(const struct connection *connection, struct lock lock)
{
    int64_t deadline_us = fiber_now_us() + LOCK_TIMEOUT_MS * MILLISECOND_US;
    const struct lock *held;
    lock.holder = connection;
    while ((held = find_lock(&lock)) != NULL) {
        if (held->holder == connection)
            return true;
        COUNT(LOCK_WAITS);
        fiber_wait(locks, deadline_us);
        if (fiber_now_us() >= deadline_us)
            return false;
    }
    add_lock(&lock);
    return true;
}

static bool acquire_row(const struct connection *connection, enum lock_kind kind,
                        int64_t number)
{
    return acquire(connection, (struct lock){.kind = kind, .number = number});
}

static bool acquire_text(const struct connection *connection, enum lock_kind kind,
                         const char *text)
{
    struct lock lock = {.kind = kind};
    MUST(strlen(text) < sizeof lock.text);
    memcpy(lock.text, text, strlen(text) + 1);
    return acquire(connection, lock);
}

static void end_transaction(struct connection *connection)
{
    for (size_t i = 0; i < lock_count; i++)
        if (locks[i].holder == connection)
            locks[i].holder = NULL;
    connection->in_transaction = false;
    fiber_wake(locks);
}

/* --- the lookup --- */

static bool hits(unsigned per_mille)
{
    return world.trouble.on && chance_per_mille(per_mille);
}

static bool lock_positions(struct connection *connection)
{
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        for (size_t j = 0; j < connection->posting->position_count; j++)
            if (connection->posting->positions[j].partition == i &&
                !acquire_row(connection, LOCK_POSITION, i))
                return false;
    return true;
}

static void mark_name(bool *wanted, const char *name)
{
    const struct account_row *row = books_account(world.books, name);
    if (row != NULL)
        wanted[row->account_id % BOOKS_ACCOUNTS_MAX] = true;
}

static void mark_accounts(bool *wanted, const struct command *command)
{
    const struct transfer_row *paid;
    if (command->operation == OPERATION_OPEN_ACCOUNT)
        mark_name(wanted, command->account);
    if (command->operation == OPERATION_TRANSFER) {
        mark_name(wanted, command->source);
        mark_name(wanted, command->destination);
    }
    if (command->operation == OPERATION_REFUND &&
        (paid = books_payment(world.books, &command->refunded_payment_id)) != NULL) {
        wanted[paid->debit_account_id % BOOKS_ACCOUNTS_MAX] = true;
        wanted[paid->credit_account_id % BOOKS_ACCOUNTS_MAX] = true;
    }
}

/* In the order of the ids: here their remainders, the same for everybody. */
static bool lock_accounts(struct connection *connection)
{
    bool wanted[BOOKS_ACCOUNTS_MAX] = {false};
    const struct posting *posting = connection->posting;
    for (size_t i = 0; i < posting->count; i++)
        if (posting->records[i].intake.code == CODE_NONE)
            mark_accounts(wanted, &posting->records[i].intake.command);
    for (int64_t i = 0; i < BOOKS_ACCOUNTS_MAX; i++) {
        if (!wanted[i])
            continue;
        fiber_yield_perhaps();
        if (!acquire_row(connection, LOCK_ACCOUNT, i))
            return false;
    }
    return true;
}

/* A world without a fence, to see that the judge notices (I15). */
static void adopt_epochs(struct connection *connection)
{
    struct posting *posting = connection->posting;
    for (size_t i = 0; world.unfenced && i < posting->position_count; i++) {
        const struct position_row *row =
            books_position(world.books, posting->positions[i].partition);
        if (row != NULL)
            posting->positions[i].epoch = row->epoch;
    }
}

static bool is_locked(const struct connection *connection, int64_t account_id)
{
    struct lock like = {.kind = LOCK_ACCOUNT, .number = account_id % BOOKS_ACCOUNTS_MAX};
    const struct lock *held = find_lock(&like);
    return held != NULL && held->holder == connection;
}

/* The statement that locks the accounts is the one that returns them: what was added
 * since it began is not there, nor are payments that touch it. */
static void keep_locked(const struct connection *connection)
{
    struct posting *posting = connection->posting;
    size_t count = posting->account_count, kept = 0;
    for (size_t i = 0; i < count; i++)
        if (is_locked(connection, posting->accounts[i].account_id))
            posting->accounts[kept++] = posting->accounts[i];
    posting->account_count = kept;
    count = posting->payment_count;
    kept = 0;
    for (size_t i = 0; i < count; i++)
        if (is_locked(connection, posting->payments[i].debit_account_id) &&
            is_locked(connection, posting->payments[i].credit_account_id))
            posting->payments[kept++] = posting->payments[i];
    posting->payment_count = kept;
}

static enum port_status look_up(struct connection *connection)
{
    connection->in_transaction = true;
    if (!lock_positions(connection))
        return PORT_RETRY;
    fiber_yield_perhaps();
    connection->snapshot = oracle_snapshot();
    if (!lock_accounts(connection) || hits(world.trouble.postgres_error))
        return PORT_RETRY;
    fiber_yield_perhaps();
    adopt_epochs(connection);
    enum port_status status = books_lookup(world.books, connection->posting);
    keep_locked(connection);
    events[EVENT_FENCED] += status == PORT_FENCED;
    return status;
}

/* --- the commit --- */

static bool is_poison(const char *key)
{
    for (size_t i = 0; i < SIM_POISON; i++)
        if (world.poison[i][0] != '\0' && strcmp(world.poison[i], key) == 0)
            return true;
    return false;
}

static bool goes_to_inbox(const struct decision *decision)
{
    return decision->kind == DECISION_NEW && (decision->outcome == OUTCOME_APPLIED ||
                                              decision->outcome == OUTCOME_REJECTED);
}

static enum port_status insert_key(struct connection *connection, size_t index)
{
    const struct record *record = &connection->posting->records[index];
    const char *key = record->intake.command.key;
    if (!goes_to_inbox(&connection->posting->decisions[index]))
        return PORT_OK;
    if (is_poison(key))
        return PORT_REFUSED;
    fiber_yield_perhaps();
    if (!acquire_text(connection, LOCK_KEY, key))
        return PORT_RETRY;
    if (books_inbox(world.books, key) == NULL)
        return PORT_OK;
    COUNT(TWINS);
    return PORT_RETRY;
}

static enum port_status insert_letter(struct connection *connection, size_t index)
{
    const struct record *record = &connection->posting->records[index];
    const struct decision *decision = &connection->posting->decisions[index];
    if (decision->kind != DECISION_NEW || goes_to_inbox(decision))
        return PORT_OK;
    int64_t number = record->offset * SIM_PARTITIONS + record->partition;
    return acquire_row(connection, LOCK_LETTER, number) ? PORT_OK : PORT_RETRY;
}

static enum port_status insert_accounts(struct connection *connection)
{
    const struct posting *posting = connection->posting;
    for (size_t i = 0; i < posting->account_count; i++)
        if (posting->accounts[i].opened &&
            !acquire_text(connection, LOCK_NAME, posting->accounts[i].name))
            return PORT_RETRY;
    return PORT_OK;
}

static enum port_status insert(struct connection *connection)
{
    enum port_status status = PORT_OK;
    for (size_t i = 0; i < connection->posting->count && status == PORT_OK; i++)
        status = insert_key(connection, i);
    for (size_t i = 0; i < connection->posting->count && status == PORT_OK; i++)
        status = insert_letter(connection, i);
    return status == PORT_OK ? insert_accounts(connection) : status;
}

/* Epochs that were given before the database went back may be given again. */
static void judge_claims(const struct connection *connection)
{
    const struct posting *posting = connection->posting;
    for (size_t i = 0; i < posting->position_count && !world.restored; i++) {
        const struct claimer *claimer = &claimers[posting->positions[i].partition];
        if (claimer->process != connection->client || claimer->life != connection->life)
            violate("I15: a consumer that was fenced has written");
    }
}

/* The books judge once more, as constraints do, and take everything at once. */
static enum port_status commit(struct connection *connection)
{
    char fault[BOOKS_FAULT_MAX];
    enum port_status status = insert(connection);
    if (status == PORT_OK && hits(world.trouble.postgres_error))
        status = PORT_RETRY;
    if (status != PORT_OK)
        return status;
    fiber_sleep_us(chance_between(50, 2000)); /* to the disk */
    status = books_commit(world.books, connection->posting, fault);
    if (status != PORT_OK) {
        events[EVENT_FENCED] += status == PORT_FENCED;
        trace("refused: %s", fault);
        return status;
    }
    judge_claims(connection);
    COUNT(POSTINGS);
    events[EVENT_IN_DOUBT_DONE] += connection->broken || connection->mute;
    judge_posting(connection->posting, connection->snapshot);
    judge_books();
    return PORT_OK;
}

/* --- the claim --- */

static void claim_one(struct claim *claim)
{
    struct position_row *row = books_position(world.books, claim->partition);
    claim->had_row = row != NULL;
    if (row == NULL) {
        MUST(world.books->position_count < BOOKS_POSITIONS_MAX);
        row = &world.books->positions[world.books->position_count++];
        *row = (struct position_row){.partition = claim->partition,
                                     .next_offset = claim->log_start};
    }
    claim->epoch = ++row->epoch;
    claim->next_offset = row->next_offset;
    claim->last = row->last;
}

static enum port_status claim(struct connection *connection)
{
    size_t count = connection->request.claim_count;
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        for (size_t j = 0; j < count; j++)
            if (connection->claims[j].partition == i &&
                !acquire_row(connection, LOCK_POSITION, i))
                return PORT_RETRY;
    fiber_sleep_us(chance_between(50, 2000));
    for (size_t i = 0; i < count; i++) {
        claim_one(&connection->claims[i]);
        claimers[connection->claims[i].partition] =
            (struct claimer){connection->client, connection->life};
    }
    return PORT_OK;
}

/* --- a backend --- */

static enum port_status execute(struct connection *connection)
{
    switch (connection->request.kind) {
    case REQUEST_LOOKUP:
        return look_up(connection);
    case REQUEST_COMMIT:
        return commit(connection);
    case REQUEST_CLAIM:
        return claim(connection);
    case REQUEST_ROLLBACK:
        break;
    }
    return PORT_OK;
}

static void serve(struct connection *connection)
{
    connection->requested = false;
    fiber_sleep_us(chance_between(20, chance_per_mille(10) ? 300000 : 1500));
    connection->status = execute(connection);
    if (connection->request.kind != REQUEST_LOOKUP || connection->status != PORT_OK)
        end_transaction(connection);
    fiber_sleep_us(chance_between(20, 1000));
    connection->answered = true;
    fiber_wake(connection);
}

static void run_backend(void *context)
{
    struct connection *connection = context;
    while (connection->held || connection->requested) {
        if (connection->requested) {
            serve(connection);
            continue;
        }
        int64_t until_us = connection->in_transaction
                               ? fiber_now_us() + IDLE_IN_TRANSACTION_MS * MILLISECOND_US
                               : NEVER_US;
        if (!fiber_wait(connection, until_us) && fiber_now_us() >= until_us)
            break;
    }
    end_transaction(connection);
    connection->broken = true;
    connection->served = false;
    fiber_wake(connection);
}

/* --- the client's side --- */

void postgres_begin(void)
{
    for (size_t i = 0; i < SIM_CONNECTIONS; i++) {
        struct connection *connection = &connections[i];
        struct posting *posting = connection->posting;
        if (posting == NULL)
            posting = posting_new(SIM_BATCH);
        *connection = (struct connection){.posting = posting};
    }
    memset(claimers, 0, sizeof claimers);
    lock_count = 0;
    has_backup = false;
    world.postgres_up = true;
}

struct connection *postgres_connect(const struct process *client)
{
    fiber_sleep_us(chance_between(100, 5000));
    if (!world.postgres_up)
        return NULL;
    for (size_t i = 0; i < SIM_CONNECTIONS; i++) {
        struct connection *connection = &connections[i];
        if (connection->held || connection->served)
            continue;
        *connection = (struct connection){.posting = connection->posting,
                                          .held = true,
                                          .served = true,
                                          .client = client,
                                          .life = client->life};
        fiber_start(&connection->owner, run_backend, connection);
        return connection;
    }
    violate("connections to the database are not given back");
    return NULL;
}

void postgres_hang_up(struct connection *connection)
{
    connection->held = false;
    fiber_wake(connection);
}

bool postgres_is_broken(const struct connection *connection)
{
    return connection->broken;
}

/* Every transaction in hand is gone, whether it was answered is another matter. */
void postgres_crash(void)
{
    COUNT(CRASHES);
    for (size_t i = 0; i < SIM_CONNECTIONS; i++) {
        struct connection *connection = &connections[i];
        if (!connection->served)
            continue;
        fiber_kill(&connection->owner);
        end_transaction(connection);
        connection->requested = connection->served = false;
        connection->broken = true;
        fiber_wake(connection);
    }
    world.postgres_up = false;
}

/* --- an earlier state --- */

void postgres_back_up(void)
{
    if (backup == NULL)
        backup = calloc(1, sizeof *backup);
    MUST(backup != NULL);
    *backup = *world.books;
    has_backup = true;
    oracle_back_up();
}

void postgres_restore(void)
{
    if (!has_backup)
        return;
    COUNT(RESTORES);
    trace("the database is put back to an earlier state");
    *world.books = *backup;
    world.restored = true;
    has_backup = false;
    oracle_restore();
    judge_restored();
}

/* --- requests --- */

static void copy_records(struct connection *connection, const struct posting *from)
{
    struct posting *to = connection->posting;
    memcpy(connection->records, from->records, from->count * sizeof *from->records);
    to->records = connection->records;
    to->count = from->count;
    to->position_count = from->position_count;
    memcpy(to->positions, from->positions, from->position_count * sizeof *to->positions);
}

static void copy_result(struct connection *connection, const struct posting *from,
                        size_t index)
{
    struct posting *to = connection->posting;
    size_t size = from->result_sizes[index];
    to->results[index] = NULL;
    to->result_sizes[index] = size;
    if (from->results[index] == NULL)
        return;
    MUST(size <= BOOKS_RESULT_MAX);
    memcpy(connection->results[index], from->results[index], size);
    to->results[index] = connection->results[index];
}

static void copy_decisions(struct connection *connection, const struct posting *from)
{
    struct posting *to = connection->posting;
    memcpy(to->decisions, from->decisions, from->count * sizeof *to->decisions);
    to->account_count = from->account_count;
    memcpy(to->accounts, from->accounts, from->account_count * sizeof *to->accounts);
    to->payment_count = from->payment_count;
    memcpy(to->payments, from->payments, from->payment_count * sizeof *to->payments);
    for (size_t i = 0; i < from->count; i++)
        copy_result(connection, from, i);
}

static void copy_facts(const struct connection *connection, struct posting *to)
{
    const struct posting *from = connection->posting;
    memcpy(to->positions, from->positions, from->position_count * sizeof *to->positions);
    memcpy(to->inbox, from->inbox, from->count * sizeof *to->inbox);
    memcpy(to->letters, from->letters, from->count * sizeof *to->letters);
    to->account_count = from->account_count;
    memcpy(to->accounts, from->accounts, from->account_count * sizeof *to->accounts);
    to->payment_count = from->payment_count;
    memcpy(to->payments, from->payments, from->payment_count * sizeof *to->payments);
    to->new_account_id_count = from->new_account_id_count;
    memcpy(to->new_account_ids, from->new_account_ids,
           from->new_account_id_count * sizeof *to->new_account_ids);
}

static void send(struct connection *connection, const struct request *request)
{
    connection->request = *request;
    connection->answered = false;
    if (request->kind == REQUEST_LOOKUP || request->kind == REQUEST_COMMIT)
        copy_records(connection, request->posting);
    if (request->kind == REQUEST_COMMIT)
        copy_decisions(connection, request->posting);
    if (request->kind == REQUEST_CLAIM)
        memcpy(connection->claims, request->claims,
               request->claim_count * sizeof *request->claims);
    if (hits(world.trouble.postgres_cut_before)) {
        connection->broken = true;
        return;
    }
    connection->requested = true;
    connection->broken = connection->broken || hits(world.trouble.postgres_cut_after);
    connection->mute = connection->mute || hits(world.trouble.postgres_mute);
    fiber_wake(connection);
}

static bool wait_answer(struct connection *connection)
{
    int64_t deadline_us = fiber_now_us() + PATIENCE_MS * MILLISECOND_US;
    while (!connection->broken && (!connection->answered || connection->mute) &&
           fiber_now_us() < deadline_us)
        fiber_wait(connection, deadline_us);
    return !connection->broken && connection->answered && !connection->mute;
}

enum port_status postgres_call(struct connection *connection, struct request *request)
{
    enum port_status lost = request->kind == REQUEST_COMMIT ? PORT_IN_DOUBT : PORT_RETRY;
    if (connection->broken)
        return PORT_RETRY;
    send(connection, request);
    if (request->kind == REQUEST_COMMIT && FAILPOINT(COMMIT_SENT))
        connection->broken = true;
    if (!wait_answer(connection)) {
        connection->broken = true;
        events[EVENT_IN_DOUBT] += lost == PORT_IN_DOUBT;
        return lost;
    }
    if (connection->status == PORT_OK && request->kind == REQUEST_LOOKUP)
        copy_facts(connection, request->posting);
    if (connection->status == PORT_OK && request->kind == REQUEST_CLAIM)
        memcpy(request->claims, connection->claims,
               request->claim_count * sizeof *request->claims);
    return connection->status;
}
