/* pg.c: see pg.h. Besides pg_conninfo.c the only file that knows libpq.
 *
 * The connection is always non-blocking and, except while a script runs, in pipeline
 * mode. All waiting is done in await_socket(), against one deadline. After a deadline the
 * connection is closed: what the server still does with what it was sent is then nobody's
 * business, and a transaction without COMMIT dies with its connection. */
#include "consumer/pg.h"

#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "consumer/failpoint.h"
#include "consumer/metrics.h"
#include "consumer/pg_conninfo.h"
#include "consumer/postgres_session.h"
#include "consumer/postgres_sqlstate.h"

enum {
    CONNECT_WAIT_MS = 3000,
    ROLLBACK_WAIT_MS = 2000,
    /* A process that was stopped finds its deadline past although the answer is already
     * on its way: it looks once more. */
    LAST_LOOK_MS = 100,
    FAULT_SIZE = 512,
    MESSAGE_SIZE = 4096, /* of libpq: a sentence for each host and address */
    NAME_SIZE = 64
};

struct answer_slot {
    const struct pg_statement *statement; /* NULL: of no interest */
    PGresult *result;                     /* owned; NULL: none yet, or taken */
};

struct pg {
    struct pg_settings settings;
    PGconn *connection; /* NULL: there is none */
    uint64_t connection_number;
    struct pg_params params;
    struct answer_slot answers[PG_STATEMENTS_MAX];
    size_t sent, answered;
    bool send_failed, commit_sent, committed; /* in this round trip */
    int64_t deadline_ms;
    char sqlstate[SQLSTATE_SIZE + 1];
    char fault[FAULT_SIZE];
};

static const int64_t wait_ms_of_profile[PG_PROFILE_COUNT] = {[PG_POSTING] = 10000,
                                                             [PG_READING] = 10000,
                                                             [PG_MIGRATING] = 3600000,
                                                             [PG_AUDITING] = 86400000};

static const struct pg_statement end_transaction = {.sql = "ROLLBACK"};

/* --- faults --- */

/* One line; libpq's sentences end with a newline and sometimes go on with a hint. */
static void cut_line(char *text)
{
    text[strcspn(text, "\n")] = '\0';
}

void pg_set_fault(struct pg *pg, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(pg->fault, sizeof pg->fault, format, list);
    va_end(list);
    cut_line(pg->fault);
    pg->sqlstate[0] = '\0';
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->sqlstate;
}

const char *pg_fault(const struct pg *pg)
{
    return pg->fault;
}

/* Sorts a fault that the server named, and words it. */
static enum port_status sort_fault(struct pg *pg, const char *sqlstate,
                                   const char *sentence, const char *constraint)
{
    const struct sqlstate_verdict *verdict =
        postgres_sqlstate_judge(sqlstate, constraint);
    char said[FAULT_SIZE];
    snprintf(said, sizeof said, "%s",
             postgres_sqlstate_may_quote_data(sqlstate) ? "it refuses a value"
                                                        : sentence);
    cut_line(said);
    pg_set_fault(pg, "PostgreSQL says: %s (SQLSTATE %s)%s%s", said, sqlstate,
                 verdict->advice != NULL ? "; " : "",
                 verdict->advice != NULL ? verdict->advice : "");
    snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", sqlstate);
    if (verdict->drop)
        pg_disconnect(pg);
    return verdict->status;
}

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text != NULL ? text : "";
}

/* libpq words a lost connection as a failed statement too, but without a SQLSTATE. */
static bool is_from_server(const PGresult *result)
{
    return field(result, PG_DIAG_SQLSTATE)[0] != '\0';
}

/* What the connection died of is in doubt from the moment a COMMIT may have left. */
static enum port_status lost(struct pg *pg, const char *why)
{
    bool in_doubt = pg->commit_sent && !pg->committed;
    pg_set_fault(pg, "the connection to PostgreSQL is lost%s: %s",
                 in_doubt ? " without an answer to COMMIT" : "", why);
    pg_disconnect(pg);
    metrics_side(METRICS_SIDE_POSTGRES, false);
    return in_doubt ? PORT_IN_DOUBT : PORT_RETRY;
}

/* --- waiting --- */

static int poll_once(const struct pg *pg, short events, int64_t wait_ms)
{
    struct pollfd descriptor = {.fd = PQsocket(pg->connection), .events = events};
    int ready = poll(&descriptor, 1, wait_ms > 0 ? (int)wait_ms : 0);
    return ready < 0 && errno == EINTR ? 0 : ready;
}

/* False when the deadline has passed and nothing came. */
static bool await_socket(const struct pg *pg, short events)
{
    for (;;) {
        int64_t left_ms = pg->deadline_ms - clock_monotonic_ms();
        if (poll_once(pg, events, left_ms) != 0)
            return true;
        if (clock_monotonic_ms() >= pg->deadline_ms)
            return poll_once(pg, events, LAST_LOOK_MS) != 0;
    }
}

static void set_deadline(struct pg *pg, int64_t wait_ms)
{
    pg->deadline_ms = clock_monotonic_ms() + wait_ms;
}

enum readiness { READY, READY_LOST, READY_LATE };

/* Until PQgetResult() would not block. Sends meanwhile what has not left yet. */
static enum readiness await_result(struct pg *pg)
{
    while (PQisBusy(pg->connection)) {
        int unsent = PQflush(pg->connection);
        if (unsent < 0 && PQstatus(pg->connection) == CONNECTION_BAD)
            return READY_LOST;
        short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;
        if (!await_socket(pg, events))
            return READY_LATE;
        if (!PQconsumeInput(pg->connection))
            return READY_LOST;
    }
    return READY;
}

/* --- the connection --- */

struct pg *pg_open(const struct pg_settings *settings)
{
    struct pg *pg = calloc(1, sizeof *pg);
    MUST(pg != NULL);
    pg->settings = *settings;
    return pg;
}

void pg_close(struct pg *pg)
{
    if (pg == NULL)
        return;
    pg_disconnect(pg);
    pg_params_free(&pg->params);
    free(pg);
}

static void forget_answers(struct pg *pg)
{
    for (size_t i = 0; i < pg->sent; i++)
        PQclear(pg->answers[i].result);
    pg->sent = 0;
    pg->answered = 0;
}

void pg_disconnect(struct pg *pg)
{
    forget_answers(pg);
    PQfinish(pg->connection);
    pg->connection = NULL;
}

bool pg_is_connected(const struct pg *pg)
{
    return pg->connection != NULL;
}

uint64_t pg_connection_number(const struct pg *pg)
{
    return pg->connection_number;
}

static void ignore_notice(void *unused, const PGresult *notice)
{
    (void)unused;
    (void)notice;
}

/* What comes before `dbname` may be overridden by the connection string, what comes after
 * may not. A server that is gone is noticed within seconds, also between two batches. */
struct connect_options {
    const char *names[12], *values[12];
    char application[NAME_SIZE];
};

static void fill_options(const struct pg *pg, struct connect_options *options)
{
    snprintf(options->application, sizeof options->application, "postonce %s",
             pg->settings.role);
    const char *const pairs[][2] = {{"keepalives", "1"},
                                    {"keepalives_idle", "5"},
                                    {"keepalives_interval", "2"},
                                    {"keepalives_count", "3"},
                                    {"tcp_user_timeout", "10000"},
                                    {"connect_timeout", "3"},
                                    {"dbname", pg->settings.postgres},
                                    {"client_encoding", "UTF8"},
                                    {"application_name", options->application},
                                    {NULL, NULL}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        options->names[i] = pairs[i][0];
        options->values[i] = pairs[i][1];
    }
}

static bool has_many_hosts(PGconn *connection)
{
    bool many = false;
    PQconninfoOption *options = PQconninfo(connection);
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++)
        if (strncmp(option->keyword, "host", 4) == 0 && option->val != NULL &&
            strchr(option->val, ',') != NULL)
            many = true;
    PQconninfoFree(options);
    return many;
}

/* Returns false only when it was the deadline that ended it. */
static bool drive_connection(struct pg *pg)
{
    PostgresPollingStatusType polling = PGRES_POLLING_WRITING;
    if (PQstatus(pg->connection) == CONNECTION_BAD)
        return true;
    while (polling != PGRES_POLLING_OK && polling != PGRES_POLLING_FAILED) {
        if (!await_socket(pg, polling == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return false;
        polling = PQconnectPoll(pg->connection);
    }
    return true;
}

/* The SQLSTATE of a refused login is nowhere but in libpq's text, and there only if it
 * was asked to be verbose before the login began; hence not PQconnectdb(). But only
 * PQconnectdb() goes on to the next host of several when one keeps silent. */
static bool dial(struct pg *pg)
{
    struct connect_options options;
    fill_options(pg, &options);
    set_deadline(pg, CONNECT_WAIT_MS);
    pg->connection = PQconnectStartParams(options.names, options.values, 1);
    MUST(pg->connection != NULL);
    (void)PQsetErrorVerbosity(pg->connection, PQERRORS_VERBOSE);
    /* A server that stops while we log in says so in a notice; libpq would print it. */
    PQsetNoticeReceiver(pg->connection, ignore_notice, NULL);
    if (drive_connection(pg))
        return true;
    if (!has_many_hosts(pg->connection))
        return false;
    PQfinish(pg->connection);
    pg->connection = PQconnectdbParams(options.names, options.values, 1);
    MUST(pg->connection != NULL);
    return true;
}

static enum port_status explain_refusal(struct pg *pg)
{
    char sqlstate[SQLSTATE_SIZE + 1];
    char message[MESSAGE_SIZE];
    if (PQconnectionNeedsPassword(pg->connection)) {
        pg_set_fault(pg,
                     "PostgreSQL asks for a password and none is configured; check the "
                     "setting `postgres`");
        pg_disconnect(pg);
        return PORT_FATAL;
    }
    snprintf(message, sizeof message, "%s", PQerrorMessage(pg->connection));
    const char *sentence = postgres_sqlstate_find_in_login(message, sqlstate);
    if (sentence != NULL) {
        pg_disconnect(pg);
        return sort_fault(pg, sqlstate, sentence, NULL);
    }
    cut_line(message);
    pg_set_fault(pg, "PostgreSQL is not reachable: %s", message);
    pg_disconnect(pg);
    return PORT_RETRY;
}

static enum port_status prepare_session(struct pg *pg)
{
    PQsetNoticeReceiver(pg->connection, ignore_notice, NULL); /* of one made blocking */
    if (PQsetnonblocking(pg->connection, 1) != 0 || !PQenterPipelineMode(pg->connection))
        return lost(pg, PQerrorMessage(pg->connection));
    pg_begin(pg);
    postgres_session_put(pg_params(pg), pg->settings.profile);
    pg_send(pg, &postgres_session_set);
    pg_send(pg, &postgres_session_set_durable);
    return pg_wait(pg);
}

static enum port_status connect_anew(struct pg *pg)
{
    pg_disconnect(pg);
    if (FAILPOINT(CONNECT_BEGUN))
        return PORT_RETRY;
    const char *fault = pg_conninfo_fault(pg->settings.postgres);
    if (fault != NULL) {
        pg_set_fault(pg, "%s", fault);
        return PORT_FATAL;
    }
    if (!dial(pg)) {
        pg_set_fault(pg, "PostgreSQL does not answer within %d s",
                     CONNECT_WAIT_MS / 1000);
        pg_disconnect(pg);
        return PORT_RETRY;
    }
    if (PQstatus(pg->connection) != CONNECTION_OK)
        return explain_refusal(pg);
    pg->connection_number++;
    enum port_status status = FAILPOINT(CONNECT_DONE) ? PORT_RETRY : prepare_session(pg);
    if (status != PORT_OK)
        pg_disconnect(pg);
    return status == PORT_REFUSED ? PORT_FATAL : status;
}

enum port_status pg_connect(struct pg *pg)
{
    if (pg->connection != NULL && PQstatus(pg->connection) == CONNECTION_OK)
        return PORT_OK;
    enum port_status status = connect_anew(pg);
    metrics_side(METRICS_SIDE_POSTGRES, status == PORT_OK);
    return status;
}

bool pg_probe(struct pg *pg)
{
    if (pg->connection == NULL)
        return pg_connect(pg) == PORT_OK;
    if (PQconsumeInput(pg->connection) == 1 &&
        PQstatus(pg->connection) == CONNECTION_OK) {
        metrics_side(METRICS_SIDE_POSTGRES, true);
        return true;
    }
    (void)lost(pg, "while it was idle");
    return false;
}

/* --- sending --- */

void pg_begin(struct pg *pg)
{
    MUST(pg->connection != NULL);
    forget_answers(pg);
    pg_params_reset(&pg->params);
    pg->send_failed = false;
    pg->commit_sent = false;
    pg->committed = false;
}

struct pg_params *pg_params(struct pg *pg)
{
    pg_params_reset(&pg->params);
    return &pg->params;
}

/* libpq copies statement and parameters into its own buffer, so ours are free afterwards.
 * Behind a statement that could not be sent nothing is sent any more, least of all a
 * COMMIT: it would commit the batch without that statement. pg_wait() tells. */
static bool may_send(struct pg *pg, const struct pg_statement *statement)
{
    if (pg->send_failed)
        return false;
    MUST(pg->sent < PG_STATEMENTS_MAX);
    pg->answers[pg->sent++] = (struct answer_slot){.statement = statement};
    return true;
}

void pg_send(struct pg *pg, const struct pg_statement *statement)
{
    const char *values[PG_PARAMS_MAX];
    int sizes[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    int count = (int)pg->params.count;
    for (int i = 0; i < count; i++) {
        values[i] = pg_param_bytes(&pg->params.params[i]);
        sizes[i] = (int)pg->params.params[i].size;
        formats[i] = 1;
    }
    pg_params_reset(&pg->params);
    if (!may_send(pg, statement))
        return;
    pg->commit_sent = pg->commit_sent || statement->is_commit;
    int sent = statement->name != NULL
                   ? PQsendQueryPrepared(pg->connection, statement->name, count, values,
                                         sizes, formats, !statement->text)
                   : PQsendQueryParams(pg->connection, statement->sql, count, NULL,
                                       values, sizes, formats, !statement->text);
    pg->send_failed = !sent;
}

void pg_send_prepare(struct pg *pg, const struct pg_statement *statement)
{
    if (may_send(pg, NULL))
        pg->send_failed =
            !PQsendPrepare(pg->connection, statement->name, statement->sql, 0, NULL);
}

/* --- answers --- */

static bool has_succeeded(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* After a failed statement COMMIT "succeeds" with the tag ROLLBACK. */
static enum port_status check_commit(struct pg *pg, PGresult *result)
{
    if (strcmp(PQcmdStatus(result), "COMMIT") == 0) {
        pg->committed = true;
        return PORT_OK;
    }
    pg_set_fault(pg, "PostgreSQL answered COMMIT with %s", PQcmdStatus(result));
    return PORT_RETRY;
}

/* A fault instead of an answer. Whatever the server refuses before it has answered COMMIT
 * was not committed, with one exception: a session that is ended while it commits. */
static enum port_status take_fault(struct pg *pg, const PGresult *result, bool is_commit)
{
    if (!is_from_server(result))
        return lost(pg, PQresultErrorMessage(result));
    bool ends = strcmp(field(result, PG_DIAG_SEVERITY_NONLOCALIZED), "ERROR") != 0;
    enum port_status status = sort_fault(pg, field(result, PG_DIAG_SQLSTATE),
                                         field(result, PG_DIAG_MESSAGE_PRIMARY),
                                         field(result, PG_DIAG_CONSTRAINT_NAME));
    return is_commit && ends ? PORT_IN_DOUBT : status;
}

/* Files one result under its statement; behind the last one only the end of an implicit
 * transaction can still fail. */
static enum port_status take_result(struct pg *pg, PGresult *result)
{
    struct answer_slot none = {0};
    struct answer_slot *slot =
        pg->answered < pg->sent ? &pg->answers[pg->answered] : &none;
    bool is_commit = slot->statement != NULL && slot->statement->is_commit;
    enum port_status status = PORT_OK;
    if (!has_succeeded(result))
        status = take_fault(pg, result, is_commit);
    else if (is_commit)
        status = check_commit(pg, result);
    else if (slot->statement != NULL) {
        slot->result = result;
        return PORT_OK;
    }
    PQclear(result);
    return status;
}

/* The next thing that comes: true when the pipeline is at its end, or the connection is.
 * The first fault is the one that counts; what follows it was only skipped. */
static bool take_next(struct pg *pg, enum port_status *status)
{
    enum readiness readiness = await_result(pg);
    enum port_status found = PORT_OK;
    if (readiness != READY) {
        found = lost(pg, readiness == READY_LATE ? "no answer in time"
                                                 : PQerrorMessage(pg->connection));
    } else {
        PGresult *result = PQgetResult(pg->connection);
        if (result == NULL) { /* the end of one statement's results */
            pg->answered++;
            return false;
        }
        ExecStatusType kind = PQresultStatus(result);
        if (kind == PGRES_PIPELINE_SYNC || kind == PGRES_PIPELINE_ABORTED) {
            PQclear(result);
            return kind == PGRES_PIPELINE_SYNC;
        }
        found = take_result(pg, result);
    }
    if (*status == PORT_OK)
        *status = found;
    return pg->connection == NULL;
}

static enum port_status wait_for(struct pg *pg, int64_t wait_ms)
{
    enum port_status status = PORT_OK;
    set_deadline(pg, wait_ms);
    if (pg->send_failed || !PQpipelineSync(pg->connection))
        return lost(pg, PQerrorMessage(pg->connection));
    while (!take_next(pg, &status))
        continue;
    if (pg->committed) /* whatever happened to the connection after it */
        return PORT_OK;
    if (status != PORT_OK)
        forget_answers(pg);
    return status;
}

enum port_status pg_wait(struct pg *pg)
{
    return wait_for(pg, wait_ms_of_profile[pg->settings.profile]);
}

void pg_rollback(struct pg *pg)
{
    char sqlstate[sizeof pg->sqlstate], fault[sizeof pg->fault];
    if (pg->connection == NULL)
        return;
    memcpy(sqlstate, pg->sqlstate, sizeof sqlstate);
    memcpy(fault, pg->fault, sizeof fault);
    pg_begin(pg);
    pg_send(pg, &end_transaction);
    if (wait_for(pg, ROLLBACK_WAIT_MS) != PORT_OK)
        pg_disconnect(pg);
    memcpy(pg->sqlstate, sqlstate,
           sizeof sqlstate); /* the fault that led here is the one */
    memcpy(pg->fault, fault, sizeof fault);
}

/* The simple protocol takes many statements in one text, but not in pipeline mode. */
static enum port_status read_script_results(struct pg *pg)
{
    enum port_status status = PORT_OK;
    while (pg->connection != NULL) {
        enum readiness readiness = await_result(pg);
        if (readiness != READY)
            return lost(pg, readiness == READY_LATE ? "no answer in time"
                                                    : PQerrorMessage(pg->connection));
        PGresult *result = PQgetResult(pg->connection);
        if (result == NULL)
            break;
        if (!has_succeeded(result))
            status = take_fault(pg, result, false);
        PQclear(result);
    }
    return status;
}

enum port_status pg_run_script(struct pg *pg, const char *sql)
{
    pg_begin(pg);
    set_deadline(pg, wait_ms_of_profile[pg->settings.profile]);
    if (!PQexitPipelineMode(pg->connection) || !PQsendQuery(pg->connection, sql))
        return lost(pg, PQerrorMessage(pg->connection));
    enum port_status status = read_script_results(pg);
    if (pg->connection != NULL && !PQenterPipelineMode(pg->connection))
        return lost(pg, PQerrorMessage(pg->connection));
    return status;
}

/* --- reading answers --- */

/* struct pg_rows is libpq's PGresult under a name that does not need libpq's header. */
static const PGresult *result_of(const struct pg_rows *rows)
{
    return (const PGresult *)rows;
}

const struct pg_rows *pg_answer(const struct pg *pg, const struct pg_statement *statement)
{
    for (size_t i = 0; i < pg->sent; i++)
        if (pg->answers[i].statement == statement)
            return (const struct pg_rows *)pg->answers[i].result;
    return NULL;
}

struct pg_rows *pg_take_answer(struct pg *pg, const struct pg_statement *statement)
{
    PGresult *result = NULL;
    for (size_t i = 0; i < pg->sent; i++)
        if (pg->answers[i].statement == statement) {
            result = pg->answers[i].result;
            pg->answers[i].result = NULL;
        }
    return (struct pg_rows *)result;
}

void pg_rows_free(struct pg_rows *rows)
{
    PQclear((PGresult *)rows);
}

size_t pg_row_count(const struct pg_rows *rows)
{
    return rows != NULL ? (size_t)PQntuples(result_of(rows)) : 0;
}

int pg_column_count(const struct pg_rows *rows)
{
    return PQnfields(result_of(rows));
}

const char *pg_column_name(const struct pg_rows *rows, int column)
{
    return PQfname(result_of(rows), column);
}

bool pg_column_is_integer(const struct pg_rows *rows, int column)
{
    Oid type = PQftype(result_of(rows), column);
    return type == PG_INT4 || type == PG_INT8;
}

bool pg_is_null(struct pg_cell cell)
{
    return PQgetisnull(result_of(cell.rows), (int)cell.row, cell.column) != 0;
}

const char *pg_bytes(struct pg_cell cell, size_t *size)
{
    const PGresult *result = result_of(cell.rows);
    *size = (size_t)PQgetlength(result, (int)cell.row, cell.column);
    return PQgetvalue(result, (int)cell.row, cell.column);
}

static void copy_exactly(struct pg_cell cell, void *bytes, size_t size)
{
    size_t found;
    const char *value = pg_bytes(cell, &found);
    MUST(found == size);
    memcpy(bytes, value, size);
}

bool pg_bool(struct pg_cell cell)
{
    char byte;
    copy_exactly(cell, &byte, sizeof byte);
    return byte != 0;
}

int32_t pg_int4(struct pg_cell cell)
{
    uint32_t big;
    copy_exactly(cell, &big, sizeof big);
    return (int32_t)be32toh(big);
}

int64_t pg_int8(struct pg_cell cell)
{
    uint64_t big;
    copy_exactly(cell, &big, sizeof big);
    return (int64_t)be64toh(big);
}
