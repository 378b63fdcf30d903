/* postonce_producer.c: the idempotent producer behind postonce.h.
 *
 * The only file of the library that knows librdkafka. Owns the handle, the topic and the
 * last thing that went wrong on the way to Kafka; promises exactly one callback for each
 * command that a send took, also when the producer is closed over it. Never calls back
 * from a send, so that a caller may hold its own locks there. */
#include "producer/postonce.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "producer/postonce_fault.h"
#include "producer/postonce_message.h"

#define DEFAULT_TOPIC "payment-commands"

enum { REASON_SIZE = 256, PURGE_WAIT_MS = 5000 };

struct postonce_producer {
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    void (*on_delivery)(const struct postonce_delivery *delivery, void *context);
    void (*on_log)(int level, const char *facility, const char *text, void *context);
    void *context;
    pthread_mutex_t lock; /* of the two below: any thread may be the one that polls */
    rd_kafka_resp_err_t last_error;
    char last_reason[REASON_SIZE];
};

/* ---- Settings ---- */

/* Small linger: a lone command waits 2 ms, a stream still fills batches of thousands. The
 * queue is bounded in bytes too, because commands may be large. */
static const struct postonce_setting defaults[] = {
    {"client.id", "libpostonce"},
    {"linger.ms", "2"},
    {"batch.num.messages", "10000"},
    {"batch.size", "1000000"},
    {"queue.buffering.max.messages", "100000"},
    {"queue.buffering.max.kbytes", "65536"},
    {"message.timeout.ms", "60000"},
    {"partitioner", "murmur2_random"}, /* where Java's producer would put it */
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
};

static const struct postonce_setting guarantee[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"delivery.report.only.error", "false"},
};

/* Names that would undo the guarantee, under all their names. */
static const char *const forbidden[] = {"enable.idempotence",
                                        "acks",
                                        "request.required.acks",
                                        "max.in.flight.requests.per.connection",
                                        "max.in.flight",
                                        "transactional.id",
                                        "delivery.report.only.error"};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static bool is_forbidden(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
        if (strcmp(name, forbidden[i]) == 0)
            return true;
    }
    return false;
}

static enum postonce_error set_all(rd_kafka_conf_t *conf,
                                   const struct postonce_setting *settings, size_t count,
                                   struct postonce_fault *fault)
{
    char text[REASON_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_conf_set(conf, settings[i].name, settings[i].value, text,
                              sizeof text) != RD_KAFKA_CONF_OK)
            return postonce_fault_setting(fault, settings[i].name, text);
    }
    return POSTONCE_OK;
}

static enum postonce_error set_options(rd_kafka_conf_t *conf,
                                       const struct postonce_options *options,
                                       struct postonce_fault *fault)
{
    for (size_t i = 0; i < options->setting_count; i++) {
        const char *name = options->settings[i].name;
        if (is_forbidden(name))
            return postonce_fault_setting(
                fault, name,
                "postonce sets this itself: that nothing is lost or doubled on "
                "the way to Kafka depends on it");
    }
    enum postonce_error error = set_all(conf, defaults, COUNT_OF(defaults), fault);
    if (error == POSTONCE_OK)
        error = set_all(conf, options->settings, options->setting_count, fault);
    if (error == POSTONCE_OK)
        error = set_all(conf, guarantee, COUNT_OF(guarantee), fault);
    return error;
}

/* ---- What librdkafka tells ---- */

static void on_log(const rd_kafka_t *handle, int level, const char *facility,
                   const char *text)
{
    const struct postonce_producer *producer = rd_kafka_opaque(handle);
    if (producer->on_log != NULL)
        producer->on_log(level, facility, text, producer->context);
}

/* Remembered, because it says more than "timed out" when somebody asks later. That all
 * brokers are down says less than why. */
static void on_error(rd_kafka_t *handle, int error, const char *reason, void *opaque)
{
    struct postonce_producer *producer = opaque;
    (void)handle;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return;
    pthread_mutex_lock(&producer->lock);
    producer->last_error = (rd_kafka_resp_err_t)error;
    snprintf(producer->last_reason, sizeof producer->last_reason, "%s", reason);
    pthread_mutex_unlock(&producer->lock);
}

static enum postonce_error delivery_error(const rd_kafka_message_t *record)
{
    if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return POSTONCE_OK;
    return rd_kafka_message_status(record) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED
               ? POSTONCE_NOT_DELIVERED
               : POSTONCE_UNCONFIRMED;
}

static const char *delivery_reason(rd_kafka_t *handle, rd_kafka_resp_err_t error,
                                   char text[REASON_SIZE])
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return "";
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
        return "the producer was closed before it was sent";
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        return "the producer was closed before the broker confirmed it";
    case RD_KAFKA_RESP_ERR__FATAL:
        rd_kafka_fatal_error(handle, text, REASON_SIZE);
        return text;
    default:
        return rd_kafka_err2str(error);
    }
}

/* The record carries its key as a header, NUL-terminated by librdkafka. */
static const char *delivery_key(const rd_kafka_message_t *record)
{
    rd_kafka_headers_t *headers = NULL;
    const void *key = NULL;
    size_t size;
    if (rd_kafka_message_headers(record, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, "idempotency-key", &key, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        return "";
    return key;
}

static void on_record(rd_kafka_t *handle, const rd_kafka_message_t *record, void *opaque)
{
    const struct postonce_producer *producer = opaque;
    char text[REASON_SIZE];
    if (producer->on_delivery == NULL)
        return;
    struct postonce_delivery delivery = {
        .error = delivery_error(record),
        .key = delivery_key(record),
        .reason = delivery_reason(handle, record->err, text),
        .partition = record->partition,
        /* librdkafka has several negative numbers for "not known". */
        .offset = record->err == RD_KAFKA_RESP_ERR_NO_ERROR && record->offset >= 0
                      ? record->offset
                      : -1,
        .user = record->_private};
    producer->on_delivery(&delivery, producer->context);
}

/* ---- Open and close ---- */

/* Takes the configuration over in any case. */
static enum postonce_error open_handle(struct postonce_producer *producer,
                                       rd_kafka_conf_t *conf, const char *topic,
                                       struct postonce_fault *fault)
{
    char text[REASON_SIZE];
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_dr_msg_cb(conf, on_record);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return postonce_fault_set(fault, POSTONCE_SETTING_INVALID,
                                  "librdkafka refuses the settings: %s", text);
    }
    producer->topic = rd_kafka_topic_new(producer->handle, topic, NULL);
    if (producer->topic == NULL)
        return postonce_fault_set(fault, POSTONCE_SETTING_INVALID,
                                  "librdkafka refuses the topic %s: %s", topic,
                                  rd_kafka_err2str(rd_kafka_last_error()));
    return POSTONCE_OK;
}

static void destroy(struct postonce_producer *producer)
{
    if (producer->topic != NULL)
        rd_kafka_topic_destroy(producer->topic);
    if (producer->handle != NULL)
        rd_kafka_destroy(producer->handle);
    pthread_mutex_destroy(&producer->lock);
    free(producer);
}

struct postonce_producer *postonce_open(const struct postonce_options *options,
                                        struct postonce_fault *fault)
{
    struct postonce_producer *producer = calloc(1, sizeof *producer);
    if (producer == NULL) {
        postonce_fault_set(fault, POSTONCE_NO_MEMORY, NULL);
        return NULL;
    }
    pthread_mutex_init(&producer->lock, NULL);
    producer->on_delivery = options->on_delivery;
    producer->on_log = options->on_log;
    producer->context = options->context;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set_options(conf, options, fault) != POSTONCE_OK) {
        rd_kafka_conf_destroy(conf);
        destroy(producer);
        return NULL;
    }
    const char *topic = options->topic != NULL ? options->topic : DEFAULT_TOPIC;
    if (open_handle(producer, conf, topic, fault) != POSTONCE_OK) {
        destroy(producer);
        return NULL;
    }
    return producer;
}

enum postonce_error postonce_close(struct postonce_producer *producer, int timeout_ms)
{
    if (producer == NULL)
        return POSTONCE_OK;
    enum postonce_error error = postonce_flush(producer, timeout_ms);
    if (error != POSTONCE_OK) {
        rd_kafka_purge(producer->handle,
                       RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(producer->handle, PURGE_WAIT_MS);
    }
    destroy(producer);
    return error;
}

/* ---- Is Kafka there? ---- */

static enum postonce_error fatal_fault(struct postonce_producer *producer,
                                       struct postonce_fault *fault)
{
    char text[REASON_SIZE] = "";
    rd_kafka_fatal_error(producer->handle, text, sizeof text);
    return postonce_fault_set(fault, POSTONCE_FATAL,
                              "the producer is no longer usable: %s", text);
}

static enum postonce_error unreachable_fault(struct postonce_producer *producer,
                                             rd_kafka_resp_err_t error,
                                             struct postonce_fault *fault)
{
    rd_kafka_poll(producer->handle, 0); /* so that on_error has heard the latest */
    pthread_mutex_lock(&producer->lock);
    const char *reason = producer->last_reason[0] != '\0' ? producer->last_reason
                                                          : rd_kafka_err2str(error);
    enum postonce_error verdict =
        producer->last_error == RD_KAFKA_RESP_ERR__AUTHENTICATION ? POSTONCE_REFUSED
                                                                  : POSTONCE_UNREACHABLE;
    postonce_fault_set(fault, verdict, "%s: %s", postonce_error_meaning(verdict), reason);
    pthread_mutex_unlock(&producer->lock);
    return verdict;
}

static enum postonce_error topic_verdict(const struct rd_kafka_metadata_topic *topic,
                                         struct postonce_fault *fault)
{
    switch ((int)topic->err) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return postonce_fault_set(fault, POSTONCE_TOPIC_MISSING, "the topic %s: %s",
                                  topic->topic, rd_kafka_err2str(topic->err));
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return postonce_fault_set(fault, POSTONCE_REFUSED, "the topic %s: %s",
                                  topic->topic, rd_kafka_err2str(topic->err));
    default: /* no leader just now: it will have one again */
        return POSTONCE_OK;
    }
}

enum postonce_error postonce_check(struct postonce_producer *producer, int timeout_ms,
                                   struct postonce_fault *fault)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_fatal_error(producer->handle, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fatal_fault(producer, fault);
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(producer->handle, 0, producer->topic, &metadata, timeout_ms);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return unreachable_fault(producer, error, fault);
    enum postonce_error verdict = topic_verdict(&metadata->topics[0], fault);
    rd_kafka_metadata_destroy(metadata);
    return verdict;
}

/* ---- Send ---- */

static enum postonce_error send_fault(struct postonce_producer *producer,
                                      rd_kafka_resp_err_t error,
                                      struct postonce_fault *fault)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return postonce_fault_set(fault, POSTONCE_QUEUE_FULL, NULL);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return postonce_fault_set(fault, POSTONCE_TOO_LARGE,
                                  "the command is larger than message.max.bytes allows");
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return postonce_fault_set(fault, POSTONCE_TOPIC_MISSING, "the topic %s: %s",
                                  rd_kafka_topic_name(producer->topic),
                                  rd_kafka_err2str(error));
    case RD_KAFKA_RESP_ERR__FATAL:
        return fatal_fault(producer, fault);
    default:
        return postonce_fault_set(fault, POSTONCE_NOT_DELIVERED, "%s",
                                  rd_kafka_err2str(error));
    }
}

enum postonce_error postonce_send_message(struct postonce_producer *producer,
                                          const struct postonce_message *message,
                                          void *user, struct postonce_fault *fault)
{
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = producer->topic},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {message->value, message->value_size}},
        {.vtype = RD_KAFKA_VTYPE_HEADER,
         .u.header = {"idempotency-key", message->key, (ssize_t)message->key_size}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = user},
        /* Last, because it is left out when there is none. */
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {message->record_key, message->record_key_size}}};
    size_t count = COUNT_OF(fields) - (message->record_key_size == 0 ? 1 : 0);
    rd_kafka_error_t *error = rd_kafka_produceva(producer->handle, fields, count);
    if (error == NULL)
        return POSTONCE_OK;
    enum postonce_error verdict = send_fault(producer, rd_kafka_error_code(error), fault);
    rd_kafka_error_destroy(error);
    return verdict;
}

enum postonce_error postonce_send(struct postonce_producer *producer,
                                  const struct postonce_input *input,
                                  char key[POSTONCE_KEY_SIZE],
                                  struct postonce_fault *fault)
{
    struct postonce_fault own;
    if (fault == NULL)
        fault = &own;
    struct postonce_message *message = postonce_message_new(input, fault);
    if (message == NULL)
        return fault->error;
    if (key != NULL)
        memcpy(key, message->key, message->key_size + 1);
    enum postonce_error error =
        postonce_send_message(producer, message, input->user, fault);
    postonce_message_free(message);
    return error;
}

void postonce_poll(struct postonce_producer *producer, int timeout_ms)
{
    rd_kafka_poll(producer->handle, timeout_ms);
}

enum postonce_error postonce_flush(struct postonce_producer *producer, int timeout_ms)
{
    return rd_kafka_flush(producer->handle, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR
               ? POSTONCE_OK
               : POSTONCE_TIMED_OUT;
}
