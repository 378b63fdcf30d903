/* kafka_audit.c: see kafka_audit.h. Two handles: one reads what is committed, the other
 * is asked for the ends of logs with whatever is in them, which the first does not tell.
 * The end of a log counts as reached at a record, or at an end-of-partition event, that
 * lies there: behind the last record there may be markers of transactions. */
#include "consumer/kafka_audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/parse.h"
#include "consumer/kafka_conf.h"
#include "consumer/kafka_record.h"

/* The longest that an open transaction of a dead producer stands in the way is its own
 * time-out and the broker's interval of looking for such. */
enum { TIMEOUT_MS = 5000, SILENCE_MAX_MS = 60000, POLL_MS = 200 };

struct kafka_audit {
    rd_kafka_t *reader, *ends;
    struct digest *digest;
    rd_kafka_message_t *message; /* handed out last */
    const char *topic;           /* that is read; borrowed */
    int32_t partition;
    int64_t next, end;
    char error[KAFKA_INSPECT_ERROR_MAX];
};

/* --- handles --- */

static rd_kafka_t *handle_new(const struct config *config, const char *isolation,
                              char error[KAFKA_INSPECT_ERROR_MAX])
{
    char text[256];
    rd_kafka_conf_t *conf = kafka_conf_new(config, KAFKA_INSPECTOR, error);
    if (conf == NULL)
        return NULL;
    MUST(rd_kafka_conf_set(conf, "isolation.level", isolation, text, sizeof text) ==
         RD_KAFKA_CONF_OK);
    return kafka_handle_new(RD_KAFKA_CONSUMER, conf, error);
}

static void handle_close(rd_kafka_t *handle)
{
    if (handle != NULL)
        rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

struct kafka_audit *kafka_audit_open(const struct config *config,
                                     char error[KAFKA_INSPECT_ERROR_MAX])
{
    struct kafka_audit *audit = calloc(1, sizeof *audit);
    MUST(audit != NULL);
    audit->digest = digest_new();
    audit->reader = handle_new(config, "read_committed", error);
    if (audit->reader != NULL)
        audit->ends = handle_new(config, "read_uncommitted", error);
    if (audit->ends != NULL) {
        rd_kafka_poll_set_consumer(audit->reader);
        return audit;
    }
    kafka_audit_close(audit);
    return NULL;
}

static void release(struct kafka_audit *audit)
{
    if (audit->message != NULL)
        rd_kafka_message_destroy(audit->message);
    audit->message = NULL;
}

void kafka_audit_close(struct kafka_audit *audit)
{
    if (audit == NULL)
        return;
    release(audit);
    handle_close(audit->reader);
    handle_close(audit->ends);
    digest_free(audit->digest);
    free(audit);
}

const char *kafka_audit_error(const struct kafka_audit *audit)
{
    return audit->error;
}

/* --- from where to where --- */

static enum kafka_inspect_status fail(struct kafka_audit *audit,
                                      enum kafka_inspect_status status, const char *what)
{
    snprintf(audit->error, sizeof audit->error, "partition %d of %s: %s",
             audit->partition, audit->topic, what);
    return status;
}

enum kafka_inspect_status kafka_audit_committed(struct kafka_audit *audit,
                                                const char *topic, int64_t *offsets,
                                                size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i);
    rd_kafka_resp_err_t err = rd_kafka_committed(audit->ends, list, TIMEOUT_MS);
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        err = list->elems[i].err;
        offsets[i] = list->elems[i].offset >= 0 ? list->elems[i].offset : 0;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return KAFKA_INSPECT_OK;
    snprintf(audit->error, sizeof audit->error,
             "the group's committed offsets cannot be read: %s", rd_kafka_err2str(err));
    return err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
               ? KAFKA_INSPECT_REFUSED
               : KAFKA_INSPECT_UNREACHABLE;
}

enum kafka_inspect_status kafka_audit_bounds(struct kafka_audit *audit, const char *topic,
                                             int32_t partition, int64_t *start,
                                             int64_t *end)
{
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        audit->ends, topic, partition, start, end, TIMEOUT_MS);
    audit->topic = topic;
    audit->partition = partition;
    return err == RD_KAFKA_RESP_ERR_NO_ERROR
               ? KAFKA_INSPECT_OK
               : fail(audit, KAFKA_INSPECT_UNREACHABLE, rd_kafka_err2str(err));
}

enum kafka_inspect_status kafka_audit_begin(struct kafka_audit *audit, const char *topic,
                                            int32_t partition, int64_t start, int64_t end)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = start;
    release(audit);
    rd_kafka_resp_err_t err = rd_kafka_assign(audit->reader, list);
    rd_kafka_topic_partition_list_destroy(list);
    audit->topic = topic;
    audit->partition = partition;
    audit->next = start;
    audit->end = end;
    return err == RD_KAFKA_RESP_ERR_NO_ERROR
               ? KAFKA_INSPECT_OK
               : fail(audit, KAFKA_INSPECT_REFUSED, rd_kafka_err2str(err));
}

/* --- one after the other --- */

/* Most error events are information: librdkafka goes on by itself. */
static enum kafka_inspect_status take_event(struct kafka_audit *audit,
                                            const rd_kafka_message_t *event)
{
    rd_kafka_resp_err_t err = event->err;
    if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        audit->next = event->offset;
    if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return fail(audit, KAFKA_INSPECT_UNREACHABLE,
                    "records were deleted while they were to be read; try again");
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR__FATAL)
        return fail(audit, KAFKA_INSPECT_REFUSED, rd_kafka_err2str(err));
    return KAFKA_INSPECT_OK;
}

/* Keeps the message that came, if it is a record that was asked for. */
static enum kafka_inspect_status take(struct kafka_audit *audit,
                                      rd_kafka_message_t *message)
{
    enum kafka_inspect_status status = KAFKA_INSPECT_OK;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        status = take_event(audit, message);
    } else {
        audit->next = message->offset + 1;
        if (message->offset < audit->end) {
            audit->message = message;
            return KAFKA_INSPECT_OK;
        }
    }
    rd_kafka_message_destroy(message);
    return status;
}

static enum kafka_inspect_status next(struct kafka_audit *audit)
{
    int64_t deadline_ms = clock_monotonic_ms() + SILENCE_MAX_MS;
    enum kafka_inspect_status status = KAFKA_INSPECT_OK;
    release(audit);
    while (status == KAFKA_INSPECT_OK && audit->message == NULL &&
           audit->next < audit->end) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(audit->reader, POLL_MS);
        if (message != NULL)
            status = take(audit, message);
        else if (clock_monotonic_ms() > deadline_ms)
            status = fail(audit, KAFKA_INSPECT_UNREACHABLE,
                          "nothing comes any more; a broker or an open transaction "
                          "stands in the way");
    }
    return status;
}

enum kafka_inspect_status kafka_audit_next_command(struct kafka_audit *audit,
                                                   struct record *record, bool *ended)
{
    enum kafka_inspect_status status = next(audit);
    *ended = audit->message == NULL;
    if (audit->message != NULL)
        kafka_record_read(record, audit->digest, audit->message);
    return status;
}

/* --- results --- */

/* The only header of a name, or "". */
static void read_header(const rd_kafka_headers_t *headers, const char *name, char *text,
                        size_t text_size)
{
    const void *value;
    size_t size;
    text[0] = '\0';
    if (headers == NULL ||
        rd_kafka_header_get(headers, 1, name, &value, &size) ==
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get(headers, 0, name, &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL || size >= text_size || memchr(value, '\0', size) != NULL)
        return;
    memcpy(text, value, size);
    text[size] = '\0';
}

static int64_t read_number(const rd_kafka_headers_t *headers, const char *name)
{
    char text[24];
    int64_t number = -1;
    read_header(headers, name, text, sizeof text);
    return parse_int64(text, strlen(text), &number) ? number : -1;
}

static void read_result(const rd_kafka_message_t *message, struct kafka_result *result)
{
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        headers = NULL;
    result->offset = message->offset;
    result->key = message->key;
    result->key_size = message->key_len;
    result->value = message->payload;
    result->value_size = message->len;
    read_header(headers, "idempotency-key", result->header_key,
                sizeof result->header_key);
    read_header(headers, "outcome", result->outcome, sizeof result->outcome);
    read_header(headers, "idempotent-replayed", result->replayed,
                sizeof result->replayed);
    read_header(headers, "command-topic", result->topic, sizeof result->topic);
    result->command_partition = read_number(headers, "command-partition");
    result->command_offset = read_number(headers, "command-offset");
}

enum kafka_inspect_status kafka_audit_next_result(struct kafka_audit *audit,
                                                  struct kafka_result *result,
                                                  bool *ended)
{
    enum kafka_inspect_status status = next(audit);
    *ended = audit->message == NULL;
    if (audit->message != NULL)
        read_result(audit->message, result);
    return status;
}
