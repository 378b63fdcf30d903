/* result.c: see result.h.
 *
 * Owns which field a result has for which outcome, and their order (CONTRACT §3).
 * Everything comes from the arguments: no clock, no locale, no order that could differ
 * tomorrow. Never writes what the outcome must not tell. */
#include "schema/result.h"

#include <string.h>

#include "base/must.h"
#include "base/text_buffer.h"
#include "schema/money.h"

/* What comes before the value of a field, and its size. */
#define FIELD(name) ",\"" name "\":", sizeof(",\"" name "\":") - 1

/* A text that came from somewhere else. */
static void put_text(struct text_buffer *json, const char *field, size_t field_size,
                     const char *text)
{
    text_put(json, field, field_size);
    text_put_json(json, text, strlen(text));
}

/* A text that this program made, with nothing in it to be escaped. */
static void put_plain(struct text_buffer *json, const char *field, size_t field_size,
                      const char *text)
{
    text_put(json, field, field_size);
    text_put(json, "\"", 1);
    text_put_string(json, text);
    text_put(json, "\"", 1);
}

static void put_uuid(struct text_buffer *json, const char *field, size_t field_size,
                     const struct uuid *uuid)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(uuid, text);
    put_plain(json, field, field_size, text);
}

static void put_amount(struct text_buffer *json, const char *field, size_t field_size,
                       int64_t minor, const struct currency *currency)
{
    char text[MONEY_TEXT_MAX];
    money_format(minor, currency->exponent, text);
    put_plain(json, field, field_size, text);
}

/* Operation and client go together or not at all. */
static void put_heading(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    text_put_string(json, "{\"idempotency_key\":");
    text_put_json(json, command->key, strlen(command->key));
    if (command->operation != OPERATION_NONE && result->intake->has_client) {
        put_plain(json, FIELD("operation"), operation_name(command->operation));
        put_text(json, FIELD("client"), command->client);
    }
    put_plain(json, FIELD("outcome"), outcome_name(result->outcome));
    if (result->code == CODE_NONE)
        return;
    put_plain(json, FIELD("code"), code_name(result->code));
    put_text(json, FIELD("detail"),
             result->outcome == OUTCOME_MALFORMED ? result->intake->detail
                                                  : code_sentence(result->code));
}

static void put_balance(struct text_buffer *json, const struct result *result)
{
    if (result->outcome == OUTCOME_APPLIED)
        put_amount(json, FIELD("balance"), result->balance_minor,
                   result->intake->command.currency);
}

static void put_account(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    put_text(json, FIELD("account"), command->account);
    put_plain(json, FIELD("currency"), command->currency->code);
    if (command->has_minimum)
        put_amount(json, FIELD("minimum_balance"), command->minimum_balance_minor,
                   command->currency);
    put_balance(json, result);
}

static void put_payment(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    if (result->outcome == OUTCOME_APPLIED)
        put_uuid(json, FIELD("payment_id"), result->payment_id);
    if (command->operation == OPERATION_TRANSFER) {
        put_text(json, FIELD("source"), command->source);
        put_text(json, FIELD("destination"), command->destination);
    }
    put_amount(json, FIELD("amount"), command->amount_minor, command->currency);
    put_plain(json, FIELD("currency"), command->currency->code);
    put_balance(json, result);
    if (command->operation == OPERATION_REFUND)
        put_uuid(json, FIELD("refunded_payment_id"), &command->refunded_payment_id);
    if (command->reference[0] != '\0')
        put_text(json, FIELD("reference"), command->reference);
}

size_t result_write(const struct result *result, char bytes[RESULT_MAX])
{
    struct text_buffer json;
    MUST(result->intake->has_key);
    text_buffer_init(&json, bytes, RESULT_MAX);
    put_heading(&json, result);
    if (result->outcome == OUTCOME_APPLIED || result->outcome == OUTCOME_REJECTED) {
        if (result->intake->command.operation == OPERATION_OPEN_ACCOUNT)
            put_account(&json, result);
        else
            put_payment(&json, result);
    }
    text_put_string(&json, "}");
    MUST(!json.overflow);
    return json.size;
}
