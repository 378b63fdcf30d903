/* postonce_send_results.c: see postonce_send_results.h. Owns the consumer handle of
 * postonce-send and the one record that is lent out. Uses librdkafka's plain consumer
 * (consume_start), because the other one wants a group even when it joins none. */
#include "producer/postonce_send_results.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/must.h"
#include "base/parse.h"
#include "producer/postonce_send_tell.h"

enum { OPEN_TIMEOUT_MS = 10000, TROUBLE_SIZE = 256 };

struct results {
    const char *command_topic;
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    rd_kafka_message_t *record; /* the one that is lent out */
    int32_t started;            /* partitions 0 … started-1 are being read */
    bool has_trouble;
    char trouble[TROUBLE_SIZE];
};

struct setting {
    const char *name, *value;
};

static const struct setting defaults[] = {
    {"client.id", "postonce-send"},         {"fetch.wait.max.ms", "100"},
    {"queued.max.messages.kbytes", "8192"}, {"fetch.error.backoff.ms", "100"},
    {"socket.nagle.disable", "true"},       {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "50"},         {"reconnect.backoff.max.ms", "1000"},
};

static const struct setting guarantee[] = {
    {"isolation.level", "read_committed"}, {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "error"},
    {"allow.auto.create.topics", "false"},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

__attribute__((format(printf, 3, 4))) static bool
fail(struct results_fault *fault, enum exit_code code, const char *format, ...)
{
    va_list arguments;
    fault->code = code;
    va_start(arguments, format);
    vsnprintf(fault->sentence, sizeof fault->sentence, format, arguments);
    va_end(arguments);
    return false;
}

static void set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t count)
{
    char text[TROUBLE_SIZE];
    for (size_t i = 0; i < count; i++)
        MUST(rd_kafka_conf_set(conf, settings[i].name, settings[i].value, text,
                               sizeof text) == RD_KAFKA_CONF_OK);
}

static bool set_properties(rd_kafka_conf_t *conf, const struct config *config,
                           struct results_fault *fault)
{
    char text[TROUBLE_SIZE];
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(config, i)) != NULL; i++) {
        if (rd_kafka_conf_set(conf, property->name, property->value, text, sizeof text) !=
            RD_KAFKA_CONF_OK)
            return fail(fault, EXIT_CODE_USAGE, "%s: kafka.%s: %s", property->origin,
                        property->name, text);
    }
    return true;
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility,
                   const char *text)
{
    (void)handle;
    tell_library_log(level, facility, text, NULL);
}

static bool open_handle(struct results *results, const struct config *config,
                        struct results_fault *fault)
{
    char text[TROUBLE_SIZE];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set_all(conf, defaults, COUNT_OF(defaults));
    if (!set_properties(conf, config, fault)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    set_all(conf, guarantee, COUNT_OF(guarantee));
    rd_kafka_conf_set_log_cb(conf, on_log);
    results->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (results->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return fail(fault, EXIT_CODE_USAGE, "librdkafka refuses the settings: %s", text);
    }
    return true;
}

static bool topic_fault(struct results_fault *fault, const char *topic,
                        rd_kafka_resp_err_t error)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return fail(fault, EXIT_CODE_USAGE,
                    "topics.results: the topic %s does not exist; --await needs it",
                    topic);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return fail(fault, EXIT_CODE_USAGE, "topics.results: the topic %s: %s", topic,
                    rd_kafka_err2str(error));
    default:
        return fail(fault, EXIT_CODE_UNREACHABLE,
                    "the result topic %s cannot be read: %s", topic,
                    rd_kafka_err2str(error));
    }
}

static bool count_partitions(struct results *results, int32_t *count,
                             struct results_fault *fault)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(results->handle, 0, results->topic, &metadata, OPEN_TIMEOUT_MS);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = metadata->topics[0].err;
        *count = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ||
           topic_fault(fault, rd_kafka_topic_name(results->topic), error);
}

/* Asks for the end before it starts: "start at the end" would be settled later, by a
 * thread of librdkafka, and could miss the first results. */
static bool start_partition(struct results *results, int32_t partition,
                            struct results_fault *fault)
{
    const char *topic = rd_kafka_topic_name(results->topic);
    int64_t first, end;
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
        results->handle, topic, partition, &first, &end, OPEN_TIMEOUT_MS);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_consume_start_queue(results->topic, partition, end, results->queue) != 0)
        error = rd_kafka_last_error();
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return topic_fault(fault, topic, error);
    results->started++;
    return true;
}

static bool start(struct results *results, const struct config *config,
                  struct results_fault *fault)
{
    int32_t count = 0;
    if (!open_handle(results, config, fault))
        return false;
    results->topic =
        rd_kafka_topic_new(results->handle, config_values(config)->topic_results, NULL);
    results->queue = rd_kafka_queue_new(results->handle);
    MUST(results->topic != NULL && results->queue != NULL);
    if (!count_partitions(results, &count, fault))
        return false;
    for (int32_t partition = 0; partition < count; partition++) {
        if (!start_partition(results, partition, fault))
            return false;
    }
    return true;
}

struct results *results_open(const struct config *config, struct results_fault *fault)
{
    struct results *results = calloc(1, sizeof *results);
    MUST(results != NULL);
    results->command_topic = config_values(config)->topic_commands;
    if (start(results, config, fault))
        return results;
    results_close(results);
    return NULL;
}

static void release_record(struct results *results)
{
    if (results->record != NULL)
        rd_kafka_message_destroy(results->record);
    results->record = NULL;
}

void results_close(struct results *results)
{
    if (results == NULL)
        return;
    release_record(results);
    for (int32_t partition = 0; partition < results->started; partition++)
        rd_kafka_consume_stop(results->topic, partition);
    if (results->queue != NULL)
        rd_kafka_queue_destroy(results->queue);
    if (results->topic != NULL)
        rd_kafka_topic_destroy(results->topic);
    if (results->handle != NULL)
        rd_kafka_destroy(results->handle);
    free(results);
}

static bool header_is(const rd_kafka_headers_t *headers, const char *name,
                      const char *want)
{
    const void *value = NULL;
    size_t size = 0;
    return rd_kafka_header_get_last(headers, name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           value != NULL && size == strlen(want) && memcmp(value, want, size) == 0;
}

static bool header_number(const rd_kafka_headers_t *headers, const char *name,
                          int64_t *number)
{
    const void *value = NULL;
    size_t size = 0;
    return rd_kafka_header_get_last(headers, name, &value, &size) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           value != NULL && parse_int64(value, size, number);
}

/* False: a record that answers nothing on our command topic. */
static bool read_record(const struct results *results, struct answers_result *result)
{
    const rd_kafka_message_t *record = results->record;
    rd_kafka_headers_t *headers = NULL;
    int64_t partition;
    if (record->payload == NULL || record->key == NULL ||
        rd_kafka_message_headers(record, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        !header_is(headers, "command-topic", results->command_topic) ||
        !header_number(headers, "command-partition", &partition) ||
        partition > INT32_MAX ||
        !header_number(headers, "command-offset", &result->offset))
        return false;
    result->partition = (int32_t)partition;
    result->key = record->key;
    result->key_size = record->key_len;
    result->value = record->payload;
    result->value_size = record->len;
    return true;
}

static void note_trouble(struct results *results)
{
    results->has_trouble = true;
    snprintf(results->trouble, sizeof results->trouble,
             "partition %d of the result topic: %s", (int)results->record->partition,
             rd_kafka_err2str(results->record->err));
}

bool results_next(struct results *results, int timeout_ms, struct answers_result *result)
{
    for (;;) {
        release_record(results);
        results->record = rd_kafka_consume_queue(results->queue, timeout_ms);
        if (results->record == NULL) {
            rd_kafka_poll(results->handle, 0);
            return false;
        }
        timeout_ms = 0;
        if (results->record->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            note_trouble(results);
        else if (read_record(results, result))
            return true;
    }
}

const char *results_trouble(struct results *results)
{
    bool had_trouble = results->has_trouble;
    results->has_trouble = false;
    return had_trouble ? results->trouble : NULL;
}
