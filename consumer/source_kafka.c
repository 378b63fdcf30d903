/* source_kafka.c: the command topic through librdkafka's consumer.
 *
 * The rebalance callback only notes what is asked; the worker answers with source_yield
 * once it is done with what is in hand, and librdkafka waits for that answer. Reading is
 * started and stopped by assigning and unassigning, never by seeking: a fresh assignment
 * has a fresh version inside librdkafka, so nothing that was fetched before can be
 * delivered after. */
#include "consumer/source_kafka.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/parse.h"
#include "consumer/kafka_record.h"
#include "consumer/metrics.h"

enum {
    MARKS_TIMEOUT_MS = 4000,
    MARKS_DEADLINE_MS = 8000, /* of all partitions: nobody polls meanwhile */
    PROBE_TIMEOUT_MS = 1000,
    JOIN_MS = 1000
};

enum pending { PENDING_NONE, PENDING_ASSIGNED, PENDING_REVOKED, PENDING_LOST };

struct source {
    rd_kafka_t *handle;
    const char *topic; /* borrowed from the configuration */
    struct digest *digest;
    rd_kafka_topic_partition_list_t *owned;    /* what the group gave us */
    rd_kafka_topic_partition_list_t *attached; /* what is assigned to be read */
    rd_kafka_topic_partition_list_t *revoked; /* what is asked back, until source_yield */
    enum pending pending;
    bool closing;
    bool gone; /* the topic was not there; not told yet */
};

static bool is_cooperative(const struct source *source)
{
    const char *protocol = rd_kafka_rebalance_protocol(source->handle);
    return protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
}

static void log_kafka(enum log_level level, const char *event, const char *what,
                      rd_kafka_resp_err_t code, const char *text)
{
    log_event(level, event, what, LOG_T("code", rd_kafka_err2name(code)),
              LOG_T("error", text));
}

/* Takes the error over. The wrong family of calls means silence for ever, so say it
 * loudly. */
static bool assignment_ok(rd_kafka_error_t *error, const char *what)
{
    if (error == NULL)
        return true;
    log_kafka(LOG_ERROR, "assignment_failed", what, rd_kafka_error_code(error),
              rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static bool assign_exactly(struct source *source, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t err = rd_kafka_assign(source->handle, list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    log_kafka(LOG_ERROR, "assignment_failed", "librdkafka refused an assignment", err,
              rd_kafka_err2str(err));
    return false;
}

static void list_remove_all(rd_kafka_topic_partition_list_t *list,
                            const rd_kafka_topic_partition_list_t *gone)
{
    for (int i = 0; i < gone->cnt; i++)
        rd_kafka_topic_partition_list_del(list, gone->elems[i].topic,
                                          gone->elems[i].partition);
}

static void list_add_all(rd_kafka_topic_partition_list_t *list,
                         const rd_kafka_topic_partition_list_t *more)
{
    for (int i = 0; i < more->cnt; i++)
        if (rd_kafka_topic_partition_list_find(list, more->elems[i].topic,
                                               more->elems[i].partition) == NULL)
            rd_kafka_topic_partition_list_add(list, more->elems[i].topic,
                                              more->elems[i].partition);
}

static void list_clear(rd_kafka_topic_partition_list_t *list)
{
    while (list->cnt > 0)
        rd_kafka_topic_partition_list_del_by_idx(list, list->cnt - 1);
}

/* Reading starts only when the worker has claimed, so the assignment is answered with
 * nothing to read; librdkafka wants an answer also for an empty list. */
static void note_assigned(struct source *source,
                          const rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    if (is_cooperative(source)) {
        assignment_ok(rd_kafka_incremental_assign(source->handle, none),
                      "an empty incremental assignment");
    } else {
        list_clear(source->owned);
        list_clear(source->attached);
        assign_exactly(source, none);
    }
    rd_kafka_topic_partition_list_destroy(none);
    list_add_all(source->owned, partitions);
    source->pending = PENDING_ASSIGNED;
}

static void note_revoked(struct source *source,
                         const rd_kafka_topic_partition_list_t *partitions)
{
    list_add_all(source->revoked, partitions);
    source->pending =
        rd_kafka_assignment_lost(source->handle) ? PENDING_LOST : PENDING_REVOKED;
    if (source->closing)
        source_yield(source);
}

static void on_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct source *source = opaque;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        note_assigned(source, partitions);
    } else {
        if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
            log_kafka(LOG_ERROR, "rebalance_failed", "the group could not be joined", err,
                      rd_kafka_err2str(err));
        note_revoked(source, partitions);
    }
    (void)handle;
}

/* The part of `list` that is in `within`; the caller destroys it. */
static rd_kafka_topic_partition_list_t *
list_common(const rd_kafka_topic_partition_list_t *list,
            const rd_kafka_topic_partition_list_t *within)
{
    rd_kafka_topic_partition_list_t *common = rd_kafka_topic_partition_list_new(1);
    for (int i = 0; i < list->cnt; i++)
        if (rd_kafka_topic_partition_list_find(within, list->elems[i].topic,
                                               list->elems[i].partition) != NULL)
            rd_kafka_topic_partition_list_add(common, list->elems[i].topic,
                                              list->elems[i].partition);
    return common;
}

/* librdkafka refuses to take away what was never assigned, but wants an answer all the
 * same. */
static void unassign(struct source *source, const rd_kafka_topic_partition_list_t *gone)
{
    if (!is_cooperative(source)) {
        rd_kafka_assign(source->handle, NULL);
        list_clear(source->attached);
        return;
    }
    rd_kafka_topic_partition_list_t *reading = list_common(gone, source->attached);
    assignment_ok(rd_kafka_incremental_unassign(source->handle, reading),
                  "an incremental unassignment");
    list_remove_all(source->attached, reading);
    rd_kafka_topic_partition_list_destroy(reading);
}

void source_yield(struct source *source)
{
    unassign(source, source->revoked);
    list_remove_all(source->owned, source->revoked);
    if (!is_cooperative(source))
        list_clear(source->owned);
    list_clear(source->revoked);
    source->pending = PENDING_NONE;
}

static struct source *source_new(const struct config *config)
{
    struct source *source = calloc(1, sizeof *source);
    MUST(source != NULL);
    source->topic = config_values(config)->topic_commands;
    source->digest = digest_new();
    source->owned = rd_kafka_topic_partition_list_new(16);
    source->attached = rd_kafka_topic_partition_list_new(16);
    source->revoked = rd_kafka_topic_partition_list_new(16);
    return source;
}

static void source_free(struct source *source)
{
    if (source->handle != NULL)
        rd_kafka_destroy(source->handle);
    rd_kafka_topic_partition_list_destroy(source->owned);
    rd_kafka_topic_partition_list_destroy(source->attached);
    rd_kafka_topic_partition_list_destroy(source->revoked);
    digest_free(source->digest);
    free(source);
}

static bool subscribe(struct source *source)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, source->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(source->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_kafka(LOG_ERROR, "subscribe_failed",
                  "the command topic cannot be subscribed to", err,
                  rd_kafka_err2str(err));
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool is_gone(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

/* librdkafka tells at once that a topic is gone, and only later, if at all, that its
 * partitions are: made again meanwhile, it would be read on at the old offset. */
static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    struct source *source = opaque;
    source->gone = source->gone || is_gone((rd_kafka_resp_err_t)code);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        metrics_side(METRICS_SIDE_KAFKA, false);
    kafka_conf_log_error(handle, code, reason, opaque);
}

struct source *source_kafka_open(const struct config *config, char error[KAFKA_ERROR_MAX])
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, KAFKA_CONSUMER, error);
    if (conf == NULL)
        return NULL;
    struct source *source = source_new(config);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, source);
    source->handle = kafka_handle_new(RD_KAFKA_CONSUMER, conf, error);
    if (source->handle == NULL) {
        source_free(source);
        return NULL;
    }
    rd_kafka_poll_set_consumer(source->handle);
    MUST(subscribe(source));
    return source;
}

rd_kafka_t *source_kafka_handle(struct source *source)
{
    return source->handle;
}

static int64_t number_setting(const struct source *source, const char *name)
{
    char text[32];
    size_t size = sizeof text;
    int64_t number;
    MUST(rd_kafka_conf_get(rd_kafka_conf(source->handle), name, text, &size) ==
         RD_KAFKA_CONF_OK);
    MUST(parse_int64(text, strlen(text), &number));
    return number;
}

int64_t source_kafka_handover_ms(const struct source *source)
{
    return number_setting(source, "session.timeout.ms") +
           number_setting(source, "heartbeat.interval.ms") + JOIN_MS;
}

void source_release(struct record *record)
{
    if (record->origin != NULL)
        rd_kafka_message_destroy(record->origin);
    record->origin = NULL;
}

/* With static membership (group.instance.id) the last process to join wins, and all
 * others of the same name are told so. */
static enum source_event fatal_event(struct source *source)
{
    char text[256];
    rd_kafka_resp_err_t err = rd_kafka_fatal_error(source->handle, text, sizeof text);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return SOURCE_NOTHING;
    if (err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        log_note(
            LOG_FATAL, "instance_not_unique",
            "another process uses the same kafka.group.instance.id; give each process "
            "one of its own");
        return SOURCE_FENCED;
    }
    log_kafka(LOG_FATAL, "kafka_consumer_fatal", "the consumer cannot go on", err, text);
    return SOURCE_FATAL;
}

/* An error event is information, except an end, a position outside of the log, and a dead
 * handle; librdkafka retries everything else by itself. */
static enum source_event error_event(struct source *source, rd_kafka_message_t *message,
                                     struct record *record)
{
    static uint64_t seen;
    rd_kafka_resp_err_t err = message->err;
    record->partition = message->partition;
    record->offset = message->offset;
    if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return SOURCE_END;
    if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return SOURCE_OUT_OF_RANGE;
    if (is_gone(err))
        return SOURCE_GONE;
    enum source_event fatal = fatal_event(source);
    if (fatal != SOURCE_NOTHING)
        return fatal;
    if (err == RD_KAFKA_RESP_ERR__FATAL)
        return SOURCE_FATAL;
    if (log_is_due(&seen))
        log_kafka(LOG_WARNING, "kafka_consumer_error", "the consumer reports an error",
                  err, rd_kafka_message_errstr(message));
    return SOURCE_NOTHING;
}

static enum source_event pending_event(const struct source *source)
{
    switch (source->pending) {
    case PENDING_ASSIGNED:
        return SOURCE_ASSIGNED;
    case PENDING_REVOKED:
        return SOURCE_REVOKED;
    case PENDING_LOST:
        return SOURCE_LOST;
    case PENDING_NONE:
        break;
    }
    return SOURCE_NOTHING;
}

static enum source_event take_gone(struct source *source)
{
    bool gone = source->gone;
    source->gone = false;
    return gone ? SOURCE_GONE : SOURCE_NOTHING;
}

/* A revocation is repeated until source_yield answers it; an assignment is told once. */
static enum source_event take_pending(struct source *source)
{
    enum source_event event = pending_event(source);
    if (event == SOURCE_ASSIGNED)
        source->pending = PENDING_NONE;
    return event;
}

/* What the group says comes before what is polled next, and what was polled with it is
 * not lost. */
enum source_event source_poll(struct source *source, int timeout_ms,
                              struct record *record)
{
    if (source->pending != PENDING_NONE)
        return take_pending(source);
    rd_kafka_message_t *message = rd_kafka_consumer_poll(source->handle, timeout_ms);
    enum source_event event = take_gone(source);
    if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
        event == SOURCE_NOTHING) {
        kafka_record_read(record, source->digest, message);
        return SOURCE_RECORD;
    }
    if (message != NULL && message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        event = error_event(source, message, record);
    if (message != NULL)
        rd_kafka_message_destroy(message);
    return event == SOURCE_NOTHING ? take_pending(source) : event;
}

size_t source_owned(const struct source *source, int32_t *partitions, size_t capacity)
{
    size_t count = (size_t)source->owned->cnt;
    MUST(count <= capacity);
    for (size_t i = 0; i < count; i++)
        partitions[i] = source->owned->elems[i].partition;
    return count;
}

bool source_is_lost(struct source *source)
{
    return rd_kafka_assignment_lost(source->handle) != 0;
}

static enum port_status committed_of(struct source *source,
                                     rd_kafka_topic_partition_list_t *list,
                                     struct marks *marks)
{
    rd_kafka_resp_err_t err = rd_kafka_committed(source->handle, list, MARKS_TIMEOUT_MS);
    for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
        err = list->elems[i].err;
        marks[i].has_committed = list->elems[i].offset >= 0;
        marks[i].committed = marks[i].has_committed ? list->elems[i].offset : 0;
    }
    metrics_side(METRICS_SIDE_KAFKA, err == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return PORT_OK;
    static uint64_t seen;
    if (log_is_due(&seen))
        log_kafka(LOG_WARNING, "committed_offsets_unknown",
                  "the group's committed offsets cannot be read", err,
                  rd_kafka_err2str(err));
    return PORT_RETRY;
}

static enum port_status log_bounds_of(struct source *source, int32_t partition,
                                      struct marks *marks)
{
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        source->handle, source->topic, partition, &marks->log_start, &marks->log_end,
        MARKS_TIMEOUT_MS);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return PORT_OK;
    static uint64_t seen;
    if (log_is_due(&seen))
        log_event(LOG_WARNING, "log_bounds_unknown",
                  "start and end of a partition cannot be read",
                  LOG_I("partition", partition), LOG_T("code", rd_kafka_err2name(err)));
    return PORT_RETRY;
}

enum port_status source_marks(struct source *source, const int32_t *partitions,
                              struct marks *marks, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, source->topic, partitions[i]);
    int64_t deadline_ms = clock_monotonic_ms() + MARKS_DEADLINE_MS;
    enum port_status status = committed_of(source, list, marks);
    for (size_t i = 0; status == PORT_OK && i < count; i++)
        status = clock_monotonic_ms() < deadline_ms
                     ? log_bounds_of(source, partitions[i], &marks[i])
                     : PORT_RETRY;
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

/* The pause flag survives unassigning and assigning, so it is always set explicitly. */
static void set_paused(struct source *source, rd_kafka_topic_partition_list_t *list,
                       bool paused)
{
    if (paused)
        rd_kafka_pause_partitions(source->handle, list);
    else
        rd_kafka_resume_partitions(source->handle, list);
}

/* With the eager protocol an assignment replaces everything, and the worker attaches all
 * partitions in one call; with the cooperative one it adds. */
enum port_status source_attach(struct source *source,
                               const struct attachment *attachments, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, source->topic, attachments[i].partition)
            ->offset = attachments[i].offset;
    bool done = is_cooperative(source)
                    ? assignment_ok(rd_kafka_incremental_assign(source->handle, list),
                                    "an incremental assignment")
                    : assign_exactly(source, list);
    if (done) {
        list_add_all(source->attached, list);
        set_paused(source, list, false);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return done ? PORT_OK : PORT_RETRY;
}

void source_detach(struct source *source)
{
    if (is_cooperative(source)) {
        if (source->attached->cnt > 0)
            unassign(source, source->attached);
        return;
    }
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    assign_exactly(source, none);
    rd_kafka_topic_partition_list_destroy(none);
    list_clear(source->attached);
}

/* One partition cannot be taken out of an eager assignment without restarting the others,
 * so there it is paused, and forgotten here so that nothing resumes it. */
void source_halt(struct source *source, int32_t partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, source->topic, partition);
    if (is_cooperative(source)) {
        unassign(source, list);
    } else {
        set_paused(source, list, true);
        list_remove_all(source->attached, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void source_pause(struct source *source, bool paused)
{
    set_paused(source, source->attached, paused);
}

int64_t source_log_end(struct source *source, int32_t partition)
{
    int64_t low, high;
    rd_kafka_resp_err_t err = rd_kafka_get_watermark_offsets(
        source->handle, source->topic, partition, &low, &high);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : -1;
}

bool source_probe(struct source *source)
{
    const struct rd_kafka_metadata *metadata;
    bool up = rd_kafka_metadata(source->handle, 0, NULL, &metadata, PROBE_TIMEOUT_MS) ==
              RD_KAFKA_RESP_ERR_NO_ERROR;
    if (up)
        rd_kafka_metadata_destroy(metadata);
    metrics_side(METRICS_SIDE_KAFKA, up);
    return up;
}

void source_leave(struct source *source)
{
    if (source == NULL)
        return;
    source->closing = true;
    rd_kafka_consumer_close(source->handle);
}

void source_close(struct source *source)
{
    if (source != NULL)
        source_free(source);
}
