/* ledger.c: see ledger.h. Slow and plain on purpose: what it says must be seen to be true
 * by reading it next to the contract. */
#include "tests/fuzz/ledger.h"

#include <string.h>

/* A limit that is just met or just missed is nothing new to libFuzzer, unless there is a
 * branch of its own for it: then an input that gets there is kept. */
#define NOTE(condition)        \
    do {                       \
        if (condition)         \
            ledger_noted += 1; \
    } while (0)

unsigned ledger_noted;

/* --- finding ------------------------------------------------------------------------ */

struct ledger_account *ledger_account(struct ledger *ledger, const char *name)
{
    for (size_t i = 0; i < ledger->account_count; i++)
        if (strcmp(ledger->accounts[i].name, name) == 0)
            return &ledger->accounts[i];
    return NULL;
}

struct ledger_payment *ledger_payment(struct ledger *ledger, const struct uuid *id)
{
    for (size_t i = 0; i < ledger->payment_count; i++)
        if (memcmp(&ledger->payments[i].payment_id, id, sizeof(*id)) == 0)
            return &ledger->payments[i];
    return NULL;
}

const struct ledger_row *ledger_row(const struct ledger *ledger, const char *key)
{
    for (size_t i = 0; i < ledger->row_count; i++)
        if (strcmp(ledger->rows[i].command->key, key) == 0)
            return &ledger->rows[i];
    return NULL;
}

const struct ledger_letter *ledger_letter(const struct ledger *ledger,
                                          const struct record *record)
{
    for (size_t i = 0; i < ledger->letter_count; i++)
        if (ledger->letters[i].partition == record->partition &&
            ledger->letters[i].offset == record->offset)
            return &ledger->letters[i];
    return NULL;
}

static bool same_text(const char *left, const char *right)
{
    return strcmp(left, right) == 0;
}

bool ledger_same_command(const struct command *left, const struct command *right)
{
    return left->operation == right->operation &&
           same_text(left->client, right->client) &&
           same_text(left->account, right->account) &&
           same_text(left->source, right->source) &&
           same_text(left->destination, right->destination) &&
           same_text(left->reference, right->reference) &&
           left->currency == right->currency &&
           left->amount_minor == right->amount_minor &&
           left->has_minimum == right->has_minimum &&
           left->minimum_balance_minor == right->minimum_balance_minor &&
           memcmp(&left->refunded_payment_id, &right->refunded_payment_id, UUID_SIZE) ==
               0;
}

/* --- the money ---------------------------------------------------------------------- */

static bool fits(fuzz_wide minor)
{
    return minor >= INT64_MIN && minor <= INT64_MAX;
}

static enum code open_account(struct ledger *ledger, const struct command *command)
{
    if (ledger_account(ledger, command->account) != NULL)
        return CODE_ACCOUNT_EXISTS;
    REQUIRE(ledger->account_count < LEDGER_ACCOUNTS);
    struct ledger_account *account = &ledger->accounts[ledger->account_count++];
    *account = (struct ledger_account){.currency = command->currency,
                                       .account_id = ledger->next_account_id++,
                                       .minimum_minor = command->minimum_balance_minor,
                                       .has_minimum = command->has_minimum};
    memcpy(account->name, command->account, sizeof(account->name));
    return CODE_NONE;
}

static void note_limits(const struct ledger_account *from, fuzz_wide debited,
                        fuzz_wide credited)
{
    NOTE(from->has_minimum && debited == from->minimum_minor);
    NOTE(from->has_minimum && debited == (fuzz_wide)from->minimum_minor - 1);
    NOTE(from->has_minimum && debited < INT64_MIN);
    NOTE(!from->has_minimum && debited == INT64_MIN);
    NOTE(!from->has_minimum && debited == (fuzz_wide)INT64_MIN - 1);
    NOTE(credited == INT64_MAX);
    NOTE(credited == (fuzz_wide)INT64_MAX + 1);
}

static enum code move(struct ledger *ledger, const struct record *record,
                      struct ledger_account *from, struct ledger_account *to)
{
    const struct command *command = &record->intake.command;
    fuzz_wide debited = from->balance_minor - command->amount_minor;
    fuzz_wide credited = to->balance_minor + command->amount_minor;
    note_limits(from, debited, credited);
    if (from->has_minimum && debited < from->minimum_minor)
        return CODE_INSUFFICIENT_FUNDS;
    if (!fits(debited) || !fits(credited))
        return CODE_BALANCE_OVERFLOW;
    from->balance_minor = debited;
    to->balance_minor = credited;
    from->version++;
    to->version++;
    REQUIRE(ledger->payment_count < LEDGER_PAYMENTS);
    struct ledger_payment *payment = &ledger->payments[ledger->payment_count++];
    *payment =
        (struct ledger_payment){.payment_id = record->payment_id,
                                .debited = (size_t)(from - ledger->accounts),
                                .credited = (size_t)(to - ledger->accounts),
                                .amount_minor = command->amount_minor,
                                .is_refund = command->operation == OPERATION_REFUND};
    memcpy(payment->client, command->client, sizeof(payment->client));
    return CODE_NONE;
}

static enum code transfer(struct ledger *ledger, const struct record *record)
{
    const struct command *command = &record->intake.command;
    struct ledger_account *from = ledger_account(ledger, command->source);
    struct ledger_account *to = ledger_account(ledger, command->destination);
    if (from == NULL)
        return CODE_SOURCE_UNKNOWN;
    if (to == NULL)
        return CODE_DESTINATION_UNKNOWN;
    if (from->currency != command->currency || to->currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    return move(ledger, record, from, to);
}

static enum code refund(struct ledger *ledger, const struct record *record)
{
    const struct command *command = &record->intake.command;
    struct ledger_payment *payment =
        ledger_payment(ledger, &command->refunded_payment_id);
    if (payment == NULL || strcmp(payment->client, command->client) != 0)
        return CODE_PAYMENT_UNKNOWN;
    if (payment->is_refund)
        return CODE_PAYMENT_NOT_REFUNDABLE;
    if (ledger->accounts[payment->debited].currency != command->currency)
        return CODE_CURRENCY_MISMATCH;
    fuzz_wide refunded_minor = payment->refunded_minor + command->amount_minor;
    NOTE(refunded_minor == payment->amount_minor);
    NOTE(refunded_minor == payment->amount_minor + 1);
    if (refunded_minor > payment->amount_minor)
        return CODE_REFUND_EXCEEDS_PAYMENT;
    enum code code = move(ledger, record, &ledger->accounts[payment->credited],
                          &ledger->accounts[payment->debited]);
    if (code == CODE_NONE)
        payment->refunded_minor = refunded_minor;
    return code;
}

static enum code decide_money(struct ledger *ledger, const struct record *record)
{
    if (record->intake.command.operation == OPERATION_OPEN_ACCOUNT)
        return open_account(ledger, &record->intake.command);
    if (record->intake.command.operation == OPERATION_TRANSFER)
        return transfer(ledger, record);
    return refund(ledger, record);
}

static fuzz_wide balance_after(struct ledger *ledger, const struct command *command)
{
    if (command->operation == OPERATION_OPEN_ACCOUNT)
        return 0;
    if (command->operation == OPERATION_TRANSFER)
        return ledger_account(ledger, command->source)->balance_minor;
    struct ledger_payment *payment =
        ledger_payment(ledger, &command->refunded_payment_id);
    return ledger->accounts[payment->credited].balance_minor;
}

/* --- one record --------------------------------------------------------------------- */

static struct verdict keep_letter(struct ledger *ledger, const struct record *record,
                                  enum code code)
{
    REQUIRE(ledger->letter_count < LEDGER_LETTERS);
    ledger->letters[ledger->letter_count++] =
        (struct ledger_letter){record->partition, record->offset, code};
    return (struct verdict){VERDICT_NEW, code_outcome(code), code, 0};
}

static struct verdict keep_row(struct ledger *ledger, const struct record *record,
                               enum code code)
{
    const struct command *command = &record->intake.command;
    enum outcome outcome = code == CODE_NONE ? OUTCOME_APPLIED : OUTCOME_REJECTED;
    REQUIRE(ledger->row_count < LEDGER_ROWS);
    ledger->rows[ledger->row_count++] =
        (struct ledger_row){command, record->fingerprint, outcome, code};
    return (struct verdict){VERDICT_NEW, outcome, code,
                            code == CODE_NONE ? balance_after(ledger, command) : 0};
}

static struct verdict halt(struct ledger *ledger, const struct record *record)
{
    ledger->halted[record->partition] = true;
    return (struct verdict){.kind = VERDICT_HALT};
}

static void note_place(const struct ledger *ledger, const struct record *record,
                       const struct ledger_row *row)
{
    int64_t next_offset = ledger->next_offset[record->partition];
    bool is_valid = record->intake.code == CODE_NONE;
    NOTE(is_valid && row == NULL && record->offset + 1 == next_offset);
    NOTE(is_valid && row == NULL && record->offset == next_offset);
    NOTE(is_valid && row != NULL && record->offset < next_offset);
    NOTE(!is_valid && record->offset + 1 == next_offset);
    NOTE(!is_valid && record->offset == next_offset);
    NOTE(!is_valid && row != NULL && record->offset < next_offset);
    NOTE(record->poisoned && record->offset < next_offset);
    NOTE(record->poisoned && row != NULL);
}

struct verdict ledger_decide(struct ledger *ledger, const struct record *record)
{
    const struct command *command = &record->intake.command;
    const struct ledger_letter *letter = ledger_letter(ledger, record);
    const struct ledger_row *row = ledger_row(ledger, command->key);
    bool is_below = record->offset < ledger->next_offset[record->partition];
    if (ledger->halted[record->partition])
        return (struct verdict){.kind = VERDICT_SKIP};
    note_place(ledger, record, row);
    if (letter != NULL)
        return (struct verdict){VERDICT_LETTER, code_outcome(letter->code), letter->code,
                                0};
    if (record->intake.code != CODE_NONE && !is_below)
        return keep_letter(ledger, record, record->intake.code);
    if (row == NULL && is_below)
        return halt(ledger, record);
    if (row != NULL && record->intake.code == CODE_NONE &&
        !ledger_same_command(row->command, command))
        return keep_letter(ledger, record, CODE_KEY_REUSED);
    if (row != NULL)
        return (struct verdict){VERDICT_ROW, row->outcome, row->code, 0};
    if (record->poisoned)
        return keep_letter(ledger, record, CODE_REFUSED_BY_DATABASE);
    return keep_row(ledger, record, decide_money(ledger, record));
}

/* --- comparing ---------------------------------------------------------------------- */

static void require_equal_account(const struct ledger_account *left,
                                  const struct ledger_account *right)
{
    REQUIRE(same_text(left->name, right->name));
    REQUIRE(left->currency == right->currency);
    REQUIRE(left->account_id == right->account_id);
    REQUIRE(left->balance_minor == right->balance_minor);
    REQUIRE(left->version == right->version);
    REQUIRE(left->has_minimum == right->has_minimum);
    REQUIRE(left->minimum_minor == right->minimum_minor);
}

static void require_equal_payment(const struct ledger_payment *left,
                                  const struct ledger_payment *right)
{
    REQUIRE(memcmp(&left->payment_id, &right->payment_id, UUID_SIZE) == 0);
    REQUIRE(same_text(left->client, right->client));
    REQUIRE(left->debited == right->debited && left->credited == right->credited);
    REQUIRE(left->amount_minor == right->amount_minor);
    REQUIRE(left->refunded_minor == right->refunded_minor);
    REQUIRE(left->is_refund == right->is_refund);
}

static void require_equal_row(const struct ledger_row *left,
                              const struct ledger_row *right)
{
    REQUIRE(same_text(left->command->key, right->command->key));
    REQUIRE(ledger_same_command(left->command, right->command));
    REQUIRE(left->outcome == right->outcome && left->code == right->code);
}

void ledger_require_equal(const struct ledger *left, const struct ledger *right)
{
    REQUIRE(left->account_count == right->account_count);
    REQUIRE(left->payment_count == right->payment_count);
    REQUIRE(left->row_count == right->row_count);
    REQUIRE(left->letter_count == right->letter_count);
    for (size_t i = 0; i < left->account_count; i++)
        require_equal_account(&left->accounts[i], &right->accounts[i]);
    for (size_t i = 0; i < left->payment_count; i++)
        require_equal_payment(&left->payments[i], &right->payments[i]);
    for (size_t i = 0; i < left->row_count; i++)
        require_equal_row(&left->rows[i], &right->rows[i]);
    for (size_t i = 0; i < left->letter_count; i++) {
        REQUIRE(left->letters[i].partition == right->letters[i].partition);
        REQUIRE(left->letters[i].offset == right->letters[i].offset);
        REQUIRE(left->letters[i].code == right->letters[i].code);
    }
    for (size_t i = 0; i < LEDGER_PARTITIONS; i++)
        REQUIRE(left->halted[i] == right->halted[i]);
}
