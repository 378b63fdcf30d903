/* result_test.c: the bytes of a result for every outcome and operation (CONTRACT §3), and
 * that RESULT_MAX holds the longest command that there can be. */
#include "schema/result.h"

#include "tests/unit/test.h"

static const struct uuid payment = {{0x01, 0x92, 0xf0, 0xc1, 0xab, 0xcd, 0x7e, 0xf0, 0x81,
                                     0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}};

#define OPEN                                                                      \
    "{\"operation\":\"open_account\",\"client\":\"bank\",\"account\":\"acct-1\"," \
    "\"currency\":\"USD\""
#define TRANSFER                                                             \
    "{\"operation\":\"transfer\",\"client\":\"m-42\",\"source\":\"acct-1\"," \
    "\"destination\":\"acct-2\",\"amount\":\"100\",\"currency\":\"USD\""
#define REFUND                                                               \
    "{\"operation\":\"refund\",\"client\":\"m-42\","                         \
    "\"payment_id\":\"0192F0C1-ABCD-7EF0-8123-456789ABCDEF\",\"amount\":40," \
    "\"currency\":\"USD\""

static const struct {
    const char *what;
    const char *key;
    const char *value;
    enum outcome outcome;
    enum code code; /* NONE with malformed: the intake's own */
    int64_t balance_minor;
    const char *result;
} cases[] = {
    {"applied open_account", "k1", OPEN "}", OUTCOME_APPLIED, CODE_NONE, 0,
     "{\"idempotency_key\":\"k1\",\"operation\":\"open_account\",\"client\":\"bank\","
     "\"outcome\":\"applied\",\"account\":\"acct-1\",\"currency\":\"USD\","
     "\"minimum_balance\":\"0.00\",\"balance\":\"0.00\"}"},
    {"applied open_account, overdraft", "k1", OPEN ",\"minimum_balance\":-500}",
     OUTCOME_APPLIED, CODE_NONE, 0,
     "{\"idempotency_key\":\"k1\",\"operation\":\"open_account\",\"client\":\"bank\","
     "\"outcome\":\"applied\",\"account\":\"acct-1\",\"currency\":\"USD\","
     "\"minimum_balance\":\"-500.00\",\"balance\":\"0.00\"}"},
    {"applied open_account, no limit", "k1", OPEN ",\"minimum_balance\":null}",
     OUTCOME_APPLIED, CODE_NONE, 0,
     "{\"idempotency_key\":\"k1\",\"operation\":\"open_account\",\"client\":\"bank\","
     "\"outcome\":\"applied\",\"account\":\"acct-1\",\"currency\":\"USD\","
     "\"balance\":\"0.00\"}"},
    {"rejected open_account", "k1", OPEN ",\"minimum_balance\":\"-0.01\"}",
     OUTCOME_REJECTED, CODE_ACCOUNT_EXISTS, 77,
     "{\"idempotency_key\":\"k1\",\"operation\":\"open_account\",\"client\":\"bank\","
     "\"outcome\":\"rejected\",\"code\":\"account_exists\","
     "\"detail\":\"an account of this name exists already\",\"account\":\"acct-1\","
     "\"currency\":\"USD\",\"minimum_balance\":\"-0.01\"}"},
    {"applied transfer", "k2", TRANSFER "}", OUTCOME_APPLIED, CODE_NONE, 90000,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"applied\",\"payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\","
     "\"source\":\"acct-1\",\"destination\":\"acct-2\",\"amount\":\"100.00\","
     "\"currency\":\"USD\",\"balance\":\"900.00\"}"},
    {"applied transfer with reference", "k2", TRANSFER ",\"reference\":\"order 456\"}",
     OUTCOME_APPLIED, CODE_NONE, -1,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"applied\",\"payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\","
     "\"source\":\"acct-1\",\"destination\":\"acct-2\",\"amount\":\"100.00\","
     "\"currency\":\"USD\",\"balance\":\"-0.01\",\"reference\":\"order 456\"}"},
    {"rejected transfer", "k2",
     TRANSFER ",\"reference\":\"a \\\"b\\\" \\\\ / \xc3\xa4\"}", OUTCOME_REJECTED,
     CODE_INSUFFICIENT_FUNDS, 77,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"rejected\",\"code\":\"insufficient_funds\","
     "\"detail\":\"the debited account would go below its minimum balance\","
     "\"source\":\"acct-1\",\"destination\":\"acct-2\",\"amount\":\"100.00\","
     "\"currency\":\"USD\",\"reference\":\"a \\\"b\\\" \\\\ / \xc3\xa4\"}"},
    {"applied refund", "k3", REFUND ",\"reference\":\"returned\"}", OUTCOME_APPLIED,
     CODE_NONE, 5,
     "{\"idempotency_key\":\"k3\",\"operation\":\"refund\",\"client\":\"m-42\","
     "\"outcome\":\"applied\",\"payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\","
     "\"amount\":\"40.00\",\"currency\":\"USD\",\"balance\":\"0.05\","
     "\"refunded_payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\","
     "\"reference\":\"returned\"}"},
    {"rejected refund", "k3", REFUND "}", OUTCOME_REJECTED, CODE_REFUND_EXCEEDS_PAYMENT,
     77,
     "{\"idempotency_key\":\"k3\",\"operation\":\"refund\",\"client\":\"m-42\","
     "\"outcome\":\"rejected\",\"code\":\"refund_exceeds_payment\","
     "\"detail\":\"with this refund more than the payment would be refunded\","
     "\"amount\":\"40.00\",\"currency\":\"USD\","
     "\"refunded_payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\"}"},
    {"conflict", "k2", TRANSFER ",\"reference\":\"x\"}", OUTCOME_CONFLICT,
     CODE_KEY_REUSED, 77,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"conflict\",\"code\":\"key_reused\","
     "\"detail\":\"the idempotency key was used before for another command\"}"},
    {"expired", "k1", OPEN "}", OUTCOME_EXPIRED, CODE_COMMAND_TOO_OLD, 77,
     "{\"idempotency_key\":\"k1\",\"operation\":\"open_account\",\"client\":\"bank\","
     "\"outcome\":\"expired\",\"code\":\"command_too_old\","
     "\"detail\":\"the record is older than the keys that are still remembered\"}"},
    {"poison", "k3", REFUND "}", OUTCOME_POISON, CODE_REFUSED_BY_DATABASE, 77,
     "{\"idempotency_key\":\"k3\",\"operation\":\"refund\",\"client\":\"m-42\","
     "\"outcome\":\"poison\",\"code\":\"refused_by_database\","
     "\"detail\":\"the database refused this command\"}"},
    {"malformed, all readable", "k2", TRANSFER ",\"account\":\"a\"}", OUTCOME_MALFORMED,
     CODE_NONE, 77,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"malformed\",\"code\":\"field_unknown\","
     "\"detail\":\"transfer has no field account\"}"},
    {"malformed, the detail quotes", "k2", TRANSFER ",\"amuont\":1}", OUTCOME_MALFORMED,
     CODE_NONE, 77,
     "{\"idempotency_key\":\"k2\",\"operation\":\"transfer\",\"client\":\"m-42\","
     "\"outcome\":\"malformed\",\"code\":\"field_unknown\","
     "\"detail\":\"no operation has a field \\\"amuont\\\"\"}"},
    {"malformed, operation not readable", "k9",
     "{\"operation\":\"pay\",\"client\":\"c\"}", OUTCOME_MALFORMED, CODE_NONE, 77,
     "{\"idempotency_key\":\"k9\",\"outcome\":\"malformed\",\"code\":\"operation_"
     "unknown\","
     "\"detail\":\"the operation must be open_account, transfer or refund\"}"},
    {"malformed, client not readable", "k9", "{\"operation\":\"refund\",\"client\":\"\"}",
     OUTCOME_MALFORMED, CODE_NONE, 77,
     "{\"idempotency_key\":\"k9\",\"outcome\":\"malformed\",\"code\":\"field_missing\","
     "\"detail\":\"the field payment_id is required and missing\"}"},
    {"malformed, not JSON", "k9", "{\"operation\":\"refund\",\"client\":\"c\"",
     OUTCOME_MALFORMED, CODE_NONE, 77,
     "{\"idempotency_key\":\"k9\",\"outcome\":\"malformed\",\"code\":\"json_invalid\","
     "\"detail\":\"the value ends before its JSON object does\"}"},
    {"malformed, no value", "k\"\\9", "", OUTCOME_MALFORMED, CODE_NONE, 77,
     "{\"idempotency_key\":\"k\\\"\\\\9\",\"outcome\":\"malformed\","
     "\"code\":\"value_missing\",\"detail\":\"the record has no value\"}"},
    {"exponent 0", "k",
     "{\"operation\":\"open_account\",\"client\":\"b\",\"account\":\"a\","
     "\"currency\":\"JPY\",\"minimum_balance\":\"-1000\"}",
     OUTCOME_APPLIED, CODE_NONE, 0,
     "{\"idempotency_key\":\"k\",\"operation\":\"open_account\",\"client\":\"b\","
     "\"outcome\":\"applied\",\"account\":\"a\",\"currency\":\"JPY\","
     "\"minimum_balance\":\"-1000\",\"balance\":\"0\"}"},
    {"exponent 3 and the largest balance", "k",
     "{\"operation\":\"transfer\",\"client\":\"b\",\"source\":\"a\",\"destination\":"
     "\"b\","
     "\"currency\":\"BHD\",\"amount\":\"999999999999.999\"}",
     OUTCOME_APPLIED, CODE_NONE, INT64_MAX,
     "{\"idempotency_key\":\"k\",\"operation\":\"transfer\",\"client\":\"b\","
     "\"outcome\":\"applied\",\"payment_id\":\"0192f0c1-abcd-7ef0-8123-456789abcdef\","
     "\"source\":\"a\",\"destination\":\"b\",\"amount\":\"999999999999.999\","
     "\"currency\":\"BHD\",\"balance\":\"9223372036854775.807\"}"},
};

static void read_intake(struct intake *intake, const char *key, const char *value)
{
    intake_init(intake);
    intake_key_header(intake, key, strlen(key));
    intake_value(intake, value, strlen(value));
}

static void test_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct intake intake;
        char bytes[RESULT_MAX];
        bool is_malformed = cases[i].outcome == OUTCOME_MALFORMED;
        read_intake(&intake, cases[i].key, cases[i].value);
        struct result result = {.intake = &intake,
                                .outcome = cases[i].outcome,
                                .code = is_malformed ? intake.code : cases[i].code,
                                .payment_id = &payment,
                                .balance_minor = cases[i].balance_minor};
        test_case(cases[i].what);
        CHECK_INT(intake.code != CODE_NONE, is_malformed);
        size_t size = result_write(&result, bytes);
        CHECK_BYTES(bytes, size, cases[i].result, strlen(cases[i].result));
        CHECK_INT(result_write(&result, bytes), size);
        CHECK_BYTES(bytes, size, cases[i].result, strlen(cases[i].result));
    }
}

/* Every code that a decision can give, with every operation that it can be given to. */
static void test_every_refusal(void)
{
    static const char *const values[] = {OPEN "}", TRANSFER "}", REFUND "}"};
    for (unsigned i = CODE_NONE + 1; i < CODE_COUNT; i++)
        for (unsigned j = 0; j < 3; j++) {
            struct intake intake;
            char bytes[RESULT_MAX], wanted[RESULT_MAX];
            enum code code = (enum code)i;
            read_intake(&intake, "k", values[j]);
            struct result result = {
                .intake = &intake, .outcome = code_outcome(code), .code = code};
            if (result.outcome == OUTCOME_MALFORMED)
                continue;
            size_t size = result_write(&result, bytes);
            int wanted_size = snprintf(
                wanted, sizeof(wanted),
                "{\"idempotency_key\":\"k\",\"operation\":\"%s\",\"client\":\"%s\","
                "\"outcome\":\"%s\",\"code\":\"%s\",\"detail\":\"%s\"",
                operation_name(intake.command.operation), intake.command.client,
                outcome_name(result.outcome), code_name(code), code_sentence(code));
            test_case(code_name(code));
            CHECK(size > (size_t)wanted_size);
            CHECK(memcmp(bytes, wanted, (size_t)wanted_size) == 0);
            /* Whether the command's fields follow is the outcome's to say. */
            CHECK_INT(bytes[wanted_size], result.outcome == OUTCOME_REJECTED ? ',' : '}');
            CHECK_INT(bytes[size - 1], '}');
        }
}

/* --- the longest -------------------------------------------------------------------- */

static void fill(char *text, const char *unit, size_t count)
{
    size_t length = strlen(unit);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * length, unit, length);
    text[count * length] = '\0';
}

/* Each text as long as it may be, of what escaping doubles; the reference of four bytes a
 * point, which is more than an escape of one. */
static void fill_longest(struct intake *intake, enum operation operation)
{
    struct command *command = &intake->command;
    intake_init(intake);
    intake->has_key = intake->has_client = true;
    command->operation = operation;
    command->currency = currency_find("UYW", 3);
    command->amount_minor = INT64_MAX;
    command->has_minimum = true;
    command->minimum_balance_minor = INT64_MIN;
    command->refunded_payment_id = payment;
    fill(command->key, "\"", COMMAND_KEY_MAX);
    fill(command->client, "\\", COMMAND_CLIENT_MAX);
    fill(command->account, "\"", COMMAND_ACCOUNT_MAX);
    fill(command->source, "\"", COMMAND_ACCOUNT_MAX);
    fill(command->destination, "\\", COMMAND_ACCOUNT_MAX);
    fill(command->reference, "\xf0\x9f\x92\xb6", COMMAND_REFERENCE_MAX_POINTS);
    fill(intake->detail, "\"", INTAKE_DETAIL_MAX);
}

static size_t longest;

static void write_longest(enum operation operation, enum outcome outcome, enum code code)
{
    struct intake intake;
    char bytes[RESULT_MAX];
    fill_longest(&intake, operation);
    struct result result = {.intake = &intake,
                            .outcome = outcome,
                            .code = code,
                            .payment_id = &payment,
                            .balance_minor = INT64_MIN};
    size_t size = result_write(&result, bytes);
    longest = size > longest ? size : longest;
    test_case("longest");
    CHECK(size < RESULT_MAX);
}

/* result_write aborts when it runs out of room, so coming back is the proof. */
static void test_longest(void)
{
    for (unsigned i = OPERATION_NONE + 1; i < OPERATION_COUNT; i++) {
        write_longest((enum operation)i, OUTCOME_APPLIED, CODE_NONE);
        for (unsigned j = CODE_NONE + 1; j < CODE_COUNT; j++)
            write_longest((enum operation)i, code_outcome((enum code)j), (enum code)j);
    }
    CHECK(longest < RESULT_MAX * 3 / 4); /* room for a field more */
    printf("longest result: %zu of %d bytes\n", longest, RESULT_MAX);
}

int main(void)
{
    test_cases();
    test_every_refusal();
    test_longest();
    return test_end();
}
