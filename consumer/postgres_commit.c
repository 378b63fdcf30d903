/* postgres_commit.c: round trip 2 of a batch: everything that was decided, and COMMIT.
 * Only statements that have rows are sent. Nothing can be looked at before COMMIT, so
 * each of them fails by itself when it must (postgres_statements.c, schema/sql). */
#include <stdlib.h>

#include "base/must.h"
#include "consumer/postgres_store.h"

static bool is_new(const struct posting *posting, size_t index)
{
    return posting->decisions[index].kind == DECISION_NEW;
}

static bool goes_to_inbox(const struct posting *posting, size_t index)
{
    enum outcome outcome = posting->decisions[index].outcome;
    return is_new(posting, index) &&
           (outcome == OUTCOME_APPLIED || outcome == OUTCOME_REJECTED);
}

static void put_code(struct pg_param *array, enum code code)
{
    if (code == CODE_NONE)
        pg_array_null(array);
    else
        pg_array_text(array, code_name(code));
}

/* --- the inbox --- */

struct inbox_arrays {
    struct pg_param *key, *operation, *client, *fingerprint, *outcome, *code, *payment_id,
        *result, *partition, *offset, *command_time;
};

/* In the order of the statement's parameters, behind the topic. */
static struct inbox_arrays begin_inbox(struct pg_params *params)
{
    struct inbox_arrays to;
    to.key = pg_param_array(params, PG_TEXT);
    to.operation = pg_param_array(params, PG_TEXT);
    to.client = pg_param_array(params, PG_TEXT);
    to.fingerprint = pg_param_array(params, PG_BYTEA);
    to.outcome = pg_param_array(params, PG_TEXT);
    to.code = pg_param_array(params, PG_TEXT);
    to.payment_id = pg_param_array(params, PG_UUID);
    to.result = pg_param_array(params, PG_BYTEA);
    to.partition = pg_param_array(params, PG_INT4);
    to.offset = pg_param_array(params, PG_INT8);
    to.command_time = pg_param_array(params, PG_TIMESTAMPTZ);
    return to;
}

static void put_inbox_row(const struct inbox_arrays *to, const struct posting *posting,
                          size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    const struct command *command = &record->intake.command;
    MUST(posting->results[index] != NULL);
    pg_array_text(to->key, command->key);
    pg_array_text(to->operation, operation_name(command->operation));
    pg_array_text(to->client, command->client);
    pg_array_bytes(to->fingerprint, record->fingerprint, sizeof record->fingerprint);
    pg_array_text(to->outcome, outcome_name(decision->outcome));
    put_code(to->code, decision->code);
    if (decision->has_movement)
        pg_array_uuid(to->payment_id, &record->payment_id);
    else
        pg_array_null(to->payment_id);
    pg_array_bytes(to->result, posting->results[index], posting->result_sizes[index]);
    pg_array_int4(to->partition, record->partition);
    pg_array_int8(to->offset, record->offset);
    pg_array_time_ms(to->command_time, record->timestamp_ms);
}

static void send_inbox(struct store *store, const struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    pg_param_text(params, store->settings.topic);
    struct inbox_arrays to = begin_inbox(params);
    for (size_t i = 0; i < posting->count; i++)
        if (goes_to_inbox(posting, i))
            put_inbox_row(&to, posting, i);
    if (to.key->elements > 0)
        pg_send(store->pg, &statements[STATEMENT_INSERT_INBOX]);
}

/* --- dead letters --- */

struct letter_arrays {
    struct pg_param *partition, *offset, *outcome, *code, *key, *result, *command_time;
};

static struct letter_arrays begin_letters(struct pg_params *params)
{
    struct letter_arrays to;
    to.partition = pg_param_array(params, PG_INT4);
    to.offset = pg_param_array(params, PG_INT8);
    to.outcome = pg_param_array(params, PG_TEXT);
    to.code = pg_param_array(params, PG_TEXT);
    to.key = pg_param_array(params, PG_TEXT);
    to.result = pg_param_array(params, PG_BYTEA);
    to.command_time = pg_param_array(params, PG_TIMESTAMPTZ);
    return to;
}

static void put_letter_row(const struct letter_arrays *to, const struct posting *posting,
                           size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    pg_array_int4(to->partition, record->partition);
    pg_array_int8(to->offset, record->offset);
    pg_array_text(to->outcome, outcome_name(decision->outcome));
    put_code(to->code, decision->code);
    if (record->intake.has_key) {
        MUST(posting->results[index] != NULL);
        pg_array_text(to->key, record->intake.command.key);
        pg_array_bytes(to->result, posting->results[index], posting->result_sizes[index]);
    } else {
        pg_array_null(to->key);
        pg_array_null(to->result);
    }
    pg_array_time_ms(to->command_time, record->timestamp_ms);
}

static void send_letters(struct store *store, const struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    pg_param_text(params, store->settings.topic);
    struct letter_arrays to = begin_letters(params);
    for (size_t i = 0; i < posting->count; i++)
        if (is_new(posting, i) && !goes_to_inbox(posting, i))
            put_letter_row(&to, posting, i);
    if (to.partition->elements > 0)
        pg_send(store->pg, &statements[STATEMENT_INSERT_LETTERS]);
}

/* --- accounts --- */

/* An account that is opened and used in one batch is inserted with its last balance. */
static void send_opened(struct store *store, const struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    struct pg_param *account_id = pg_param_array(params, PG_INT8);
    struct pg_param *balance = pg_param_array(params, PG_INT8);
    struct pg_param *minimum = pg_param_array(params, PG_INT8);
    struct pg_param *version = pg_param_array(params, PG_INT8);
    struct pg_param *currency = pg_param_array(params, PG_TEXT);
    struct pg_param *name = pg_param_array(params, PG_TEXT);
    for (size_t i = 0; i < posting->account_count; i++) {
        const struct account *account = &posting->accounts[i];
        if (!account->opened)
            continue;
        pg_array_int8(account_id, account->account_id);
        pg_array_int8(balance, account->balance_minor);
        if (account->has_minimum)
            pg_array_int8(minimum, account->minimum_balance_minor);
        else
            pg_array_null(minimum);
        pg_array_int8(version, account->version);
        pg_array_text(currency, account->currency->code);
        pg_array_text(name, account->name);
    }
    if (account_id->elements > 0)
        pg_send(store->pg, &statements[STATEMENT_INSERT_ACCOUNTS]);
}

static bool has_moved(const struct account *account)
{
    return !account->opened && account->version != account->version_before;
}

static bool is_held(const struct account *account)
{
    return account->rests && !account->opened &&
           account->version == account->version_before;
}

static int by_account_id(const void *left, const void *right)
{
    const struct lock_turn *one = left, *other = right;
    return (one->account_id > other->account_id) - (one->account_id < other->account_id);
}

/* Fills store->turns; returns how many accounts have a turn. */
static size_t put_in_order(struct store *store, const struct posting *posting,
                           bool (*has_turn)(const struct account *account))
{
    size_t count = 0;
    MUST(posting->account_count <= STORE_TURNS_MAX);
    for (size_t i = 0; i < posting->account_count; i++)
        if (has_turn(&posting->accounts[i]))
            store->turns[count++] =
                (struct lock_turn){posting->accounts[i].account_id, i};
    if (count > 0)
        qsort(store->turns, count, sizeof *store->turns, by_account_id);
    return count;
}

/* One net update an account, however many movements it had. */
static void send_moved(struct store *store, const struct posting *posting)
{
    size_t count = put_in_order(store, posting, has_moved);
    if (count == 0)
        return;
    struct pg_params *params = pg_params(store->pg);
    pg_param_int8(params, (int64_t)count);
    struct pg_param *account_id = pg_param_array(params, PG_INT8);
    struct pg_param *balance = pg_param_array(params, PG_INT8);
    struct pg_param *version = pg_param_array(params, PG_INT8);
    struct pg_param *version_before = pg_param_array(params, PG_INT8);
    struct pg_param *balance_before = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < count; i++) {
        const struct account *account = &posting->accounts[store->turns[i].slot];
        pg_array_int8(account_id, account->account_id);
        pg_array_int8(balance, account->balance_minor);
        pg_array_int8(version, account->version);
        pg_array_int8(version_before, account->version_before);
        pg_array_int8(balance_before, account->balance_before);
    }
    pg_send(store->pg, &statements[STATEMENT_MOVE_ACCOUNTS]);
}

/* A refusal rests on accounts, too, and moves none: what was remembered or only read must
 * still be so. Locked ones cannot have changed. */
static void send_held(struct store *store, const struct posting *posting)
{
    size_t count = store->trusting ? put_in_order(store, posting, is_held) : 0;
    if (count == 0)
        return;
    struct pg_params *params = pg_params(store->pg);
    pg_param_int8(params, (int64_t)count);
    struct pg_param *account_id = pg_param_array(params, PG_INT8);
    struct pg_param *version = pg_param_array(params, PG_INT8);
    struct pg_param *balance = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < count; i++) {
        const struct account *account = &posting->accounts[store->turns[i].slot];
        pg_array_int8(account_id, account->account_id);
        pg_array_int8(version, account->version);
        pg_array_int8(balance, account->balance_minor);
    }
    pg_send(store->pg, &statements[STATEMENT_HOLD_ACCOUNTS]);
}

/* --- transfers --- */

struct transfer_arrays {
    struct pg_param *debit_account_id, *credit_account_id, *amount, *debit_balance,
        *credit_balance, *debit_version, *credit_version, *payment_id, *refunds, *client,
        *reference;
};

static struct transfer_arrays begin_transfers(struct pg_params *params)
{
    struct transfer_arrays to;
    to.debit_account_id = pg_param_array(params, PG_INT8);
    to.credit_account_id = pg_param_array(params, PG_INT8);
    to.amount = pg_param_array(params, PG_INT8);
    to.debit_balance = pg_param_array(params, PG_INT8);
    to.credit_balance = pg_param_array(params, PG_INT8);
    to.debit_version = pg_param_array(params, PG_INT8);
    to.credit_version = pg_param_array(params, PG_INT8);
    to.payment_id = pg_param_array(params, PG_UUID);
    to.refunds = pg_param_array(params, PG_UUID);
    to.client = pg_param_array(params, PG_TEXT);
    to.reference = pg_param_array(params, PG_TEXT);
    return to;
}

static void put_movement(const struct transfer_arrays *to, const struct posting *posting,
                         const struct movement *movement)
{
    const struct account *debit = &posting->accounts[movement->debit_slot];
    const struct account *credit = &posting->accounts[movement->credit_slot];
    pg_array_int8(to->debit_account_id, debit->account_id);
    pg_array_int8(to->credit_account_id, credit->account_id);
    pg_array_int8(to->amount, movement->amount_minor);
    pg_array_int8(to->debit_balance, movement->debit_balance_minor);
    pg_array_int8(to->credit_balance, movement->credit_balance_minor);
    pg_array_int8(to->debit_version, movement->debit_version);
    pg_array_int8(to->credit_version, movement->credit_version);
}

static void put_transfer_row(const struct transfer_arrays *to,
                             const struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct command *command = &record->intake.command;
    put_movement(to, posting, &posting->decisions[index].movement);
    pg_array_uuid(to->payment_id, &record->payment_id);
    if (command->operation == OPERATION_REFUND)
        pg_array_uuid(to->refunds, &command->refunded_payment_id);
    else
        pg_array_null(to->refunds);
    pg_array_text(to->client, command->client);
    if (command->reference[0] != '\0')
        pg_array_text(to->reference, command->reference);
    else
        pg_array_null(to->reference);
}

static void send_transfers(struct store *store, const struct posting *posting)
{
    struct transfer_arrays to = begin_transfers(pg_params(store->pg));
    for (size_t i = 0; i < posting->count; i++)
        if (is_new(posting, i) && posting->decisions[i].has_movement)
            put_transfer_row(&to, posting, i);
    if (to.amount->elements > 0)
        pg_send(store->pg, &statements[STATEMENT_INSERT_TRANSFERS]);
}

/* --- positions --- */

static size_t count_forward(const struct posting *posting)
{
    size_t count = 0;
    for (size_t i = 0; i < posting->position_count; i++)
        count +=
            posting->positions[i].next_offset > posting->positions[i].known_next_offset;
    return count;
}

/* A batch of replays moves nothing; the fence was taken by the lookup and is still held.
 * */
static void send_positions(struct store *store, const struct posting *posting)
{
    size_t count = count_forward(posting);
    if (count == 0)
        return;
    struct pg_params *params = pg_params(store->pg);
    pg_param_int8(params, (int64_t)count);
    pg_param_text(params, store->settings.topic);
    struct pg_param *partition = pg_param_array(params, PG_INT4);
    struct pg_param *epoch = pg_param_array(params, PG_INT8);
    struct pg_param *next_offset = pg_param_array(params, PG_INT8);
    struct pg_param *last_offset = pg_param_array(params, PG_INT8);
    struct pg_param *last_timestamp = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < posting->position_count; i++) {
        const struct position *position = &posting->positions[i];
        if (position->next_offset <= position->known_next_offset)
            continue;
        pg_array_int4(partition, position->partition);
        pg_array_int8(epoch, position->epoch);
        pg_array_int8(next_offset, position->next_offset);
        pg_array_int8(last_offset, position->last.offset);
        pg_array_int8(last_timestamp, position->last.timestamp_ms);
    }
    pg_send(store->pg, &statements[STATEMENT_MOVE_POSITIONS]);
}

/* The inbox first: there a concurrent twin shows, before anything else of it can. */
void postgres_commit_send(struct store *store, const struct posting *posting)
{
    pg_begin(store->pg);
    send_inbox(store, posting);
    send_letters(store, posting);
    send_opened(store, posting);
    send_transfers(store, posting);
    send_moved(store, posting);
    send_held(store, posting);
    send_positions(store, posting);
    (void)pg_params(store->pg); /* of a statement that had no rows */
    pg_send(store->pg, &statements[STATEMENT_COMMIT]);
}
