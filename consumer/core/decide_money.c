/* decide_money.c: see decide_money.h. In each operation all refusals stand above all
 * effects; effects cannot fail. */
#include "consumer/core/decide_money.h"

#include <string.h>

#include "base/must.h"
#include "consumer/core/index.h"
#include "schema/money.h"

/* --- finding accounts and payments --- */

static bool name_matches(const void *context, size_t index, const void *key)
{
    const struct account *accounts = context;
    return strcmp(accounts[index].name, key) == 0;
}

static bool payment_matches(const void *context, size_t index, const void *key)
{
    const struct payment *payments = context;
    return uuid_equal(&payments[index].payment_id, key);
}

static struct account *find_account(struct posting *posting, const char *name)
{
    struct index_search search = {.key = name,
                                  .bytes = name,
                                  .size = strlen(name),
                                  .matches = name_matches,
                                  .context = posting->accounts};
    ptrdiff_t index = index_find(&posting->account_names, &search);
    if (index == INDEX_NOT_FOUND)
        return NULL;
    posting->accounts[index].rests = true;
    return &posting->accounts[index];
}

static struct payment *find_payment(struct posting *posting,
                                    const struct uuid *payment_id)
{
    struct index_search search = {.key = payment_id,
                                  .bytes = payment_id->bytes,
                                  .size = UUID_SIZE,
                                  .matches = payment_matches,
                                  .context = posting->payments};
    ptrdiff_t index = index_find(&posting->payment_ids, &search);
    return index == INDEX_NOT_FOUND ? NULL : &posting->payments[index];
}

/* A payment's accounts are there by foreign key, or were found when the payment was made
 * here. Refunds are rare, so a walk is cheap enough. */
static struct account *account_by_id(struct posting *posting, int64_t account_id)
{
    size_t i = 0;
    while (posting->accounts[i].account_id != account_id)
        MUST(++i < posting->account_count);
    posting->accounts[i].rests = true;
    return &posting->accounts[i];
}

static void index_account(struct posting *posting, size_t slot)
{
    const char *name = posting->accounts[slot].name;
    index_add(&posting->account_names, name, strlen(name), slot);
}

static void index_payment(struct posting *posting, size_t slot)
{
    index_add(&posting->payment_ids, posting->payments[slot].payment_id.bytes, UUID_SIZE,
              slot);
}

static bool has_refund(const struct posting *posting)
{
    for (size_t i = 0; i < posting->count; i++)
        if (posting->records[i].intake.command.operation == OPERATION_REFUND)
            return true;
    return false;
}

void money_begin(struct posting *posting)
{
    posting->has_refund = has_refund(posting);
    posting->new_account_id_used = 0;
    index_clear(&posting->account_names, posting->account_count + posting->count);
    index_clear(&posting->payment_ids, posting->payment_count + posting->count);
    for (size_t i = 0; i < posting->account_count; i++)
        index_account(posting, i);
    for (size_t i = 0; i < posting->payment_count; i++)
        index_payment(posting, i);
}

/* --- open_account --- */

static void open_account(struct posting *posting, const struct command *command,
                         struct decision *decision)
{
    size_t slot = posting->account_count++;
    struct account *account = &posting->accounts[slot];
    MUST(posting->accounts != NULL);
    MUST(posting->new_account_id_used < posting->new_account_id_count);
    *account = (struct account){
        .account_id = posting->new_account_ids[posting->new_account_id_used++],
        .minimum_balance_minor = command->minimum_balance_minor,
        .has_minimum = command->has_minimum,
        .currency = command->currency,
        .opened = true};
    memcpy(account->name, command->account, sizeof account->name);
    index_account(posting, slot);
    decision->opened_slot = slot;
    decision->balance_minor = 0;
}

/* --- movements --- */

/* The refusals that every movement shares. An overflow of the debit side cannot hide a
 * lack of funds: below int64 it is below any minimum too. */
static enum code refuse_movement(const struct account *source,
                                 const struct account *destination, int64_t amount_minor)
{
    int64_t debit, credit;
    bool debit_fits = money_subtract(source->balance_minor, amount_minor, &debit);
    if (source->has_minimum && (!debit_fits || debit < source->minimum_balance_minor))
        return CODE_INSUFFICIENT_FUNDS;
    if (!debit_fits || !money_add(destination->balance_minor, amount_minor, &credit))
        return CODE_BALANCE_OVERFLOW;
    return CODE_NONE;
}

static void move(struct posting *posting, struct account *source,
                 struct account *destination, int64_t amount_minor,
                 struct decision *decision)
{
    MUST(money_subtract(source->balance_minor, amount_minor, &source->balance_minor));
    MUST(
        money_add(destination->balance_minor, amount_minor, &destination->balance_minor));
    decision->has_movement = true;
    decision->balance_minor = source->balance_minor;
    decision->movement =
        (struct movement){.debit_slot = (size_t)(source - posting->accounts),
                          .credit_slot = (size_t)(destination - posting->accounts),
                          .amount_minor = amount_minor,
                          .debit_balance_minor = source->balance_minor,
                          .credit_balance_minor = destination->balance_minor,
                          .debit_version = ++source->version,
                          .credit_version = ++destination->version};
}

/* Only a refund ever asks for it. */
static void remember_payment(struct posting *posting, const struct record *record,
                             const struct decision *decision)
{
    if (!posting->has_refund)
        return;
    size_t slot = posting->payment_count++;
    const struct movement *movement = &decision->movement;
    struct payment *payment = &posting->payments[slot];
    *payment = (struct payment){
        .payment_id = record->payment_id,
        .debit_account_id = posting->accounts[movement->debit_slot].account_id,
        .credit_account_id = posting->accounts[movement->credit_slot].account_id,
        .amount_minor = movement->amount_minor,
        .is_refund = record->intake.command.operation == OPERATION_REFUND};
    memcpy(payment->client, record->intake.command.client, sizeof payment->client);
    index_payment(posting, slot);
}

/* --- the operations --- */

static enum code decide_open(struct posting *posting, const struct record *record,
                             struct decision *decision)
{
    const struct command *command = &record->intake.command;
    if (find_account(posting, command->account) != NULL)
        return CODE_ACCOUNT_EXISTS;

    open_account(posting, command, decision);
    return CODE_NONE;
}

static enum code decide_transfer(struct posting *posting, const struct record *record,
                                 struct decision *decision)
{
    const struct command *command = &record->intake.command;
    struct account *source = find_account(posting, command->source);
    struct account *destination = find_account(posting, command->destination);
    if (source == NULL)
        return CODE_SOURCE_UNKNOWN;
    if (destination == NULL)
        return CODE_DESTINATION_UNKNOWN;
    if (source->currency != command->currency ||
        destination->currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    enum code code = refuse_movement(source, destination, command->amount_minor);
    if (code != CODE_NONE)
        return code;

    move(posting, source, destination, command->amount_minor, decision);
    remember_payment(posting, record, decision);
    return CODE_NONE;
}

static enum code refuse_refund(struct posting *posting, const struct command *command,
                               const struct payment *payment)
{
    if (payment == NULL || strcmp(payment->client, command->client) != 0)
        return CODE_PAYMENT_UNKNOWN;
    if (payment->is_refund)
        return CODE_PAYMENT_NOT_REFUNDABLE;
    if (account_by_id(posting, payment->debit_account_id)->currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    if (command->amount_minor > payment->amount_minor - payment->refunded_minor)
        return CODE_REFUND_EXCEEDS_PAYMENT;
    return CODE_NONE;
}

/* Money goes back the way it came: the credited account is debited. */
static enum code decide_refund(struct posting *posting, const struct record *record,
                               struct decision *decision)
{
    const struct command *command = &record->intake.command;
    struct payment *payment = find_payment(posting, &command->refunded_payment_id);
    enum code code = refuse_refund(posting, command, payment);
    if (code != CODE_NONE)
        return code;
    struct account *source = account_by_id(posting, payment->credit_account_id);
    struct account *destination = account_by_id(posting, payment->debit_account_id);
    code = refuse_movement(source, destination, command->amount_minor);
    if (code != CODE_NONE)
        return code;

    payment->refunded_minor += command->amount_minor;
    move(posting, source, destination, command->amount_minor, decision);
    remember_payment(posting, record, decision);
    return CODE_NONE;
}

typedef enum code decide_operation(struct posting *posting, const struct record *record,
                                   struct decision *decision);

static decide_operation *const operations[OPERATION_COUNT] = {
    [OPERATION_OPEN_ACCOUNT] = decide_open,
    [OPERATION_TRANSFER] = decide_transfer,
    [OPERATION_REFUND] = decide_refund,
};

enum code money_decide(struct posting *posting, const struct record *record,
                       struct decision *decision)
{
    decide_operation *decide = operations[record->intake.command.operation];
    MUST(decide != NULL);
    return decide(posting, record, decision);
}
