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

static void put_text(struct text_buffer *json, const char *name, const char *text)
{
    text_put_string(json, json->size == 0 ? "{\"" : ",\"");
    text_put_string(json, name);
    text_put_string(json, "\":");
    text_put_json(json, text, strlen(text));
}

static void put_uuid(struct text_buffer *json, const char *name, const struct uuid *uuid)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(uuid, text);
    put_text(json, name, text);
}

static void put_amount(struct text_buffer *json, const char *name, int64_t minor,
                       const struct currency *currency)
{
    char text[MONEY_TEXT_MAX];
    money_format(minor, currency->exponent, text);
    put_text(json, name, text);
}

/* Operation and client go together or not at all. */
static void put_heading(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    put_text(json, "idempotency_key", command->key);
    if (command->operation != OPERATION_NONE && result->intake->has_client) {
        put_text(json, "operation", operation_name(command->operation));
        put_text(json, "client", command->client);
    }
    put_text(json, "outcome", outcome_name(result->outcome));
    if (result->code == CODE_NONE)
        return;
    put_text(json, "code", code_name(result->code));
    put_text(json, "detail",
             result->outcome == OUTCOME_MALFORMED ? result->intake->detail
                                                  : code_sentence(result->code));
}

static void put_balance(struct text_buffer *json, const struct result *result)
{
    if (result->outcome == OUTCOME_APPLIED)
        put_amount(json, "balance", result->balance_minor,
                   result->intake->command.currency);
}

static void put_account(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    put_text(json, "account", command->account);
    put_text(json, "currency", command->currency->code);
    if (command->has_minimum)
        put_amount(json, "minimum_balance", command->minimum_balance_minor,
                   command->currency);
    put_balance(json, result);
}

static void put_payment(struct text_buffer *json, const struct result *result)
{
    const struct command *command = &result->intake->command;
    if (result->outcome == OUTCOME_APPLIED)
        put_uuid(json, "payment_id", result->payment_id);
    if (command->operation == OPERATION_TRANSFER) {
        put_text(json, "source", command->source);
        put_text(json, "destination", command->destination);
    }
    put_amount(json, "amount", command->amount_minor, command->currency);
    put_text(json, "currency", command->currency->code);
    put_balance(json, result);
    if (command->operation == OPERATION_REFUND)
        put_uuid(json, "refunded_payment_id", &command->refunded_payment_id);
    if (command->reference[0] != '\0')
        put_text(json, "reference", command->reference);
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
