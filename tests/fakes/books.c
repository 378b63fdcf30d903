/* books.c: see books.h. A commit is judged completely before anything is written, in
 * the order of the real statements: inbox, dead letters, accounts, transfers, balances,
 * positions. Optimistic where Postgres locks rows: what moved between lookup and commit
 * is refused with RETRY, so that two posters meet more conflicts here, not fewer. */
#include "tests/fakes/books.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"

/* --- finding rows --- */

struct inbox_row *books_inbox(struct books *books, const char *key)
{
    for (size_t i = 0; i < books->inbox_count; i++)
        if (strcmp(books->inbox[i].key, key) == 0)
            return &books->inbox[i];
    return NULL;
}

struct letter_row *books_letter(struct books *books, int32_t partition, int64_t offset)
{
    for (size_t i = 0; i < books->letter_count; i++)
        if (books->letters[i].partition == partition &&
            books->letters[i].offset == offset)
            return &books->letters[i];
    return NULL;
}

struct account_row *books_account(struct books *books, const char *name)
{
    for (size_t i = 0; i < books->account_count; i++)
        if (strcmp(books->accounts[i].name, name) == 0)
            return &books->accounts[i];
    return NULL;
}

static struct account_row *account_by_id(struct books *books, int64_t account_id)
{
    for (size_t i = 0; i < books->account_count; i++)
        if (books->accounts[i].account_id == account_id)
            return &books->accounts[i];
    return NULL;
}

struct transfer_row *books_payment(struct books *books, const struct uuid *payment_id)
{
    for (size_t i = 0; i < books->transfer_count; i++)
        if (uuid_equal(&books->transfers[i].payment_id, payment_id))
            return &books->transfers[i];
    return NULL;
}

struct position_row *books_position(struct books *books, int32_t partition)
{
    for (size_t i = 0; i < books->position_count; i++)
        if (books->positions[i].partition == partition)
            return &books->positions[i];
    return NULL;
}

/* Rows stay in the order of their ids. */
static void insert_account(struct books *books, const struct account_row *row)
{
    MUST(books->account_count < BOOKS_ACCOUNTS_MAX);
    size_t at = books->account_count++;
    for (; at > 0 && books->accounts[at - 1].account_id > row->account_id; at--)
        books->accounts[at] = books->accounts[at - 1];
    books->accounts[at] = *row;
}

void books_open_account(struct books *books, const char *name, const char *currency)
{
    struct account_row row = {.account_id = ++books->last_account_id,
                              .currency = currency_find(currency, strlen(currency))};
    MUST(row.currency != NULL);
    snprintf(row.name, sizeof row.name, "%s", name);
    insert_account(books, &row);
}

/* --- the lookup --- */

static bool is_valid(const struct record *record)
{
    return record->intake.code == CODE_NONE;
}

static enum port_status look_up_positions(struct books *books, struct posting *posting)
{
    for (size_t i = 0; i < posting->position_count; i++) {
        struct position *position = &posting->positions[i];
        const struct position_row *row = books_position(books, position->partition);
        if (row == NULL || row->epoch != position->epoch)
            return PORT_FENCED;
        position->known_next_offset = row->next_offset;
    }
    return PORT_OK;
}

static void look_up_kept(struct books *books, struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct inbox_row *row =
        record->intake.has_key ? books_inbox(books, record->intake.command.key) : NULL;
    const struct letter_row *letter =
        books_letter(books, record->partition, record->offset);
    posting->inbox[index] = posting->letters[index] = (struct kept){.found = false};
    if (row != NULL) {
        posting->inbox[index] = (struct kept){.found = true,
                                              .outcome = row->outcome,
                                              .code = row->code,
                                              .result_size = row->result_size};
        memcpy(posting->inbox[index].fingerprint, row->fingerprint,
               sizeof row->fingerprint);
    }
    if (letter != NULL)
        posting->letters[index] = (struct kept){.found = true,
                                                .outcome = letter->outcome,
                                                .code = letter->code,
                                                .result_size = letter->result_size};
}

/* The ids of what the records name, marked by place in books->accounts. */
static void mark(struct books *books, bool *wanted, const struct account_row *row)
{
    if (row != NULL)
        wanted[row - books->accounts] = true;
}

static void mark_accounts(struct books *books, bool *wanted, const struct record *record)
{
    const struct command *command = &record->intake.command;
    if (command->operation == OPERATION_OPEN_ACCOUNT)
        mark(books, wanted, books_account(books, command->account));
    if (command->operation == OPERATION_TRANSFER) {
        mark(books, wanted, books_account(books, command->source));
        mark(books, wanted, books_account(books, command->destination));
    }
    if (command->operation != OPERATION_REFUND)
        return;
    const struct transfer_row *paid = books_payment(books, &command->refunded_payment_id);
    if (paid == NULL)
        return;
    mark(books, wanted, account_by_id(books, paid->debit_account_id));
    mark(books, wanted, account_by_id(books, paid->credit_account_id));
}

static void look_up_accounts(struct books *books, struct posting *posting)
{
    bool wanted[BOOKS_ACCOUNTS_MAX] = {false};
    for (size_t i = 0; i < posting->count; i++)
        if (is_valid(&posting->records[i]))
            mark_accounts(books, wanted, &posting->records[i]);
    posting->account_count = 0;
    for (size_t i = 0; i < books->account_count; i++) {
        const struct account_row *row = &books->accounts[i];
        if (!wanted[i])
            continue;
        struct account *account = &posting->accounts[posting->account_count++];
        *account = (struct account){.account_id = row->account_id,
                                    .balance_minor = row->balance_minor,
                                    .minimum_balance_minor = row->minimum_balance_minor,
                                    .version = row->version,
                                    .version_before = row->version,
                                    .currency = row->currency,
                                    .has_minimum = row->has_minimum};
        memcpy(account->name, row->name, sizeof account->name);
    }
}

static int64_t refunded_of(const struct books *books, const struct uuid *payment_id)
{
    int64_t sum = 0;
    for (size_t i = 0; i < books->transfer_count; i++)
        if (books->transfers[i].is_refund &&
            uuid_equal(&books->transfers[i].refunds, payment_id))
            sum += books->transfers[i].amount_minor;
    return sum;
}

static bool is_looked_up(const struct posting *posting, const struct uuid *payment_id)
{
    for (size_t i = 0; i < posting->payment_count; i++)
        if (uuid_equal(&posting->payments[i].payment_id, payment_id))
            return true;
    return false;
}

static void look_up_payment(struct books *books, struct posting *posting,
                            const struct uuid *payment_id)
{
    const struct transfer_row *row = books_payment(books, payment_id);
    if (row == NULL || is_looked_up(posting, payment_id))
        return;
    struct payment *payment = &posting->payments[posting->payment_count++];
    *payment = (struct payment){.payment_id = row->payment_id,
                                .debit_account_id = row->debit_account_id,
                                .credit_account_id = row->credit_account_id,
                                .amount_minor = row->amount_minor,
                                .refunded_minor = refunded_of(books, payment_id),
                                .is_refund = row->is_refund};
    memcpy(payment->client, row->client, sizeof payment->client);
}

static void look_up_command(struct books *books, struct posting *posting,
                            const struct record *record)
{
    if (!is_valid(record))
        return;
    const struct command *command = &record->intake.command;
    if (command->operation == OPERATION_REFUND)
        look_up_payment(books, posting, &command->refunded_payment_id);
    if (command->operation == OPERATION_OPEN_ACCOUNT)
        posting->new_account_ids[posting->new_account_id_count++] =
            ++books->last_account_id;
}

enum port_status books_lookup(struct books *books, struct posting *posting)
{
    enum port_status status = look_up_positions(books, posting);
    if (status != PORT_OK)
        return status;
    posting->payment_count = posting->new_account_id_count = 0;
    look_up_accounts(books, posting);
    for (size_t i = 0; i < posting->count; i++) {
        look_up_kept(books, posting, i);
        look_up_command(books, posting, &posting->records[i]);
    }
    return PORT_OK;
}

/* --- the judgement --- */

static bool goes_to_inbox(const struct decision *decision)
{
    return decision->kind == DECISION_NEW && (decision->outcome == OUTCOME_APPLIED ||
                                              decision->outcome == OUTCOME_REJECTED);
}

static bool goes_to_letters(const struct decision *decision)
{
    return decision->kind == DECISION_NEW && !goes_to_inbox(decision);
}

/* A verdict with its sentence. */
static enum port_status refuse(enum port_status status, char fault[BOOKS_FAULT_MAX],
                               const char *what, const char *which)
{
    snprintf(fault, BOOKS_FAULT_MAX, "%s: %s", what, which);
    return status;
}

static enum port_status judge_rows(struct books *books, const struct posting *posting,
                                   char fault[BOOKS_FAULT_MAX])
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct record *record = &posting->records[i];
        const struct decision *decision = &posting->decisions[i];
        const char *key = record->intake.command.key;
        if (goes_to_inbox(decision) && books_inbox(books, key) != NULL)
            return refuse(PORT_RETRY, fault, "inbox_pkey", key);
        if (goes_to_letters(decision) &&
            books_letter(books, record->partition, record->offset) != NULL)
            return refuse(PORT_RETRY, fault, "dead_letter_pkey", key);
        if (decision->kind == DECISION_NEW && decision->has_movement &&
            books_payment(books, &record->payment_id) != NULL)
            return refuse(PORT_REFUSED, fault, "transfer_pkey", key);
    }
    return PORT_OK;
}

static bool has_moved(const struct account *account)
{
    return !account->opened && account->version != account->version_before;
}

static enum port_status judge_accounts(struct books *books, const struct posting *posting,
                                       char fault[BOOKS_FAULT_MAX])
{
    for (size_t i = 0; i < posting->account_count; i++) {
        const struct account *account = &posting->accounts[i];
        const struct account_row *row = account_by_id(books, account->account_id);
        if (account->opened && books_account(books, account->name) != NULL)
            return refuse(PORT_RETRY, fault, "account_name_key", account->name);
        if (has_moved(account) &&
            (row == NULL || row->version != account->version_before))
            return refuse(PORT_RETRY, fault, "ZP002", account->name);
        if (account->has_minimum &&
            account->balance_minor < account->minimum_balance_minor)
            return refuse(PORT_REFUSED, fault, "account_balance_above_minimum",
                          account->name);
    }
    return PORT_OK;
}

static enum port_status judge_positions(struct books *books,
                                        const struct posting *posting,
                                        char fault[BOOKS_FAULT_MAX])
{
    for (size_t i = 0; i < posting->position_count; i++) {
        const struct position *position = &posting->positions[i];
        const struct position_row *row = books_position(books, position->partition);
        if (row == NULL || row->epoch != position->epoch)
            return refuse(PORT_FENCED, fault, "ZP001", "another epoch");
    }
    return PORT_OK;
}

/* --- the effects --- */

static void write_inbox(struct books *books, const struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    MUST(books->inbox_count < BOOKS_ROWS_MAX);
    MUST(posting->results[index] != NULL &&
         posting->result_sizes[index] <= BOOKS_RESULT_MAX);
    MUST(books_inbox(books, record->intake.command.key) == NULL);
    struct inbox_row *row = &books->inbox[books->inbox_count++];
    *row = (struct inbox_row){.outcome = decision->outcome,
                              .code = decision->code,
                              .partition = record->partition,
                              .offset = record->offset,
                              .has_payment_id = decision->has_movement,
                              .payment_id = record->payment_id,
                              .result_size = posting->result_sizes[index]};
    memcpy(row->key, record->intake.command.key, sizeof row->key);
    memcpy(row->fingerprint, record->fingerprint, sizeof row->fingerprint);
    memcpy(row->result, posting->results[index], row->result_size);
}

static void write_letter(struct books *books, const struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    MUST(books->letter_count < BOOKS_ROWS_MAX);
    MUST((posting->results[index] != NULL) == record->intake.has_key);
    MUST(posting->result_sizes[index] <= BOOKS_RESULT_MAX);
    struct letter_row *row = &books->letters[books->letter_count++];
    *row = (struct letter_row){.partition = record->partition,
                               .offset = record->offset,
                               .outcome = decision->outcome,
                               .code = decision->code,
                               .has_result = record->intake.has_key,
                               .result_size = posting->result_sizes[index]};
    if (row->has_result)
        memcpy(row->result, posting->results[index], row->result_size);
}

static void write_transfer(struct books *books, const struct posting *posting,
                           size_t index)
{
    const struct record *record = &posting->records[index];
    const struct movement *movement = &posting->decisions[index].movement;
    const struct command *command = &record->intake.command;
    MUST(books->transfer_count < BOOKS_ROWS_MAX);
    struct transfer_row *row = &books->transfers[books->transfer_count++];
    *row = (struct transfer_row){
        .payment_id = record->payment_id,
        .is_refund = command->operation == OPERATION_REFUND,
        .debit_account_id = posting->accounts[movement->debit_slot].account_id,
        .credit_account_id = posting->accounts[movement->credit_slot].account_id,
        .amount_minor = movement->amount_minor};
    if (row->is_refund)
        row->refunds = command->refunded_payment_id;
    memcpy(row->client, command->client, sizeof row->client);
}

static void write_account(struct books *books, const struct account *account)
{
    if (account->opened) {
        struct account_row row = {.account_id = account->account_id,
                                  .currency = account->currency,
                                  .has_minimum = account->has_minimum,
                                  .minimum_balance_minor = account->minimum_balance_minor,
                                  .balance_minor = account->balance_minor,
                                  .version = account->version};
        memcpy(row.name, account->name, sizeof row.name);
        insert_account(books, &row);
    } else if (has_moved(account)) {
        struct account_row *row = account_by_id(books, account->account_id);
        row->balance_minor = account->balance_minor;
        row->version = account->version;
    }
}

static void write_records(struct books *books, const struct posting *posting)
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct decision *decision = &posting->decisions[i];
        if (goes_to_inbox(decision))
            write_inbox(books, posting, i);
        if (goes_to_letters(decision))
            write_letter(books, posting, i);
        if (decision->kind == DECISION_NEW && decision->has_movement)
            write_transfer(books, posting, i);
    }
}

static void write_position(struct books *books, const struct position *position)
{
    struct position_row *row = books_position(books, position->partition);
    if (position->next_offset > row->next_offset) {
        row->next_offset = position->next_offset;
        row->last = position->last;
    }
}

enum port_status books_commit(struct books *books, const struct posting *posting,
                              char fault[BOOKS_FAULT_MAX])
{
    enum port_status status = judge_rows(books, posting, fault);
    if (status == PORT_OK)
        status = judge_accounts(books, posting, fault);
    if (status == PORT_OK)
        status = judge_positions(books, posting, fault);
    if (status != PORT_OK)
        return status;
    write_records(books, posting);
    for (size_t i = 0; i < posting->account_count; i++)
        write_account(books, &posting->accounts[i]);
    for (size_t i = 0; i < posting->position_count; i++)
        write_position(books, &posting->positions[i]);
    return PORT_OK;
}
