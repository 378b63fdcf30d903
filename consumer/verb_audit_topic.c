/* verb_audit_topic.c: see verb_audit_topic.h.
 *
 * The order makes it hold beside consumers at work: first the group's committed offsets,
 * then the snapshot, then the ends of the topics; only records below the committed offset
 * are judged. Results are read before commands. What is remembered between the two is
 * three bits a record, and everything else is asked of the database, a run of records at
 * a time. Results that retention has deleted cannot be missed: see claim_from. */
#include "consumer/verb_audit_topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "consumer/audit_bits.h"
#include "consumer/kafka_audit.h"
#include "schema/code.h"
#include "schema/result.h"

enum { RUN_MAX = 1000, PROGRESS_EVERY = 100000 };

/* What the run of records at hand is asked by. */
struct command_item {
    int32_t partition;
    int64_t offset, timestamp_ms;
    bool is_valid;
    char key[COMMAND_KEY_MAX + 1]; /* "": none */
    uint8_t fingerprint[COMMAND_FINGERPRINT_SIZE];
};

struct result_item {
    int32_t partition, result_partition;
    int64_t offset, result_offset;
    bool is_replayed;
    char key[COMMAND_KEY_MAX + 1];
    enum outcome outcome; /* NONE: the header names none */
    size_t value_size;
    char value[RESULT_MAX];
};

struct topic_partition {
    int64_t start, committed; /* what is judged: start … committed − 1 */
    int64_t claim_from; /* results of records from here on cannot have been deleted */
    int64_t witness, witness_ms; /* the last record decided, and its time; -1: none */
    bool witness_seen;
    int64_t first_answered;     /* in the result partition at hand; -1: none yet */
    struct audit_bits answered; /* a result was seen; taken back when its record comes */
    struct audit_bits decided;  /* a result that says it is the first one was seen */
    struct audit_bits own;      /* the record is there and left a row of its own */
};

struct topic_audit {
    const struct verb_call *call;
    const struct config_values *values;
    bool never_rewound;
    struct kafka_inspect *inspect;
    struct kafka_audit *kafka;
    struct postgres_audit *books;       /* borrowed, while it runs */
    int64_t *committed;                 /* [count] of the group, before the snapshot */
    struct topic_partition *partitions; /* [count] */
    size_t count;
    int64_t records, results, read; /* of those read: ours, ours, all */
    size_t run_count;
    union {
        struct command_item commands[RUN_MAX];
        struct result_item results[RUN_MAX];
    } run;
};

static struct audit_report *report_of(const struct topic_audit *topic)
{
    return topic->books->report;
}

/* --- faults --- */

static int fail_kafka(const struct topic_audit *topic, enum kafka_inspect_status status,
                      const char *sentence)
{
    return verb_fail(topic->call,
                     status == KAFKA_INSPECT_UNREACHABLE ? EXIT_CODE_UNREACHABLE
                                                         : EXIT_CODE_USAGE,
                     "%s", sentence);
}

static int judge_reading(const struct topic_audit *topic,
                         enum kafka_inspect_status status)
{
    return status == KAFKA_INSPECT_OK
               ? EXIT_CODE_DONE
               : fail_kafka(topic, status, kafka_audit_error(topic->kafka));
}

static int judge_inspection(const struct topic_audit *topic,
                            enum kafka_inspect_status status)
{
    return status == KAFKA_INSPECT_OK
               ? EXIT_CODE_DONE
               : fail_kafka(topic, status, kafka_inspect_error(topic->inspect));
}

static int judge_books(const struct topic_audit *topic, enum port_status status)
{
    if (status == PORT_OK)
        return EXIT_CODE_DONE;
    bool unreachable = status == PORT_RETRY || status == PORT_IN_DOUBT;
    return verb_fail(topic->call, unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_USAGE,
                     "%s", pg_fault(topic->books->pg));
}

/* --- progress --- */

static void tell_progress(const struct topic_audit *topic, const char *what)
{
    if (topic->books->progress)
        fprintf(stderr, "\r\033[Kaudit: %s", what);
}

/* The line is left to what is printed next. */
static void clear_progress(const struct topic_audit *topic)
{
    if (topic->books->progress)
        fputs("\r\033[K", stderr);
}

/* Counts a record, and tells when it is time. */
static void tell_read(struct topic_audit *topic, const char *what)
{
    if (++topic->read % PROGRESS_EVERY == 0 && topic->books->progress)
        fprintf(stderr, "\r\033[Kaudit: %s: %" PRId64 " read", what, topic->read);
}

/* --- opening: how far the group has got --- */

static int read_marks(struct topic_audit *topic)
{
    int32_t count = 0;
    int code = judge_inspection(
        topic,
        kafka_inspect_topic(topic->inspect, topic->values->topic_commands, &count));
    if (code != EXIT_CODE_DONE)
        return code;
    topic->count = (size_t)count;
    topic->committed = calloc(topic->count, sizeof *topic->committed);
    topic->partitions = calloc(topic->count, sizeof *topic->partitions);
    MUST(topic->committed != NULL && topic->partitions != NULL);
    return judge_reading(topic, kafka_audit_committed(topic->kafka,
                                                      topic->values->topic_commands,
                                                      topic->committed, topic->count));
}

static int open_kafka(struct topic_audit *topic)
{
    char error[KAFKA_INSPECT_ERROR_MAX];
    topic->inspect = kafka_inspect_open(topic->call->config, error);
    if (topic->inspect != NULL)
        topic->kafka = kafka_audit_open(topic->call->config, error);
    if (topic->kafka == NULL)
        return verb_fail(topic->call, EXIT_CODE_USAGE, "%s", error);
    return read_marks(topic);
}

struct topic_audit *topic_audit_open(const struct verb_call *call, int *code)
{
    struct topic_audit *topic = calloc(1, sizeof *topic);
    MUST(topic != NULL);
    topic->call = call;
    topic->values = config_values(call->config);
    topic->never_rewound = arguments_has(call->arguments, "never-rewound");
    *code = open_kafka(topic);
    if (*code == EXIT_CODE_DONE)
        return topic;
    topic_audit_close(topic);
    return NULL;
}

void topic_audit_close(struct topic_audit *topic)
{
    if (topic == NULL)
        return;
    for (size_t i = 0; i < topic->count; i++) {
        audit_bits_clear(&topic->partitions[i].answered);
        audit_bits_clear(&topic->partitions[i].decided);
        audit_bits_clear(&topic->partitions[i].own);
    }
    free(topic->committed);
    free(topic->partitions);
    kafka_inspect_close(topic->inspect);
    kafka_audit_close(topic->kafka);
    free(topic);
}

void topic_audit_counts(const struct topic_audit *topic, int64_t *records,
                        int64_t *results)
{
    *records = topic->records;
    *results = topic->results;
}

/* --- positions --- */

/* The end of the log is asked for after the snapshot: what was decided lies below it. */
static int judge_position(struct topic_audit *topic, int32_t index, int64_t next_offset)
{
    struct topic_partition *partition = &topic->partitions[index];
    int64_t committed = topic->committed[index], end;
    int code = judge_reading(topic, kafka_audit_bounds(topic->kafka,
                                                       topic->values->topic_commands,
                                                       index, &partition->start, &end));
    if (code != EXIT_CODE_DONE)
        return code;
    if (committed > next_offset)
        audit_report_place(report_of(topic), AUDIT_COMMITTED_ABOVE_NEXT, index,
                           committed);
    if (end < next_offset)
        audit_report_place(report_of(topic), AUDIT_LOG_ENDS_BELOW_NEXT, index,
                           next_offset);
    partition->committed = committed < end ? committed : end;
    partition->claim_from = partition->start;
    audit_bits_init(&partition->answered, partition->start, partition->committed);
    audit_bits_init(&partition->decided, partition->start, partition->committed);
    audit_bits_init(&partition->own, partition->start, partition->committed);
    return EXIT_CODE_DONE;
}

/* A partition that was never claimed has no row, and nothing of it is decided. */
static int judge_positions(struct topic_audit *topic)
{
    struct pg_rows *rows = NULL;
    const char *name = topic->values->topic_commands;
    int code = judge_books(topic, postgres_audit_positions(topic->books, name, &rows));
    size_t row = 0;
    for (int32_t i = 0; code == EXIT_CODE_DONE && (size_t)i < topic->count; i++) {
        struct topic_partition *partition = &topic->partitions[i];
        int64_t next_offset = 0;
        partition->witness = -1;
        while (row < pg_row_count(rows) && pg_int4(PG_CELL(rows, row, 0)) < i)
            row++;
        if (row < pg_row_count(rows) && pg_int4(PG_CELL(rows, row, 0)) == i) {
            next_offset = pg_int8(PG_CELL(rows, row, 1));
            partition->witness = pg_int8(PG_CELL(rows, row, 2));
            partition->witness_ms = pg_int8(PG_CELL(rows, row, 3));
        }
        code = judge_position(topic, i, next_offset);
    }
    pg_rows_free(rows);
    return code;
}

/* --- results --- */

static void put_results(struct pg_params *params, const void *context)
{
    const struct topic_audit *topic = context;
    pg_param_text(params, topic->values->topic_commands);
    struct pg_param *partition = pg_param_array(params, PG_INT4);
    struct pg_param *offset = pg_param_array(params, PG_INT8);
    struct pg_param *key = pg_param_array(params, PG_TEXT);
    struct pg_param *value = pg_param_array(params, PG_BYTEA);
    struct pg_param *outcome = pg_param_array(params, PG_TEXT);
    struct pg_param *is_replayed = pg_param_array(params, PG_INT4);
    struct pg_param *result_partition = pg_param_array(params, PG_INT4);
    struct pg_param *result_offset = pg_param_array(params, PG_INT8);
    for (size_t i = 0; i < topic->run_count; i++) {
        const struct result_item *item = &topic->run.results[i];
        pg_array_int4(partition, item->partition);
        pg_array_int8(offset, item->offset);
        pg_array_text(key, item->key);
        pg_array_bytes(value, item->value, item->value_size);
        pg_array_text(outcome, outcome_name(item->outcome));
        pg_array_int4(is_replayed, item->is_replayed);
        pg_array_int4(result_partition, item->result_partition);
        pg_array_int8(result_offset, item->result_offset);
    }
}

static int judge_results(struct topic_audit *topic)
{
    if (topic->run_count == 0)
        return EXIT_CODE_DONE;
    enum port_status status =
        postgres_audit_run(topic->books, &audit_pass_results, put_results, topic);
    topic->run_count = 0;
    return judge_books(topic, status);
}

static void find_result(struct topic_audit *topic, enum audit_check check,
                        const struct result_item *item)
{
    char numbers[4][24];
    const struct {
        const char *name;
        int64_t number;
    } places[] = {{"result_partition", item->result_partition},
                  {"result_offset", item->result_offset},
                  {"partition", item->partition},
                  {"offset", item->offset}};
    struct audit_field fields[5] = {{"key", item->key, strlen(item->key), false}};
    for (size_t i = 0; i < 4; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%" PRId64, places[i].number);
        fields[i + 1] =
            (struct audit_field){places[i].name, numbers[i], strlen(numbers[i]), true};
    }
    audit_report_add(report_of(topic), check, 1);
    audit_report_show(report_of(topic), check, fields, 5);
}

/* Nobody but the delivery that decides a record says `false`. */
static void note_result(struct topic_audit *topic, const struct result_item *item)
{
    struct topic_partition *partition = &topic->partitions[item->partition];
    if (partition->first_answered < 0)
        partition->first_answered = item->offset;
    if (audit_bits_put(&partition->answered, item->offset, true) && topic->never_rewound)
        find_result(topic, AUDIT_RESULT_TWICE, item);
    if (!item->is_replayed && audit_bits_put(&partition->decided, item->offset, true))
        find_result(topic, AUDIT_RESULT_FIRST_TWICE, item);
}

/* What is longer than any stored result is compared as nothing, which none is either. */
static void fill_result(struct result_item *item, const struct kafka_result *result)
{
    bool fits = result->value != NULL && result->value_size <= RESULT_MAX;
    item->offset = result->command_offset;
    item->result_offset = result->offset;
    item->is_replayed = strcmp(result->replayed, "false") != 0;
    item->outcome = outcome_find(result->outcome, strlen(result->outcome));
    item->value_size = fits ? result->value_size : 0;
    if (fits)
        memcpy(item->value, result->value, result->value_size);
    item->key[0] = '\0';
    if (result->key == NULL ||
        !command_is_name(result->key, result->key_size, COMMAND_KEY_MAX))
        return;
    memcpy(item->key, result->key, result->key_size);
    item->key[result->key_size] = '\0';
}

static bool has_headers(const struct kafka_result *result, const struct result_item *item)
{
    return item->key[0] != '\0' && strcmp(item->key, result->header_key) == 0 &&
           item->outcome != OUTCOME_NONE &&
           (!item->is_replayed || strcmp(result->replayed, "true") == 0);
}

/* Results of other command topics are none of ours. So is what lies outside of the
 * records that are judged. */
static int take_result(struct topic_audit *topic, int32_t result_partition,
                       const struct kafka_result *result)
{
    struct result_item *item = &topic->run.results[topic->run_count];
    bool has_place = result->command_partition >= 0 &&
                     result->command_partition < (int64_t)topic->count &&
                     result->command_offset >= 0;
    if (result->topic[0] != '\0' &&
        strcmp(result->topic, topic->values->topic_commands) != 0)
        return EXIT_CODE_DONE;
    topic->results++;
    fill_result(item, result);
    item->result_partition = result_partition;
    item->partition = has_place ? (int32_t)result->command_partition : -1;
    if (!has_place || result->topic[0] == '\0') {
        find_result(topic, AUDIT_RESULT_HEADERS, item);
        return EXIT_CODE_DONE;
    }
    if (!audit_bits_covers(&topic->partitions[item->partition].answered, item->offset))
        return EXIT_CODE_DONE;
    note_result(topic, item);
    if (!has_headers(result, item)) {
        find_result(topic, AUDIT_RESULT_HEADERS, item);
        return EXIT_CODE_DONE;
    }
    return ++topic->run_count == RUN_MAX ? judge_results(topic) : EXIT_CODE_DONE;
}

/* Of a result partition that has lost its beginning, what is left of the answers to a
 * command partition begins at the first one seen; only from there on none can be missing.
 * If none is left, nothing is known. */
static void bound_claims(struct topic_audit *topic, bool has_lost)
{
    for (size_t i = 0; i < topic->count; i++) {
        struct topic_partition *partition = &topic->partitions[i];
        int64_t from = partition->first_answered >= 0 ? partition->first_answered
                                                      : partition->committed;
        if (has_lost && partition->claim_from < from)
            partition->claim_from = from;
        partition->first_answered = -1;
    }
}

static int read_results_of(struct topic_audit *topic, int32_t partition)
{
    struct kafka_result result;
    int64_t start, end;
    bool ended = false;
    const char *name = topic->values->topic_results;
    int code = judge_reading(
        topic, kafka_audit_bounds(topic->kafka, name, partition, &start, &end));
    bound_claims(topic, false);
    if (code == EXIT_CODE_DONE)
        code = judge_reading(
            topic, kafka_audit_begin(topic->kafka, name, partition, start, end));
    while (code == EXIT_CODE_DONE) {
        code =
            judge_reading(topic, kafka_audit_next_result(topic->kafka, &result, &ended));
        if (ended)
            break;
        if (code == EXIT_CODE_DONE)
            code = take_result(topic, partition, &result);
        tell_read(topic, "results");
    }
    if (code == EXIT_CODE_DONE)
        bound_claims(topic, start > 0);
    return code;
}

static int read_results(struct topic_audit *topic)
{
    int32_t count = 0;
    if (topic->values->topic_results[0] == '\0')
        return EXIT_CODE_DONE;
    int code = judge_inspection(
        topic, kafka_inspect_topic(topic->inspect, topic->values->topic_results, &count));
    for (int32_t i = 0; code == EXIT_CODE_DONE && i < count; i++)
        code = read_results_of(topic, i);
    return code == EXIT_CODE_DONE ? judge_results(topic) : code;
}

/* --- commands --- */

static void put_places(struct pg_params *params, const struct topic_audit *topic)
{
    pg_param_text(params, topic->values->topic_commands);
    struct pg_param *partition = pg_param_array(params, PG_INT4);
    struct pg_param *offset = pg_param_array(params, PG_INT8);
    struct pg_param *key = pg_param_array(params, PG_TEXT);
    for (size_t i = 0; i < topic->run_count; i++) {
        const struct command_item *item = &topic->run.commands[i];
        pg_array_int4(partition, item->partition);
        pg_array_int8(offset, item->offset);
        if (item->key[0] != '\0')
            pg_array_text(key, item->key);
        else
            pg_array_null(key);
    }
}

static void put_commands(struct pg_params *params, const void *context)
{
    const struct topic_audit *topic = context;
    put_places(params, topic);
    struct pg_param *fingerprint = pg_param_array(params, PG_BYTEA);
    struct pg_param *time = pg_param_array(params, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < topic->run_count; i++) {
        const struct command_item *item = &topic->run.commands[i];
        if (item->is_valid)
            pg_array_bytes(fingerprint, item->fingerprint, sizeof item->fingerprint);
        else
            pg_array_null(fingerprint);
        pg_array_time_ms(time, item->timestamp_ms);
    }
}

static void put_own(struct pg_params *params, const void *context)
{
    put_places(params, context);
}

/* All of one run are of one partition. */
static int judge_commands(struct topic_audit *topic)
{
    struct pg_rows *rows = NULL;
    if (topic->run_count == 0)
        return EXIT_CODE_DONE;
    struct audit_bits *own = &topic->partitions[topic->run.commands[0].partition].own;
    int code = judge_books(topic, postgres_audit_run(topic->books, &audit_pass_commands,
                                                     put_commands, topic));
    if (code == EXIT_CODE_DONE)
        code = judge_books(topic,
                           postgres_audit_not_own(topic->books, put_own, topic, &rows));
    for (size_t i = 0; i < pg_row_count(rows); i++)
        audit_bits_put(own, pg_int8(PG_CELL(rows, i, 0)), false);
    pg_rows_free(rows);
    topic->run_count = 0;
    return code;
}

static void find_command(struct topic_audit *topic, enum audit_check check,
                         const struct command_item *item)
{
    char numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%d", item->partition);
    snprintf(numbers[1], sizeof numbers[1], "%" PRId64, item->offset);
    const struct audit_field fields[] = {
        {"partition", numbers[0], strlen(numbers[0]), true},
        {"offset", numbers[1], strlen(numbers[1]), true},
        {"key", item->key, strlen(item->key), false}};
    audit_report_add(report_of(topic), check, 1);
    audit_report_show(report_of(topic), check, fields, item->key[0] != '\0' ? 3 : 2);
}

static void judge_answered(struct topic_audit *topic, const struct command_item *item)
{
    struct topic_partition *partition = &topic->partitions[item->partition];
    bool has_key = item->key[0] != '\0';
    bool answered = audit_bits_put(&partition->answered, item->offset, false);
    if (topic->values->topic_results[0] == '\0')
        return;
    if (answered && !has_key)
        find_command(topic, AUDIT_RESULT_UNWANTED, item);
    if (!answered && has_key && item->offset >= partition->claim_from)
        find_command(topic, AUDIT_RESULT_MISSING, item);
}

static void note_witness(struct topic_partition *partition,
                         const struct command_item *item)
{
    if (item->offset == partition->witness && item->timestamp_ms == partition->witness_ms)
        partition->witness_seen = true;
}

static int take_command(struct topic_audit *topic, const struct record *record)
{
    struct command_item *item = &topic->run.commands[topic->run_count];
    topic->records++;
    item->partition = record->partition;
    item->offset = record->offset;
    item->timestamp_ms = record->timestamp_ms;
    item->is_valid = record->intake.code == CODE_NONE;
    memcpy(item->fingerprint, record->fingerprint, sizeof item->fingerprint);
    item->key[0] = '\0';
    if (record->intake.has_key)
        memcpy(item->key, record->intake.command.key, sizeof item->key);
    judge_answered(topic, item);
    note_witness(&topic->partitions[item->partition], item);
    audit_bits_put(&topic->partitions[item->partition].own, item->offset, true);
    return ++topic->run_count == RUN_MAX ? judge_commands(topic) : EXIT_CODE_DONE;
}

static void judge_leftovers(struct topic_audit *topic, int32_t index)
{
    const struct audit_bits *answered = &topic->partitions[index].answered;
    int64_t offset = answered->first - 1;
    while ((offset = audit_bits_find(answered, offset + 1)) >= 0)
        audit_report_place(report_of(topic), AUDIT_RESULT_WITHOUT_RECORD, index, offset);
    const struct topic_partition *partition = &topic->partitions[index];
    if (audit_bits_covers(answered, partition->witness) && !partition->witness_seen)
        audit_report_place(report_of(topic), AUDIT_WITNESS_DIFFERS, index,
                           partition->witness);
}

static int read_commands_of(struct topic_audit *topic, int32_t index)
{
    static struct record record; /* too large for a stack */
    const struct topic_partition *partition = &topic->partitions[index];
    bool ended = false;
    int code = judge_reading(
        topic, kafka_audit_begin(topic->kafka, topic->values->topic_commands, index,
                                 partition->start, partition->committed));
    while (code == EXIT_CODE_DONE) {
        code =
            judge_reading(topic, kafka_audit_next_command(topic->kafka, &record, &ended));
        if (ended)
            break;
        if (code == EXIT_CODE_DONE)
            code = take_command(topic, &record);
        tell_read(topic, "commands");
    }
    if (code == EXIT_CODE_DONE)
        code = judge_commands(topic);
    if (code == EXIT_CODE_DONE)
        judge_leftovers(topic, index);
    return code;
}

/* --- rows --- */

static void judge_row(struct topic_audit *topic, int32_t index, int64_t offset)
{
    if (index < 0 || (size_t)index >= topic->count) {
        audit_report_place(report_of(topic), AUDIT_ROW_WITHOUT_RECORD, index, offset);
        return;
    }
    const struct audit_bits *own = &topic->partitions[index].own;
    if (audit_bits_covers(own, offset) && !audit_bits_get(own, offset))
        audit_report_place(report_of(topic), AUDIT_ROW_WITHOUT_RECORD, index, offset);
}

static int judge_rows(struct topic_audit *topic)
{
    size_t count = 1;
    int code = judge_books(
        topic, postgres_audit_rows_begin(topic->books, topic->values->topic_commands));
    while (code == EXIT_CODE_DONE && count > 0) {
        struct pg_rows *rows = NULL;
        code = judge_books(topic, postgres_audit_rows_next(topic->books, &rows));
        count = pg_row_count(rows);
        for (size_t i = 0; i < count; i++)
            judge_row(topic, pg_int4(PG_CELL(rows, i, 0)), pg_int8(PG_CELL(rows, i, 1)));
        pg_rows_free(rows);
    }
    return code;
}

/* --- all of it --- */

int topic_audit_run(struct topic_audit *topic, struct postgres_audit *books)
{
    topic->books = books;
    tell_progress(topic, "results");
    int code = judge_positions(topic);
    if (code == EXIT_CODE_DONE)
        code = read_results(topic);
    tell_progress(topic, "commands");
    topic->read = 0;
    for (size_t i = 0; code == EXIT_CODE_DONE && i < topic->count; i++)
        code = read_commands_of(topic, (int32_t)i);
    tell_progress(topic, "rows");
    if (code == EXIT_CODE_DONE)
        code = judge_rows(topic);
    clear_progress(topic);
    return code;
}
