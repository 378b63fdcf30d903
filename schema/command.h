/* command.h: a payment command in memory, its limits, and its canonical form. Pure.
 *
 * Everything is held in arrays born with their maximum (CONTRACT §1); text fields are
 * NUL-terminated and cannot contain NUL. Only valid commands have every field of their
 * operation set; see intake.h for the way there. */
#ifndef SCHEMA_COMMAND_H
#define SCHEMA_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/currency.h"
#include "schema/uuid.h"

enum {
    COMMAND_KEY_MAX = 255,
    COMMAND_CLIENT_MAX = 64,
    COMMAND_ACCOUNT_MAX = 64,
    COMMAND_REFERENCE_MAX_POINTS = 140,
    COMMAND_REFERENCE_MAX = 4 * COMMAND_REFERENCE_MAX_POINTS,
    COMMAND_VALUE_MAX = 65536,
    COMMAND_DEPTH_MAX = 8,
    COMMAND_CANONICAL_MAX = 1024,
    COMMAND_FINGERPRINT_SIZE = 32
};

/* X(enum suffix, name) */
#define OPERATIONS(X)             \
    X(OPEN_ACCOUNT, open_account) \
    X(TRANSFER, transfer)         \
    X(REFUND, refund)

enum operation {
    OPERATION_NONE,
#define X(suffix, name) OPERATION_##suffix,
    OPERATIONS(X)
#undef X
        OPERATION_COUNT
};

struct command {
    enum operation operation;
    const struct currency *currency;
    int64_t amount_minor; /* transfer, refund: > 0 */
    bool has_minimum;     /* open_account: false = no limit */
    int64_t minimum_balance_minor;
    struct uuid refunded_payment_id; /* refund */
    char client[COMMAND_CLIENT_MAX + 1];
    char account[COMMAND_ACCOUNT_MAX + 1];     /* open_account */
    char source[COMMAND_ACCOUNT_MAX + 1];      /* transfer */
    char destination[COMMAND_ACCOUNT_MAX + 1]; /* transfer */
    char key[COMMAND_KEY_MAX + 1];
    char reference[COMMAND_REFERENCE_MAX + 1]; /* "" = none */
};

const char *operation_name(enum operation operation); /* MUST not be NONE */
enum operation operation_find(const char *name, size_t size);

/* 1..max bytes, each 0x21..0x7E: the rule for keys, clients and account names. */
bool command_is_name(const char *bytes, size_t size, size_t max);
/* 1..140 code points of valid UTF-8, no C0, DEL, C1. */
bool command_is_reference(const char *bytes, size_t size);

/* The versioned, length-prefixed canonical form of operation, client and the business
 * fields, amounts in minor units (CONTRACT §2 Fingerprint). The key is not part of it.
 * Returns its size. Its SHA-256 is the fingerprint. A change here is a change of version.
 * Only a valid command has one. */
size_t command_canonical(const struct command *command,
                         uint8_t canonical[COMMAND_CANONICAL_MAX]);

#endif
