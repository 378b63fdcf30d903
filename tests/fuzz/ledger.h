/* ledger.h: the books as a child would keep them: short lists, searched from the front,
 * one record after the other, every sum in 128 bits. It decides from CONTRACT §2, with
 * nothing from the product but its names; decide_fuzz.c holds the product against it. It
 * also stands for the database: posted runs are kept in one, and looked up from it. */
#ifndef TESTS_FUZZ_LEDGER_H
#define TESTS_FUZZ_LEDGER_H

#include "consumer/core/record.h"
#include "tests/fuzz/fuzz.h"

enum {
    LEDGER_PARTITIONS = 3,
    LEDGER_ACCOUNTS = 24,
    LEDGER_PAYMENTS = 24,
    LEDGER_ROWS = 24,
    LEDGER_LETTERS = 24
};

struct ledger_account {
    char name[COMMAND_ACCOUNT_MAX + 1];
    const struct currency *currency;
    int64_t account_id, version, minimum_minor;
    bool has_minimum;
    fuzz_wide balance_minor;
};

struct ledger_payment {
    struct uuid payment_id;
    char client[COMMAND_CLIENT_MAX + 1];
    size_t debited, credited; /* indexes of accounts */
    fuzz_wide amount_minor, refunded_minor;
    bool is_refund;
};

struct ledger_row {
    const struct command *command; /* borrowed: the first one with its key */
    const uint8_t *fingerprint;    /* borrowed: what the product has made of it */
    enum outcome outcome;
    enum code code;
};

struct ledger_letter {
    int32_t partition;
    int64_t offset;
    enum code code;
};

struct ledger {
    struct ledger_account accounts[LEDGER_ACCOUNTS];
    struct ledger_payment payments[LEDGER_PAYMENTS];
    struct ledger_row rows[LEDGER_ROWS];
    struct ledger_letter letters[LEDGER_LETTERS];
    size_t account_count, payment_count, row_count, letter_count;
    int64_t next_account_id;
    int64_t next_offset[LEDGER_PARTITIONS];
    bool halted[LEDGER_PARTITIONS];
};

enum verdict_kind {
    VERDICT_NEW,
    VERDICT_ROW,
    VERDICT_LETTER,
    VERDICT_HALT,
    VERDICT_SKIP
};

struct verdict {
    enum verdict_kind kind;
    enum outcome outcome;
    enum code code;
    fuzz_wide balance_minor; /* of the account or the debited account; 0 unless applied */
};

/* How often a limit was met; of no use but to be counted. */
extern unsigned ledger_noted;

/* Decides the record, and changes the books by it. */
struct verdict ledger_decide(struct ledger *ledger, const struct record *record);
struct ledger_account *ledger_account(struct ledger *ledger, const char *name);
struct ledger_payment *ledger_payment(struct ledger *ledger, const struct uuid *id);
const struct ledger_row *ledger_row(const struct ledger *ledger, const char *key);
const struct ledger_letter *ledger_letter(const struct ledger *ledger,
                                          const struct record *record);
/* Whether the two mean the same, whatever their keys. */
bool ledger_same_command(const struct command *left, const struct command *right);
/* Aborts unless the two books say the same. */
void ledger_require_equal(const struct ledger *left, const struct ledger *right);

#endif
