/* audit.h: what `postonce audit` can find, as one list, and how findings are told. Every
 * check has a name that never changes its meaning, and one sentence; docs/audit.md, the
 * help and the findings come from here. Knows neither Kafka nor Postgres: a finding comes
 * as names and values. Holds counts only, so that a million findings cost nothing. */
#ifndef CONSUMER_AUDIT_H
#define CONSUMER_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* X(enum suffix, name, what is wrong): the checks of the database, from the whole to the
 * parts. */
#define AUDIT_BOOK_CHECKS(X)                                                             \
    X(GUARD_MISSING, guard_missing,                                                      \
      "a constraint or trigger of the schema is missing, disabled or not validated")     \
    X(GUARD_ALTERED, guard_altered,                                                      \
      "a constraint, trigger or function of the schema is not what the migrations made") \
    X(CURRENCY_SUM, currency_sum,                                                        \
      "the balances of all accounts of a currency do not add up to zero")                \
    X(ACCOUNT_INVALID, account_invalid,                                                  \
      "name, currency or minimum is nothing that a command can open an account with")    \
    X(ACCOUNT_UNOPENED, account_unopened, "no applied command opened the account")       \
    X(ACCOUNT_OPENED_TWICE, account_opened_twice,                                        \
      "more than one applied command opened the account")                                \
    X(ACCOUNT_ID_AHEAD, account_id_ahead,                                                \
      "the sequence stands below an account id in use: the next account would fail")     \
    X(BALANCE_NOT_SUM, balance_not_sum, "the balance is not the sum of its entries")     \
    X(BELOW_MINIMUM, below_minimum, "the balance is below the minimum of the account")   \
    X(VERSION_NOT_COUNT, version_not_count, "the version is not the number of entries")  \
    X(CHAIN_BROKEN, chain_broken,                                                        \
      "the entries do not lead, one by one, from zero to the balance and version")       \
    X(VERSION_GAP, version_gap, "an entry before this one is missing")                   \
    X(VERSION_TWICE, version_twice, "two entries of an account have the same version")   \
    X(RUNNING_BALANCE, running_balance,                                                  \
      "the balance after the entry is not the balance before it plus its amount")        \
    X(LAST_BALANCE, last_balance,                                                        \
      "the balance after the last entry is not the balance of the account")              \
    X(OUT_OF_ORDER, out_of_order,                                                        \
      "the command comes before that of the entry before it in the same partition")      \
    X(TRANSFER_INVALID, transfer_invalid,                                                \
      "amount, versions, client or reference is nothing that a command can have made")   \
    X(ACCOUNT_MISSING, account_missing, "a transfer names an account that is not there") \
    X(CURRENCIES_DIFFER, currencies_differ,                                              \
      "debit and credit account have different currencies")                              \
    X(DEBIT_BELOW_MINIMUM, debit_below_minimum,                                          \
      "the debit left its account below the minimum")                                    \
    X(TRANSFER_WITHOUT_COMMAND, transfer_without_command,                                \
      "no applied command made the transfer")                                            \
    X(REFUND_OF_NOTHING, refund_of_nothing, "the payment that is refunded is not there") \
    X(REFUND_OF_REFUND, refund_of_refund, "what is refunded is a refund itself")         \
    X(REFUND_NOT_MIRRORED, refund_not_mirrored,                                          \
      "the refund does not go from the payee back to the payer")                         \
    X(REFUND_OF_OTHER_CLIENT, refund_of_other_client,                                    \
      "the refund was asked for by another client than the payment")                     \
    X(REFUND_BEFORE_PAYMENT, refund_before_payment,                                      \
      "the refund comes before its payment in the entries of an account")                \
    X(REFUNDS_EXCEED_PAYMENT, refunds_exceed_payment,                                    \
      "the refunds of a payment add up to more than the payment")                        \
    X(ROW_INVALID, row_invalid,                                                          \
      "key, client, operation, outcome, code and payment id do not go together")         \
    X(APPLIED_WITHOUT_TRANSFER, applied_without_transfer,                                \
      "the applied command has no transfer")                                             \
    X(APPLIED_WITHOUT_ACCOUNT, applied_without_account,                                  \
      "the applied command opened an account that is not there")                         \
    X(TRANSFER_DIFFERS, transfer_differs,                                                \
      "the transfer is not by the client, or of the kind, that the command names")       \
    X(ACCOUNT_DIFFERS, account_differs,                                                  \
      "currency or minimum of the account is not what its command asked for")            \
    X(PAYMENT_ID_NOT_DERIVED, payment_id_not_derived,                                    \
      "the payment id does not follow from the command's time and key")                  \
    X(FINGERPRINT_DIFFERS, fingerprint_differs,                                          \
      "the fingerprint is not that of the command that was decided")                     \
    X(RESULT_DIFFERS, result_differs,                                                    \
      "the stored result does not say, byte for byte, what the books say")               \
    X(LETTER_INVALID, letter_invalid,                                                    \
      "outcome, code, key and result of the dead letter do not go together")             \
    X(CONFLICT_WITHOUT_FIRST, conflict_without_first,                                    \
      "a conflict with a key that no command was decided under")                         \
    X(DECIDED_IN_FUTURE, decided_in_future, "decided at a time that is yet to come")     \
    X(POSITION_INVALID, position_invalid,                                                \
      "next offset, epoch and last record do not go together")                           \
    X(OFFSET_NOT_BELOW_NEXT, offset_not_below_next,                                      \
      "the record was decided, but the position of its partition is not above it")       \
    X(COORDINATES_TWICE, coordinates_twice,                                              \
      "one record has more than one row, in inbox or dead_letter")

/* The same for --topic. */
#define AUDIT_TOPIC_CHECKS(X)                                                         \
    X(COMMITTED_ABOVE_NEXT, committed_above_next,                                     \
      "the group's committed offset is above what the database has decided")          \
    X(LOG_ENDS_BELOW_NEXT, log_ends_below_next,                                       \
      "the topic ends below what the database has decided: it is not the same topic") \
    X(WITNESS_DIFFERS, witness_differs,                                               \
      "the last record that was decided is not in the topic with the time it had")    \
    X(RECORD_UNDECIDED, record_undecided,                                             \
      "a record below the committed offset has no outcome")                           \
    X(CONFLICT_UNDECIDED, conflict_undecided,                                         \
      "a record reuses the key of another command and is no conflict in dead_letter") \
    X(CONFLICT_WITH_ITSELF, conflict_with_itself,                                     \
      "a conflict with a command that has the same fingerprint")                      \
    X(LETTER_OF_OTHER_KEY, letter_of_other_key,                                       \
      "the dead letter of a record is under another key than the record's")           \
    X(ROW_OF_OTHER_RECORD, row_of_other_record,                                       \
      "a row has the coordinates of a record with another key or time")               \
    X(ROW_WITHOUT_RECORD, row_without_record,                                         \
      "a row has coordinates where the topic has no record")                          \
    X(RESULT_MISSING, result_missing,                                                 \
      "a record with a valid key, below the committed offset, has no visible result") \
    X(RESULT_UNWANTED, result_unwanted, "a record without a valid key has a result")  \
    X(RESULT_WITHOUT_RECORD, result_without_record,                                   \
      "a result answers a record that the topic does not have")                       \
    X(RESULT_UNKNOWN, result_unknown,                                                 \
      "a result that no row of inbox or dead_letter holds")                           \
    X(RESULT_BYTES, result_bytes, "a visible result differs from the stored one")     \
    X(RESULT_HEADERS, result_headers,                                                 \
      "key or headers of a result do not go with its value or the stored outcome")    \
    X(RESULT_NOT_REPLAYED, result_not_replayed,                                       \
      "a result says `idempotent-replayed: false`, but its record did not decide it") \
    X(RESULT_FIRST_TWICE, result_first_twice,                                         \
      "two results of one record say `idempotent-replayed: false`")                   \
    X(RESULT_TWICE, result_twice,                                                     \
      "more than one visible result of one record, with --never-rewound")

#define AUDIT_CHECKS(X)  \
    AUDIT_BOOK_CHECKS(X) \
    AUDIT_TOPIC_CHECKS(X)

enum audit_check {
#define X(suffix, name, sentence) AUDIT_##suffix,
    AUDIT_CHECKS(X)
#undef X
        AUDIT_CHECK_COUNT
};

const char *audit_check_name(enum audit_check check);
const char *audit_check_sentence(enum audit_check check);
/* The tables of docs/audit.md. */
void audit_print_markdown(FILE *out);

enum { AUDIT_DIGEST_SIZE = 64 };

/* What was found so far, and how it is told. A struct with `json` and `limit` set is
 * ready for use. */
struct audit_report {
    bool json;
    int64_t limit;                    /* findings of each check that are printed */
    int64_t found[AUDIT_CHECK_COUNT]; /* findings of each check that there are */
    int64_t shown[AUDIT_CHECK_COUNT];
    char digest[AUDIT_DIGEST_SIZE + 1]; /* of the books, in hex; "": not asked for */
};

struct audit_field {
    const char *name;
    const char *value;
    size_t size;
    bool raw; /* a number: in JSON without quotes */
};

/* `more` findings of a check, of which none is printed yet. */
void audit_report_add(struct audit_report *report, enum audit_check check, int64_t more);
/* Prints one of them, a line on stdout, if the limit lets it. */
void audit_report_show(struct audit_report *report, enum audit_check check,
                       const struct audit_field *fields, size_t count);
/* Both at once, for a finding in a partition; below 0: without an offset. */
void audit_report_place(struct audit_report *report, enum audit_check check,
                        int32_t partition, int64_t offset);
int64_t audit_report_total(const struct audit_report *report);
/* The last line: what was read, as `counted` says, the findings of each check, and the
 * digest. */
void audit_report_end(const struct audit_report *report,
                      const struct audit_field *counted, size_t count);

#endif
