/* command_json.h: the door between intake.c and jansson; private to the two files.
 *
 * Gives the members of one JSON object by the fields that commands can have, each as a
 * kind and, for strings, its bytes. Says nothing about what is allowed: that is intake.c.
 * Nothing here may be used after command_json_close, or after the value is gone. */
#ifndef SCHEMA_COMMAND_JSON_H
#define SCHEMA_COMMAND_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* X(enum suffix, name): the fields of all operations, in the order in which they are
 * judged and named when several are at fault. */
#define COMMAND_FIELDS(X)               \
    X(OPERATION, operation)             \
    X(CLIENT, client)                   \
    X(ACCOUNT, account)                 \
    X(SOURCE, source)                   \
    X(DESTINATION, destination)         \
    X(PAYMENT_ID, payment_id)           \
    X(AMOUNT, amount)                   \
    X(CURRENCY, currency)               \
    X(MINIMUM_BALANCE, minimum_balance) \
    X(REFERENCE, reference)             \
    X(IDEMPOTENCY_KEY, idempotency_key)

enum field {
#define X(suffix, name) FIELD_##suffix,
    COMMAND_FIELDS(X)
#undef X
        FIELD_COUNT
};

enum value_kind {
    VALUE_KIND_ABSENT,
    VALUE_KIND_STRING,
    VALUE_KIND_NUMBER,
    VALUE_KIND_NULL,
    VALUE_KIND_OTHER /* true, false, an array or an object */
};

struct json_value {
    enum value_kind kind;
    const char *text; /* of a string: UTF-8 without NUL, not ended by one; borrowed from
                         the document or from the value */
    size_t size;
    const void *node; /* jansson's, of a number */
};

struct command_json {
    void *document;      /* jansson's, owned; NULL: it was not needed */
    const char *unknown; /* the first name that no operation has, or NULL; borrowed */
    unsigned present;    /* bit 1 << field for each field that is there */
    struct json_value values[FIELD_COUNT];
};

/* Above the longest decimal text that can be an amount of any currency, by far. */
enum { DECIMAL_TEXT_MAX = 48 };

/* Reads the value. NULL: done, and command_json_close is due. Otherwise the static
 * sentence that says why it is json_invalid, and there is nothing to close. */
const char *command_json_open(struct command_json *json, const char *value, size_t size)
    __attribute__((warn_unused_result));
/* The same, by jansson in any case: for the tests, which hold the two ways together. */
const char *command_json_read(struct command_json *json, const char *value, size_t size)
    __attribute__((warn_unused_result));
void command_json_close(struct command_json *json);
/* Writes a number as decimal text (CONTRACT §1 amount) and returns its size; 0: it is no
 * number that 15 digits tell exactly, or its text is longer than that of any amount. */
size_t command_json_decimal(const struct json_value *value, char text[DECIMAL_TEXT_MAX]);

#endif
