/* command.c: see command.h.
 *
 * Owns the rules for single texts (names, references) and the canonical form that the
 * fingerprint is made of. Never sees JSON, never judges a command as a whole (intake.c
 * does), never allocates. Pure. */
#include "schema/command.h"

#include <string.h>

/* clang-format off */
static const char *const operation_names[OPERATION_COUNT] = {
    [OPERATION_NONE] = "",
#define X(suffix, name) [OPERATION_##suffix] = #name,
    OPERATIONS(X)
#undef X
};
/* clang-format on */

const char *operation_name(enum operation operation)
{
    return operation_names[operation];
}

enum operation operation_find(const char *name, size_t size)
{
    for (unsigned i = OPERATION_NONE + 1; i < OPERATION_COUNT; i++)
        if (strlen(operation_names[i]) == size &&
            memcmp(operation_names[i], name, size) == 0)
            return (enum operation)i;
    return OPERATION_NONE;
}

bool command_is_name(const char *bytes, size_t size, size_t max)
{
    if (size == 0 || size > max)
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < 0x21 || bytes[i] > 0x7e)
            return false;
    return true;
}

/* The size of the UTF-8 sequence at the start, or 0 if there is none: the table of RFC
 * 3629 §4, without overlong forms, surrogates and anything above U+10FFFF. */
static size_t sequence_size(const unsigned char *bytes, size_t size)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || length > size)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* C0 and DEL are one byte; C1, U+0080 to U+009F, is 0xC2 and a byte below 0xA0. */
static bool is_control(const unsigned char *sequence)
{
    return sequence[0] < 0x20 || sequence[0] == 0x7f ||
           (sequence[0] == 0xc2 && sequence[1] < 0xa0);
}

bool command_is_reference(const char *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t points = 0;
    while (size > 0) {
        size_t length = sequence_size(at, size);
        if (length == 0 || is_control(at) || ++points > COMMAND_REFERENCE_MAX_POINTS)
            return false;
        at += length;
        size -= length;
    }
    return points > 0;
}

/* --- the canonical form ----------------------------------------------------------------
 *
 * One byte of version, then the fields of the operation in a fixed order, each as its
 * size in two bytes, most significant first, and its bytes: operation and client, then
 *   open_account  account, currency, minimum balance
 *   transfer      source, destination, amount, currency, reference
 *   refund        payment id, amount, currency, reference
 * Texts are their bytes, the payment id is its 16 bytes, amounts are eight bytes of two's
 * complement minor units, most significant first. What is not there (no reference, no
 * limit) has size 0, which no value of that field has. The operation comes first and
 * names the fields that follow, so no two commands share a form. */

enum { CANONICAL_VERSION = 1 };

struct canonical {
    uint8_t *bytes;
    size_t size;
};

static void put(struct canonical *canonical, const void *bytes, size_t size)
{
    uint8_t *at = canonical->bytes + canonical->size;
    at[0] = (uint8_t)(size >> 8);
    at[1] = (uint8_t)size;
    memcpy(at + 2, bytes, size);
    canonical->size += 2 + size;
}

static void put_text(struct canonical *canonical, const char *text)
{
    put(canonical, text, strlen(text));
}

static void put_minor(struct canonical *canonical, int64_t minor)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((uint64_t)minor >> (56 - 8 * i));
    put(canonical, bytes, sizeof(bytes));
}

static void put_account(struct canonical *canonical, const struct command *command)
{
    put_text(canonical, command->account);
    put_text(canonical, command->currency->code);
    if (command->has_minimum)
        put_minor(canonical, command->minimum_balance_minor);
    else
        put_text(canonical, "");
}

static void put_payment(struct canonical *canonical, const struct command *command)
{
    put_minor(canonical, command->amount_minor);
    put_text(canonical, command->currency->code);
    put_text(canonical, command->reference);
}

static void put_transfer(struct canonical *canonical, const struct command *command)
{
    put_text(canonical, command->source);
    put_text(canonical, command->destination);
    put_payment(canonical, command);
}

static void put_refund(struct canonical *canonical, const struct command *command)
{
    put(canonical, command->refunded_payment_id.bytes, UUID_SIZE);
    put_payment(canonical, command);
}

static void (*const put_fields[OPERATION_COUNT])(struct canonical *canonical,
                                                 const struct command *command) = {
    [OPERATION_OPEN_ACCOUNT] = put_account,
    [OPERATION_TRANSFER] = put_transfer,
    [OPERATION_REFUND] = put_refund,
};

size_t command_canonical(const struct command *command,
                         uint8_t canonical[COMMAND_CANONICAL_MAX])
{
    struct canonical form = {.bytes = canonical, .size = 1};
    canonical[0] = CANONICAL_VERSION;
    put_text(&form, operation_names[command->operation]);
    put_text(&form, command->client);
    put_fields[command->operation](&form, command);
    return form.size;
}
