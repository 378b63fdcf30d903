/* oracle.c: see oracle.h. */
#include "tests/chaos/simulation/oracle.h"

#include <string.h>

#include "base/must.h"

enum { ROWS_MAX = 256 };

struct account_line {
    char name[COMMAND_ACCOUNT_MAX + 1];
    const struct currency *currency;
    bool has_minimum;
    int64_t minimum, balance, version;
    uint64_t posted_in;
};

struct payment_line {
    const struct record *record;
    struct account_line *from, *to;
    int64_t amount, refunded;
    bool is_refund;
};

struct key_line {
    const struct record *first;
    struct verdict verdict;
};

struct letter_line {
    int32_t partition;
    int64_t offset;
    struct verdict verdict;
};

static struct state {
    struct account_line accounts[ROWS_MAX];
    struct payment_line payments[ROWS_MAX];
    struct key_line keys[ROWS_MAX];
    struct letter_line letters[ROWS_MAX];
    size_t account_count, payment_count, key_count, letter_count;
} now, before;
static const struct posting *facts;
static uint64_t posting, visible_up_to;

void oracle_begin(void)
{
    posting = visible_up_to = 0;
    now.account_count = now.payment_count = now.key_count = now.letter_count = 0;
}

void oracle_begin_posting(const struct posting *judged, uint64_t snapshot)
{
    facts = judged;
    posting++;
    visible_up_to = snapshot;
}

uint64_t oracle_snapshot(void)
{
    return posting;
}

static bool is_visible(uint64_t posted_in)
{
    return posted_in <= visible_up_to || posted_in == posting;
}

static struct account_line *account_of(const char *name)
{
    for (size_t i = 0; i < now.account_count; i++)
        if (strcmp(now.accounts[i].name, name) == 0)
            return &now.accounts[i];
    return NULL;
}

void oracle_back_up(void)
{
    before = now;
}

void oracle_restore(void)
{
    now = before;
}

bool oracle_account(const char *name, int64_t *balance_minor, int64_t *version)
{
    const struct account_line *account = account_of(name);
    if (account == NULL)
        return false;
    *balance_minor = account->balance;
    *version = account->version;
    return true;
}

static struct account_line *visible_account(const char *name)
{
    struct account_line *account = account_of(name);
    return account != NULL && is_visible(account->posted_in) ? account : NULL;
}

static bool is_known(const struct uuid *payment_id)
{
    for (size_t i = 0; i < facts->payment_count; i++)
        if (uuid_equal(&facts->payments[i].payment_id, payment_id))
            return true;
    return false;
}

static struct payment_line *payment_of(const struct uuid *payment_id)
{
    for (size_t i = 0; i < now.payment_count; i++)
        if (uuid_equal(&now.payments[i].record->payment_id, payment_id))
            return &now.payments[i];
    return NULL;
}

static enum code open_account(const struct command *command)
{
    if (account_of(command->account) != NULL)
        return CODE_ACCOUNT_EXISTS;
    MUST(now.account_count < ROWS_MAX);
    struct account_line *account = &now.accounts[now.account_count++];
    *account = (struct account_line){.currency = command->currency,
                                     .has_minimum = command->has_minimum,
                                     .minimum = command->minimum_balance_minor,
                                     .posted_in = posting};
    memcpy(account->name, command->account, sizeof account->name);
    return CODE_NONE;
}

static enum code move(struct account_line *from, struct account_line *to, int64_t amount)
{
    if (from->has_minimum && from->balance - amount < from->minimum)
        return CODE_INSUFFICIENT_FUNDS;
    from->balance -= amount;
    to->balance += amount;
    from->version++;
    to->version++;
    return CODE_NONE;
}

static void note_payment(const struct record *record, struct account_line *from,
                         struct account_line *to, bool is_refund)
{
    MUST(now.payment_count < ROWS_MAX);
    now.payments[now.payment_count++] =
        (struct payment_line){.record = record,
                              .from = from,
                              .to = to,
                              .amount = record->intake.command.amount_minor,
                              .is_refund = is_refund};
}

static enum code transfer(const struct record *record)
{
    const struct command *command = &record->intake.command;
    struct account_line *from = visible_account(command->source);
    struct account_line *to = visible_account(command->destination);
    if (from == NULL)
        return CODE_SOURCE_UNKNOWN;
    if (to == NULL)
        return CODE_DESTINATION_UNKNOWN;
    if (from->currency != command->currency || to->currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    enum code code = move(from, to, command->amount_minor);
    if (code == CODE_NONE)
        note_payment(record, from, to, false);
    return code;
}

static enum code refund(const struct record *record)
{
    const struct command *command = &record->intake.command;
    struct payment_line *paid = payment_of(&command->refunded_payment_id);
    if (paid == NULL || !is_known(&command->refunded_payment_id) ||
        strcmp(paid->record->intake.command.client, command->client) != 0)
        return CODE_PAYMENT_UNKNOWN;
    if (paid->is_refund)
        return CODE_PAYMENT_NOT_REFUNDABLE;
    if (paid->from->currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    if (paid->refunded + command->amount_minor > paid->amount)
        return CODE_REFUND_EXCEEDS_PAYMENT;
    enum code code = move(paid->to, paid->from, command->amount_minor);
    if (code != CODE_NONE)
        return code;
    paid->refunded += command->amount_minor;
    note_payment(record, paid->to, paid->from, true);
    return CODE_NONE;
}

static struct verdict judge_new(const struct record *record, bool poisoned)
{
    enum code code = CODE_REFUSED_BY_DATABASE;
    if (poisoned)
        return (struct verdict){.outcome = OUTCOME_POISON, .code = code};
    if (record->intake.command.operation == OPERATION_OPEN_ACCOUNT)
        code = open_account(&record->intake.command);
    else if (record->intake.command.operation == OPERATION_TRANSFER)
        code = transfer(record);
    else
        code = refund(record);
    return (struct verdict){
        .outcome = code == CODE_NONE ? OUTCOME_APPLIED : OUTCOME_REJECTED, .code = code};
}

static const struct letter_line *letter_of(const struct record *record)
{
    for (size_t i = 0; i < now.letter_count; i++)
        if (now.letters[i].partition == record->partition &&
            now.letters[i].offset == record->offset)
            return &now.letters[i];
    return NULL;
}

static const struct key_line *key_of(const struct record *record)
{
    for (size_t i = 0; i < now.key_count; i++)
        if (strcmp(now.keys[i].first->intake.command.key, record->intake.command.key) ==
            0)
            return &now.keys[i];
    return NULL;
}

static struct verdict replay(struct verdict verdict)
{
    verdict.replay = true;
    return verdict;
}

static struct verdict note_letter(const struct record *record, struct verdict verdict)
{
    MUST(now.letter_count < ROWS_MAX);
    now.letters[now.letter_count++] =
        (struct letter_line){record->partition, record->offset, verdict};
    return verdict;
}

struct verdict oracle_decide(const struct record *record, bool poisoned)
{
    const struct letter_line *letter = letter_of(record);
    const struct key_line *key = key_of(record);
    if (letter != NULL)
        return replay(letter->verdict);
    if (record->intake.code != CODE_NONE)
        return note_letter(record, (struct verdict){.outcome = OUTCOME_MALFORMED,
                                                    .code = record->intake.code});
    if (key != NULL && memcmp(key->first->fingerprint, record->fingerprint,
                              sizeof record->fingerprint) == 0)
        return replay(key->verdict);
    if (key != NULL)
        return note_letter(record, (struct verdict){.outcome = OUTCOME_CONFLICT,
                                                    .code = CODE_KEY_REUSED});
    struct verdict verdict = judge_new(record, poisoned);
    if (verdict.outcome == OUTCOME_POISON)
        return note_letter(record, verdict);
    MUST(now.key_count < ROWS_MAX);
    now.keys[now.key_count++] = (struct key_line){record, verdict};
    return verdict;
}
