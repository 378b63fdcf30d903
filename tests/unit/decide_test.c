/* decide_test.c: the decision, case by case: every outcome and code, the order in which
 * they win, duplicates inside a run, halts, and the edges of int64. A bench holds one
 * posting and builds facts and records by hand; nothing here comes from a database. */
#include <stdlib.h>

#include "consumer/core/decide.h"
#include "consumer/posting_memory.h"
#include "schema/digest.h"
#include "tests/unit/test.h"

enum { RECORDS_MAX = 64 };

static struct posting *posting;
static struct record records[RECORDS_MAX];
static struct digest *digest;

/* --- building --- */

static void begin(const char *name)
{
    test_case(name);
    for (size_t i = 0; i < RECORDS_MAX; i++) {
        records[i] = (struct record){0};
        posting->inbox[i] = posting->letters[i] = (struct kept){0};
        posting->new_account_ids[i] = 1000 + (int64_t)i;
    }
    posting->records = records;
    posting->count = posting->position_count = 0;
    posting->account_count = posting->payment_count = 0;
    posting->new_account_id_count = RECORDS_MAX;
}

static struct position *position(int32_t partition, int64_t known_next_offset)
{
    struct position *made = &posting->positions[posting->position_count++];
    *made = (struct position){.partition = partition,
                              .known_next_offset = known_next_offset,
                              .next_offset = 1000};
    return made;
}

static struct account *account(const char *name, const char *currency,
                               int64_t balance_minor)
{
    size_t slot = posting->account_count++;
    struct account *made = &posting->accounts[slot];
    *made = (struct account){.account_id = 10 + (int64_t)slot,
                             .balance_minor = balance_minor,
                             .version = 5,
                             .version_before = 5,
                             .has_minimum = true,
                             .currency = currency_find(currency, 3)};
    memcpy(made->name, name, strlen(name) + 1);
    return made;
}

static struct account *unlimited(const char *name, int64_t balance_minor)
{
    struct account *made = account(name, "USD", balance_minor);
    made->has_minimum = false;
    return made;
}

static struct payment *payment(uint8_t id, const struct account *debit,
                               const struct account *credit, int64_t amount_minor)
{
    struct payment *made = &posting->payments[posting->payment_count++];
    *made = (struct payment){.debit_account_id = debit->account_id,
                             .credit_account_id = credit->account_id,
                             .amount_minor = amount_minor};
    made->payment_id.bytes[0] = id;
    memcpy(made->client, "me", 3);
    return made;
}

/* A record of the next offset, with a key of its own and the JSON given. */
static struct record *record(const char *key, const char *json)
{
    struct record *made = &records[posting->count];
    made->offset = 100 + (int64_t)posting->count;
    made->payment_id.bytes[0] = (uint8_t)(200 + posting->count);
    posting->count++;
    intake_init(&made->intake);
    if (key != NULL)
        intake_key_header(&made->intake, key, strlen(key));
    intake_value(&made->intake, json, strlen(json));
    if (made->intake.code == CODE_NONE)
        digest_fingerprint(digest, &made->intake.command, made->fingerprint);
    return made;
}

#define OPEN(name)                                                          \
    "{\"operation\":\"open_account\",\"client\":\"me\",\"account\":\"" name \
    "\",\"currency\":\"USD\"}"
#define TRANSFER(from, to, amount)                                     \
    "{\"operation\":\"transfer\",\"client\":\"me\",\"source\":\"" from \
    "\",\"destination\":\"" to "\",\"amount\":\"" amount "\",\"currency\":\"USD\"}"
#define REFUND_AS(client, id, amount, currency)                                \
    "{\"operation\":\"refund\",\"client\":\"" client "\",\"payment_id\":\"" id \
    "000000-0000-0000-0000-000000000000\",\"amount\":\"" amount                \
    "\",\"currency\":\"" currency "\"}"
#define REFUND(id, amount) REFUND_AS("me", id, amount, "USD")

static const struct decision *decided(size_t index)
{
    return &posting->decisions[index];
}

static void check_new(size_t index, enum outcome outcome, enum code code)
{
    CHECK_INT(decided(index)->kind, DECISION_NEW);
    CHECK_INT(decided(index)->outcome, outcome);
    CHECK_INT(decided(index)->code, code);
}

static void check_rejected(size_t index, enum code code)
{
    check_new(index, OUTCOME_REJECTED, code);
    CHECK(!decided(index)->has_movement);
}

/* --- operations --- */

static void test_open_account(void)
{
    begin("open_account");
    position(0, 0);
    record("k1", OPEN("a"));
    record("k2", OPEN("a"));
    decide_posting(posting);
    check_new(0, OUTCOME_APPLIED, CODE_NONE);
    check_rejected(1, CODE_ACCOUNT_EXISTS);
    const struct account *opened = &posting->accounts[decided(0)->opened_slot];
    CHECK_INT(posting->account_count, 1);
    CHECK_INT(opened->account_id, 1000);
    CHECK(opened->opened && opened->has_minimum);
    CHECK_INT(opened->minimum_balance_minor, 0);
    CHECK_INT(opened->version, 0);
    CHECK_TEXT(opened->name, "a");

    begin("open_account of one that the database has");
    position(0, 0);
    account("a", "USD", 0);
    record("k1", OPEN("a"));
    decide_posting(posting);
    check_rejected(0, CODE_ACCOUNT_EXISTS);
}

static void test_transfer(void)
{
    begin("transfers move both sides and number the movements");
    position(0, 0);
    struct account *from = account("a", "USD", 10000), *to = account("b", "USD", 50);
    record("k1", TRANSFER("a", "b", "40.00"));
    record("k2", TRANSFER("a", "b", "60.00"));
    record("k3", TRANSFER("a", "b", "0.01"));
    decide_posting(posting);
    check_new(0, OUTCOME_APPLIED, CODE_NONE);
    check_new(1, OUTCOME_APPLIED, CODE_NONE);
    check_rejected(2, CODE_INSUFFICIENT_FUNDS);
    CHECK_INT(decided(0)->balance_minor, 6000);
    CHECK_INT(decided(0)->movement.credit_balance_minor, 4050);
    CHECK_INT(decided(1)->movement.debit_version, 7);
    CHECK_INT(decided(1)->movement.credit_version, 7);
    CHECK_INT(from->balance_minor, 0);
    CHECK_INT(to->balance_minor, 10050);
    CHECK_INT(from->version, 7);
    CHECK_INT(from->version_before, 5);

    begin("an account opened in the same run takes part");
    position(0, 0);
    unlimited("bank", 0);
    record("k1", OPEN("new"));
    record("k2", TRANSFER("bank", "new", "1.00"));
    record("k3", TRANSFER("new", "bank", "0.25"));
    decide_posting(posting);
    check_new(1, OUTCOME_APPLIED, CODE_NONE);
    check_new(2, OUTCOME_APPLIED, CODE_NONE);
    CHECK_INT(decided(2)->balance_minor, 75);
    CHECK_INT(posting->accounts[1].version, 2);
}

struct transfer_row {
    const char *name, *from, *to, *currency_from, *currency_to;
    int64_t from_minor, to_minor;
    bool has_from, has_to, has_minimum;
    enum code code;
};

/* Each row also has every fault that comes later in precedence, where that is possible.
 */
static const struct transfer_row transfer_rows[] = {
    {"source unknown wins over destination", "a", "b", "USD", "USD", 0, 0, false, false,
     true, CODE_SOURCE_UNKNOWN},
    {"destination unknown wins over currency", "a", "b", "EUR", "USD", 0, 0, true, false,
     true, CODE_DESTINATION_UNKNOWN},
    {"currency of the source wins over funds", "a", "b", "EUR", "USD", 0, 0, true, true,
     true, CODE_CURRENCY_MISMATCH},
    {"currency of the destination", "a", "b", "USD", "EUR", 0, 0, true, true, true,
     CODE_CURRENCY_MISMATCH},
    {"funds win over the overflow of the credit", "a", "b", "USD", "USD", 0, INT64_MAX,
     true, true, true, CODE_INSUFFICIENT_FUNDS},
    {"funds win over the overflow of the debit", "a", "b", "USD", "USD", INT64_MIN, 0,
     true, true, true, CODE_INSUFFICIENT_FUNDS},
    {"the debit leaves int64", "a", "b", "USD", "USD", INT64_MIN, 0, true, true, false,
     CODE_BALANCE_OVERFLOW},
    {"the credit leaves int64", "a", "b", "USD", "USD", 1, INT64_MAX, true, true, true,
     CODE_BALANCE_OVERFLOW},
    {"the debit just stays", "a", "b", "USD", "USD", INT64_MIN + 1, 0, true, true, false,
     CODE_NONE},
    {"the credit just stays", "a", "b", "USD", "USD", 1, INT64_MAX - 1, true, true, true,
     CODE_NONE},
    {"down to the minimum", "a", "b", "USD", "USD", 1, 0, true, true, true, CODE_NONE},
    {"one below the minimum", "a", "b", "USD", "USD", 0, 0, true, true, true,
     CODE_INSUFFICIENT_FUNDS},
};

static void test_transfer_rows(void)
{
    for (size_t i = 0; i < sizeof transfer_rows / sizeof *transfer_rows; i++) {
        const struct transfer_row *row = &transfer_rows[i];
        begin(row->name);
        position(0, 0);
        if (row->has_from)
            account(row->from, row->currency_from, row->from_minor)->has_minimum =
                row->has_minimum;
        if (row->has_to)
            account(row->to, row->currency_to, row->to_minor);
        record("k", TRANSFER("a", "b", "0.01"));
        decide_posting(posting);
        check_new(0, row->code == CODE_NONE ? OUTCOME_APPLIED : OUTCOME_REJECTED,
                  row->code);
    }
    begin("a minimum below zero");
    position(0, 0);
    account("a", "USD", 0)->minimum_balance_minor = -500;
    account("b", "USD", 0);
    record("k1", TRANSFER("a", "b", "5.00"));
    record("k2", TRANSFER("a", "b", "0.01"));
    decide_posting(posting);
    check_new(0, OUTCOME_APPLIED, CODE_NONE);
    check_rejected(1, CODE_INSUFFICIENT_FUNDS);
}

static void test_refund(void)
{
    begin("refunds to the cent");
    position(0, 0);
    struct account *payer = account("a", "USD", 0), *shop = account("b", "USD", 10000);
    payment(1, payer, shop, 100)->refunded_minor = 30;
    record("k1", REFUND("01", "0.50"));
    record("k2", REFUND("01", "0.21"));
    record("k3", REFUND("01", "0.20"));
    decide_posting(posting);
    check_new(0, OUTCOME_APPLIED, CODE_NONE);
    check_rejected(1, CODE_REFUND_EXCEEDS_PAYMENT);
    check_new(2, OUTCOME_APPLIED, CODE_NONE);
    CHECK_INT(payer->balance_minor, 70);
    CHECK_INT(shop->balance_minor, 9930);
    CHECK_INT(decided(2)->balance_minor, 9930);

    begin("of a payment made in the same run, and of that refund");
    position(0, 0);
    unlimited("a", 0);
    unlimited("b", 0);
    record("k1", TRANSFER("a", "b", "1.00"));
    records[0].payment_id.bytes[0] = 0x0a;
    record("k2", REFUND("0a", "1.00"));
    records[1].payment_id.bytes[0] = 0x0b;
    record("k3", REFUND("0b", "1.00"));
    record("k4", REFUND("0a", "0.01"));
    decide_posting(posting);
    check_new(1, OUTCOME_APPLIED, CODE_NONE);
    check_rejected(2, CODE_PAYMENT_NOT_REFUNDABLE);
    check_rejected(3, CODE_REFUND_EXCEEDS_PAYMENT);
    CHECK_INT(posting->accounts[0].balance_minor, 0);
}

struct refund_row {
    const char *name, *json;
    bool is_refund;
    int64_t refunded_minor, shop_minor, payer_minor;
    enum code code;
};

static const struct refund_row refund_rows[] = {
    {"no such payment", REFUND("02", "1.00"), false, 0, 0, 0, CODE_PAYMENT_UNKNOWN},
    {"another client, whatever else", REFUND_AS("you", "01", "9.00", "EUR"), true, 100, 0,
     0, CODE_PAYMENT_UNKNOWN},
    {"a refund wins over currency", REFUND_AS("me", "01", "9.00", "EUR"), true, 100, 0, 0,
     CODE_PAYMENT_NOT_REFUNDABLE},
    {"currency wins over too much", REFUND_AS("me", "01", "9.00", "EUR"), false, 100, 0,
     0, CODE_CURRENCY_MISMATCH},
    {"too much wins over funds", REFUND("01", "1.00"), false, 1, 0, 0,
     CODE_REFUND_EXCEEDS_PAYMENT},
    {"funds of the shop win over overflow", REFUND("01", "1.00"), false, 0, 99, INT64_MAX,
     CODE_INSUFFICIENT_FUNDS},
    {"overflow of the payer", REFUND("01", "1.00"), false, 0, 100, INT64_MAX,
     CODE_BALANCE_OVERFLOW},
    {"all of it", REFUND("01", "1.00"), false, 0, 100, 0, CODE_NONE},
};

static void test_refund_rows(void)
{
    for (size_t i = 0; i < sizeof refund_rows / sizeof *refund_rows; i++) {
        const struct refund_row *row = &refund_rows[i];
        begin(row->name);
        position(0, 0);
        struct account *payer = account("a", "USD", row->payer_minor);
        struct account *shop = account("b", "USD", row->shop_minor);
        struct payment *paid = payment(1, payer, shop, 100);
        paid->refunded_minor = row->refunded_minor;
        paid->is_refund = row->is_refund;
        record("k", row->json);
        decide_posting(posting);
        check_new(0, row->code == CODE_NONE ? OUTCOME_APPLIED : OUTCOME_REJECTED,
                  row->code);
    }
}

/* --- keys --- */

static void keep(size_t index, enum outcome outcome, enum code code, bool same)
{
    struct kept *kept = &posting->inbox[index];
    *kept = (struct kept){.found = true, .outcome = outcome, .code = code};
    memcpy(kept->fingerprint, records[index].fingerprint, sizeof kept->fingerprint);
    if (!same)
        kept->fingerprint[31] ^= 1;
}

static void test_kept_keys(void)
{
    begin("a kept key with the same command is replayed, also a refusal");
    position(0, 0);
    account("a", "USD", 10000);
    account("b", "USD", 0);
    record("k1", TRANSFER("a", "b", "1.00"));
    keep(0, OUTCOME_REJECTED, CODE_INSUFFICIENT_FUNDS, true);
    record("k2", TRANSFER("a", "b", "1.00"));
    keep(1, OUTCOME_APPLIED, CODE_NONE, false);
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_INBOX);
    CHECK_INT(decided(0)->outcome, OUTCOME_REJECTED);
    CHECK_INT(decided(0)->code, CODE_INSUFFICIENT_FUNDS);
    check_new(1, OUTCOME_CONFLICT, CODE_KEY_REUSED);
    CHECK_INT(posting->accounts[0].balance_minor, 10000);
}

static void test_twins(void)
{
    begin("a key twice in a run");
    position(0, 0);
    account("a", "USD", 100);
    account("b", "USD", 0);
    record("k", TRANSFER("a", "b", "1.00"));
    record("k", TRANSFER("a", "b", "1.0"));
    record("k", TRANSFER("a", "b", "1.01"));
    record("r", TRANSFER("a", "b", "1.00"));
    record("r", TRANSFER("a", "b", "1.00"));
    decide_posting(posting);
    check_new(0, OUTCOME_APPLIED, CODE_NONE);
    CHECK_INT(decided(1)->kind, DECISION_TWIN);
    CHECK_INT(decided(1)->twin, 0);
    CHECK_INT(decided(1)->outcome, OUTCOME_APPLIED);
    check_new(2, OUTCOME_CONFLICT, CODE_KEY_REUSED);
    check_rejected(3, CODE_INSUFFICIENT_FUNDS);
    CHECK_INT(decided(4)->kind, DECISION_TWIN);
    CHECK_INT(decided(4)->twin, 3);
    CHECK_INT(decided(4)->code, CODE_INSUFFICIENT_FUNDS);
    CHECK_INT(posting->accounts[1].balance_minor, 100);
}

static void test_free_keys(void)
{
    begin("malformed and poison leave the key free");
    position(0, 0);
    account("a", "USD", 100);
    account("b", "USD", 0);
    record("k", TRANSFER("a", "b", "0"));
    record("p", TRANSFER("a", "b", "0.01"))->poisoned = true;
    record("k", TRANSFER("a", "b", "1.00"));
    record("p", TRANSFER("a", "a", "0.01"));
    decide_posting(posting);
    check_new(0, OUTCOME_MALFORMED, CODE_AMOUNT_INVALID);
    check_new(1, OUTCOME_POISON, CODE_REFUSED_BY_DATABASE);
    check_new(2, OUTCOME_APPLIED, CODE_NONE);
    check_new(3, OUTCOME_MALFORMED, CODE_SAME_ACCOUNT);

    begin("a kept key wins over poison");
    position(0, 0);
    record("k", TRANSFER("a", "b", "1.00"))->poisoned = true;
    keep(0, OUTCOME_APPLIED, CODE_NONE, true);
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_INBOX);
}

/* --- history --- */

static void test_letters(void)
{
    begin("a kept dead letter wins over everything");
    position(0, 1000);
    record("k", TRANSFER("a", "b", "1.00"));
    keep(0, OUTCOME_APPLIED, CODE_NONE, true);
    posting->letters[0] = (struct kept){
        .found = true, .outcome = OUTCOME_MALFORMED, .code = CODE_FIELD_UNKNOWN};
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_LETTER);
    CHECK_INT(decided(0)->outcome, OUTCOME_MALFORMED);
    CHECK_INT(decided(0)->code, CODE_FIELD_UNKNOWN);
}

static void test_stricter_version(void)
{
    begin("malformed now, decided by an earlier version: its answer stands");
    position(0, 101);
    record("k", TRANSFER("a", "b", "0"));
    keep(0, OUTCOME_APPLIED, CODE_NONE, true);
    record("k2", TRANSFER("a", "b", "0"));
    keep(1, OUTCOME_APPLIED, CODE_NONE, true);
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_INBOX);
    check_new(1, OUTCOME_MALFORMED, CODE_AMOUNT_INVALID);
}

static void test_holes(void)
{
    begin("a hole below next_offset halts its partition only");
    struct position *holed = position(0, 102), *sound = position(1, 0);
    account("a", "USD", 100);
    account("b", "USD", 0);
    record("k0", TRANSFER("a", "b", "0.01"));
    keep(0, OUTCOME_APPLIED, CODE_NONE, true);
    record("k1", TRANSFER("a", "b", "0.01"));
    record("k2", TRANSFER("a", "b", "0.01"));
    record("k3", TRANSFER("a", "b", "0.01"))->partition = 1;
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_INBOX);
    CHECK_INT(decided(1)->kind, DECISION_HALT);
    CHECK_INT(decided(2)->kind, DECISION_SKIPPED);
    check_new(3, OUTCOME_APPLIED, CODE_NONE);
    CHECK(holed->halted && !sound->halted);
    CHECK_INT(holed->halt_offset, 101);
    CHECK_INT(holed->next_offset, 101);
    CHECK_INT(sound->next_offset, 1000);
    CHECK_INT(posting->accounts[0].balance_minor, 99);

    begin("a malformed record without a row is a hole too");
    holed = position(0, 101);
    record(NULL, "{}");
    decide_posting(posting);
    CHECK_INT(decided(0)->kind, DECISION_HALT);
    CHECK(holed->halted);

    begin("a redo starts clean");
    position(0, 100)->halted = true;
    record(NULL, "{}");
    decide_posting(posting);
    check_new(0, OUTCOME_MALFORMED, CODE_KEY_MISSING);
}

static void test_many(void)
{
    begin("many accounts and keys share their indexes");
    position(0, 0);
    unlimited("bank", 0);
    char key[8] = "k00", json[256];
    for (int i = 0; i < RECORDS_MAX / 2; i++) {
        key[1] = (char)('0' + i / 10);
        key[2] = (char)('0' + i % 10);
        snprintf(json, sizeof json, OPEN("acct-%02d"), i);
        key[0] = 'o';
        record(key, json);
        snprintf(json, sizeof json, TRANSFER("bank", "acct-%02d", "1.00"), i);
        key[0] = 't';
        record(key, json);
    }
    decide_posting(posting);
    for (size_t i = 0; i < posting->count; i++)
        check_new(i, OUTCOME_APPLIED, CODE_NONE);
    CHECK_INT(posting->accounts[0].balance_minor, -100 * RECORDS_MAX / 2);
}

int main(void)
{
    posting = posting_new(RECORDS_MAX);
    digest = digest_new();
    test_open_account();
    test_transfer();
    test_transfer_rows();
    test_refund();
    test_refund_rows();
    test_kept_keys();
    test_twins();
    test_free_keys();
    test_letters();
    test_stricter_version();
    test_holes();
    test_many();
    digest_free(digest);
    posting_free(posting);
    posting_free(NULL);
    return test_end();
}
