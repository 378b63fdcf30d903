/* intake.c: see intake.h.
 *
 * Owns the judgement of a record (CONTRACT §1 and §2): the rules for the key, which
 * fields an operation has, what each may hold, and above all the order in which faults
 * are found: the first that holds is the answer. Knows neither Kafka nor jansson. The
 * sentences that it makes name fields and expectations, never a value that somebody sent.
 */
#include "schema/intake.h"

#include <string.h>

#include "base/text_buffer.h"
#include "schema/command_json.h"
#include "schema/money.h"

void intake_init(struct intake *intake)
{
    struct command *command = &intake->command;
    intake->code = CODE_NONE;
    intake->has_key = false;
    intake->has_client = false;
    intake->header_seen = false;
    intake->header_invalid = false;
    intake->header_ambiguous = false;
    intake->detail[0] = '\0';
    /* Field by field: the arrays need no more than their first byte. */
    command->operation = OPERATION_NONE;
    command->currency = NULL;
    command->amount_minor = 0;
    command->has_minimum = false;
    command->minimum_balance_minor = 0;
    memset(&command->refunded_payment_id, 0, sizeof(command->refunded_payment_id));
    command->client[0] = '\0';
    command->account[0] = '\0';
    command->source[0] = '\0';
    command->destination[0] = '\0';
    command->key[0] = '\0';
    command->reference[0] = '\0';
}

/* --- refusals ----------------------------------------------------------------------- */

/* A sentence in the making; the room is the intake's own. */
static struct text_buffer begin_detail(struct intake *intake, enum code code)
{
    struct text_buffer detail;
    intake->code = code;
    text_buffer_init(&detail, intake->detail, INTAKE_DETAIL_MAX);
    return detail;
}

static void end_detail(struct text_buffer *detail)
{
    detail->bytes[detail->size] = '\0';
}

/* All of these return false, so that a check can end with them. */
static bool refuse(struct intake *intake, enum code code, const char *sentence)
{
    struct text_buffer detail = begin_detail(intake, code);
    text_put_string(&detail, sentence);
    end_detail(&detail);
    return false;
}

static bool refuse_plainly(struct intake *intake, enum code code)
{
    return refuse(intake, code, code_sentence(code));
}

/* "the field NAME EXPECTATION" */
static bool refuse_field(struct intake *intake, enum code code, const char *name,
                         const char *expectation)
{
    struct text_buffer detail = begin_detail(intake, code);
    text_put_string(&detail, "the field ");
    text_put_string(&detail, name);
    text_put_string(&detail, " ");
    text_put_string(&detail, expectation);
    end_detail(&detail);
    return false;
}

/* --- the key ------------------------------------------------------------------------ */

static bool equals_without_case(const char *name, const char *lower)
{
    for (; *lower != '\0'; name++, lower++) {
        char letter = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
        if (letter != *lower)
            return false;
    }
    return *name == '\0';
}

bool intake_is_key_header(const char *name)
{
    return equals_without_case(name, "idempotency-key") ||
           equals_without_case(name, "x-idempotency-key");
}

static void copy_text(char *text, const char *bytes, size_t size)
{
    memcpy(text, bytes, size);
    text[size] = '\0';
}

static bool is_key(const struct intake *intake, const char *bytes, size_t size)
{
    const char *key = intake->command.key;
    return strlen(key) == size && memcmp(key, bytes, size) == 0;
}

void intake_key_header(struct intake *intake, const void *value, size_t size)
{
    if (value == NULL || !command_is_name(value, size, COMMAND_KEY_MAX)) {
        intake->header_invalid = true;
        return;
    }
    if (intake->header_seen && !is_key(intake, value, size))
        intake->header_ambiguous = true;
    if (!intake->header_seen)
        copy_text(intake->command.key, value, size);
    intake->header_seen = true;
}

/* Judges headers and field together; false: a code of the key is the answer. The
 * contract's order: missing, invalid, ambiguous. */
static bool find_key(struct intake *intake, const struct json_value *field)
{
    bool has_field = field->kind != VALUE_KIND_ABSENT;
    if (intake->header_invalid)
        return refuse(intake, CODE_KEY_INVALID,
                      "the idempotency key in a header must be 1 to 255 bytes, each from "
                      "0x21 to 0x7E");
    if (!intake->header_seen && !has_field)
        return refuse_plainly(intake, CODE_KEY_MISSING);
    if (has_field && (field->kind != VALUE_KIND_STRING ||
                      !command_is_name(field->text, field->size, COMMAND_KEY_MAX)))
        return refuse_field(intake, CODE_KEY_INVALID, "idempotency_key",
                            "must be a string of 1 to 255 bytes, each from 0x21 to 0x7E");
    if (intake->header_ambiguous)
        return refuse(intake, CODE_KEY_AMBIGUOUS,
                      "two headers carry different idempotency keys");
    if (has_field && intake->header_seen && !is_key(intake, field->text, field->size))
        return refuse(intake, CODE_KEY_AMBIGUOUS,
                      "the header and the field idempotency_key carry different keys");
    if (!intake->header_seen)
        copy_text(intake->command.key, field->text, field->size);
    return true;
}

static bool settle_key(struct intake *intake, const struct json_value *field)
{
    intake->has_key = find_key(intake, field);
    if (!intake->has_key)
        intake->command.key[0] = '\0';
    return intake->has_key;
}

/* --- the fields of an operation ----------------------------------------------------- */

#define BIT(suffix) (1U << FIELD_##suffix)

/* CONTRACT §1, the column "in". NONE stands for an operation that is missing or unknown:
 * it may have any field that some operation has. */
static const struct shape {
    unsigned required, optional;
} shapes[OPERATION_COUNT] = {
    [OPERATION_NONE] = {BIT(OPERATION) | BIT(CLIENT), ~0U},
    [OPERATION_OPEN_ACCOUNT] = {BIT(OPERATION) | BIT(CLIENT) | BIT(ACCOUNT) |
                                    BIT(CURRENCY),
                                BIT(MINIMUM_BALANCE) | BIT(IDEMPOTENCY_KEY)},
    [OPERATION_TRANSFER] = {BIT(OPERATION) | BIT(CLIENT) | BIT(SOURCE) |
                                BIT(DESTINATION) | BIT(AMOUNT) | BIT(CURRENCY),
                            BIT(REFERENCE) | BIT(IDEMPOTENCY_KEY)},
    [OPERATION_REFUND] = {BIT(OPERATION) | BIT(CLIENT) | BIT(PAYMENT_ID) | BIT(AMOUNT) |
                              BIT(CURRENCY),
                          BIT(REFERENCE) | BIT(IDEMPOTENCY_KEY)},
};

static bool take_name(char *name, const struct json_value *value, size_t max)
{
    if (value->kind != VALUE_KIND_STRING ||
        !command_is_name(value->text, value->size, max))
        return false;
    copy_text(name, value->text, value->size);
    return true;
}

static bool take_client(struct command *command, const struct json_value *value)
{
    return take_name(command->client, value, COMMAND_CLIENT_MAX);
}

static bool take_account(struct command *command, const struct json_value *value)
{
    return take_name(command->account, value, COMMAND_ACCOUNT_MAX);
}

static bool take_source(struct command *command, const struct json_value *value)
{
    return take_name(command->source, value, COMMAND_ACCOUNT_MAX);
}

static bool take_destination(struct command *command, const struct json_value *value)
{
    return take_name(command->destination, value, COMMAND_ACCOUNT_MAX);
}

static bool take_payment_id(struct command *command, const struct json_value *value)
{
    return value->kind == VALUE_KIND_STRING &&
           uuid_parse(value->text, value->size, &command->refunded_payment_id);
}

static bool take_reference(struct command *command, const struct json_value *value)
{
    if (value->kind != VALUE_KIND_STRING ||
        !command_is_reference(value->text, value->size))
        return false;
    copy_text(command->reference, value->text, value->size);
    return true;
}

/* Operation, currency and amounts are judged by type here and taken later: their other
 * faults have codes of their own, further down the order. */
static bool is_string(struct command *command, const struct json_value *value)
{
    (void)command;
    return value->kind == VALUE_KIND_STRING;
}

static bool is_amount_type(struct command *command, const struct json_value *value)
{
    (void)command;
    return value->kind == VALUE_KIND_STRING || value->kind == VALUE_KIND_NUMBER;
}

static bool is_minimum_type(struct command *command, const struct json_value *value)
{
    return value->kind == VALUE_KIND_NULL || is_amount_type(command, value);
}

static bool is_settled(struct command *command, const struct json_value *value)
{
    (void)command;
    (void)value;
    return true;
}

#define NAME_EXPECTATION "must be a string of 1 to 64 bytes, each from 0x21 to 0x7E"

static const struct rule {
    const char *name;
    bool (*take)(struct command *command, const struct json_value *value);
    const char *expectation;
} rules[FIELD_COUNT] = {
    [FIELD_OPERATION] = {"operation", is_string, "must be a string"},
    [FIELD_CLIENT] = {"client", take_client, NAME_EXPECTATION},
    [FIELD_ACCOUNT] = {"account", take_account, NAME_EXPECTATION},
    [FIELD_SOURCE] = {"source", take_source, NAME_EXPECTATION},
    [FIELD_DESTINATION] = {"destination", take_destination, NAME_EXPECTATION},
    [FIELD_PAYMENT_ID] = {"payment_id", take_payment_id,
                          "must be a UUID of 36 characters"},
    [FIELD_AMOUNT] = {"amount", is_amount_type, "must be a decimal string or a number"},
    [FIELD_CURRENCY] = {"currency", is_string, "must be a string"},
    [FIELD_MINIMUM_BALANCE] = {"minimum_balance", is_minimum_type,
                               "must be a decimal string, a number or null"},
    [FIELD_REFERENCE] =
        {"reference", take_reference,
         "must be a string of 1 to 140 characters, none of them a control "
         "character"},
    [FIELD_IDEMPOTENCY_KEY] = {"idempotency_key", is_settled, ""},
};

/* --- the order of judgement --------------------------------------------------------- */

/* The lowest field of a set that is not empty. */
static const char *first_name(unsigned fields)
{
    return rules[__builtin_ctz(fields)].name;
}

/* A name that somebody made up, for a person to read: cut to 64 characters, everything
 * but printable ASCII, and what would end a quotation, as `?`. */
static void put_foreign_name(struct text_buffer *detail, const char *name)
{
    enum { SHOWN_MAX = 64 };
    size_t shown = 0;
    for (; *name != '\0' && shown < SHOWN_MAX; name++) {
        bool is_continuation = (*name & 0xc0) == 0x80;
        bool is_plain = *name >= 0x20 && *name <= 0x7e && *name != '"' && *name != '\\';
        if (is_continuation)
            continue; /* its code point has its `?` already */
        text_put(detail, is_plain ? name : "?", 1);
        shown++;
    }
    if (*name != '\0')
        text_put_string(detail, "...");
}

static bool refuse_unknown_name(struct intake *intake, const char *name)
{
    struct text_buffer detail = begin_detail(intake, CODE_FIELD_UNKNOWN);
    text_put_string(&detail, "no operation has a field \"");
    put_foreign_name(&detail, name);
    text_put_string(&detail, "\"");
    end_detail(&detail);
    return false;
}

static bool refuse_foreign_field(struct intake *intake, const char *field)
{
    struct text_buffer detail = begin_detail(intake, CODE_FIELD_UNKNOWN);
    text_put_string(&detail, operation_name(intake->command.operation));
    text_put_string(&detail, " has no field ");
    text_put_string(&detail, field);
    end_detail(&detail);
    return false;
}

static bool all_names_known(struct intake *intake, const struct command_json *json)
{
    const struct shape *shape = &shapes[intake->command.operation];
    if (json->unknown != NULL)
        return refuse_unknown_name(intake, json->unknown);
    unsigned foreign = json->present & ~(shape->required | shape->optional);
    return foreign == 0 || refuse_foreign_field(intake, first_name(foreign));
}

static bool none_missing(struct intake *intake, const struct command_json *json)
{
    unsigned missing = shapes[intake->command.operation].required & ~json->present;
    return missing == 0 || refuse_field(intake, CODE_FIELD_MISSING, first_name(missing),
                                        "is required and missing");
}

/* Takes each field into the command. Of an operation that is unknown only the operation
 * and the client are judged. */
static bool all_fields_valid(struct intake *intake, const struct command_json *json)
{
    bool is_known = intake->command.operation != OPERATION_NONE;
    unsigned judged = is_known ? json->present : shapes[OPERATION_NONE].required;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if ((judged & 1U << i) != 0 && !rules[i].take(&intake->command, &json->values[i]))
            return refuse_field(intake, CODE_FIELD_INVALID, rules[i].name,
                                rules[i].expectation);
    return true;
}

static bool operation_known(struct intake *intake)
{
    return intake->command.operation != OPERATION_NONE ||
           refuse_plainly(intake, CODE_OPERATION_UNKNOWN);
}

static bool take_currency(struct intake *intake, const struct json_value *value)
{
    intake->command.currency = currency_find(value->text, value->size);
    return intake->command.currency != NULL ||
           refuse_plainly(intake, CODE_CURRENCY_UNKNOWN);
}

static bool refuse_amount(struct intake *intake, const char *limits, const char *sign)
{
    const struct currency *currency = intake->command.currency;
    struct text_buffer detail = begin_detail(intake, CODE_AMOUNT_INVALID);
    char most[MONEY_TEXT_MAX];
    text_put_string(&detail, limits);
    text_put_string(&detail, sign);
    text_put(&detail, most, money_format(MONEY_MAX_MINOR, currency->exponent, most));
    text_put_string(&detail, ", with no more decimals than ");
    text_put_string(&detail, currency->code);
    text_put_string(&detail, " has (");
    text_put_int(&detail, currency->exponent);
    text_put_string(&detail, ")");
    end_detail(&detail);
    return false;
}

struct decimal {
    const char *text;
    size_t size;
    char room[DECIMAL_TEXT_MAX]; /* of a number; a string stays where it is */
};

static void read_decimal(struct decimal *decimal, const struct json_value *value)
{
    decimal->text = value->text;
    decimal->size = value->size;
    if (value->kind == VALUE_KIND_NUMBER) {
        decimal->text = decimal->room;
        decimal->size = command_json_decimal(value, decimal->room);
    }
}

static bool take_amount(struct intake *intake, const struct json_value *value)
{
    struct command *command = &intake->command;
    struct decimal decimal;
    read_decimal(&decimal, value);
    if (money_parse(decimal.text, decimal.size, command->currency->exponent,
                    &command->amount_minor) &&
        command->amount_minor > 0)
        return true;
    return refuse_amount(intake, "the amount must be a decimal above 0, at most ", "");
}

/* Absent is 0, null is no limit. */
static bool take_minimum(struct intake *intake, const struct json_value *value)
{
    struct command *command = &intake->command;
    struct decimal decimal;
    command->has_minimum = value->kind != VALUE_KIND_NULL;
    command->minimum_balance_minor = 0;
    if (value->kind == VALUE_KIND_NULL || value->kind == VALUE_KIND_ABSENT)
        return true;
    read_decimal(&decimal, value);
    if (money_parse_not_positive(decimal.text, decimal.size, command->currency->exponent,
                                 &command->minimum_balance_minor))
        return true;
    return refuse_amount(
        intake, "the minimum_balance must be 0 or a decimal below, at least ", "-");
}

static bool take_money(struct intake *intake, const struct command_json *json)
{
    if (intake->command.operation == OPERATION_OPEN_ACCOUNT)
        return take_minimum(intake, &json->values[FIELD_MINIMUM_BALANCE]);
    return take_amount(intake, &json->values[FIELD_AMOUNT]);
}

static bool accounts_differ(struct intake *intake)
{
    const struct command *command = &intake->command;
    return command->operation != OPERATION_TRANSFER ||
           strcmp(command->source, command->destination) != 0 ||
           refuse_plainly(intake, CODE_SAME_ACCOUNT);
}

/* The order of this expression is the order of CONTRACT §2. */
static bool judge(struct intake *intake, const struct command_json *json)
{
    return settle_key(intake, &json->values[FIELD_IDEMPOTENCY_KEY]) &&
           all_names_known(intake, json) && none_missing(intake, json) &&
           all_fields_valid(intake, json) && operation_known(intake) &&
           take_currency(intake, &json->values[FIELD_CURRENCY]) &&
           take_money(intake, json) && accounts_differ(intake);
}

/* Operation and client are wanted in the answer, whatever else is wrong. */
static void read_sender(struct intake *intake, const struct command_json *json)
{
    const struct json_value *operation = &json->values[FIELD_OPERATION];
    if (operation->kind == VALUE_KIND_STRING)
        intake->command.operation = operation_find(operation->text, operation->size);
    intake->has_client = take_client(&intake->command, &json->values[FIELD_CLIENT]);
}

/* A value that could not be read holds no key: only headers count. */
static void refuse_unread(struct intake *intake, enum code code, const char *sentence)
{
    static const struct json_value no_field = {.kind = VALUE_KIND_ABSENT};
    if (settle_key(intake, &no_field))
        refuse(intake, code, sentence);
}

void intake_value(struct intake *intake, const void *value, size_t size)
{
    struct command_json json;
    if (value == NULL || size == 0) {
        refuse_unread(intake, CODE_VALUE_MISSING, code_sentence(CODE_VALUE_MISSING));
        return;
    }
    if (size > COMMAND_VALUE_MAX) {
        refuse_unread(intake, CODE_VALUE_TOO_LARGE, code_sentence(CODE_VALUE_TOO_LARGE));
        return;
    }
    const char *fault = command_json_open(&json, value, size);
    if (fault != NULL) {
        refuse_unread(intake, CODE_JSON_INVALID, fault);
        return;
    }
    read_sender(intake, &json);
    judge(intake, &json);
    command_json_close(&json);
}
