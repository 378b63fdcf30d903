/* kafka_message.c: see kafka_message.h. */
#include "consumer/kafka_message.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/parse.h"
#include "base/text_buffer.h"
#include "schema/code.h"

enum {
    QUEUE_FULL_WAIT_MS = 10000,
    NUMBER_TEXT_MAX = 24,
    PASSED_THROUGH_MAX = 4096 /* bytes of names and values in one result */
};

static void add_text(rd_kafka_headers_t *headers, const char *name, const char *text)
{
    MUST(rd_kafka_header_add(headers, name, -1, text, -1) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char text[NUMBER_TEXT_MAX];
    struct text_buffer buffer;
    text_buffer_init(&buffer, text, sizeof text);
    text_put_int(&buffer, number);
    MUST(rd_kafka_header_add(headers, name, -1, text, (ssize_t)buffer.size) ==
         RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* The headers of the command as it came, or NULL; they live as long as the record. */
static rd_kafka_headers_t *headers_of(const struct record *record)
{
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(record->origin, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return headers;
}

/* What a requester needs to find its answer, and tracing, goes through as it came. */
static bool is_passed_through(const char *name)
{
    static const char *const names[] = {"correlation-id", "kafka_correlationId",
                                        "traceparent", "tracestate"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Bounded, because a result that the topic does not take would hold up every answer
 * behind it for ever. What has no room is left out, the same each time. */
static void pass_through(rd_kafka_headers_t *headers, const struct record *record)
{
    const rd_kafka_headers_t *original = headers_of(record);
    size_t room = PASSED_THROUGH_MAX;
    const char *name;
    const void *value;
    size_t size;
    for (size_t i = 0;
         original != NULL && rd_kafka_header_get_all(original, i, &name, &value, &size) ==
                                 RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        if (!is_passed_through(name) || strlen(name) + size > room)
            continue;
        room -= strlen(name) + size;
        MUST(rd_kafka_header_add(headers, name, -1, value, (ssize_t)size) ==
             RD_KAFKA_RESP_ERR_NO_ERROR);
    }
}

static rd_kafka_headers_t *result_headers(const struct kafka_message_target *target,
                                          const struct record *record,
                                          const struct answer *answer)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    add_text(headers, "idempotency-key", record->intake.command.key);
    add_text(headers, "outcome", outcome_name(answer->outcome));
    add_text(headers, "idempotent-replayed", answer->replayed ? "true" : "false");
    add_text(headers, "command-topic", target->command_topic);
    add_number(headers, "command-partition", record->partition);
    add_number(headers, "command-offset", record->offset);
    pass_through(headers, record);
    return headers;
}

struct message {
    rd_kafka_topic_t *topic;
    const void *key, *value;
    size_t key_size, value_size;
    rd_kafka_headers_t *headers; /* owned until librdkafka has taken them */
};

/* As an array: librdkafka's variadic form is a GNU expression. */
static rd_kafka_resp_err_t produce_once(rd_kafka_t *producer, struct message *message)
{
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = message->topic},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)message->key, message->key_size}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)message->value, message->value_size}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = message->headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(producer, fields, sizeof fields / sizeof *fields);
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

/* Takes the headers over. A full queue empties while the broker answers; wait for it. */
static rd_kafka_resp_err_t produce(rd_kafka_t *producer, struct message *message)
{
    int64_t deadline_ms = clock_monotonic_ms() + QUEUE_FULL_WAIT_MS;
    rd_kafka_resp_err_t err;
    while ((err = produce_once(producer, message)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
           clock_monotonic_ms() < deadline_ms)
        rd_kafka_poll(producer, 10);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(message->headers);
    return err;
}

rd_kafka_resp_err_t kafka_message_result(const struct kafka_message_target *target,
                                         const struct record *record,
                                         const struct answer *answer)
{
    if (target->results == NULL || answer->result == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    const char *key = record->intake.command.key;
    struct message message = {.topic = target->results,
                              .key = key,
                              .key_size = strlen(key),
                              .value = answer->result,
                              .value_size = answer->result_size,
                              .headers = result_headers(target, record, answer)};
    return produce(target->producer, &message);
}

static const char *const letter_header_names[] = {
    "dead-letter-outcome",   "dead-letter-code",      "dead-letter-detail",
    "dead-letter-topic",     "dead-letter-partition", "dead-letter-offset",
    "dead-letter-timestamp", "dead-letter-attempt"};

/* 1, or one more than the attempt that a redriven record brings along. */
static int64_t attempt_of(const rd_kafka_headers_t *original)
{
    const void *value;
    size_t size;
    int64_t attempt;
    if (rd_kafka_header_get_last(original, "dead-letter-attempt", &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL || !parse_int64(value, size, &attempt) || attempt >= INT32_MAX)
        return 1;
    return attempt + 1;
}

/* A malformed record's own sentence, if this version still finds the same fault with it.
 */
static const char *detail_of(const struct record *record, const struct answer *answer)
{
    if (answer->outcome == OUTCOME_MALFORMED && record->intake.code == answer->code)
        return record->intake.detail;
    return code_sentence(answer->code);
}

/* The original headers, unchanged, and ours; never two copies of one of ours. */
static rd_kafka_headers_t *letter_headers(const struct kafka_message_target *target,
                                          const struct record *record,
                                          const struct answer *answer)
{
    const rd_kafka_headers_t *original = headers_of(record);
    rd_kafka_headers_t *headers =
        original != NULL ? rd_kafka_headers_copy(original) : rd_kafka_headers_new(8);
    int64_t attempt = attempt_of(headers);
    for (size_t i = 0; i < sizeof letter_header_names / sizeof *letter_header_names; i++)
        rd_kafka_header_remove(headers, letter_header_names[i]);
    add_text(headers, "dead-letter-outcome", outcome_name(answer->outcome));
    add_text(headers, "dead-letter-code", code_name(answer->code));
    add_text(headers, "dead-letter-detail", detail_of(record, answer));
    add_text(headers, "dead-letter-topic", target->command_topic);
    add_number(headers, "dead-letter-partition", record->partition);
    add_number(headers, "dead-letter-offset", record->offset);
    add_number(headers, "dead-letter-timestamp", record->timestamp_ms);
    add_number(headers, "dead-letter-attempt", attempt);
    return headers;
}

static bool is_dead_letter(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_CONFLICT:
    case OUTCOME_MALFORMED:
    case OUTCOME_EXPIRED:
    case OUTCOME_POISON:
        return true;
    case OUTCOME_NONE:
    case OUTCOME_APPLIED:
    case OUTCOME_REJECTED:
    case OUTCOME_COUNT:
        break;
    }
    return false;
}

rd_kafka_resp_err_t kafka_message_letter(const struct kafka_message_target *target,
                                         const struct record *record,
                                         const struct answer *answer)
{
    if (!is_dead_letter(answer->outcome))
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    const rd_kafka_message_t *original = record->origin;
    struct message message = {.topic = target->letters,
                              .key = original->key,
                              .key_size = original->key_len,
                              .value = original->payload,
                              .value_size = original->len,
                              .headers = letter_headers(target, record, answer)};
    return produce(target->producer, &message);
}
