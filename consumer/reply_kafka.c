/* reply_kafka.c: results, dead letters and offsets as one Kafka transaction.
 *
 * A transaction is begun late, when the database has committed and there is something to
 * send. After any failure the caller goes back to the group's committed offsets; this
 * file only makes the producer usable again. Errors are tested in librdkafka's order:
 * fatal, requires abort, retriable, anything else is fatal too. Every call that may
 * outlive its own time-out runs under the watchdog. */
#include "consumer/reply_kafka.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stop.h"
#include "consumer/failpoint.h"
#include "consumer/kafka_message.h"
#include "consumer/source_kafka.h"
#include "consumer/watchdog.h"

enum {
    CALL_TIMEOUT_MS = 10000,
    STOPPING_TIMEOUT_MS = 3000,
    WARM_TIMEOUT_MS = 2000,
    CALL_DEADLINE_S = 15,
    COMMIT_ATTEMPTS = 3,
    ABORT_ATTEMPTS = 3, /* one when a stop was asked for: the successor aborts it, too */
    FAILURES_BEFORE_NEW_PRODUCER = 3,
    TAKE_BACK_AFTER_S = 3,
    RIGHT_MAX = 640,
    OWN_TIMEOUT_MS = 4000 /* well below transaction.timeout.ms */
};

struct reply {
    const struct config *config; /* borrowed */
    struct source *source;       /* borrowed: its group metadata */
    rd_kafka_t *producer;        /* NULL: to be made by reply_recover */
    rd_kafka_topic_t *results, *letters;
    bool ready;        /* init_transactions succeeded */
    bool dead;         /* a fatal error: only a new producer helps */
    unsigned failures; /* in a row */
    int64_t begun_at_ms;
    uint64_t refusals; /* for want of a right, since the last success */
    uint64_t faults;   /* since the last success, for the log */
};

/* What an operator can do about it; NULL: nothing that we know of. */
static const char *advice_for(rd_kafka_resp_err_t err)
{
    if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        return "raise max.message.bytes of the topic";
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return "grant Write and Describe on the topic";
    if (err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
        err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return "create the topic";
    return NULL;
}

/* Even an empty callback: without one, commit polls in slices of 10 ms. */
static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message,
                        void *opaque)
{
    static uint64_t seen;
    (void)handle;
    (void)opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT || !log_is_due(&seen))
        return;
    log_event(LOG_ERROR, "delivery_failed", "a result or dead letter was not taken",
              LOG_T("topic", rd_kafka_topic_name(message->rkt)),
              LOG_T("code", rd_kafka_err2name(message->err)),
              LOG_T("error", rd_kafka_err2str(message->err)),
              LOG_T("advice", advice_for(message->err)));
}

/* The broker fences also the producer whose transaction has run out of time, after this
 * process was stopped or starved. Only when that cannot be is it another process. */
static bool may_be_own_timeout(const struct reply *reply)
{
    return clock_monotonic_ms() - reply->begun_at_ms > OWN_TIMEOUT_MS;
}

/* Which right is missing on what; librdkafka says only that one is. */
static void log_missing_right(struct reply *reply, rd_kafka_resp_err_t code)
{
    const struct config_values *values = config_values(reply->config);
    char right[RIGHT_MAX];
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        snprintf(right, sizeof right, "Write and Describe on the topics %s and %s",
                 values->topic_results, values->topic_dead_letters);
    else if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        snprintf(right, sizeof right, "Write and Describe on the transactional id %s-%s",
                 values->group, values->instance);
    else if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        snprintf(right, sizeof right, "Read on the group %s", values->group);
    else
        return;
    if (log_is_due(&reply->refusals))
        log_event(LOG_ERROR, "right_missing",
                  "Kafka refuses the answers; the consumer's principal lacks a right",
                  LOG_T("grant", right), LOG_T("code", rd_kafka_err2name(code)));
}

/* Whoever stops a process ends it by force before long. */
static int call_timeout_ms(void)
{
    return stop_requested() ? STOPPING_TIMEOUT_MS : CALL_TIMEOUT_MS;
}

/* Judges and destroys an error of a transactional call. */
static enum port_status judge(struct reply *reply, rd_kafka_error_t *error,
                              const char *call)
{
    if (error == NULL)
        return PORT_OK;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool retriable = !rd_kafka_error_is_fatal(error) &&
                     !rd_kafka_error_txn_requires_abort(error) &&
                     rd_kafka_error_is_retriable(error);
    if (rd_kafka_error_is_fatal(error) ||
        (!rd_kafka_error_txn_requires_abort(error) && !retriable))
        reply->dead = true;
    log_missing_right(reply, code);
    if (log_is_due(&reply->faults))
        log_event(LOG_WARNING, "kafka_transaction_failed", rd_kafka_error_string(error),
                  LOG_T("call", call), LOG_T("code", rd_kafka_err2name(code)),
                  LOG_T("next", reply->dead ? "new producer" : "abort"));
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR__FENCED && !may_be_own_timeout(reply))
        return PORT_FENCED;
    return retriable ? PORT_RETRY : PORT_IN_DOUBT;
}

static void close_producer(struct reply *reply)
{
    if (reply->producer == NULL)
        return;
    watchdog_arm("closing the Kafka producer", CALL_DEADLINE_S);
    rd_kafka_purge(reply->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    if (reply->results != NULL)
        rd_kafka_topic_destroy(reply->results);
    rd_kafka_topic_destroy(reply->letters);
    rd_kafka_destroy(reply->producer);
    watchdog_disarm();
    reply->producer = NULL;
    reply->results = reply->letters = NULL;
    reply->ready = reply->dead = false;
    reply->failures = 0;
}

static bool open_producer(struct reply *reply, char error[KAFKA_ERROR_MAX])
{
    const struct config_values *values = config_values(reply->config);
    rd_kafka_conf_t *conf = kafka_conf_new(reply->config, KAFKA_PRODUCER, error);
    if (conf == NULL)
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    reply->producer = kafka_handle_new(RD_KAFKA_PRODUCER, conf, error);
    if (reply->producer == NULL)
        return false;
    if (values->topic_results[0] != '\0')
        reply->results = rd_kafka_topic_new(reply->producer, values->topic_results, NULL);
    reply->letters =
        rd_kafka_topic_new(reply->producer, values->topic_dead_letters, NULL);
    MUST(reply->letters != NULL);
    return true;
}

struct reply *reply_kafka_open(const struct config *config, struct source *source,
                               char error[KAFKA_ERROR_MAX])
{
    struct reply *reply = calloc(1, sizeof *reply);
    MUST(reply != NULL);
    reply->config = config;
    reply->source = source;
    if (open_producer(reply, error))
        return reply;
    free(reply);
    return NULL;
}

/* The first message to a topic whose metadata is unknown is up to a second late. */
static void warm(struct reply *reply, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *metadata;
    if (topic != NULL && rd_kafka_metadata(reply->producer, 0, topic, &metadata,
                                           WARM_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
}

enum port_status reply_recover(struct reply *reply)
{
    char error[KAFKA_ERROR_MAX];
    if (reply->dead || reply->failures >= FAILURES_BEFORE_NEW_PRODUCER)
        close_producer(reply);
    if (reply->producer == NULL && !open_producer(reply, error)) {
        log_note(LOG_ERROR, "kafka_producer_failed", error);
        return PORT_FATAL;
    }
    if (reply->ready)
        return PORT_OK;
    watchdog_arm("init_transactions", CALL_DEADLINE_S);
    reply->begun_at_ms = clock_monotonic_ms();
    enum port_status status =
        judge(reply, rd_kafka_init_transactions(reply->producer, call_timeout_ms()),
              "init_transactions");
    watchdog_disarm();
    reply->ready = status == PORT_OK;
    if (reply->ready) {
        warm(reply, reply->results);
        warm(reply, reply->letters);
    }
    return status;
}

/* Not at once: it may be the very start of the other process that has fenced us, and that
 * start repeats itself until it has come through. */
void reply_take_back(struct reply *reply)
{
    struct timespec other_starts = {.tv_sec = TAKE_BACK_AFTER_S};
    nanosleep(&other_starts, NULL);
    if (reply_recover(reply) != PORT_OK)
        log_note(LOG_WARNING, "instance_not_taken_back",
                 "the other process could not be told");
}

/* The offsets of a transaction: for each partition the highest of all batches. */
static void collect(rd_kafka_topic_partition_list_t *list, const char *topic,
                    const struct next_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *known =
            rd_kafka_topic_partition_list_find(list, topic, offsets[i].partition);
        if (known == NULL)
            known = rd_kafka_topic_partition_list_add(list, topic, offsets[i].partition);
        if (offsets[i].offset > known->offset)
            known->offset = offsets[i].offset;
    }
}

/* The broker takes the offsets of a "member" without generation unchecked, so we refuse
 * them ourselves. librdkafka 2.0 has no accessor; its serialised form has the magic, the
 * generation as a native int32, the group and the member id, both ending in NUL. */
static bool is_member(const rd_kafka_consumer_group_metadata_t *metadata)
{
    static const char magic[] = "CGMDv2:";
    const size_t magic_size = sizeof magic - 1;
    void *bytes = NULL;
    size_t size = 0;
    rd_kafka_error_t *error =
        rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    MUST(error == NULL);
    MUST(size > magic_size + sizeof(int32_t) && memcmp(bytes, magic, magic_size) == 0);
    int32_t generation;
    const char *position = (const char *)bytes + magic_size;
    memcpy(&generation, position, sizeof generation);
    position += sizeof generation;
    size_t rest = size - magic_size - sizeof generation;
    const char *group_end = memchr(position, '\0', rest);
    MUST(group_end != NULL && group_end + 1 < (const char *)bytes + size);
    bool is_member = generation >= 0 && group_end[1] != '\0';
    rd_kafka_mem_free(NULL, bytes);
    return is_member;
}

struct staleness {
    reply_is_stale *is_stale;
    void *context;
};

/* First the group metadata, then the question whether we are stale: a newer generation
 * implies that the worker was told before, so stale offsets cannot travel under it. */
static enum port_status send_offsets(struct reply *reply,
                                     const rd_kafka_topic_partition_list_t *offsets,
                                     const struct staleness *staleness)
{
    rd_kafka_consumer_group_metadata_t *metadata =
        rd_kafka_consumer_group_metadata(source_kafka_handle(reply->source));
    enum port_status status = PORT_RETRY;
    watchdog_arm("send_offsets_to_transaction", CALL_DEADLINE_S);
    if (metadata == NULL || !is_member(metadata))
        log_note(LOG_INFO, "not_a_member", "offsets are not sent outside of the group");
    else if (!staleness->is_stale(staleness->context))
        status = judge(reply,
                       rd_kafka_send_offsets_to_transaction(reply->producer, offsets,
                                                            metadata, call_timeout_ms()),
                       "send_offsets_to_transaction");
    if (metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(metadata);
    return status;
}

/* A commit that ran into its own time-out must be called again; abort is refused then. */
static enum port_status commit(struct reply *reply)
{
    enum port_status status = PORT_RETRY;
    for (int i = 0; i < COMMIT_ATTEMPTS && status == PORT_RETRY; i++) {
        watchdog_arm("commit_transaction", CALL_DEADLINE_S);
        status =
            judge(reply, rd_kafka_commit_transaction(reply->producer, call_timeout_ms()),
                  "commit_transaction");
    }
    return status;
}

/* What cannot be aborted in a few attempts ends with its producer. Commit may say no more
 * than that it failed where abort says that we are fenced. */
static enum port_status give_up(struct reply *reply, enum port_status why)
{
    enum port_status status = PORT_RETRY;
    if (FAILPOINT(ABORT_BEGUN))
        reply->dead = true;
    int attempts = stop_requested() ? 1 : ABORT_ATTEMPTS;
    reply->failures++;
    for (int i = 0; i < attempts && status != PORT_OK && !reply->dead; i++) {
        watchdog_arm("abort_transaction", CALL_DEADLINE_S);
        status =
            judge(reply, rd_kafka_abort_transaction(reply->producer, call_timeout_ms()),
                  "abort_transaction");
    }
    watchdog_disarm();
    if (status != PORT_OK || FAILPOINT(ABORT_DONE))
        reply->dead = true;
    return status == PORT_FENCED ? PORT_FENCED : why;
}

static enum port_status queue_answers(struct reply *reply, const struct batch *batch)
{
    struct kafka_message_target target = {
        .producer = reply->producer,
        .results = reply->results,
        .letters = reply->letters,
        .command_topic = config_values(reply->config)->topic_commands};
    for (size_t i = 0; i < batch->count; i++) {
        rd_kafka_resp_err_t err =
            kafka_message_result(&target, &batch->records[i], &batch->answers[i]);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
            err = kafka_message_letter(&target, &batch->records[i], &batch->answers[i]);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        log_event(LOG_ERROR, "produce_failed", rd_kafka_err2str(err),
                  LOG_I("partition", batch->records[i].partition),
                  LOG_I("offset", batch->records[i].offset),
                  LOG_T("code", rd_kafka_err2name(err)),
                  LOG_T("advice", advice_for(err)));
        return PORT_RETRY;
    }
    return PORT_OK;
}

static enum port_status queue_all(struct reply *reply, struct batch *const *batches,
                                  size_t count)
{
    enum port_status status = PORT_OK;
    watchdog_arm("producing answers", CALL_DEADLINE_S);
    for (size_t i = 0; status == PORT_OK && i < count; i++)
        status = queue_answers(reply, batches[i]);
    return status == PORT_OK && FAILPOINT(ANSWERS_QUEUED) ? PORT_RETRY : status;
}

static enum port_status begin(struct reply *reply)
{
    watchdog_arm("a Kafka transaction", CALL_DEADLINE_S);
    reply->begun_at_ms = clock_monotonic_ms();
    enum port_status status =
        judge(reply, rd_kafka_begin_transaction(reply->producer), "begin_transaction");
    return status == PORT_OK && FAILPOINT(TRANSACTION_BEGUN) ? PORT_RETRY : status;
}

/* One transaction: begin, the offsets, the answers, commit. The offsets come first
 * because the coordinator is busy with the last transaction for some milliseconds after
 * it said that it is committed: offsets that it does not take yet are sent again after
 * retry.backoff.ms, a partition to be written only after 20 ms. */
static enum port_status transact(struct reply *reply, struct batch *const *batches,
                                 size_t count,
                                 const rd_kafka_topic_partition_list_t *offsets,
                                 const struct staleness *staleness)
{
    enum port_status status = begin(reply);
    if (status == PORT_OK && offsets->cnt > 0)
        status = send_offsets(reply, offsets, staleness);
    if (status == PORT_OK && FAILPOINT(OFFSETS_SENT))
        status = PORT_RETRY;
    if (status == PORT_OK)
        status = queue_all(reply, batches, count);
    if (status == PORT_OK)
        status = commit(reply);
    watchdog_disarm();
    if (status != PORT_OK)
        return give_up(reply, status);
    reply->failures = 0;
    reply->faults = reply->refusals = 0;
    kafka_conf_transaction_went_well();
    return PORT_OK;
}

enum port_status reply_publish(struct reply *reply, struct batch *const *batches,
                               size_t count, reply_is_stale *is_stale, void *context)
{
    MUST(reply->ready);
    struct staleness staleness = {is_stale, context};
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < count; i++)
        collect(offsets, config_values(reply->config)->topic_commands,
                batches[i]->next_offsets, batches[i]->next_offset_count);
    enum port_status status = transact(reply, batches, count, offsets, &staleness);
    rd_kafka_topic_partition_list_destroy(offsets);
    return status;
}

enum port_status reply_commit(struct reply *reply, const struct next_offset *next_offsets,
                              size_t count, reply_is_stale *is_stale, void *context)
{
    MUST(reply->ready);
    struct staleness staleness = {is_stale, context};
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(16);
    collect(offsets, config_values(reply->config)->topic_commands, next_offsets, count);
    enum port_status status = transact(reply, NULL, 0, offsets, &staleness);
    rd_kafka_topic_partition_list_destroy(offsets);
    return status;
}

void reply_close(struct reply *reply)
{
    if (reply == NULL)
        return;
    close_producer(reply);
    free(reply);
}
