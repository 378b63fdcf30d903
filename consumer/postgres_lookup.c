/* postgres_lookup.c: round trip 1 of a batch: what is asked, and how the answers become
 * the facts of a posting. Poisoned and malformed records are looked up like any other:
 * what was decided for them once still holds. */
#include <string.h>

#include "base/must.h"
#include "consumer/postgres_store.h"

/* --- the questions --- */

static bool is_valid(const struct record *record)
{
    return record->intake.code == CODE_NONE;
}

/* How many of the commands open an account, and how many refund. */
struct operations {
    size_t opened, refunds;
};

static struct operations count_operations(const struct posting *posting)
{
    struct operations found = {0, 0};
    for (size_t i = 0; i < posting->count; i++) {
        enum operation operation = posting->records[i].intake.command.operation;
        if (!is_valid(&posting->records[i]))
            continue;
        found.opened += operation == OPERATION_OPEN_ACCOUNT;
        found.refunds += operation == OPERATION_REFUND;
    }
    return found;
}

static void send_fence(struct store *store, const struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    pg_param_text(params, store->settings.topic);
    struct pg_param *partitions = pg_param_array(params, PG_INT4);
    for (size_t i = 0; i < posting->position_count; i++)
        pg_array_int4(partitions, posting->positions[i].partition);
    pg_send(store->pg, &statements[STATEMENT_FENCE]);
}

static void put_refunded_payments(struct pg_param *array, const struct posting *posting)
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct record *record = &posting->records[i];
        if (is_valid(record) && record->intake.command.operation == OPERATION_REFUND)
            pg_array_uuid(array, &record->intake.command.refunded_payment_id);
    }
}

/* What is asked of the accounts. */
struct wanted {
    struct pg_param *account_ids; /* NULL: none by its id */
    struct pg_param *names;
};

/* Takes what is remembered of the account; or asks for it, by its id where that is known
 * and it will be locked. */
static void want_account(struct store *store, struct posting *posting,
                         const struct wanted *wanted, const char *name)
{
    struct recalled known = postgres_memory_recall(store->memory, name);
    bool to_lock = wanted->account_ids != NULL;
    if (known.place == 0 || (!to_lock && !known.fresh))
        pg_array_text(wanted->names, name);
    else if (known.first && to_lock)
        pg_array_int8(wanted->account_ids, known.account_id);
    else if (known.first)
        postgres_memory_read(store->memory, known.place,
                             &posting->accounts[posting->account_count++]);
}

static void want_accounts(struct store *store, struct posting *posting,
                          const struct wanted *wanted)
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct command *command = &posting->records[i].intake.command;
        if (!is_valid(&posting->records[i]))
            continue;
        if (command->operation == OPERATION_OPEN_ACCOUNT)
            want_account(store, posting, wanted, command->account);
        if (command->operation != OPERATION_TRANSFER)
            continue;
        want_account(store, posting, wanted, command->source);
        want_account(store, posting, wanted, command->destination);
    }
}

static void send_locked_accounts(struct store *store, struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    struct wanted wanted = {.account_ids = pg_param_array(params, PG_INT8),
                            .names = pg_param_array(params, PG_TEXT)};
    want_accounts(store, posting, &wanted);
    store->asked_by_id = (size_t)wanted.account_ids->elements;
    put_refunded_payments(pg_param_array(params, PG_UUID), posting);
    pg_send(store->pg, &statements[STATEMENT_ACCOUNTS]);
}

static void send_unknown_accounts(struct store *store, struct posting *posting)
{
    struct wanted wanted = {.names = pg_param_array(pg_params(store->pg), PG_TEXT)};
    want_accounts(store, posting, &wanted);
    if (wanted.names->elements > 0)
        pg_send(store->pg, &statements[STATEMENT_READ_ACCOUNTS]);
}

static void send_accounts(struct store *store, struct posting *posting, bool trusting)
{
    store->trusting = trusting;
    store->asked_by_id = 0;
    posting->account_count = 0;
    postgres_memory_begin(store->memory);
    if (store->trusting)
        send_unknown_accounts(store, posting);
    else
        send_locked_accounts(store, posting);
}

/* One element a record, so that the ordinal of a row tells its record. */
static void send_inbox(struct store *store, const struct posting *posting)
{
    struct pg_param *keys = pg_param_array(pg_params(store->pg), PG_TEXT);
    for (size_t i = 0; i < posting->count; i++) {
        const struct intake *intake = &posting->records[i].intake;
        if (intake->has_key)
            pg_array_text(keys, intake->command.key);
        else
            pg_array_null(keys);
    }
    pg_send(store->pg, &statements[STATEMENT_INBOX]);
}

/* By ranges: on the way forward they are empty and cost nothing, whatever the batch. */
static void send_letters(struct store *store, const struct posting *posting)
{
    struct pg_params *params = pg_params(store->pg);
    pg_param_text(params, store->settings.topic);
    struct pg_param *partitions = pg_param_array(params, PG_INT4);
    struct pg_param *firsts = pg_param_array(params, PG_INT8);
    struct pg_param *lasts = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < posting->position_count; i++) {
        pg_array_int4(partitions, posting->positions[i].partition);
        pg_array_int8(firsts, posting->positions[i].from_offset);
        pg_array_int8(lasts, posting->positions[i].next_offset - 1);
    }
    pg_send(store->pg, &statements[STATEMENT_LETTERS]);
}

/* Ever more rarely: what the tables held when a plan was made is soon no measure of them,
 * and PostgreSQL's own statistics may come a minute later, or never. */
static bool replan_is_due(struct store *store)
{
    store->lookups++;
    return (store->lookups & (store->lookups - 1)) == 0;
}

/* The accounts as late as may be: others may wait for them until we commit. */
void postgres_lookup_send(struct store *store, struct posting *posting)
{
    struct pg *pg = store->pg;
    struct operations operations = count_operations(posting);
    pg_begin(pg);
    pg_send(pg, &statements[STATEMENT_BEGIN]);
    if (replan_is_due(store))
        pg_send(pg, &statements[STATEMENT_REPLAN]);
    send_fence(store, posting);
    send_inbox(store, posting);
    send_letters(store, posting);
    send_accounts(store, posting, store->locked_left == 0 && operations.refunds == 0);
    if (operations.refunds > 0) {
        put_refunded_payments(pg_param_array(pg_params(pg), PG_UUID), posting);
        pg_send(pg, &statements[STATEMENT_PAYMENTS]);
    }
    if (operations.opened > 0) {
        pg_param_int8(pg_params(pg), (int64_t)operations.opened);
        pg_send(pg, &statements[STATEMENT_NEW_IDS]);
    }
}

/* --- the answers --- */

/* The schema holds rows to our limits; a row beyond them was written by a later version.
 * */
static enum port_status cannot_read(struct store *store, const char *what)
{
    pg_set_fault(store->pg,
                 "the database holds %s that this version does not know; run the "
                 "version that wrote it",
                 what);
    return PORT_FATAL;
}

static bool read_text(struct pg_cell cell, char *text, size_t capacity)
{
    size_t size;
    const char *bytes = pg_bytes(cell, &size);
    if (size >= capacity)
        return false;
    memcpy(text, bytes, size + 1);
    return true;
}

static struct position *position_of(struct posting *posting, int32_t partition)
{
    for (size_t i = 0; i < posting->position_count; i++)
        if (posting->positions[i].partition == partition)
            return &posting->positions[i];
    must_fail("only rows of our partitions were asked for", __FILE__, __LINE__);
}

static enum port_status read_fence(struct store *store, struct posting *posting)
{
    const struct pg_rows *rows = pg_answer(store->pg, &statements[STATEMENT_FENCE]);
    bool held = pg_row_count(rows) == posting->position_count;
    for (size_t i = 0; held && i < posting->position_count; i++) {
        struct position *position = position_of(posting, pg_int4(PG_CELL(rows, i, 0)));
        held = pg_int8(PG_CELL(rows, i, 1)) == position->epoch;
        position->known_next_offset = pg_int8(PG_CELL(rows, i, 2));
    }
    if (held)
        return PORT_OK;
    pg_set_fault(store->pg, "another consumer has claimed a partition of this batch");
    return PORT_FENCED;
}

static bool read_account(const struct pg_rows *rows, size_t row, struct account *account)
{
    size_t size;
    const char *currency = pg_bytes(PG_CELL(rows, row, 4), &size);
    *account = (struct account){.account_id = pg_int8(PG_CELL(rows, row, 0)),
                                .balance_minor = pg_int8(PG_CELL(rows, row, 1)),
                                .has_minimum = !pg_is_null(PG_CELL(rows, row, 2)),
                                .version = pg_int8(PG_CELL(rows, row, 3)),
                                .currency = currency_find(currency, size)};
    account->version_before = account->version;
    account->balance_before = account->balance_minor;
    if (account->has_minimum)
        account->minimum_balance_minor = pg_int8(PG_CELL(rows, row, 2));
    return account->currency != NULL &&
           read_text(PG_CELL(rows, row, 5), account->name, sizeof account->name);
}

/* The id of an account is for ever, unless somebody puts another one in its place by
 * hand; then what is remembered of names and ids is worth nothing. */
static enum port_status check_ids(struct store *store, const struct posting *posting)
{
    size_t found = 0;
    for (size_t i = 0; store->asked_by_id > 0 && i < posting->account_count; i++)
        found += postgres_memory_was_asked(store->memory, &posting->accounts[i]);
    if (found == store->asked_by_id)
        return PORT_OK;
    postgres_memory_forget(store->memory);
    pg_set_fault(store->pg, "an account has another id or name than a moment ago");
    return PORT_RETRY;
}

/* Behind those that were remembered. */
static enum port_status read_accounts(struct store *store, struct posting *posting)
{
    const struct pg_rows *rows = pg_answer(
        store->pg,
        &statements[store->trusting ? STATEMENT_READ_ACCOUNTS : STATEMENT_ACCOUNTS]);
    size_t count = pg_row_count(rows), known = posting->account_count;
    MUST(known + count <= 2 * posting->capacity);
    for (size_t i = 0; i < count; i++)
        if (!read_account(rows, i, &posting->accounts[known + i]))
            return cannot_read(store, "an account");
    posting->account_count = known + count;
    return check_ids(store, posting);
}

void postgres_lookup_keep(struct store *store, const struct posting *posting)
{
    for (size_t i = 0; i < posting->account_count; i++)
        postgres_memory_keep(store->memory, &posting->accounts[i]);
}

/* Columns first … first + 1: outcome and code. */
static bool read_verdict(const struct pg_rows *rows, size_t row, int first,
                         struct kept *kept)
{
    size_t size;
    const char *outcome = pg_bytes(PG_CELL(rows, row, first), &size);
    kept->found = true;
    kept->outcome = outcome_find(outcome, size);
    if (kept->outcome == OUTCOME_NONE)
        return false;
    if (pg_is_null(PG_CELL(rows, row, first + 1)))
        return true;
    const char *code = pg_bytes(PG_CELL(rows, row, first + 1), &size);
    kept->code = code_find(code, size);
    return kept->code != CODE_NONE;
}

static void read_result(const struct pg_rows *rows, size_t row, int column,
                        struct kept *kept)
{
    if (!pg_is_null(PG_CELL(rows, row, column)))
        kept->result = pg_bytes(PG_CELL(rows, row, column), &kept->result_size);
}

static enum port_status read_inbox(struct store *store, struct posting *posting)
{
    store->inbox_rows = pg_take_answer(store->pg, &statements[STATEMENT_INBOX]);
    memset(posting->inbox, 0, posting->count * sizeof *posting->inbox);
    for (size_t i = 0; i < pg_row_count(store->inbox_rows); i++) {
        int64_t ordinal = pg_int8(PG_CELL(store->inbox_rows, i, 0));
        MUST(ordinal >= 1 && (size_t)ordinal <= posting->count);
        struct kept *kept = &posting->inbox[ordinal - 1];
        size_t size;
        const char *fingerprint = pg_bytes(PG_CELL(store->inbox_rows, i, 3), &size);
        if (size != sizeof kept->fingerprint ||
            !read_verdict(store->inbox_rows, i, 1, kept))
            return cannot_read(store, "a row of the inbox");
        memcpy(kept->fingerprint, fingerprint, size);
        read_result(store->inbox_rows, i, 4, kept);
    }
    return PORT_OK;
}

/* Below, at or above 0 as the row lies before, at or behind the record's coordinates. */
static int compare_letter(const struct pg_rows *rows, size_t row,
                          const struct record *record)
{
    int32_t partition = pg_int4(PG_CELL(rows, row, 0));
    if (partition != record->partition)
        return partition < record->partition ? -1 : 1;
    int64_t offset = pg_int8(PG_CELL(rows, row, 1));
    return (offset > record->offset) - (offset < record->offset);
}

/* The rows come in the order of their coordinates. Returns the number of rows if there is
 * none for the record. */
static size_t find_letter(const struct pg_rows *rows, const struct record *record)
{
    size_t first = 0, count = pg_row_count(rows), end = count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = compare_letter(rows, middle, record);
        if (order == 0)
            return middle;
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return count;
}

static enum port_status read_letters(struct store *store, struct posting *posting)
{
    store->letter_rows = pg_take_answer(store->pg, &statements[STATEMENT_LETTERS]);
    memset(posting->letters, 0, posting->count * sizeof *posting->letters);
    size_t count = pg_row_count(store->letter_rows);
    for (size_t i = 0; count > 0 && i < posting->count; i++) {
        size_t row = find_letter(store->letter_rows, &posting->records[i]);
        if (row == count)
            continue;
        if (!read_verdict(store->letter_rows, row, 2, &posting->letters[i]))
            return cannot_read(store, "a dead letter");
        read_result(store->letter_rows, row, 4, &posting->letters[i]);
    }
    return PORT_OK;
}

static bool has_account(const struct posting *posting, int64_t account_id)
{
    size_t first = 0, end = posting->account_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int64_t found = posting->accounts[middle].account_id;
        if (found == account_id)
            return true;
        if (found < account_id)
            first = middle + 1;
        else
            end = middle;
    }
    return false;
}

static bool read_payment(const struct pg_rows *rows, size_t row, struct payment *payment)
{
    size_t size;
    const char *payment_id = pg_bytes(PG_CELL(rows, row, 0), &size);
    MUST(size == UUID_SIZE);
    *payment = (struct payment){.debit_account_id = pg_int8(PG_CELL(rows, row, 1)),
                                .credit_account_id = pg_int8(PG_CELL(rows, row, 2)),
                                .amount_minor = pg_int8(PG_CELL(rows, row, 3)),
                                .is_refund = pg_bool(PG_CELL(rows, row, 4)),
                                .refunded_minor = pg_int8(PG_CELL(rows, row, 6))};
    memcpy(payment->payment_id.bytes, payment_id, UUID_SIZE);
    return read_text(PG_CELL(rows, row, 5), payment->client, sizeof payment->client);
}

/* A payment that was committed between the statement that locked the accounts and the one
 * that read the payments is left out: its accounts are not locked. To us it comes later.
 * */
static enum port_status read_payments(struct store *store, struct posting *posting)
{
    const struct pg_rows *rows = pg_answer(store->pg, &statements[STATEMENT_PAYMENTS]);
    posting->payment_count = 0;
    MUST(pg_row_count(rows) <= posting->capacity);
    for (size_t i = 0; i < pg_row_count(rows); i++) {
        struct payment *payment = &posting->payments[posting->payment_count];
        if (!read_payment(rows, i, payment))
            return cannot_read(store, "a transfer");
        if (has_account(posting, payment->debit_account_id) &&
            has_account(posting, payment->credit_account_id))
            posting->payment_count++;
    }
    return PORT_OK;
}

static void read_new_ids(const struct store *store, struct posting *posting)
{
    const struct pg_rows *rows = pg_answer(store->pg, &statements[STATEMENT_NEW_IDS]);
    posting->new_account_id_count = pg_row_count(rows);
    MUST(posting->new_account_id_count <= posting->capacity);
    for (size_t i = 0; i < posting->new_account_id_count; i++)
        posting->new_account_ids[i] = pg_int8(PG_CELL(rows, i, 0));
}

enum port_status postgres_lookup_read(struct store *store, struct posting *posting)
{
    static enum port_status (*const readers[])(struct store *, struct posting *) = {
        read_fence, read_accounts, read_inbox, read_letters, read_payments};
    enum port_status status = PORT_OK;
    for (size_t i = 0; status == PORT_OK && i < sizeof readers / sizeof *readers; i++)
        status = readers[i](store, posting);
    read_new_ids(store, posting);
    return status;
}
