/* intake_test.c: the order of the codes, proven for every pair of faults that one record
 * can have; the sentences; and what the corpus (corpus_test.c) cannot say. */
#include "schema/intake.h"

#include "base/text_buffer.h"
#include "tests/unit/test.h"

/* --- a record in parts, so that faults can be put into it --------------------------- */

struct record {
    const char *headers[3];
    unsigned header_count;
    /* members of the object, each as `"name":value`, "" where there is none */
    const char *operation, *client, *source, *destination, *amount, *currency, *extra,
        *key;
    const char *tail;  /* after the object */
    bool has_no_value; /* whatever else is said */
    size_t padding;    /* spaces at the end */
};

static struct record sound_record(void)
{
    return (struct record){.headers = {"k"},
                           .header_count = 1,
                           .operation = "\"operation\":\"transfer\"",
                           .client = "\"client\":\"c\"",
                           .source = "\"source\":\"a\"",
                           .destination = "\"destination\":\"b\"",
                           .amount = "\"amount\":\"1\"",
                           .currency = "\"currency\":\"USD\"",
                           .extra = "",
                           .key = "",
                           .tail = ""};
}

static void put_member(struct text_buffer *value, const char *member)
{
    if (member[0] != '\0' && value->size > 1)
        text_put_string(value, ",");
    text_put_string(value, member);
}

static size_t build_value(const struct record *record, char *bytes, size_t room)
{
    struct text_buffer value;
    text_buffer_init(&value, bytes, room);
    text_put_string(&value, "{");
    put_member(&value, record->operation);
    put_member(&value, record->client);
    put_member(&value, record->source);
    put_member(&value, record->destination);
    put_member(&value, record->amount);
    put_member(&value, record->currency);
    put_member(&value, record->extra);
    put_member(&value, record->key);
    text_put_string(&value, "}");
    text_put_string(&value, record->tail);
    for (size_t i = 0; i < record->padding; i++)
        text_put(&value, " ", 1);
    CHECK(!value.overflow);
    return value.size;
}

static void take_in(struct intake *intake, const struct record *record)
{
    static char bytes[COMMAND_VALUE_MAX + 1024];
    size_t size = build_value(record, bytes, sizeof(bytes));
    intake_init(intake);
    for (unsigned i = 0; i < record->header_count; i++)
        intake_key_header(intake, record->headers[i], strlen(record->headers[i]));
    intake_value(intake, record->has_no_value ? NULL : bytes, size);
}

/* --- faults ------------------------------------------------------------------------- */

/* What a fault needs for itself: two faults that share a bit cannot be in one record, or
 * one of them is none any more beside the other. */
enum {
    HEADER = 1 << 0,
    KEY_FIELD = 1 << 1,
    TAIL = 1 << 2,     /* what decides whether the value is read at all */
    READABLE = 1 << 3, /* counts only in a value that is read, or makes it unreadable */
    OPERATION = 1 << 4,
    CLIENT = 1 << 5,
    SOURCE = 1 << 6,
    DESTINATION = 1 << 7,
    AMOUNT = 1 << 8,
    CURRENCY = 1 << 9,
    EXTRA = 1 << 10,
    KNOWN = 1 << 11, /* counts only if the operation is known, or makes it unknown */
    NO_VALUE = 1 << 12,
    ROUTE = 1 << 13, /* needs both accounts as they are */
    ANY_KEY = 1 << 14
};

static void no_header(struct record *record)
{
    record->header_count = 0;
}

static void empty_header(struct record *record)
{
    record->headers[0] = "";
}

static void second_header_invalid(struct record *record)
{
    record->headers[record->header_count++] = "a b";
}

static void key_field_null(struct record *record)
{
    record->key = "\"idempotency_key\":null";
}

static void second_header_differs(struct record *record)
{
    record->headers[record->header_count++] = "other";
}

static void key_field_differs(struct record *record)
{
    record->key = "\"idempotency_key\":\"other\"";
}

static void no_value(struct record *record)
{
    record->has_no_value = true;
}

static void large_value(struct record *record)
{
    record->padding = COMMAND_VALUE_MAX;
}

static void trailing_brace(struct record *record)
{
    record->tail = "}";
}

static void deep_value(struct record *record)
{
    record->extra = "\"x\":[[[[[[[[]]]]]]]]";
}

static void twice_a_name(struct record *record)
{
    record->extra = "\"x\":{\"y\":1,\"y\":2}";
}

static void strange_name(struct record *record)
{
    record->extra = "\"x\":1";
}

static void foreign_name(struct record *record)
{
    record->extra = "\"account\":\"a\"";
}

static void client_missing(struct record *record)
{
    record->client = "";
}

static void operation_missing(struct record *record)
{
    record->operation = "";
}

static void source_missing(struct record *record)
{
    record->source = "";
}

static void destination_missing(struct record *record)
{
    record->destination = "";
}

static void amount_missing(struct record *record)
{
    record->amount = "";
}

static void currency_missing(struct record *record)
{
    record->currency = "";
}

static void client_empty(struct record *record)
{
    record->client = "\"client\":\"\"";
}

static void operation_number(struct record *record)
{
    record->operation = "\"operation\":5";
}

static void source_array(struct record *record)
{
    record->source = "\"source\":[]";
}

static void destination_space(struct record *record)
{
    record->destination = "\"destination\":\" \"";
}

static void amount_null(struct record *record)
{
    record->amount = "\"amount\":null";
}

static void currency_number(struct record *record)
{
    record->currency = "\"currency\":840";
}

static void reference_empty(struct record *record)
{
    record->extra = "\"reference\":\"\"";
}

static void operation_strange(struct record *record)
{
    record->operation = "\"operation\":\"hold\"";
}

static void currency_gold(struct record *record)
{
    record->currency = "\"currency\":\"XAU\"";
}

static void amount_zero(struct record *record)
{
    record->amount = "\"amount\":\"0\"";
}

static void amount_inexact(struct record *record)
{
    record->amount = "\"amount\":0.30000000000000004";
}

static void same_accounts(struct record *record)
{
    record->destination = "\"destination\":\"a\"";
}

static const struct fault {
    enum code code;
    void (*commit)(struct record *record);
    unsigned needs;
} faults[] = {
    {CODE_KEY_MISSING, no_header, HEADER | KEY_FIELD | ANY_KEY},
    {CODE_KEY_INVALID, empty_header, HEADER},
    {CODE_KEY_INVALID, second_header_invalid, ANY_KEY},
    {CODE_KEY_INVALID, key_field_null, KEY_FIELD | READABLE},
    {CODE_KEY_AMBIGUOUS, second_header_differs, HEADER},
    {CODE_KEY_AMBIGUOUS, key_field_differs, KEY_FIELD | READABLE},
    {CODE_VALUE_MISSING, no_value, READABLE | NO_VALUE},
    {CODE_VALUE_TOO_LARGE, large_value, READABLE | NO_VALUE},
    {CODE_JSON_INVALID, trailing_brace, READABLE | TAIL},
    {CODE_JSON_INVALID, deep_value, READABLE | EXTRA},
    {CODE_JSON_INVALID, twice_a_name, READABLE | EXTRA},
    {CODE_FIELD_UNKNOWN, strange_name, EXTRA},
    {CODE_FIELD_UNKNOWN, foreign_name, EXTRA | KNOWN},
    {CODE_FIELD_MISSING, client_missing, CLIENT},
    {CODE_FIELD_MISSING, operation_missing, OPERATION | KNOWN},
    {CODE_FIELD_MISSING, source_missing, SOURCE | ROUTE | KNOWN},
    {CODE_FIELD_MISSING, destination_missing, DESTINATION | ROUTE | KNOWN},
    {CODE_FIELD_MISSING, amount_missing, AMOUNT | KNOWN},
    {CODE_FIELD_MISSING, currency_missing, CURRENCY | KNOWN},
    {CODE_FIELD_INVALID, client_empty, CLIENT},
    {CODE_FIELD_INVALID, operation_number, OPERATION | KNOWN},
    {CODE_FIELD_INVALID, source_array, SOURCE | ROUTE | KNOWN},
    {CODE_FIELD_INVALID, destination_space, DESTINATION | ROUTE | KNOWN},
    {CODE_FIELD_INVALID, amount_null, AMOUNT | KNOWN},
    {CODE_FIELD_INVALID, currency_number, CURRENCY | KNOWN},
    {CODE_FIELD_INVALID, reference_empty, EXTRA | KNOWN},
    {CODE_OPERATION_UNKNOWN, operation_strange, OPERATION | KNOWN},
    {CODE_CURRENCY_UNKNOWN, currency_gold, CURRENCY},
    {CODE_AMOUNT_INVALID, amount_zero, AMOUNT},
    {CODE_AMOUNT_INVALID, amount_inexact, AMOUNT},
    {CODE_SAME_ACCOUNT, same_accounts, DESTINATION | ROUTE},
};

enum { FAULT_COUNT = sizeof(faults) / sizeof(faults[0]) };

/* KNOWN is shared by what makes the operation unknown and what is not judged then; two of
 * the latter go together well. */
static bool makes_unknown(const struct fault *fault)
{
    return (fault->needs & OPERATION) != 0;
}

static bool makes_unreadable(const struct fault *fault)
{
    return fault->code >= CODE_VALUE_MISSING && fault->code <= CODE_JSON_INVALID;
}

static bool can_meet(const struct fault *left, const struct fault *right)
{
    unsigned shared = left->needs & right->needs;
    if (!makes_unknown(left) && !makes_unknown(right))
        shared &= ~(unsigned)KNOWN;
    if (!makes_unreadable(left) && !makes_unreadable(right))
        shared &= ~(unsigned)READABLE;
    /* Of two ways to be unreadable the earlier wins, if they can be in one value. */
    if (makes_unreadable(left) && makes_unreadable(right))
        shared &= ~(unsigned)READABLE;
    return shared == 0;
}

static bool code_seen[CODE_COUNT][CODE_COUNT];

/* The value is read, or it is not and nothing in it is told. */
static void check_readable(const struct intake *intake, bool is_read, bool has_operation,
                           bool has_client)
{
    CHECK_INT(intake->command.operation,
              is_read && has_operation ? OPERATION_TRANSFER : OPERATION_NONE);
    CHECK_INT(intake->has_client, is_read && has_client);
    CHECK_TEXT(intake->command.client, is_read && has_client ? "c" : "");
}

static void check_pair(const struct fault *left, const struct fault *right)
{
    struct intake intake;
    struct record record = sound_record();
    enum code wanted = left->code < right->code ? left->code : right->code;
    unsigned needs = left->needs | right->needs;
    left->commit(&record);
    if (right != left)
        right->commit(&record);
    take_in(&intake, &record);
    CHECK_TEXT(code_name(intake.code), code_name(wanted));
    CHECK_INT(intake.has_key, wanted > CODE_KEY_AMBIGUOUS);
    CHECK_TEXT(intake.command.key, intake.has_key ? "k" : "");
    check_readable(&intake, !makes_unreadable(left) && !makes_unreadable(right),
                   (needs & OPERATION) == 0, (needs & CLIENT) == 0);
    code_seen[left->code][right->code] = code_seen[right->code][left->code] = true;
}

static void test_pairs(void)
{
    unsigned pairs = 0;
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        test_case(code_name(faults[i].code));
        check_pair(&faults[i], &faults[i]);
        for (size_t j = 0; j < i; j++)
            if (can_meet(&faults[i], &faults[j])) {
                check_pair(&faults[i], &faults[j]);
                pairs++;
            }
    }
    printf("%u pairs of faults\n", pairs);
}

/* Pairs of codes that no record can have, each with its reason. */
static const enum code impossible[][2] = {
    {CODE_KEY_MISSING, CODE_KEY_INVALID},   /* an invalid key is not missing */
    {CODE_KEY_MISSING, CODE_KEY_AMBIGUOUS}, /* nor are two */
};

static void test_all_pairs_seen(void)
{
    for (unsigned i = CODE_NONE + 1; i < CODE_KEY_REUSED; i++)
        for (unsigned j = CODE_NONE + 1; j < i; j++) {
            bool is_possible = true;
            for (size_t k = 0; k < sizeof(impossible) / sizeof(impossible[0]); k++)
                if (impossible[k][0] == j && impossible[k][1] == i)
                    is_possible = false;
            /* A value that is not read has none of the faults below. */
            if (j >= CODE_VALUE_MISSING && j <= CODE_JSON_INVALID)
                is_possible = is_possible && code_seen[i][j];
            test_case(code_name((enum code)i));
            if (is_possible && !code_seen[i][j])
                printf("never together: %s %s\n", code_name((enum code)j),
                       code_name((enum code)i));
            CHECK_INT(code_seen[i][j], is_possible);
        }
}

static void test_sound(void)
{
    struct intake intake;
    struct record record = sound_record();
    take_in(&intake, &record);
    test_case("sound");
    CHECK_TEXT(code_name(intake.code), "");
    CHECK_TEXT(intake.detail, "");
    CHECK(intake.has_key && intake.has_client);
}

/* --- header names ------------------------------------------------------------------- */

/* clang-format off */
static const struct {
    const char *name;
    bool is_key;
} header_names[] = {
    {"idempotency-key", true}, {"Idempotency-Key", true}, {"IDEMPOTENCY-KEY", true},
    {"x-idempotency-key", true}, {"X-IDEMPOTENCY-KEY", true},
    {"X-Idempotency-key", true}, {"", false}, {"idempotency-ke", false},
    {"idempotency-keys", false}, {"idempotency_key", false}, {"idempotencykey", false},
    {"-idempotency-key", false}, {"xidempotency-key", false},
    {"x-x-idempotency-key", false}, {"key", false}, {"idempotency-key ", false},
    {" idempotency-key", false}, {"@dempotency-key", false},
    {"idempotency\rkey", false}, /* 0x0D with 0x20 set is 0x2D, the hyphen */
    {"\xe9" "dempotency-key", false},
};
/* clang-format on */

static void test_header_names(void)
{
    for (size_t i = 0; i < sizeof(header_names) / sizeof(header_names[0]); i++) {
        test_case(header_names[i].name);
        CHECK_INT(intake_is_key_header(header_names[i].name), header_names[i].is_key);
    }
}

/* --- sentences ---------------------------------------------------------------------- */

#define OPEN(rest) "{\"operation\":\"open_account\",\"client\":\"c\"," rest "}"
#define TRANSFER(rest)                                                               \
    "{\"operation\":\"transfer\",\"client\":\"c\",\"source\":\"a\",\"destination\":" \
    "\"b\"" rest "}"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *value;
    const char *detail;
} details[] = {
    {"", "the record has no value"},
    {"[]", "the value is not one JSON object with distinct names, at most 8 levels deep"},
    {"{\"a\":'x'}",
     "the value is not one JSON object with distinct names, at most 8 levels deep"},
    {"{\"a\":\"\xff\"}", "the value is not valid UTF-8"},
    {"{\"a\":1", "the value ends before its JSON object does"},
    {"{}{}", "the value goes on after its JSON object"},
    {"{\"a\":\"\\u0000\"}", "a string in the value contains U+0000"},
    {"{\"\\u0000\":1}", "a name in the value contains U+0000"},
    {"{\"a\":1,\"a\":1}", "an object in the value has a name twice"},
    {"{\"a\":1e999}", "a number in the value is out of range"},
    {"{\"a\":[[[[[[[[]]]]]]]]}", "the value is nested more than 8 levels deep"},
    {"{\"idempotency_key\":5}", "the field idempotency_key must be a string of 1 to 255 "
                                "bytes, each from 0x21 to 0x7E"},
    {"{\"idempotency_key\":\"j\"}",
     "the header and the field idempotency_key carry different keys"},
    {"{\"amuont\":1}", "no operation has a field \"amuont\""},
    {"{\"\":1}", "no operation has a field \"\""},
    {"{\"z\":1,\"a\":1}", "no operation has a field \"z\""},
    {"{\"a\\n\\\"\\\\\\u007fb\":1}", "no operation has a field \"a????b\""},
    {"{\" ~!\":1}", "no operation has a field \" ~!\""},
    {"{\"gr\xc3\xb6\xc3\x9f"
     "e \xf0\x9f\x92\xb6\":1}",
     "no operation has a field \"gr??e ?\""},
    {"{\"" X50 "yyyyyyyyyyyyyy\":1}",
     "no operation has a field \"" X50 "yyyyyyyyyyyyyy\""},
    {"{\"" X50 "yyyyyyyyyyyyyyy\":1}",
     "no operation has a field \"" X50 "yyyyyyyyyyyyyy...\""},
    {"{\"" X50 X50 X50 X50 X50 "\":1}",
     "no operation has a field \"" X50 "xxxxxxxxxxxxxx...\""},
    {"{\"operation\":\"refund\",\"source\":1,\"account\":1}",
     "refund has no field account"},
    {"{\"operation\":\"open_account\",\"reference\":1}",
     "open_account has no field reference"},
    {"{}", "the field operation is required and missing"},
    {"{\"operation\":\"hold\"}", "the field client is required and missing"},
    {"{\"operation\":\"transfer\"}", "the field client is required and missing"},
    {OPEN("\"currency\":\"USD\""), "the field account is required and missing"},
    {"{\"operation\":5,\"client\":\"c\"}", "the field operation must be a string"},
    {"{\"operation\":\"hold\",\"client\":\"\"}",
     "the field client must be a string of 1 to 64 bytes, each from 0x21 to 0x7E"},
    {"{\"operation\":\"hold\",\"client\":\"c\"}",
     "the operation must be open_account, transfer or refund"},
    {OPEN("\"currency\":\"USD\",\"account\":\" \""),
     "the field account must be a string of 1 to 64 bytes, each from 0x21 to 0x7E"},
    {OPEN("\"currency\":1,\"account\":\"a\""), "the field currency must be a string"},
    {OPEN("\"currency\":\"\",\"account\":\"a\""),
     "the currency must be an active ISO 4217 code that has a minor unit"},
    {OPEN("\"currency\":\"USD\",\"account\":\"a\",\"minimum_balance\":true"),
     "the field minimum_balance must be a decimal string, a number or null"},
    {OPEN("\"currency\":\"USD\",\"account\":\"a\",\"minimum_balance\":1"),
     "the minimum_balance must be 0 or a decimal below, at least -9999999999999.99, with "
     "no "
     "more decimals than USD has (2)"},
    {TRANSFER(",\"amount\":[],\"currency\":\"USD\""),
     "the field amount must be a decimal string or a number"},
    {TRANSFER(",\"amount\":0,\"currency\":\"USD\""),
     "the amount must be a decimal above 0, at most 9999999999999.99, with no more "
     "decimals "
     "than USD has (2)"},
    {TRANSFER(",\"amount\":\"1.5\",\"currency\":\"JPY\""),
     "the amount must be a decimal above 0, at most 999999999999999, with no more "
     "decimals "
     "than JPY has (0)"},
    {TRANSFER(",\"amount\":1,\"currency\":\"USD\",\"reference\":\"\""),
     "the field reference must be a string of 1 to 140 characters, none of them a "
     "control "
     "character"},
    {"{\"operation\":\"refund\",\"client\":\"c\",\"payment_id\":\"x\",\"amount\":1,"
     "\"currency\":\"USD\"}",
     "the field payment_id must be a UUID of 36 characters"},
    {"{\"operation\":\"transfer\",\"client\":\"c\",\"source\":\"a\",\"destination\":"
     "\"a\","
     "\"amount\":1,\"currency\":\"USD\"}",
     "source and destination are the same account"},
};

static void test_details(void)
{
    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
        struct intake intake;
        intake_init(&intake);
        intake_key_header(&intake, "k", 1);
        intake_value(&intake, details[i].value, strlen(details[i].value));
        test_case(details[i].value);
        CHECK_TEXT(intake.detail, details[i].detail);
    }
}

static void test_header_details(void)
{
    struct intake intake;
    test_case("details about headers");
    intake_init(&intake);
    intake_value(&intake, NULL, 0);
    CHECK_TEXT(intake.detail,
               "the command has no idempotency key, neither as a header nor as a field");
    intake_init(&intake);
    intake_key_header(&intake, NULL, 0);
    intake_value(&intake, "{}", 2);
    CHECK_TEXT(intake.detail,
               "the idempotency key in a header must be 1 to 255 bytes, each "
               "from 0x21 to 0x7E");
    intake_init(&intake);
    intake_key_header(&intake, "a", 1);
    intake_key_header(&intake, "b", 1);
    intake_value(&intake, "{}", 2);
    CHECK_TEXT(intake.detail, "two headers carry different idempotency keys");
}

/* --- ownership ---------------------------------------------------------------------- */

/* Nothing is borrowed: the bytes may go as soon as the call is back. */
static void test_nothing_borrowed(void)
{
    char key[] = "k";
    char value[] =
        TRANSFER(",\"amount\":\"1.00\",\"currency\":\"USD\",\"reference\":\"r\"");
    struct intake intake;
    intake_init(&intake);
    intake_key_header(&intake, key, 1);
    memset(key, '#', sizeof(key));
    intake_value(&intake, value, strlen(value));
    memset(value, '#', sizeof(value));
    test_case("nothing borrowed");
    CHECK_TEXT(intake.command.key, "k");
    CHECK_TEXT(intake.command.source, "a");
    CHECK_TEXT(intake.command.reference, "r");
    CHECK_TEXT(intake.command.currency->code, "USD");
}

/* Of the last command nothing stays in an intake that is used again. */
static void test_used_again(void)
{
    struct intake intake;
    static const char refund[] =
        "{\"operation\":\"refund\",\"client\":\"client\",\"payment_id\":"
        "\"ffffffff-ffff-ffff-ffff-ffffffffffff\",\"amount\":7,\"currency\":\"USD\","
        "\"reference\":\"ref\"}";
    static const char account[] = OPEN("\"account\":\"a\",\"currency\":\"JPY\"");
    static const struct uuid nil;
    test_case("used again");
    for (int i = 0; i < 2; i++) {
        intake_init(&intake);
        intake_key_header(&intake, "key", 3);
        intake_value(&intake, refund, strlen(refund));
        CHECK_INT(intake.code, CODE_NONE);
        intake_init(&intake);
        intake_key_header(&intake, "k", 1);
        intake_value(&intake, account, strlen(account));
        CHECK_INT(intake.code, CODE_NONE);
        CHECK_TEXT(intake.command.key, "k");
        CHECK_TEXT(intake.command.client, "c");
        CHECK_TEXT(intake.command.reference, "");
        CHECK_INT(intake.command.amount_minor, 0);
        CHECK(uuid_equal(&intake.command.refunded_payment_id, &nil));
        intake_init(&intake);
        intake_key_header(&intake, "k", 1);
        intake_value(&intake, "x", 1);
        CHECK(!intake.has_client && intake.command.operation == OPERATION_NONE);
        CHECK(intake.command.currency == NULL && intake.command.account[0] == '\0');
    }
}

int main(void)
{
    test_sound();
    test_pairs();
    test_all_pairs_seen();
    test_header_names();
    test_details();
    test_header_details();
    test_nothing_borrowed();
    test_used_again();
    return test_end();
}
