/* postonce_message.c: from a command struct or JSON text to a message
 * (postonce_message.h).
 *
 * The only file of the producer that knows JSON. It reads no more of a command than
 * sending needs: that it is an object, the `idempotency_key` in it, and the name that
 * becomes the record key. JSON text goes out byte for byte as it came, the
 * `idempotency_key` included: key and header are equal then, which the contract allows,
 * and nothing that a rewriting could change (numbers, order, escapes) is touched. Faults
 * tell positions, not payload. */
#include "producer/postonce_message.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "producer/postonce_fault.h"

/* ---- Keys ---- */

static bool is_key(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] < 0x21 || bytes[i] > 0x7e)
            return false;
    }
    return size >= 1 && size <= POSTONCE_KEY_MAX;
}

static enum postonce_error take_key(struct postonce_message *message, const char *bytes,
                                    size_t size, struct postonce_fault *fault)
{
    if (!is_key(bytes, size))
        return postonce_fault_set(fault, POSTONCE_KEY_INVALID, NULL);
    memcpy(message->key, bytes, size);
    message->key[size] = '\0';
    message->key_size = size;
    return POSTONCE_OK;
}

/* The `idempotency_key` inside the JSON, if there is one. */
static enum postonce_error take_inner_key(struct postonce_message *message,
                                          const json_t *object,
                                          struct postonce_fault *fault)
{
    const json_t *inner = json_object_get(object, "idempotency_key");
    if (inner == NULL)
        return POSTONCE_OK;
    if (!json_is_string(inner))
        return postonce_fault_set(fault, POSTONCE_KEY_INVALID,
                                  "the field idempotency_key is not a string");
    return take_key(message, json_string_value(inner), json_string_length(inner), fault);
}

/* Settles the key: the one given, which must not contradict the one inside; the one
 * inside; or a new one. */
static enum postonce_error settle_key(struct postonce_message *message,
                                      const struct postonce_input *input,
                                      struct postonce_fault *fault)
{
    if (input->key != NULL) {
        if (message->key_size > 0 && strcmp(input->key, message->key) != 0)
            return postonce_fault_set(fault, POSTONCE_KEY_AMBIGUOUS, NULL);
        return take_key(message, input->key, strlen(input->key), fault);
    }
    if (message->key_size > 0)
        return POSTONCE_OK;
    if (input->require_key)
        return postonce_fault_set(fault, POSTONCE_KEY_MISSING, NULL);
    char uuid[POSTONCE_UUID7_SIZE];
    if (postonce_uuid7(uuid) != POSTONCE_OK)
        return postonce_fault_set(fault, POSTONCE_NO_RANDOM, NULL);
    return take_key(message, uuid, strlen(uuid), fault);
}

/* ---- Record keys ---- */

/* The names that become the record key; an operation this version does not know takes the
 * first one that its command has. */
static const struct {
    const char *operation, *field;
} record_key_fields[] = {
    {"open_account", "account"}, {"transfer", "source"}, {"refund", "payment_id"}};

enum { OPERATION_COUNT = sizeof record_key_fields / sizeof record_key_fields[0] };

static const json_t *find_record_key(const json_t *object)
{
    const char *operation = json_string_value(json_object_get(object, "operation"));
    const json_t *first = NULL;
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        const json_t *field = json_object_get(object, record_key_fields[i].field);
        if (operation != NULL && strcmp(operation, record_key_fields[i].operation) == 0)
            return field;
        if (first == NULL && json_is_string(field))
            first = field;
    }
    return first;
}

/* What can be no account's name and no payment's id makes no record key: the consumer
 * will refuse the command, whatever partition it lands in. */
static void take_record_key(struct postonce_message *message, const json_t *object)
{
    const json_t *field = find_record_key(object);
    size_t size = field != NULL ? json_string_length(field) : 0;
    if (size == 0 || size > POSTONCE_KEY_MAX)
        return;
    memcpy(message->record_key, json_string_value(field), size);
    message->record_key_size = size;
}

/* ---- JSON ---- */

static const char *reason_of(const json_error_t *error)
{
    switch ((int)json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows the object";
    case json_error_invalid_utf8:
        return "it is not valid UTF-8";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "it is nested too deep";
    default:
        return "the syntax is wrong";
    }
}

/* Reads with as little judgement as jansson can: what it lets pass, the consumer judges.
 * NULL: the fault is set. */
static json_t *read_object(const char *json, size_t size, struct postonce_fault *fault)
{
    json_error_t error;
    json_t *object =
        json_loadb(json, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (object == NULL && json_error_code(&error) == json_error_out_of_memory) {
        postonce_fault_set(fault, POSTONCE_NO_MEMORY, NULL);
    } else if (object == NULL) {
        postonce_fault_set(fault, POSTONCE_JSON_INVALID,
                           "the text is not one JSON object: %s at byte %d",
                           reason_of(&error), error.position);
    } else if (!json_is_object(object)) {
        postonce_fault_set(fault, POSTONCE_JSON_INVALID, NULL);
        json_decref(object);
        object = NULL;
    }
    return object;
}

/* ---- Struct to JSON ---- */

static enum postonce_error put_field(json_t *object, const char *name, const char *value,
                                     struct postonce_fault *fault)
{
    if (value == NULL || json_object_set_new(object, name, json_string(value)) == 0)
        return POSTONCE_OK;
    return postonce_fault_set(fault, POSTONCE_COMMAND_INVALID,
                              "the field %s is not valid UTF-8", name);
}

static enum postonce_error put_fields(json_t *object,
                                      const struct postonce_command *command,
                                      struct postonce_fault *fault)
{
    const struct {
        const char *name, *value;
    } fields[] = {{"client", command->client},
                  {"account", command->account},
                  {"source", command->source},
                  {"destination", command->destination},
                  {"payment_id", command->payment_id},
                  {"amount", command->amount},
                  {"currency", command->currency},
                  {"minimum_balance", command->minimum_balance},
                  {"reference", command->reference}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum postonce_error error =
            put_field(object, fields[i].name, fields[i].value, fault);
        if (error != POSTONCE_OK)
            return error;
    }
    if (command->no_minimum_balance)
        json_object_set_new(object, "minimum_balance", json_null());
    return POSTONCE_OK;
}

static json_t *command_object(const struct postonce_command *command,
                              struct postonce_fault *fault)
{
    size_t index = (size_t)command->operation - POSTONCE_OPEN_ACCOUNT;
    if (index >= OPERATION_COUNT) {
        postonce_fault_set(fault, POSTONCE_COMMAND_INVALID,
                           "the operation must be open_account, transfer or refund");
        return NULL;
    }
    json_t *object = json_object();
    if (put_field(object, "operation", record_key_fields[index].operation, fault) ==
            POSTONCE_OK &&
        put_fields(object, command, fault) == POSTONCE_OK)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- Messages ---- */

/* The block: the struct, room for the value behind it, and a NUL for debuggers. */
static struct postonce_message *allocate(size_t value_size, struct postonce_fault *fault)
{
    struct postonce_message *message = malloc(sizeof *message + value_size + 1);
    if (message == NULL) {
        postonce_fault_set(fault, POSTONCE_NO_MEMORY, NULL);
        return NULL;
    }
    memset(message, 0, sizeof *message);
    message->value = (char *)(message + 1);
    message->value_size = value_size;
    message->record_key = message->record_key_bytes;
    message->value[value_size] = '\0';
    return message;
}

/* Takes the message over; NULL: a key is wrong, and the fault is set. */
static struct postonce_message *finish(struct postonce_message *message,
                                       const struct postonce_input *input,
                                       const json_t *object, struct postonce_fault *fault)
{
    if (take_inner_key(message, object, fault) != POSTONCE_OK ||
        settle_key(message, input, fault) != POSTONCE_OK) {
        postonce_message_free(message);
        return NULL;
    }
    take_record_key(message, object);
    return message;
}

static struct postonce_message *from_json(const struct postonce_input *input,
                                          struct postonce_fault *fault)
{
    json_t *object = read_object(input->json, input->json_size, fault);
    if (object == NULL)
        return NULL;
    struct postonce_message *message = allocate(input->json_size, fault);
    if (message != NULL) {
        memcpy(message->value, input->json, input->json_size);
        message = finish(message, input, object, fault);
    }
    json_decref(object);
    return message;
}

static struct postonce_message *from_command(const struct postonce_input *input,
                                             struct postonce_fault *fault)
{
    json_t *object = command_object(input->command, fault);
    if (object == NULL)
        return NULL;
    size_t size = json_dumpb(object, NULL, 0, JSON_COMPACT);
    struct postonce_message *message = allocate(size, fault);
    if (message != NULL) {
        json_dumpb(object, message->value, size, JSON_COMPACT);
        message = finish(message, input, object, fault);
    }
    json_decref(object);
    return message;
}

struct postonce_message *postonce_message_new(const struct postonce_input *input,
                                              struct postonce_fault *fault)
{
    if (input->command != NULL)
        return from_command(input, fault);
    if (input->json != NULL)
        return from_json(input, fault);
    postonce_fault_set(fault, POSTONCE_COMMAND_INVALID,
                       "there is neither command nor JSON");
    return NULL;
}

const char *postonce_message_key(const struct postonce_message *message)
{
    return message->key;
}

void postonce_message_free(struct postonce_message *message)
{
    free(message);
}
