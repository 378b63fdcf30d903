/* verb_lookup.c: `postonce lookup KEY|PAYMENT_ID`: what became of a command: its inbox
 * row, its transfer, refunds of it, and records under its key that were decided without a
 * row. Only reads. What looks like a payment id may be a key as well: the key is tried
 * first.
 *
 * The queries decide what is shown: each column is a line of text or a member of JSON,
 * under its name; a column NAME_minor is shown as NAME, in the decimals of the row's
 * currency. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "base/text_buffer.h"
#include "consumer/postgres_schema.h"
#include "consumer/verb.h"
#include "schema/command.h"
#include "schema/money.h"
#include "schema/uuid.h"

enum { VALUE_JSON_MAX = 8192, NAME_MAX = 64 };

#define UTC(column) \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define RECORD                                                                     \
    "topic, partition, \"offset\", " UTC("command_time") " AS command_time, " UTC( \
        "decided_at") " AS decided_at, convert_from(result, 'UTF8') AS result"
#define INBOX                                                           \
    "SELECT key, operation, client, outcome, code, payment_id, " RECORD \
    "  FROM postonce.inbox "
#define TRANSFER                                                                        \
    "SELECT t.payment_id, t.client, d.name AS debit_account, c.name AS credit_account," \
    "       t.amount_minor, d.currency, t.debit_balance_minor, t.credit_balance_minor," \
    "       t.debit_version, t.credit_version, t.refunds, t.reference"                  \
    "  FROM postonce.transfer t"                                                        \
    "  JOIN postonce.account d ON d.account_id = t.debit_account_id"                    \
    "  JOIN postonce.account c ON c.account_id = t.credit_account_id "

static const struct pg_statement inbox_by_key = {.sql = INBOX "WHERE key = $1::text",
                                                 .text = true};
/* The payment id begins with the record's time, which is the way to its row; it is 0 for
 * a record that had none. */
static const struct pg_statement inbox_by_payment = {
    .sql = INBOX "WHERE payment_id = $1::uuid AND (command_time = $2::timestamptz OR"
                 " (command_time IS NULL AND $2::timestamptz = 'epoch'::timestamptz))",
    .text = true};
static const struct pg_statement letters_by_key = {
    .sql = "SELECT outcome, code, " RECORD " FROM postonce.dead_letter"
           " WHERE key = $1::text ORDER BY decided_at, topic, partition, \"offset\"",
    .text = true};
static const struct pg_statement transfer_by_id = {
    .sql = TRANSFER "WHERE t.payment_id = $1::uuid", .text = true};
static const struct pg_statement refunds_of = {
    .sql = TRANSFER "WHERE t.refunds = $1::uuid ORDER BY t.payment_id", .text = true};

struct lookup {
    const struct verb_call *call;
    const char *asked;
    struct pg *pg;
    struct pg_rows *inbox, *letters, *transfer, *refunds; /* owned; NULL: not asked for */
};

/* --- asking --- */

static int fail(const struct lookup *lookup, enum port_status status)
{
    bool unreachable = status == PORT_RETRY || status == PORT_IN_DOUBT;
    return verb_fail(lookup->call, unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_USAGE,
                     "%s", pg_fault(lookup->pg));
}

static int check_schema(struct lookup *lookup)
{
    enum store_schema schema;
    int found, wanted;
    enum port_status status = postgres_schema_check(lookup->pg, &schema, &found, &wanted);
    if (status != PORT_OK)
        return fail(lookup, status);
    if (schema == STORE_SCHEMA_CURRENT)
        return EXIT_CODE_DONE;
    if (schema == STORE_SCHEMA_NEWER)
        return verb_fail(
            lookup->call, EXIT_CODE_HALTED,
            "the schema has version %d, this program knows only %d; run a newer "
            "postonce",
            found, wanted);
    return verb_fail(lookup->call, EXIT_CODE_HALTED,
                     "the database has no postonce schema of version %d; run `postonce "
                     "migrate`",
                     wanted);
}

static enum port_status ask_by_key(struct lookup *lookup, const char *key)
{
    struct pg *pg = lookup->pg;
    pg_begin(pg);
    pg_param_text(pg_params(pg), key);
    pg_send(pg, &inbox_by_key);
    pg_param_text(pg_params(pg), key);
    pg_send(pg, &letters_by_key);
    enum port_status status = pg_wait(pg);
    lookup->inbox = pg_take_answer(pg, &inbox_by_key);
    lookup->letters = pg_take_answer(pg, &letters_by_key);
    return status;
}

static enum port_status ask_transfers(struct lookup *lookup,
                                      const struct uuid *payment_id)
{
    struct pg *pg = lookup->pg;
    pg_begin(pg);
    pg_param_uuid(pg_params(pg), payment_id);
    pg_send(pg, &transfer_by_id);
    pg_param_uuid(pg_params(pg), payment_id);
    pg_send(pg, &refunds_of);
    enum port_status status = pg_wait(pg);
    lookup->transfer = pg_take_answer(pg, &transfer_by_id);
    lookup->refunds = pg_take_answer(pg, &refunds_of);
    return status;
}

static int64_t time_of(const struct uuid *payment_id)
{
    int64_t unix_ms = 0;
    for (int i = 0; i < 6; i++)
        unix_ms = unix_ms << 8 | payment_id->bytes[i];
    return unix_ms;
}

/* The row of the command that made the payment, and the dead letters under its key. */
static enum port_status ask_command_of(struct lookup *lookup,
                                       const struct uuid *payment_id)
{
    struct pg *pg = lookup->pg;
    pg_begin(pg);
    struct pg_params *params = pg_params(pg);
    pg_param_uuid(params, payment_id);
    pg_param_time_ms(params, time_of(payment_id));
    pg_send(pg, &inbox_by_payment);
    enum port_status status = pg_wait(pg);
    const struct pg_rows *rows = pg_answer(pg, &inbox_by_payment);
    if (status != PORT_OK || pg_row_count(rows) == 0)
        return status;
    char key[COMMAND_KEY_MAX + 1];
    size_t size;
    const char *found = pg_bytes(PG_CELL(rows, 0, 0), &size);
    MUST(size <= COMMAND_KEY_MAX);
    memcpy(key, found, size + 1);
    pg_rows_free(lookup->inbox);
    pg_rows_free(lookup->letters);
    return ask_by_key(lookup, key);
}

static bool payment_of_inbox(const struct lookup *lookup, struct uuid *payment_id)
{
    enum { PAYMENT_ID_COLUMN = 5 };
    if (pg_row_count(lookup->inbox) == 0)
        return false;
    size_t size;
    const char *text = pg_bytes(PG_CELL(lookup->inbox, 0, PAYMENT_ID_COLUMN), &size);
    return uuid_parse(text, size, payment_id);
}

static bool is_known(const struct lookup *lookup)
{
    return pg_row_count(lookup->inbox) > 0 || pg_row_count(lookup->letters) > 0 ||
           pg_row_count(lookup->transfer) > 0;
}

static enum port_status ask(struct lookup *lookup)
{
    struct uuid payment_id;
    size_t size = strlen(lookup->asked);
    enum port_status status = PORT_OK;
    if (command_is_name(lookup->asked, size, COMMAND_KEY_MAX))
        status = ask_by_key(lookup, lookup->asked);
    if (status != PORT_OK)
        return status;
    if (payment_of_inbox(lookup, &payment_id))
        return ask_transfers(lookup, &payment_id);
    if (is_known(lookup) || !uuid_parse(lookup->asked, size, &payment_id))
        return PORT_OK;
    status = ask_transfers(lookup, &payment_id);
    if (status == PORT_OK && is_known(lookup))
        status = ask_command_of(lookup, &payment_id);
    return status;
}

/* --- showing --- */

struct shown {
    char name[NAME_MAX];
    const char *value;
    size_t size;
    bool raw; /* in JSON: as it is, not as a string */
    char money[MONEY_TEXT_MAX];
};

static const struct currency *currency_of(const struct pg_rows *rows, size_t row)
{
    for (int column = 0; column < pg_column_count(rows); column++) {
        size_t size;
        if (strcmp(pg_column_name(rows, column), "currency") != 0)
            continue;
        const char *code = pg_bytes(PG_CELL(rows, row, column), &size);
        return currency_find(code, size);
    }
    return NULL;
}

/* Digits as PostgreSQL writes an int8. */
static int64_t read_minor(const char *text, size_t size)
{
    bool negative = size > 0 && text[0] == '-';
    int64_t minor = 0;
    for (size_t i = negative ? 1 : 0; i < size; i++)
        minor = minor * 10 - (text[i] - '0'); /* downwards: there is one more below 0 */
    return negative ? minor : -minor;
}

/* Turns NAME_minor into NAME, in decimals; in a currency unknown here it stays as it is.
 * */
static void show_money(struct shown *shown, const struct currency *currency)
{
    static const char suffix[] = "_minor";
    size_t size = strlen(shown->name);
    if (size < sizeof suffix ||
        strcmp(&shown->name[size + 1 - sizeof suffix], suffix) != 0 || currency == NULL)
        return;
    shown->name[size + 1 - sizeof suffix] = '\0';
    int64_t minor = read_minor(shown->value, shown->size);
    shown->size = money_format(minor, currency->exponent, shown->money);
    shown->value = shown->money;
    shown->raw = false;
}

/* False for NULL, which is left out. */
static bool show(struct pg_cell cell, struct shown *shown)
{
    if (pg_is_null(cell))
        return false;
    const char *name = pg_column_name(cell.rows, cell.column);
    snprintf(shown->name, sizeof shown->name, "%s", name);
    shown->value = pg_bytes(cell, &shown->size);
    shown->raw =
        pg_column_is_integer(cell.rows, cell.column) || strcmp(name, "result") == 0;
    show_money(shown, currency_of(cell.rows, cell.row));
    return true;
}

static void print_text_rows(const char *title, const struct pg_rows *rows)
{
    struct shown shown;
    for (size_t row = 0; row < pg_row_count(rows); row++) {
        printf("%s\n", title);
        for (int column = 0; column < pg_column_count(rows); column++)
            if (show(PG_CELL(rows, row, column), &shown))
                printf("  %-15s %.*s\n", shown.name, (int)shown.size, shown.value);
    }
}

static void print_json_string(const char *bytes, size_t size)
{
    char json[VALUE_JSON_MAX];
    struct text_buffer buffer;
    text_buffer_init(&buffer, json, sizeof json);
    text_put_json_lossy(&buffer, bytes, size);
    MUST(!buffer.overflow);
    fwrite(json, 1, buffer.size, stdout);
}

static void print_json_row(const struct pg_rows *rows, size_t row)
{
    struct shown shown;
    const char *separator = "{";
    for (int column = 0; column < pg_column_count(rows); column++) {
        if (!show(PG_CELL(rows, row, column), &shown))
            continue;
        printf("%s\"%s\":", separator, shown.name);
        separator = ",";
        if (shown.raw)
            fwrite(shown.value, 1, shown.size, stdout);
        else
            print_json_string(shown.value, shown.size);
    }
    putchar('}');
}

static void print_json_one(const char *name, const struct pg_rows *rows)
{
    printf("\"%s\":", name);
    if (pg_row_count(rows) > 0)
        print_json_row(rows, 0);
    else
        printf("null");
}

static void print_json_list(const char *name, const struct pg_rows *rows)
{
    printf("\"%s\":[", name);
    for (size_t row = 0; row < pg_row_count(rows); row++) {
        if (row > 0)
            putchar(',');
        print_json_row(rows, row);
    }
    putchar(']');
}

static void print_json(const struct lookup *lookup)
{
    putchar('{');
    print_json_one("command", lookup->inbox);
    putchar(',');
    print_json_one("transfer", lookup->transfer);
    putchar(',');
    print_json_list("refunds", lookup->refunds);
    putchar(',');
    print_json_list("dead_letters", lookup->letters);
    printf("}\n");
}

static void print_text(const struct lookup *lookup)
{
    print_text_rows("command", lookup->inbox);
    print_text_rows("transfer", lookup->transfer);
    print_text_rows("refund of it", lookup->refunds);
    print_text_rows("dead letter", lookup->letters);
}

/* --- the verb --- */

static int look_up(struct lookup *lookup)
{
    int code = check_schema(lookup);
    if (code != EXIT_CODE_DONE)
        return code;
    enum port_status status = ask(lookup);
    if (status != PORT_OK)
        return fail(lookup, status);
    if (!is_known(lookup))
        return verb_fail(
            lookup->call, EXIT_CODE_FINDINGS,
            "nothing was decided under this idempotency key or payment id: %s",
            lookup->asked);
    if (arguments_has(lookup->call->arguments, "json"))
        print_json(lookup);
    else
        print_text(lookup);
    return EXIT_CODE_DONE;
}

int verb_lookup(const struct verb_call *call)
{
    struct lookup lookup = {.call = call,
                            .asked = call->arguments->words[0],
                            .pg = pg_open(&(struct pg_settings){
                                .postgres = config_values(call->config)->postgres,
                                .role = "lookup",
                                .profile = PG_READING})};
    int code = look_up(&lookup);
    pg_rows_free(lookup.inbox);
    pg_rows_free(lookup.letters);
    pg_rows_free(lookup.transfer);
    pg_rows_free(lookup.refunds);
    pg_close(lookup.pg);
    return code;
}
