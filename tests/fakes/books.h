/* books.h: the tables of the database in memory, as plain arrays: copying the struct is a
 * backup, copying it back a restore. Knows nothing of threads or faults. */
#ifndef TESTS_FAKES_BOOKS_H
#define TESTS_FAKES_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/port.h"
#include "consumer/core/posting.h"

enum {
    BOOKS_ROWS_MAX = 512,
    BOOKS_ACCOUNTS_MAX = 128,
    BOOKS_POSITIONS_MAX = 8,
    BOOKS_RESULT_MAX = 1024,
    BOOKS_FAULT_MAX = 320
};

struct inbox_row {
    char key[COMMAND_KEY_MAX + 1];
    uint8_t fingerprint[COMMAND_FINGERPRINT_SIZE];
    enum outcome outcome;
    enum code code;
    int32_t partition;
    int64_t offset;
    bool has_payment_id;
    struct uuid payment_id;
    char result[BOOKS_RESULT_MAX];
    size_t result_size;
};

struct letter_row {
    int32_t partition;
    int64_t offset;
    enum outcome outcome;
    enum code code;
    bool has_result;
    char result[BOOKS_RESULT_MAX];
    size_t result_size;
};

struct account_row {
    int64_t account_id;
    char name[COMMAND_ACCOUNT_MAX + 1];
    const struct currency *currency;
    bool has_minimum;
    int64_t minimum_balance_minor, balance_minor, version;
};

struct transfer_row {
    struct uuid payment_id, refunds;
    bool is_refund;
    int64_t debit_account_id, credit_account_id, amount_minor;
    char client[COMMAND_CLIENT_MAX + 1];
};

struct position_row {
    int32_t partition;
    int64_t next_offset, epoch;
    struct witness last;
};

struct books {
    struct inbox_row inbox[BOOKS_ROWS_MAX];
    size_t inbox_count;
    struct letter_row letters[BOOKS_ROWS_MAX];
    size_t letter_count;
    struct account_row accounts[BOOKS_ACCOUNTS_MAX]; /* ascending account_id */
    size_t account_count;
    struct transfer_row transfers[BOOKS_ROWS_MAX];
    size_t transfer_count;
    struct position_row positions[BOOKS_POSITIONS_MAX];
    size_t position_count;
    int64_t last_account_id; /* the sequence: never goes back within one life */
};

struct inbox_row *books_inbox(struct books *books, const char *key);
struct letter_row *books_letter(struct books *books, int32_t partition, int64_t offset);
struct account_row *books_account(struct books *books, const char *name);
struct transfer_row *books_payment(struct books *books, const struct uuid *payment_id);
struct position_row *books_position(struct books *books, int32_t partition);

/* Opens an account as if long ago, without a command; no minimum. */
void books_open_account(struct books *books, const char *name, const char *currency);

/* All facts of a posting but kept[].result, which stays NULL with its size set: the store
 * brings the memory. FENCED when an epoch is not ours. */
enum port_status books_lookup(struct books *books, struct posting *posting);
/* The transaction: everything, or nothing and a sentence. Judges as the schema would. */
enum port_status books_commit(struct books *books, const struct posting *posting,
                              char fault[BOOKS_FAULT_MAX]);

#endif
