/* store_bench.h: what store_test.c stands on: the database as a test sees it, and a
 * consumer with a posting that is built by hand. Applies every command, whether it should
 * be or not: it is the database that is tested, not the decision. */
#ifndef TESTS_ADAPTER_STORE_BENCH_H
#define TESTS_ADAPTER_STORE_BENCH_H

#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "consumer/migrate.h"
#include "consumer/migrations.h"
#include "consumer/pg.h"
#include "consumer/posting_memory.h"
#include "consumer/store.h"
#include "tests/unit/test.h"

enum { CAPACITY = 8, SQL_MAX = 1024 };

static const char *server;
static struct pg *admin;

/* --- the database as the tests see it --- */

__attribute__((format(printf, 1, 2))) static inline void run_sql(const char *format, ...)
{
    char sql[SQL_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(sql, sizeof sql, format, list);
    va_end(list);
    enum port_status status = pg_connect(admin);
    if (status == PORT_OK)
        status = pg_run_script(admin, sql);
    if (status != PORT_OK)
        printf("     %s\n     %s\n", sql, pg_fault(admin));
    CHECK(status == PORT_OK);
}

/* The SQLSTATE with which the server refuses; "" if it does not. */
static inline const char *refusal_of(const char *sql)
{
    enum port_status status = pg_connect(admin);
    if (status == PORT_OK)
        status = pg_run_script(admin, sql);
    return status == PORT_OK ? "" : pg_sqlstate(admin);
}

/* One int8. */
static inline int64_t number(const char *sql)
{
    const struct pg_statement statement = {.sql = sql};
    MUST(pg_connect(admin) == PORT_OK);
    pg_begin(admin);
    pg_send(admin, &statement);
    if (pg_wait(admin) != PORT_OK) {
        printf("     %s\n     %s\n", sql, pg_fault(admin));
        return -1;
    }
    return pg_int8(PG_CELL(pg_answer(admin, &statement), 0, 0));
}

static inline void check_count(const char *condition, int64_t want)
{
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM postonce.%s", condition);
    CHECK_INT(number(sql), want);
}

/* False: it does not come to a lock within the time that it would wait for one. */
static inline bool wait_for_lock(void)
{
    int64_t end_ms = clock_monotonic_ms() + 10000;
    while (clock_monotonic_ms() < end_ms) {
        if (number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                   " AND application_name = 'postonce test-store'"
                   " AND datname = current_database()") > 0)
            return true;
        clock_sleep_ms(2);
    }
    return false;
}

static inline void fresh_schema(void)
{
    struct migrate_report report;
    struct pg *pg = pg_open(&(struct pg_settings){
        .postgres = server, .role = "test", .profile = PG_MIGRATING});
    run_sql("DROP SCHEMA IF EXISTS postonce CASCADE");
    CHECK(migrate_run(pg, false, &report) == MIGRATE_CURRENT);
    CHECK_INT(report.applied, migration_count);
    pg_close(pg);
}

/* --- a consumer: a store, a partition, a posting --- */

struct consumer {
    struct store *store;
    struct posting *posting;
    struct record records[CAPACITY];
    char results[CAPACITY][COMMAND_KEY_MAX + 16];
    struct claim claim;
    int64_t offset; /* of the next record */
};

static inline struct consumer *consumer_new(const char *postgres, int32_t partition)
{
    struct consumer *consumer = calloc(1, sizeof *consumer);
    MUST(consumer != NULL);
    consumer->store = store_open(&(struct store_settings){
        .postgres = postgres, .topic = "t", .role = "test-store"});
    consumer->posting = posting_new(CAPACITY);
    consumer->claim = (struct claim){.partition = partition, .log_start = 0};
    return consumer;
}

static inline void consumer_free(struct consumer *consumer)
{
    store_close(consumer->store);
    posting_free(consumer->posting);
    free(consumer);
}

static inline struct consumer *claimed_consumer(int32_t partition)
{
    struct consumer *consumer = consumer_new(server, partition);
    CHECK(store_claim(consumer->store, &consumer->claim, 1) == PORT_OK);
    consumer->offset = consumer->claim.next_offset;
    return consumer;
}

static inline void begin_posting(struct consumer *consumer)
{
    struct posting *posting = consumer->posting;
    posting->records = consumer->records;
    posting->count = 0;
    posting->position_count = 1;
    posting->positions[0] = (struct position){.partition = consumer->claim.partition,
                                              .epoch = consumer->claim.epoch,
                                              .from_offset = consumer->offset,
                                              .next_offset = consumer->offset};
}

/* The next record of the posting, with a key; the caller fills in the command. */
static inline struct command *add_record(struct consumer *consumer, const char *key)
{
    struct posting *posting = consumer->posting;
    struct record *record = &consumer->records[posting->count++];
    MUST(posting->count <= CAPACITY);
    *record = (struct record){.partition = consumer->claim.partition,
                              .offset = consumer->offset++,
                              .timestamp_ms = 1760000000000};
    posting->positions[0].next_offset = consumer->offset;
    record->intake.has_key = true;
    struct command *command = &record->intake.command;
    snprintf(command->key, sizeof command->key, "%s", key);
    snprintf(command->client, sizeof command->client, "c");
    command->currency = currency_find("USD", 3);
    memset(record->fingerprint, key[0], sizeof record->fingerprint);
    snprintf((char *)record->payment_id.bytes, UUID_SIZE, "%.*s", UUID_SIZE - 1, key);
    return command;
}

static inline void add_opening(struct consumer *consumer, const char *key,
                               const char *account)
{
    struct command *command = add_record(consumer, key);
    command->operation = OPERATION_OPEN_ACCOUNT;
    snprintf(command->account, sizeof command->account, "%s", account);
}

static inline void add_transfer(struct consumer *consumer, const char *key,
                                const char *source, const char *destination,
                                int64_t amount_minor)
{
    struct command *command = add_record(consumer, key);
    command->operation = OPERATION_TRANSFER;
    command->amount_minor = amount_minor;
    snprintf(command->source, sizeof command->source, "%s", source);
    snprintf(command->destination, sizeof command->destination, "%s", destination);
}

static inline void add_refund(struct consumer *consumer, const char *key,
                              const char *payment, int64_t amount_minor)
{
    struct command *command = add_record(consumer, key);
    command->operation = OPERATION_REFUND;
    command->amount_minor = amount_minor;
    snprintf((char *)command->refunded_payment_id.bytes, UUID_SIZE, "%s", payment);
}

/* The second record of the posting is one of another partition. */
static inline void move_to_partition(struct consumer *consumer, const struct claim *claim)
{
    struct posting *posting = consumer->posting;
    struct record *record = &consumer->records[1];
    record->partition = claim->partition;
    record->offset = claim->next_offset;
    posting->positions[0].next_offset--;
    posting->positions[1] = (struct position){.partition = claim->partition,
                                              .epoch = claim->epoch,
                                              .from_offset = record->offset,
                                              .next_offset = record->offset + 1};
    posting->position_count = 2;
}

static inline void answer(struct consumer *consumer, size_t index, enum outcome outcome,
                          enum code code)
{
    struct posting *posting = consumer->posting;
    posting->decisions[index] =
        (struct decision){.kind = DECISION_NEW, .outcome = outcome, .code = code};
    char key[COMMAND_KEY_MAX + 1]; /* gcc takes the two members for overlapping ones */
    memcpy(key, consumer->records[index].intake.command.key, sizeof key);
    snprintf(consumer->results[index], sizeof consumer->results[index], "answer to %s",
             key);
    posting->results[index] = consumer->results[index];
    posting->result_sizes[index] = strlen(consumer->results[index]);
}

static inline size_t slot_of(const struct posting *posting, const char *name)
{
    for (size_t i = 0; i < posting->account_count; i++)
        if (strcmp(posting->accounts[i].name, name) == 0)
            return i;
    must_fail("the account is among the facts", __FILE__, __LINE__);
}

static inline void apply_opening(struct consumer *consumer, size_t index,
                                 size_t *ids_used)
{
    struct posting *posting = consumer->posting;
    const struct command *command = &consumer->records[index].intake.command;
    struct account *account = &posting->accounts[posting->account_count++];
    *account = (struct account){.account_id = posting->new_account_ids[(*ids_used)++],
                                .currency = command->currency,
                                .opened = true};
    snprintf(account->name, sizeof account->name, "%s", command->account);
    answer(consumer, index, OUTCOME_APPLIED, CODE_NONE);
}

static inline void apply_movement(struct consumer *consumer, size_t index,
                                  size_t debit_slot, size_t credit_slot)
{
    struct posting *posting = consumer->posting;
    int64_t amount_minor = consumer->records[index].intake.command.amount_minor;
    struct account *debit = &posting->accounts[debit_slot];
    struct account *credit = &posting->accounts[credit_slot];
    debit->balance_minor -= amount_minor;
    credit->balance_minor += amount_minor;
    answer(consumer, index, OUTCOME_APPLIED, CODE_NONE);
    posting->decisions[index].has_movement = true;
    posting->decisions[index].movement =
        (struct movement){.debit_slot = debit_slot,
                          .credit_slot = credit_slot,
                          .amount_minor = amount_minor,
                          .debit_balance_minor = debit->balance_minor,
                          .credit_balance_minor = credit->balance_minor,
                          .debit_version = ++debit->version,
                          .credit_version = ++credit->version};
}

/* Applies everything, whether it should be or not: the database is what is tested.
 * Refunds go from `b` to `a`. */
static inline void apply_all(struct consumer *consumer)
{
    struct posting *posting = consumer->posting;
    size_t ids_used = 0;
    for (size_t i = 0; i < posting->count; i++) {
        const struct command *command = &consumer->records[i].intake.command;
        if (command->operation == OPERATION_OPEN_ACCOUNT)
            apply_opening(consumer, i, &ids_used);
        else if (command->operation == OPERATION_TRANSFER)
            apply_movement(consumer, i, slot_of(posting, command->source),
                           slot_of(posting, command->destination));
        else
            apply_movement(consumer, i, slot_of(posting, "b"), slot_of(posting, "a"));
    }
}

static inline enum port_status look_up(struct consumer *consumer)
{
    enum port_status status = store_lookup(consumer->store, consumer->posting);
    if (status != PORT_OK)
        printf("     lookup: %s\n", store_fault(consumer->store));
    return status;
}

static inline enum port_status post(struct consumer *consumer)
{
    enum port_status status = look_up(consumer);
    if (status != PORT_OK)
        return status;
    apply_all(consumer);
    return store_commit(consumer->store, consumer->posting);
}

/* A fresh schema with the accounts `a` and `b`, without limits, and 1.00 moved from a to
 * b by the payment "pay". */
static inline struct consumer *consumer_with_books(void)
{
    fresh_schema();
    struct consumer *consumer = claimed_consumer(0);
    begin_posting(consumer);
    add_opening(consumer, "open-a", "a");
    add_opening(consumer, "open-b", "b");
    CHECK(post(consumer) == PORT_OK);
    begin_posting(consumer);
    add_transfer(consumer, "pay", "a", "b", 100);
    CHECK(post(consumer) == PORT_OK);
    return consumer;
}

/* After any fault: nothing of it is there, and the next posting works. */
static inline void check_unharmed(struct consumer *consumer)
{
    check_count("transfer", 1);
    check_count("account WHERE balance_minor IN (-100, 100)", 2);
    begin_posting(consumer);
    add_transfer(consumer, "after", "a", "b", 1);
    CHECK(post(consumer) == PORT_OK);
    check_count("transfer", 2);
}

#endif
