/* command_json.c: see command_json.h.
 *
 * The only file of the consumer that includes jansson, and the only one that touches a
 * double: a number with a fraction or an exponent comes as one, and leaves as text. Owns
 * what counts as one JSON object (CONTRACT §1 Value): distinct names at every level, at
 * most 8 levels, nothing after it. The sentences are ours, chosen by jansson's error
 * codes, so that they stay the same whatever version of jansson finds the fault. */
#include "schema/command_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "schema/code.h"
#include "schema/command.h"
#include "schema/command_scan.h"

static const char too_deep[] = "the value is nested more than 8 levels deep";

static const struct {
    enum json_error_code error;
    const char *sentence;
} parse_faults[] = {
    {json_error_invalid_utf8, "the value is not valid UTF-8"},
    {json_error_premature_end_of_input, "the value ends before its JSON object does"},
    {json_error_end_of_input_expected, "the value goes on after its JSON object"},
    {json_error_null_character, "a string in the value contains U+0000"},
    {json_error_null_byte_in_key, "a name in the value contains U+0000"},
    {json_error_duplicate_key, "an object in the value has a name twice"},
    {json_error_numeric_overflow, "a number in the value is out of range"},
    {json_error_stack_overflow, too_deep},
};

static const char *parse_fault(enum json_error_code error)
{
    for (size_t i = 0; i < sizeof(parse_faults) / sizeof(parse_faults[0]); i++)
        if (parse_faults[i].error == error)
            return parse_faults[i].sentence;
    return code_sentence(CODE_JSON_INVALID);
}

/* Whether everything in the value stays within the limit, the value itself being at
 * `depth`. Goes no deeper than one level beyond the limit. An array has no members and an
 * object no elements, so that one of the two loops has nothing to do. */
static bool is_shallow(json_t *value, unsigned depth)
{
    if (!json_is_object(value) && !json_is_array(value))
        return true;
    if (depth > COMMAND_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!is_shallow(json_array_get(value, i), depth + 1))
            return false;
    for (void *at = json_object_iter(value); at != NULL;
         at = json_object_iter_next(value, at))
        if (!is_shallow(json_object_iter_value(at), depth + 1))
            return false;
    return true;
}

static enum value_kind kind_of(const json_t *member)
{
    switch (json_typeof(member)) {
    case JSON_STRING:
        return VALUE_KIND_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return VALUE_KIND_NUMBER;
    case JSON_NULL:
        return VALUE_KIND_NULL;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_TRUE:
    case JSON_FALSE:
        break;
    }
    return VALUE_KIND_OTHER;
}

static void note_member(struct command_json *json, const char *name, const json_t *member)
{
    enum field field = command_scan_field(name, strlen(name)); /* there is no NUL in it */
    if (field == FIELD_COUNT) {
        if (json->unknown == NULL)
            json->unknown = name;
        return;
    }
    struct json_value *value = &json->values[field];
    json->present |= 1U << field;
    value->kind = kind_of(member);
    value->node = member;
    if (value->kind == VALUE_KIND_STRING) {
        value->text = json_string_value(member);
        value->size = json_string_length(member);
    }
}

/* One pass over the members; false: nested too deep. */
static bool note_members(struct command_json *json)
{
    json_t *object = json->document;
    for (void *at = json_object_iter(object); at != NULL;
         at = json_object_iter_next(object, at)) {
        json_t *member = json_object_iter_value(at);
        if (!is_shallow(member, 2))
            return false;
        note_member(json, json_object_iter_key(at), member);
    }
    return true;
}

const char *command_json_read(struct command_json *json, const char *value, size_t size)
{
    json_error_t error;
    memset(json, 0, sizeof(*json));
    json->document = json_loadb(value, size, JSON_REJECT_DUPLICATES, &error);
    if (json->document == NULL)
        return parse_fault(json_error_code(&error));
    const char *fault = NULL;
    if (!json_is_object((json_t *)json->document))
        fault = code_sentence(CODE_JSON_INVALID);
    else if (!note_members(json))
        fault = too_deep;
    if (fault != NULL)
        command_json_close(json);
    return fault;
}

const char *command_json_open(struct command_json *json, const char *value, size_t size)
{
    return command_scan(json, value, size) ? NULL : command_json_read(json, value, size);
}

void command_json_close(struct command_json *json)
{
    json_decref(json->document);
    json->document = NULL;
}

/* --- numbers ------------------------------------------------------------------------ */

/* A double has at most this many decimal digits that are the writer's own. */
enum { SIGNIFICANT_DIGITS = 15 };

struct scientific {
    bool is_negative;
    char digits[SIGNIFICANT_DIGITS];
    int digit_count; /* at least 1, else without trailing zeros */
    int power;       /* of ten, of the first digit */
};

/* Takes apart what `%.14e` has printed: a sign, one digit, the locale's decimal point, 14
 * digits, `e`, a sign and a power. */
static void take_apart(const char *printed, struct scientific *number)
{
    const char *at = printed;
    int count = 0;
    number->is_negative = *at == '-';
    number->digit_count = 1; /* zero has a digit, too */
    for (; *at != 'e'; at++) {
        if (*at < '0' || *at > '9')
            continue;
        number->digits[count++] = *at;
        if (*at != '0')
            number->digit_count = count;
    }
    bool is_small = *++at == '-';
    int power = 0;
    while (*++at != '\0')
        power = power * 10 + (*at - '0');
    number->power = is_small ? -power : power;
}

/* False: not the number that its 15 digits tell. `%.14e` prints the same 15 digits as
 * `%.15g`, always in the same shape, in 22 bytes at most. */
static bool read_real(const json_t *node, struct scientific *number)
{
    char printed[32];
    double real = json_real_value(node);
    snprintf(printed, sizeof(printed), "%.*e", SIGNIFICANT_DIGITS - 1, real);
    if (strtod(printed, NULL) != real)
        return false;
    take_apart(printed, number);
    return true;
}

static void put_zeros(struct text_buffer *text, int count)
{
    for (int i = 0; i < count; i++)
        text_put(text, "0", 1);
}

static void put_digits(struct text_buffer *text, const struct scientific *number)
{
    int whole = number->power + 1; /* digits before the point, if above 0 */
    int count = number->digit_count;
    int before = whole < count ? whole : count;
    if (whole <= 0) {
        text_put(text, "0.", 2);
        put_zeros(text, -whole);
        before = 0;
    }
    text_put(text, number->digits, (size_t)before);
    if (whole > count)
        put_zeros(text, whole - count);
    else if (whole > 0 && whole < count)
        text_put(text, ".", 1);
    text_put(text, number->digits + before, (size_t)(count - before));
}

static void put_real(struct text_buffer *text, const json_t *node)
{
    struct scientific number;
    if (!read_real(node, &number))
        return;
    if (number.is_negative)
        text_put(text, "-", 1);
    put_digits(text, &number);
}

size_t command_json_decimal(const struct json_value *value, char text[DECIMAL_TEXT_MAX])
{
    struct text_buffer buffer;
    const json_t *node = value->node;
    text_buffer_init(&buffer, text, DECIMAL_TEXT_MAX);
    if (json_is_integer(node))
        text_put_int(&buffer, json_integer_value(node));
    else
        put_real(&buffer, node);
    return buffer.overflow ? 0 : buffer.size;
}
