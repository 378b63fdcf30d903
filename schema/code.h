/* code.h: outcomes and codes, from one list, so that names, texts and precedence cannot
 * drift apart. Order of CODES = order of precedence within an outcome (CONTRACT §2).
 * Pure. */
#ifndef SCHEMA_CODE_H
#define SCHEMA_CODE_H

#include <stdbool.h>
#include <stddef.h>

/* X(enum suffix, name) */
#define OUTCOMES(X)         \
    X(APPLIED, applied)     \
    X(REJECTED, rejected)   \
    X(CONFLICT, conflict)   \
    X(MALFORMED, malformed) \
    X(EXPIRED, expired)     \
    X(POISON, poison)

/* X(enum suffix, name, outcome, one sentence for a person) */
#define CODES(X)                                                                     \
    X(KEY_MISSING, key_missing, MALFORMED,                                           \
      "the command has no idempotency key, neither as a header nor as a field")      \
    X(KEY_INVALID, key_invalid, MALFORMED,                                           \
      "the idempotency key must be 1 to 255 bytes, each from 0x21 to 0x7E")          \
    X(KEY_AMBIGUOUS, key_ambiguous, MALFORMED,                                       \
      "the command carries two different idempotency keys")                          \
    X(VALUE_MISSING, value_missing, MALFORMED, "the record has no value")            \
    X(VALUE_TOO_LARGE, value_too_large, MALFORMED,                                   \
      "the value is larger than 65536 bytes")                                        \
    X(JSON_INVALID, json_invalid, MALFORMED,                                         \
      "the value is not one JSON object with distinct names, at most 8 levels deep") \
    X(FIELD_UNKNOWN, field_unknown, MALFORMED,                                       \
      "a field has a name that this operation does not have")                        \
    X(FIELD_MISSING, field_missing, MALFORMED, "a required field is missing")        \
    X(FIELD_INVALID, field_invalid, MALFORMED,                                       \
      "a field has the wrong type, length or characters")                            \
    X(OPERATION_UNKNOWN, operation_unknown, MALFORMED,                               \
      "the operation must be open_account, transfer or refund")                      \
    X(CURRENCY_UNKNOWN, currency_unknown, MALFORMED,                                 \
      "the currency must be an active ISO 4217 code that has a minor unit")          \
    X(AMOUNT_INVALID, amount_invalid, MALFORMED,                                     \
      "the amount must be a decimal above zero, exact in the currency's minor unit") \
    X(SAME_ACCOUNT, same_account, MALFORMED,                                         \
      "source and destination are the same account")                                 \
    X(KEY_REUSED, key_reused, CONFLICT,                                              \
      "the idempotency key was used before for another command")                     \
    X(COMMAND_TOO_OLD, command_too_old, EXPIRED,                                     \
      "the record is older than the keys that are still remembered")                 \
    X(REFUSED_BY_DATABASE, refused_by_database, POISON,                              \
      "the database refused this command")                                           \
    X(ACCOUNT_EXISTS, account_exists, REJECTED,                                      \
      "an account of this name exists already")                                      \
    X(PAYMENT_UNKNOWN, payment_unknown, REJECTED,                                    \
      "this client made no payment with this payment id")                            \
    X(PAYMENT_NOT_REFUNDABLE, payment_not_refundable, REJECTED,                      \
      "the payment is a refund itself")                                              \
    X(SOURCE_UNKNOWN, source_unknown, REJECTED, "the source account does not exist") \
    X(DESTINATION_UNKNOWN, destination_unknown, REJECTED,                            \
      "the destination account does not exist")                                      \
    X(CURRENCY_MISMATCH, currency_mismatch, REJECTED,                                \
      "the currency is not that of the accounts or of the payment")                  \
    X(REFUND_EXCEEDS_PAYMENT, refund_exceeds_payment, REJECTED,                      \
      "with this refund more than the payment would be refunded")                    \
    X(INSUFFICIENT_FUNDS, insufficient_funds, REJECTED,                              \
      "the debited account would go below its minimum balance")                      \
    X(BALANCE_OVERFLOW, balance_overflow, REJECTED,                                  \
      "a balance would leave the range of 64-bit minor units")

enum outcome {
    OUTCOME_NONE,
#define X(suffix, name) OUTCOME_##suffix,
    OUTCOMES(X)
#undef X
        OUTCOME_COUNT
};

enum code {
    CODE_NONE,
#define X(suffix, name, outcome, text) CODE_##suffix,
    CODES(X)
#undef X
        CODE_COUNT
};

const char *outcome_name(enum outcome outcome); /* "applied"; MUST not be NONE */
const char *code_name(enum code code);          /* "key_missing"; MUST not be NONE */
const char *code_sentence(enum code code);      /* the sentence; MUST not be NONE */
enum outcome code_outcome(enum code code);      /* CODE_NONE → OUTCOME_APPLIED */
/* By name, for what the database holds; NONE for a name this version does not know. */
enum outcome outcome_find(const char *name, size_t size);
enum code code_find(const char *name, size_t size);

#endif
