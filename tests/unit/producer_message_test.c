/* producer_message_test.c: what libpostonce makes of a command: which inputs it refuses
 * and why, which key and record key it takes, and that a struct becomes correct JSON. */
#include <jansson.h>

#include "producer/postonce_fault.h"
#include "producer/postonce_message.h"
#include "tests/unit/test.h"

/* A row: what goes in, and the error or the keys that come out. */
struct row {
    const char *name, *json, *key;
    enum postonce_error error;
    const char *want_key;
    const char *want_record_key; /* NULL: none */
};

static const struct row rows[] = {
    {"the key inside", "{\"idempotency_key\":\"k-1\"}", NULL, POSTONCE_OK, "k-1", NULL},
    {"the key given", "{}", "k-2", POSTONCE_OK, "k-2", NULL},
    {"both, equal", "{\"idempotency_key\":\"k\"}", "k", POSTONCE_OK, "k", NULL},
    {"equal by an escape", "{\"idempotency_key\":\"\\u006b\"}", "k", POSTONCE_OK, "k",
     NULL},
    {"both, different", "{\"idempotency_key\":\"k\"}", "K", POSTONCE_KEY_AMBIGUOUS, "",
     NULL},
    {"no key", "{}", NULL, POSTONCE_KEY_MISSING, "", NULL},
    {"a key only deeper", "{\"a\":{\"idempotency_key\":\"k\"}}", NULL,
     POSTONCE_KEY_MISSING, "", NULL},
    {"an empty key", "{\"idempotency_key\":\"\"}", NULL, POSTONCE_KEY_INVALID, "", NULL},
    {"an empty key given", "{}", "", POSTONCE_KEY_INVALID, "", NULL},
    {"a space", "{\"idempotency_key\":\"a b\"}", NULL, POSTONCE_KEY_INVALID, "", NULL},
    {"a control", "{\"idempotency_key\":\"a\\u001f\"}", NULL, POSTONCE_KEY_INVALID, "",
     NULL},
    {"a NUL", "{\"idempotency_key\":\"a\\u0000\"}", NULL, POSTONCE_KEY_INVALID, "", NULL},
    {"not ASCII", "{\"idempotency_key\":\"\\u00e9\"}", NULL, POSTONCE_KEY_INVALID, "",
     NULL},
    {"DEL", "{\"idempotency_key\":\"\x7f\"}", NULL, POSTONCE_KEY_INVALID, "", NULL},
    {"first and last", "{\"idempotency_key\":\"!~\"}", NULL, POSTONCE_OK, "!~", NULL},
    {"a number", "{\"idempotency_key\":5}", NULL, POSTONCE_KEY_INVALID, "", NULL},
    {"null", "{\"idempotency_key\":null}", "k", POSTONCE_KEY_INVALID, "", NULL},
    {"nothing", "", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"no JSON", "transfer", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"an array", "[{}]", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"a string", "\"a\"", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"two objects", "{}{}", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"cut off", "{\"a\":", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"bad UTF-8", "{\"a\":\"\xff\"}", "k", POSTONCE_JSON_INVALID, "", NULL},
    {"white space around", " {} \t", "k", POSTONCE_OK, "k", NULL},
    /* What the consumer refuses, but with an answer. */
    {"a name twice", "{\"a\":1,\"a\":2}", "k", POSTONCE_OK, "k", NULL},
    {"a NUL in a text", "{\"a\":\"\\u0000\"}", "k", POSTONCE_OK, "k", NULL},
    {"a huge integer", "{\"a\":123456789012345678901234567890}", "k", POSTONCE_OK, "k",
     NULL},
    {"an unknown operation", "{\"operation\":\"mint\"}", "k", POSTONCE_OK, "k", NULL},
    /* Record keys. */
    {"open_account",
     "{\"operation\":\"open_account\",\"account\":\"a\",\"source\":\"s\"}", "k",
     POSTONCE_OK, "k", "a"},
    {"transfer", "{\"operation\":\"transfer\",\"account\":\"a\",\"source\":\"s\"}", "k",
     POSTONCE_OK, "k", "s"},
    {"refund", "{\"operation\":\"refund\",\"source\":\"s\",\"payment_id\":\"P\"}", "k",
     POSTONCE_OK, "k", "P"},
    {"transfer without source", "{\"operation\":\"transfer\",\"account\":\"a\"}", "k",
     POSTONCE_OK, "k", NULL},
    {"a source that is no string", "{\"operation\":\"transfer\",\"source\":5}", "k",
     POSTONCE_OK, "k", NULL},
    {"an empty source", "{\"operation\":\"transfer\",\"source\":\"\"}", "k", POSTONCE_OK,
     "k", NULL},
    {"a later operation", "{\"operation\":\"hold\",\"source\":\"s\"}", "k", POSTONCE_OK,
     "k", "s"},
};

static void check_row(const struct row *row)
{
    struct postonce_input input = {.json = row->json,
                                   .json_size = strlen(row->json),
                                   .key = row->key,
                                   .require_key = true};
    struct postonce_fault fault = {.error = POSTONCE_OK};
    test_case(row->name);
    struct postonce_message *message = postonce_message_new(&input, &fault);
    CHECK_INT(fault.error, row->error);
    CHECK((message == NULL) == (row->error != POSTONCE_OK));
    if (message != NULL) {
        const char *want = row->want_record_key != NULL ? row->want_record_key : "";
        CHECK_TEXT(postonce_message_key(message), row->want_key);
        CHECK_INT(message->key_size, strlen(row->want_key));
        CHECK_BYTES(message->record_key, message->record_key_size, want, strlen(want));
        CHECK_BYTES(message->value, message->value_size, row->json, strlen(row->json));
    } else {
        CHECK(strlen(fault.sentence) > 10 && fault.setting == NULL);
    }
    postonce_message_free(message);
}

static void check_key_sizes(void)
{
    char key[POSTONCE_KEY_MAX + 2], json[64 + 2 * sizeof key];
    for (size_t size = POSTONCE_KEY_MAX; size <= POSTONCE_KEY_MAX + 1; size++) {
        memset(key, 'k', size);
        key[size] = '\0';
        snprintf(json, sizeof json, "{\"idempotency_key\":\"%s\",\"source\":\"%s\"}", key,
                 key);
        struct postonce_input inner = {.json = json, .json_size = strlen(json)};
        struct postonce_input given = {.json = "{}", .json_size = 2, .key = key};
        bool fits = size == POSTONCE_KEY_MAX;
        struct postonce_message *message = postonce_message_new(&inner, NULL);
        test_case(fits ? "255 bytes" : "256 bytes");
        CHECK((message != NULL) == fits);
        CHECK(message == NULL || message->record_key_size == POSTONCE_KEY_MAX);
        postonce_message_free(message);
        message = postonce_message_new(&given, NULL);
        CHECK((message != NULL) == fits);
        postonce_message_free(message);
    }
}

static void check_generated(void)
{
    struct postonce_input input = {.json = "{}", .json_size = 2};
    struct postonce_message *first = postonce_message_new(&input, NULL);
    struct postonce_message *second = postonce_message_new(&input, NULL);
    test_case("no key anywhere: a new UUIDv7 each time, and not in the JSON");
    CHECK_INT(first->key_size, 36);
    CHECK(strcmp(first->key, second->key) < 0);
    CHECK_BYTES(first->value, first->value_size, "{}", 2);
    postonce_message_free(first);
    postonce_message_free(second);
    test_case("neither command nor JSON");
    struct postonce_fault fault;
    CHECK(postonce_message_new(&(struct postonce_input){.key = "k"}, &fault) == NULL);
    CHECK_INT(fault.error, POSTONCE_COMMAND_INVALID);
}

static void check_command(const char *name, const struct postonce_command *command,
                          const char *want_json, const char *want_record_key)
{
    struct postonce_input input = {.command = command, .key = "k"};
    struct postonce_message *message = postonce_message_new(&input, NULL);
    test_case(name);
    CHECK_TEXT(message->value, want_json);
    CHECK_INT(message->value_size, strlen(want_json));
    CHECK_BYTES(message->record_key, message->record_key_size, want_record_key,
                strlen(want_record_key));
    postonce_message_free(message);
}

static void check_commands(void)
{
    check_command(
        "open_account",
        &(struct postonce_command){.operation = POSTONCE_OPEN_ACCOUNT,
                                   .client = "bank",
                                   .account = "acct-1",
                                   .currency = "USD",
                                   .minimum_balance = "-5.00"},
        "{\"operation\":\"open_account\",\"client\":\"bank\",\"account\":\"acct-1\","
        "\"currency\":\"USD\",\"minimum_balance\":\"-5.00\"}",
        "acct-1");
    check_command("open_account without a limit",
                  &(struct postonce_command){.operation = POSTONCE_OPEN_ACCOUNT,
                                             .account = "bank",
                                             .no_minimum_balance = true},
                  "{\"operation\":\"open_account\",\"account\":\"bank\","
                  "\"minimum_balance\":null}",
                  "bank");
    check_command("transfer",
                  &(struct postonce_command){.operation = POSTONCE_TRANSFER,
                                             .client = "c",
                                             .source = "s",
                                             .destination = "d",
                                             .amount = "100.00",
                                             .currency = "USD",
                                             .reference = "order 456"},
                  "{\"operation\":\"transfer\",\"client\":\"c\",\"source\":\"s\","
                  "\"destination\":\"d\",\"amount\":\"100.00\",\"currency\":\"USD\","
                  "\"reference\":\"order 456\"}",
                  "s");
    check_command(
        "refund",
        &(struct postonce_command){.operation = POSTONCE_REFUND,
                                   .client = "c",
                                   .payment_id = "0192f0c1-aaaa",
                                   .amount = "1",
                                   .currency = "USD"},
        "{\"operation\":\"refund\",\"client\":\"c\","
        "\"payment_id\":\"0192f0c1-aaaa\",\"amount\":\"1\",\"currency\":\"USD\"}",
        "0192f0c1-aaaa");
}

/* The oracle is jansson's reader: what went in as text must come out of the JSON. */
static void check_escaping(const char *reference)
{
    struct postonce_command command = {.operation = POSTONCE_TRANSFER,
                                       .reference = reference};
    struct postonce_input input = {.command = &command, .key = "k"};
    struct postonce_message *message = postonce_message_new(&input, NULL);
    json_t *object = json_loadb(message->value, message->value_size, 0, NULL);
    const char *found = json_string_value(json_object_get(object, "reference"));
    CHECK_TEXT(found != NULL ? found : "", reference);
    CHECK_INT(json_object_size(object), 2);
    json_decref(object);
    postonce_message_free(message);
}

static void check_escapings(void)
{
    char controls[33];
    test_case("escaping");
    check_escaping("");
    check_escaping("\",\"operation\":\"refund");
    check_escaping("back\\slash / solidus \\u0041");
    check_escaping("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xb8");
    for (char i = 1; i <= 32; i++)
        controls[i - 1] = i;
    controls[32] = '\0';
    check_escaping(controls);
}

static void check_bad_command(const char *name, const struct postonce_command *command)
{
    struct postonce_fault fault = {.error = POSTONCE_OK};
    struct postonce_input input = {.command = command, .key = "k"};
    test_case(name);
    CHECK(postonce_message_new(&input, &fault) == NULL);
    CHECK_INT(fault.error, POSTONCE_COMMAND_INVALID);
}

static void check_bad_commands(void)
{
    check_bad_command("no operation", &(struct postonce_command){.source = "s"});
    check_bad_command("operation 4", &(struct postonce_command){
                                         .operation = (enum postonce_operation)4});
    check_bad_command(
        "not UTF-8",
        &(struct postonce_command){.operation = POSTONCE_REFUND, .reference = "\xc3("});
}

static void check_fault(void)
{
    struct postonce_fault fault;
    char name[2 * POSTONCE_SENTENCE_SIZE];
    test_case("faults");
    CHECK_TEXT(postonce_error_name(POSTONCE_QUEUE_FULL), "QUEUE_FULL");
    CHECK_TEXT(postonce_error_name((enum postonce_error)999), "UNKNOWN");
    CHECK(postonce_error_meaning((enum postonce_error)999) != NULL);
    CHECK_INT(postonce_fault_set(NULL, POSTONCE_FATAL, NULL), POSTONCE_FATAL);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_INT(postonce_fault_setting(&fault, name, "no"), POSTONCE_SETTING_INVALID);
    CHECK(fault.setting == name);
    CHECK_INT(strlen(fault.sentence), POSTONCE_SENTENCE_SIZE - 1);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i]);
    check_key_sizes();
    check_generated();
    check_commands();
    check_escapings();
    check_bad_commands();
    check_fault();
    return test_end();
}
