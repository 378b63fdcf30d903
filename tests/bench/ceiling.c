/* ceiling.c: how fast the database can be.
 *
 *   ceiling POSTGRES TOPIC PARTITIONS BATCH FILE
 *
 * Has the product's own store word everything that it would send for the transfers in
 * FILE, one JSON object a line, and keeps it instead of sending it: PQsendQueryPrepared()
 * is replaced by the linker. Says `ready`, waits for a line on stdin, sends all of it in
 * the same two round trips a batch, as fast as the answers come, and prints what came of
 * it as JSON. No Kafka, no JSON to be read, no decision: only the database's own work.
 *
 * The accounts must exist, without limits; each key may be there once. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/parse.h"
#include "consumer/core/decide.h"
#include "consumer/decode.h"
#include "consumer/postgres_store.h"
#include "consumer/posting_memory.h"
#include "schema/result.h"

enum { CALLS_OF_BATCH_MAX = 32, LINE_MAX_BYTES = 4096 };

struct arguments {
    const char *postgres, *topic, *file;
    int64_t partitions, batch_records;
};

/* --- the calls that are kept --- */

struct call {
    char name[24];
    int count;
    char *values[PG_PARAMS_MAX];
    int sizes[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    int result_format;
};

struct round_trip {
    struct call calls[CALLS_OF_BATCH_MAX / 2];
    size_t count;
};

static struct round_trip *recorded_into; /* NULL: calls go to the server */
static PGconn *recorded_connection;

int __real_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes,
                               const int *formats, int result_format);
int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes,
                               const int *formats, int result_format);

static void keep(struct call *call, int count, const char *const *values,
                 const int *sizes, const int *formats)
{
    call->count = count;
    for (int i = 0; i < count; i++) {
        call->values[i] = malloc((size_t)sizes[i] + 1);
        MUST(call->values[i] != NULL);
        memcpy(call->values[i], values[i], (size_t)sizes[i]);
        call->sizes[i] = sizes[i];
        call->formats[i] = formats[i];
    }
}

int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *sizes,
                               const int *formats, int result_format)
{
    recorded_connection = connection;
    if (recorded_into == NULL)
        return __real_PQsendQueryPrepared(connection, name, count, values, sizes, formats,
                                          result_format);
    MUST(recorded_into->count < sizeof recorded_into->calls / sizeof(struct call));
    struct call *call = &recorded_into->calls[recorded_into->count++];
    snprintf(call->name, sizeof call->name, "%s", name);
    call->result_format = result_format;
    keep(call, count, values, sizes, formats);
    return 1;
}

/* --- the accounts, as the database has them and as the transfers move them --- */

struct ledger {
    struct account *accounts; /* ascending account_id */
    size_t count;
    struct hsearch_data by_name;
};

static const struct pg_statement read_accounts = {
    .sql = "SELECT account_id, balance_minor, version, currency, name"
           "  FROM postonce.account ORDER BY account_id"};

static void load_account(struct ledger *ledger, const struct pg_rows *rows, size_t row)
{
    struct account *account = &ledger->accounts[row];
    size_t size;
    const char *currency = pg_bytes(PG_CELL(rows, row, 3), &size);
    *account = (struct account){.account_id = pg_int8(PG_CELL(rows, row, 0)),
                                .balance_minor = pg_int8(PG_CELL(rows, row, 1)),
                                .version = pg_int8(PG_CELL(rows, row, 2)),
                                .currency = currency_find(currency, size)};
    account->version_before = account->version;
    account->balance_before = account->balance_minor;
    snprintf(account->name, sizeof account->name, "%s",
             pg_bytes(PG_CELL(rows, row, 4), &size));
    ENTRY entry = {account->name, account}, *found;
    MUST(hsearch_r(entry, ENTER, &found, &ledger->by_name) != 0);
}

static void load_ledger(struct ledger *ledger, struct pg *pg)
{
    pg_begin(pg);
    pg_send(pg, &read_accounts);
    MUST(pg_wait(pg) == PORT_OK);
    const struct pg_rows *rows = pg_answer(pg, &read_accounts);
    ledger->count = pg_row_count(rows);
    ledger->accounts = calloc(ledger->count + 1, sizeof *ledger->accounts);
    MUST(ledger->accounts != NULL);
    MUST(hcreate_r(2 * ledger->count + 1, &ledger->by_name) != 0);
    for (size_t i = 0; i < ledger->count; i++)
        load_account(ledger, rows, i);
}

static struct account *ledger_find(struct ledger *ledger, const char *name)
{
    char key[COMMAND_ACCOUNT_MAX + 1];
    snprintf(key, sizeof key, "%s", name);
    ENTRY entry = {key, NULL}, *found;
    MUST(hsearch_r(entry, FIND, &found, &ledger->by_name) != 0);
    return found->data;
}

/* --- the commands --- */

struct commands {
    struct record *records;
    size_t count, capacity;
    int64_t offset[1024]; /* the next one, by partition */
};

static struct record *next_record(struct commands *commands)
{
    if (commands->count == commands->capacity) {
        commands->capacity = 2 * commands->capacity + 1024;
        commands->records =
            realloc(commands->records, commands->capacity * sizeof *commands->records);
        MUST(commands->records != NULL);
    }
    return &commands->records[commands->count++];
}

/* `{"idempotency_key":"KEY",...}`, as a value; the key is in a header, too. */
static void read_line(struct commands *commands, struct digest *digest, const char *line,
                      const struct claim *claim)
{
    static const char start[] = "{\"idempotency_key\":\"";
    MUST(strncmp(line, start, sizeof start - 1) == 0);
    const char *key = line + sizeof start - 1;
    struct record *record = next_record(commands);
    *record = (struct record){.partition = claim->partition,
                              .offset = commands->offset[claim->partition]++,
                              .timestamp_ms = clock_unix_ms(),
                              .epoch = claim->epoch};
    intake_init(&record->intake);
    intake_key_header(&record->intake, key, strcspn(key, "\""));
    decode_value(record, digest, line, strcspn(line, "\n"));
    MUST(record->intake.code == CODE_NONE &&
         record->intake.command.operation == OPERATION_TRANSFER);
}

static void read_commands(struct commands *commands, const struct arguments *arguments,
                          const struct claim *claims)
{
    static char line[LINE_MAX_BYTES];
    FILE *file = fopen(arguments->file, "r");
    struct digest *digest = digest_new();
    MUST(file != NULL);
    for (int64_t i = 0; i < arguments->partitions; i++)
        commands->offset[i] = claims[i].next_offset;
    while (fgets(line, sizeof line, file) != NULL)
        read_line(commands, digest, line,
                  &claims[(int64_t)commands->count % arguments->partitions]);
    digest_free(digest);
    fclose(file);
}

/* --- the postings: facts from the ledger, decided by the product's core --- */

static void add_account(struct posting *posting, struct ledger *ledger, const char *name)
{
    struct account *account = ledger_find(ledger, name);
    if (account->opened) /* a mark of ours: it is among the facts */
        return;
    posting->accounts[posting->account_count++] = *account;
    account->opened = true;
}

static void find_accounts(struct posting *posting, struct ledger *ledger)
{
    posting->account_count = 0;
    for (size_t i = 0; i < posting->count; i++) {
        add_account(posting, ledger, posting->records[i].intake.command.source);
        add_account(posting, ledger, posting->records[i].intake.command.destination);
    }
}

static void keep_accounts(const struct posting *posting, struct ledger *ledger)
{
    for (size_t i = 0; i < posting->account_count; i++) {
        struct account *account = ledger_find(ledger, posting->accounts[i].name);
        *account = posting->accounts[i];
        account->version_before = account->version;
        account->balance_before = account->balance_minor;
        account->rests = false;
    }
}

static void find_positions(struct posting *posting)
{
    posting->position_count = 0;
    for (size_t i = 0; i < posting->count; i++) {
        const struct record *record = &posting->records[i];
        size_t at = 0;
        while (at < posting->position_count &&
               posting->positions[at].partition != record->partition)
            at++;
        struct position *position = &posting->positions[at];
        if (at == posting->position_count) {
            posting->position_count++;
            *position = (struct position){.partition = record->partition,
                                          .epoch = record->epoch,
                                          .from_offset = record->offset,
                                          .known_next_offset = record->offset};
        }
        position->next_offset = record->offset + 1;
        position->last = (struct witness){true, record->offset, record->timestamp_ms};
    }
}

static void write_results(struct posting *posting, char *to)
{
    for (size_t i = 0; i < posting->count; i++) {
        const struct decision *decision = &posting->decisions[i];
        MUST(decision->kind == DECISION_NEW && decision->outcome == OUTCOME_APPLIED);
        struct result result = {.intake = &posting->records[i].intake,
                                .outcome = decision->outcome,
                                .payment_id = &posting->records[i].payment_id,
                                .balance_minor = decision->balance_minor};
        posting->results[i] = to;
        posting->result_sizes[i] = result_write(&result, to);
        to += posting->result_sizes[i];
    }
}

static void begin_posting(struct posting *posting, const struct record *records,
                          size_t count)
{
    posting->records = records;
    posting->count = count;
    posting->payment_count = posting->new_account_id_count = 0;
    memset(posting->inbox, 0, count * sizeof *posting->inbox);
    memset(posting->letters, 0, count * sizeof *posting->letters);
    find_positions(posting);
}

static void record_batch(struct store *store, struct posting *posting,
                         struct ledger *ledger, struct round_trip *round_trips)
{
    static char *results;
    if (results == NULL)
        results = malloc(posting->capacity * RESULT_MAX);
    MUST(results != NULL);
    recorded_into = &round_trips[0];
    postgres_lookup_send(store, posting);
    find_accounts(posting, ledger);
    decide_posting(posting);
    write_results(posting, results);
    recorded_into = &round_trips[1];
    postgres_commit_send(store, posting);
    recorded_into = NULL;
    postgres_lookup_keep(store, posting); /* what is remembered is not asked for */
    store->locked_left -= store->locked_left > 0;
    keep_accounts(posting, ledger);
}

/* --- all of it, as fast as it goes --- */

static void wait_for_socket(PGconn *connection)
{
    int unsent = PQflush(connection);
    MUST(unsent >= 0);
    struct pollfd descriptor = {.fd = PQsocket(connection),
                                .events = (short)(POLLIN | (unsent ? POLLOUT : 0))};
    MUST(poll(&descriptor, 1, 60000) > 0);
    if (descriptor.revents & POLLIN)
        MUST(PQconsumeInput(connection) == 1);
}

/* True at the end of the round trip. */
static bool take_result(PGresult *result, bool *committed)
{
    if (result == NULL)
        return false;
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
        status != PGRES_PIPELINE_SYNC) {
        fprintf(stderr, "ceiling: %s\n", PQresultErrorMessage(result));
        exit(1);
    }
    if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
        *committed = true;
    PQclear(result);
    return status == PGRES_PIPELINE_SYNC;
}

static bool play(PGconn *connection, const struct round_trip *round_trip)
{
    bool committed = false;
    for (size_t i = 0; i < round_trip->count; i++) {
        const struct call *call = &round_trip->calls[i];
        MUST(__real_PQsendQueryPrepared(connection, call->name, call->count,
                                        (const char *const *)call->values, call->sizes,
                                        call->formats, call->result_format) == 1);
    }
    MUST(PQpipelineSync(connection) == 1);
    for (;;) {
        while (PQflush(connection) != 0 || PQisBusy(connection))
            wait_for_socket(connection);
        if (take_result(PQgetResult(connection), &committed))
            return committed;
    }
}

static int64_t play_all(const struct round_trip *round_trips, size_t batches)
{
    int64_t begun_us = clock_monotonic_us();
    for (size_t i = 0; i < batches; i++) {
        (void)play(recorded_connection, &round_trips[2 * i]);
        if (!play(recorded_connection, &round_trips[2 * i + 1])) {
            fprintf(stderr, "ceiling: a batch was not committed\n");
            exit(1);
        }
    }
    return clock_monotonic_us() - begun_us;
}

/* --- the program --- */

static struct arguments read_arguments(char **argv)
{
    struct arguments found = {.postgres = argv[1], .topic = argv[2], .file = argv[5]};
    MUST(parse_int64(argv[3], strlen(argv[3]), &found.partitions));
    MUST(parse_int64(argv[4], strlen(argv[4]), &found.batch_records));
    MUST(found.partitions > 0 && found.partitions <= 1024 && found.batch_records > 0 &&
         found.batch_records <= POSTING_RECORDS_MAX);
    return found;
}

/* A lookup of nothing that is given up: it prepares the statements. */
static void warm_up(struct store *store, struct posting *posting)
{
    posting->count = posting->position_count = 0;
    if (store_lookup(store, posting) != PORT_OK) {
        fprintf(stderr, "ceiling: %s\n", store_fault(store));
        exit(1);
    }
    store_rollback(store);
}

static void tell(const struct round_trip *round_trips, size_t batches, size_t commands,
                 int64_t took_us)
{
    size_t calls = 0;
    for (size_t i = 0; i < 2 * batches; i++)
        calls += round_trips[i].count;
    printf("{\"commands\": %zu, \"batches\": %zu, \"statements\": %zu, "
           "\"round_trips\": %zu, \"took_us\": %" PRId64 "}\n",
           commands, batches, calls, 2 * batches, took_us);
    fflush(stdout);
}

static void claim_all(struct store *store, struct claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++)
        claims[i] = (struct claim){.partition = (int32_t)i};
    MUST(store_claim(store, claims, count) == PORT_OK);
}

int main(int argc, char **argv)
{
    static struct claim claims[1024];
    static struct ledger ledger;
    static struct commands commands;
    if (argc != 6) {
        fprintf(stderr, "usage: ceiling POSTGRES TOPIC PARTITIONS BATCH FILE\n");
        return 2;
    }
    struct arguments arguments = read_arguments(argv);
    size_t batch_records = (size_t)arguments.batch_records;
    struct store *store = store_open(&(struct store_settings){
        .postgres = arguments.postgres, .topic = arguments.topic, .role = "ceiling"});
    struct posting *posting = posting_new(batch_records);
    claim_all(store, claims, (size_t)arguments.partitions);
    load_ledger(&ledger, store->pg);
    read_commands(&commands, &arguments, claims);
    warm_up(store, posting);
    size_t batches = (commands.count + batch_records - 1) / batch_records;
    struct round_trip *round_trips = calloc(2 * batches + 1, sizeof *round_trips);
    MUST(round_trips != NULL);
    for (size_t i = 0; i < batches; i++) {
        size_t first = i * batch_records, left = commands.count - first;
        begin_posting(posting, &commands.records[first],
                      left < batch_records ? left : batch_records);
        record_batch(store, posting, &ledger, &round_trips[2 * i]);
    }
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    tell(round_trips, batches, commands.count, play_all(round_trips, batches));
    (void)getchar(); /* until its backend's CPU time has been read */
    return 0;
}
