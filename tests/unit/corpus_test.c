/* corpus_test.c: every case of tests/data/commands/ (its README tells the format) gives
 * the code, the command and the fingerprint that are written there. tests/schema/
 * check_examples.py reads the same files with nothing in common but them. */
#include <jansson.h>
#include <stdlib.h>

#include "schema/digest.h"
#include "schema/intake.h"
#include "schema/result.h"

#include "tests/unit/test.h"

static const char *const files[] = {"keys", "json", "fields", "amounts"};

static struct digest *digest;

/* --- the value of a case ------------------------------------------------------------ */

struct value {
    char *bytes; /* owned; NULL: the record has no value */
    size_t size;
};

static void append(struct value *value, const char *bytes, size_t size)
{
    /* One byte more than needed, so that an empty value is not a missing one. */
    value->bytes = realloc(value->bytes, value->size + size + 1);
    memcpy(value->bytes + value->size, bytes, size);
    value->size += size;
}

static void append_string(struct value *value, const json_t *string)
{
    append(value, json_string_value(string), json_string_length(string));
}

static unsigned digit(char hex)
{
    return (unsigned)(hex <= '9' ? hex - '0' : hex - 'a' + 10);
}

static void append_hex(struct value *value, const char *hex)
{
    for (; *hex != '\0'; hex += 2) {
        char byte = (char)(digit(hex[0]) << 4 | digit(hex[1]));
        append(value, &byte, 1);
    }
}

static struct value read_value(const json_t *test)
{
    struct value value = {NULL, 0};
    json_t *parts = json_object_get(test, "value_parts");
    json_t *hex = json_object_get(test, "value_hex");
    json_t *text = json_object_get(test, "value");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        for (json_int_t j = json_integer_value(json_array_get(part, 1)); j > 0; j--)
            append_string(&value, json_array_get(part, 0));
    }
    if (hex != NULL)
        append_hex(&value, json_string_value(hex));
    if (json_is_string(text))
        append_string(&value, text);
    return value;
}

/* --- what comes of it --------------------------------------------------------------- */

static void offer_headers(struct intake *intake, const json_t *headers)
{
    for (size_t i = 0; i < json_array_size(headers); i++) {
        const json_t *header = json_array_get(headers, i);
        const json_t *value = json_array_get(header, 1);
        if (intake_is_key_header(json_string_value(json_array_get(header, 0))))
            intake_key_header(intake, json_string_value(value),
                              json_string_length(value));
    }
}

/* Against absent as the empty text. */
static void check_text(const json_t *wanted, const char *name, const char *got)
{
    const char *text = json_string_value(json_object_get(wanted, name));
    CHECK_TEXT(got, text != NULL ? text : "");
}

static void check_payment_id(const json_t *wanted, const struct command *command)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(&command->refunded_payment_id, text);
    if (command->operation == OPERATION_REFUND)
        check_text(wanted, "payment_id", text);
}

static void check_minimum(const json_t *wanted, const struct command *command)
{
    const json_t *minimum = json_object_get(wanted, "minimum_balance_minor");
    CHECK_INT(command->has_minimum, json_is_integer(minimum));
    CHECK_INT(command->minimum_balance_minor, json_integer_value(minimum));
}

static void check_fingerprint(const json_t *test, const struct command *command)
{
    uint8_t fingerprint[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1] = "";
    digest_fingerprint(digest, command, fingerprint);
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", fingerprint[i]);
    check_text(test, "fingerprint", hex);
}

static void check_command(const json_t *test, const struct intake *intake)
{
    const json_t *wanted = json_object_get(test, "command");
    const struct command *command = &intake->command;
    CHECK_TEXT(intake->detail, "");
    CHECK(intake->has_key && intake->has_client);
    check_text(wanted, "idempotency_key", command->key);
    check_text(wanted, "operation", operation_name(command->operation));
    check_text(wanted, "client", command->client);
    check_text(wanted, "account", command->account);
    check_text(wanted, "source", command->source);
    check_text(wanted, "destination", command->destination);
    check_text(wanted, "reference", command->reference);
    check_text(wanted, "currency",
               command->currency != NULL ? command->currency->code : "?");
    CHECK_INT(command->amount_minor,
              json_integer_value(json_object_get(wanted, "amount_minor")));
    check_minimum(wanted, command);
    check_payment_id(wanted, command);
    if (command->currency != NULL)
        check_fingerprint(test, command);
}

/* A sentence: not empty, bounded, one line, and fit for any terminal. */
static void check_detail(const char *detail)
{
    size_t size = strlen(detail);
    CHECK(size > 10 && size <= INTAKE_DETAIL_MAX);
    for (size_t i = 0; i < size; i++)
        CHECK(detail[i] >= 0x20 && detail[i] <= 0x7e);
}

/* What the result of a malformed command would tell of it. */
static void check_answer(const json_t *test, const struct intake *intake)
{
    const json_t *wanted = json_object_get(test, "answer");
    bool is_named = intake->command.operation != OPERATION_NONE && intake->has_client;
    check_detail(intake->detail);
    CHECK_INT(intake->has_key, json_is_object(wanted));
    check_text(wanted, "idempotency_key", intake->command.key);
    if (!intake->has_key)
        return;
    check_text(wanted, "operation",
               is_named ? operation_name(intake->command.operation) : "");
    check_text(wanted, "client", is_named ? intake->command.client : "");
}

static void run(const json_t *test)
{
    struct intake intake;
    struct value value = read_value(test);
    const char *code = json_string_value(json_object_get(test, "code"));
    test_case(json_string_value(json_object_get(test, "name")));
    memset(&intake, 0xa5, sizeof(intake)); /* nothing may be left as it was */
    intake_init(&intake);
    offer_headers(&intake, json_object_get(test, "headers"));
    intake_value(&intake, value.bytes, value.size);
    CHECK_TEXT(code_name(intake.code), code != NULL ? code : "");
    if (code == NULL)
        check_command(test, &intake);
    else
        check_answer(test, &intake);
    free(value.bytes);
}

static unsigned run_file(const char *name)
{
    char path[512];
    unsigned count = 0;
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    snprintf(path, sizeof(path), "%s/commands/%s.jsonl", TEST_DATA, name);
    FILE *file = fopen(path, "r");
    test_case(name);
    CHECK(file != NULL);
    while (file != NULL && (size = getline(&line, &room, file)) > 0) {
        json_t *test = json_loadb(line, (size_t)size, JSON_ALLOW_NUL, NULL);
        CHECK(test != NULL);
        run(test);
        json_decref(test);
        count++;
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return count;
}

int main(void)
{
    unsigned count = 0;
    digest = digest_new();
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        count += run_file(files[i]);
    digest_free(digest);
    printf("%u cases\n", count);
    CHECK(count > 600);
    return test_end();
}
