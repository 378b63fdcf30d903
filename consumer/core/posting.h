/* posting.h: one attempt to post a run of records in one database transaction: the
 * records, the facts that the store looked up for them, and what was decided. Plain data,
 * shared by the core, the store and the worker.
 *
 * Life: posting_begin → store_lookup fills the facts → decide_posting fills decisions and
 * moves the accounts → store_commit writes what is new. A redo starts again at the
 * lookup. Arrays are allocated once (consumer/posting_memory.c), with room for `capacity`
 * records. */
#ifndef CONSUMER_CORE_POSTING_H
#define CONSUMER_CORE_POSTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/core/position.h"
#include "consumer/core/record.h"
#include "schema/code.h"

enum { POSTING_RECORDS_MAX = 10000 };

/* Where a partition stands. `epoch`, `from_offset`, `next_offset` come from the worker;
 * `known_next_offset` from the database; `halted` from the decision. */
struct position {
    int32_t partition;
    bool halted;   /* a record below known_next_offset left no trace: CONTRACT §2 */
    int64_t epoch; /* our claim; another epoch in the row means: fenced */
    int64_t from_offset; /* everything below must be decided: known_next_offset ≥ it */
    int64_t next_offset; /* after the last record of this posting that was decided */
    struct witness last; /* that record */
    int64_t
        known_next_offset; /* stream_position.next_offset when the transaction began */
    int64_t halt_offset;   /* the record that halted it */
};

/* A row of inbox (by key) or dead_letter (by coordinates) for one record. */
struct kept {
    bool found;
    enum outcome outcome;
    enum code code;
    uint8_t fingerprint[COMMAND_FINGERPRINT_SIZE]; /* inbox only */
    const char *result; /* borrowed from the store until its next lookup; NULL: none */
    size_t result_size;
};

/* An account as the database has it, then as the decisions move it. Accounts opened by
 * this posting are appended by the decision. */
struct account {
    int64_t account_id;
    int64_t balance_minor;
    int64_t minimum_balance_minor;
    int64_t version;        /* number of movements */
    int64_t version_before; /* as looked up: != version means: to be written */
    int64_t balance_before; /* as looked up */
    const struct currency *currency;
    uint32_t remembered_at; /* the store's own business */
    bool has_minimum;
    bool opened; /* by this posting: to be inserted, not updated */
    bool rests;  /* a new decision rests on it, whether it moved or not */
    char name[COMMAND_ACCOUNT_MAX + 1];
};

/* A payment that a refund names, or that this posting made. */
struct payment {
    struct uuid payment_id;
    int64_t debit_account_id;
    int64_t credit_account_id;
    int64_t amount_minor;
    int64_t refunded_minor; /* so far */
    bool is_refund;
    char client[COMMAND_CLIENT_MAX + 1];
};

enum decision_kind {
    DECISION_NEW,    /* decided here: leaves an inbox or dead_letter row */
    DECISION_INBOX,  /* a replay: the kept inbox answer */
    DECISION_LETTER, /* a replay: the kept dead_letter answer */
    DECISION_TWIN,   /* a replay of an earlier record of this posting: see `twin` */
    DECISION_HALT,   /* this record halts its partition; nothing is done */
    DECISION_SKIPPED /* behind the halt; nothing is done */
};

/* One movement of money; slots are indexes into posting.accounts. */
struct movement {
    size_t debit_slot, credit_slot;
    int64_t amount_minor;
    int64_t debit_balance_minor, credit_balance_minor; /* after */
    int64_t debit_version, credit_version;             /* after */
};

struct decision {
    enum decision_kind kind;
    enum outcome outcome;
    enum code code;
    size_t twin;           /* DECISION_TWIN: index of the first record with the key */
    int64_t balance_minor; /* applied: goes into the result */
    bool has_movement;     /* applied transfer or refund */
    size_t opened_slot;    /* applied open_account */
    struct movement movement;
};

/* Open addressing over indexes of one of the arrays below; see core/index.h. */
struct slot_index {
    uint32_t
        *slots; /* power of two, at least 4 × the entries; 0 = free, else index + 1 */
    size_t slot_count;
    size_t mask; /* of the part in use */
};

struct posting {
    size_t capacity;              /* records; the arrays have room for it */
    const struct record *records; /* borrowed: a run inside a batch */
    size_t count;

    struct position *positions; /* [capacity] one per partition in the run */
    size_t position_count;

    struct kept *inbox;       /* [capacity] by record */
    struct kept *letters;     /* [capacity] by record; dead_letter rows by coordinates */
    struct account *accounts; /* [3 × capacity] */
    size_t account_count;     /* looked up, then + opened */
    struct payment *payments; /* [2 × capacity] looked up, then + made here */
    size_t payment_count;
    int64_t
        *new_account_ids; /* [capacity] one per valid open_account command in the run */
    size_t new_account_id_count;
    size_t new_account_id_used; /* by the decision */

    struct decision *decisions; /* [capacity] */
    const char **results;       /* [capacity] of DECISION_NEW with a key; else NULL */
    size_t *result_sizes;       /* [capacity] */

    struct slot_index keys, account_names, payment_ids; /* scratch of the decision */
    bool has_refund;                                    /* as the decision found */
};

#endif
