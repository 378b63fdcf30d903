/* verdicts.c: what the product makes of records, for differential.py to judge. A line of
 * input is one record in hexadecimal: its value, then `name:value` for each header; `-`
 * is a value that is not there. A line of output is one JSON object: the code and all
 * that was understood. Has no opinion of its own. */
#include <stdbool.h>
#include <string.h>

#include "base/text_buffer.h"
#include "schema/digest.h"
#include "schema/intake.h"
#include "tests/fuzz/fuzz.h"

enum { OUTPUT_SIZE = 16384 };

static struct digest *digest;

/* --- reading ------------------------------------------------------------------------ */

static unsigned digit_of(char hex)
{
    const char *digits = "0123456789abcdef";
    const char *found = hex != '\0' ? strchr(digits, hex) : NULL;
    REQUIRE(found != NULL);
    return (unsigned)(found - digits);
}

struct bytes {
    char *at; /* owned, NUL behind the last; NULL: not there */
    size_t size;
};

static struct bytes read_bytes(const char *text, size_t size)
{
    struct bytes bytes = {NULL, 0};
    if (size == 1 && text[0] == '-')
        return bytes;
    REQUIRE(size % 2 == 0);
    bytes.at = malloc(size / 2 + 1);
    REQUIRE(bytes.at != NULL);
    for (; bytes.size < size / 2; bytes.size++)
        bytes.at[bytes.size] = (char)(digit_of(text[2 * bytes.size]) << 4 |
                                      digit_of(text[2 * bytes.size + 1]));
    bytes.at[bytes.size] = '\0';
    return bytes;
}

static void read_header(struct intake *intake, const char *word, size_t size)
{
    const char *colon = memchr(word, ':', size);
    REQUIRE(colon != NULL);
    size_t name_size = (size_t)(colon - word);
    struct bytes name = read_bytes(word, name_size);
    struct bytes value = read_bytes(colon + 1, size - name_size - 1);
    if (intake_is_key_header(name.at))
        intake_key_header(intake, value.at, value.size);
    free(name.at);
    free(value.at);
}

static void read_record(struct intake *intake, const char *line)
{
    size_t value_size = strcspn(line, " \n");
    intake_init(intake);
    for (const char *at = line + value_size; *at == ' ';) {
        size_t size = strcspn(++at, " \n");
        read_header(intake, at, size);
        at += size;
    }
    struct bytes value = read_bytes(line, value_size);
    intake_value(intake, value.at, value.size);
    free(value.at);
}

/* --- telling ------------------------------------------------------------------------ */

static void put_name(struct text_buffer *json, const char *name)
{
    text_put_string(json, json->size == 0 ? "{\"" : ", \"");
    text_put_string(json, name);
    text_put_string(json, "\": ");
}

/* What is empty is not there. */
static void put_text(struct text_buffer *json, const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    put_name(json, name);
    text_put_json(json, text, strlen(text));
}

static void put_hex(struct text_buffer *json, const char *name, const uint8_t *bytes,
                    size_t size)
{
    put_name(json, name);
    text_put_string(json, "\"");
    for (size_t i = 0; i < size; i++) {
        char hex[3];
        snprintf(hex, sizeof(hex), "%02x", bytes[i]);
        text_put(json, hex, 2);
    }
    text_put_string(json, "\"");
}

static void put_money(struct text_buffer *json, const struct command *command)
{
    if (command->operation != OPERATION_OPEN_ACCOUNT) {
        put_name(json, "amount_minor");
        text_put_int(json, command->amount_minor);
    } else if (command->has_minimum) {
        put_name(json, "minimum_balance_minor");
        text_put_int(json, command->minimum_balance_minor);
    }
}

static void put_command(struct text_buffer *json, const struct command *command)
{
    uint8_t canonical[COMMAND_CANONICAL_MAX], fingerprint[DIGEST_SIZE];
    char uuid[UUID_TEXT_SIZE + 1] = "";
    if (command->operation == OPERATION_REFUND)
        uuid_format(&command->refunded_payment_id, uuid);
    put_text(json, "account", command->account);
    put_text(json, "source", command->source);
    put_text(json, "destination", command->destination);
    put_text(json, "payment_id", uuid);
    put_text(json, "currency", command->currency->code);
    put_text(json, "reference", command->reference);
    put_money(json, command);
    put_hex(json, "canonical", canonical, command_canonical(command, canonical));
    digest_fingerprint(digest, command, fingerprint);
    put_hex(json, "fingerprint", fingerprint, sizeof(fingerprint));
}

static void tell(const struct intake *intake)
{
    char bytes[OUTPUT_SIZE];
    struct text_buffer json;
    const struct command *command = &intake->command;
    text_buffer_init(&json, bytes, sizeof(bytes));
    put_text(&json, "code",
             intake->code != CODE_NONE ? code_name(intake->code) : "valid");
    put_text(&json, "idempotency_key", command->key);
    if (command->operation != OPERATION_NONE)
        put_text(&json, "operation", operation_name(command->operation));
    if (intake->has_client) {
        put_name(&json, "client");
        text_put_json(&json, command->client, strlen(command->client));
    }
    if (intake->code == CODE_NONE)
        put_command(&json, command);
    text_put_string(&json, "}\n");
    REQUIRE(!json.overflow);
    fwrite(json.bytes, 1, json.size, stdout);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    digest = digest_new();
    while (getline(&line, &room, stdin) > 0) {
        struct intake intake;
        read_record(&intake, line);
        tell(&intake);
    }
    free(line);
    digest_free(digest);
    return 0;
}
