/* kafka_conf.c: see kafka_conf.h. Sources of the values: docs of librdkafka
 * (CONFIGURATION.md) and what was measured; each surprise is explained where it stands.
 */
#include "consumer/kafka_conf.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"

struct setting {
    const char *name, *value;
};

/* Where these differ from librdkafka's defaults it is for latency after a fault: a broker
 * that restarts must be noticed in a second, not in ten. */
static const struct setting common_defaults[] = {
    {"client.id", "postonce"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"socket.timeout.ms", "10000"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"topic.metadata.refresh.interval.ms", "30000"},
};

/* queued.min.messages stays at its default: below librdkafka 2.2 a full queue sleeps a
 * whole second; memory is bounded by kbytes instead. */
static const struct setting consumer_defaults[] = {
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "3000"},
    {"max.poll.interval.ms", "60000"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.min.bytes", "1"},
    {"fetch.max.bytes", "8388608"},
    {"max.partition.fetch.bytes", "1048576"},
    {"queued.min.messages", "100000"},
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.error.backoff.ms", "100"},
};

static const struct setting consumer_guarantee[] = {
    {"enable.auto.commit", "false"},  {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},   {"isolation.level", "read_committed"},
    {"check.crcs", "true"},           {"allow.auto.create.topics", "false"},
    {"enable.partition.eof", "true"},
};

/* retry.backoff.ms decides the latency of every Kafka transaction: right after a commit
 * the coordinator answers CONCURRENT_TRANSACTIONS, and the default of 100 ms would be
 * waited. linger.ms is longer than it takes to produce the answers of a transaction, so
 * that they travel in a few requests; the commit does not wait for it. */
static const struct setting producer_defaults[] = {
    {"transaction.timeout.ms", "15000"},
    {"message.timeout.ms", "10000"},
    {"linger.ms", "50"},
    {"batch.num.messages", "10000"},
    {"batch.size", "1000000"},
    {"queue.buffering.max.messages", "100000"},
    {"message.max.bytes", "1000000000"}, /* the topic's limit decides, not the client's */
    {"retry.backoff.ms", "2"},
    {"partitioner", "murmur2_random"},
};

static const struct setting producer_guarantee[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
};

static void set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t count)
{
    char text[256];
    for (size_t i = 0; i < count; i++)
        MUST(rd_kafka_conf_set(conf, settings[i].name, settings[i].value, text,
                               sizeof text) == RD_KAFKA_CONF_OK);
}

#define SET_ALL(conf, settings) \
    set_all((conf), (settings), sizeof(settings) / sizeof(settings)[0])

/* Both rebalance protocols are coded; cooperative-sticky is trusted from 2.10.1 on only.
 */
static void set_by_version(rd_kafka_conf_t *conf)
{
    static const struct setting assignor_old[] = {
        {"partition.assignment.strategy", "range"}};
    static const struct setting assignor_new[] = {
        {"partition.assignment.strategy", "cooperative-sticky"}};
    static const struct setting from_2_2[] = {{"fetch.queue.backoff.ms", "50"}};
    if (rd_kafka_version() >= 0x020a01ff)
        SET_ALL(conf, assignor_new);
    else
        SET_ALL(conf, assignor_old);
    if (rd_kafka_version() >= 0x020200ff)
        SET_ALL(conf, from_2_2);
}

static void set_defaults(rd_kafka_conf_t *conf, enum kafka_role role)
{
    static const struct setting from_2_5[] = {{"enable.metrics.push", "false"}};
    SET_ALL(conf, common_defaults);
    if (rd_kafka_version() >= 0x020500ff)
        SET_ALL(conf, from_2_5);
    if (role == KAFKA_PRODUCER) {
        SET_ALL(conf, producer_defaults);
        return;
    }
    SET_ALL(conf, consumer_defaults);
    set_by_version(conf);
}

/* Kubernetes injects variables of its own names, so one that librdkafka does not know is
 * a warning when it comes from the environment, and an error from anywhere else. */
static bool is_stray(const struct config_property *property, rd_kafka_conf_res_t result)
{
    if (result != RD_KAFKA_CONF_UNKNOWN || strncmp(property->origin, "POSTONCE_", 9) != 0)
        return false;
    log_event(LOG_WARNING, "unknown_variable",
              "a variable names no setting of librdkafka and is ignored",
              LOG_T("variable", property->origin));
    return true;
}

/* A setting of the other role is fine: one file serves both programs. */
static bool set_operators(rd_kafka_conf_t *conf, const struct config *config,
                          char error[KAFKA_ERROR_MAX])
{
    char text[256];
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(config, i)) != NULL; i++) {
        rd_kafka_conf_res_t result =
            rd_kafka_conf_set(conf, property->name, property->value, text, sizeof text);
        if (result == RD_KAFKA_CONF_OK || is_stray(property, result))
            continue;
        text[strcspn(text, "\n")] = '\0';
        bool names_it = strstr(property->origin, property->name) != NULL;
        snprintf(error, KAFKA_ERROR_MAX, "%s%s%s: librdkafka does not take it: %s",
                 property->origin, names_it ? "" : ": kafka.",
                 names_it ? "" : property->name, text);
        return false;
    }
    return true;
}

static void set_guarantee(rd_kafka_conf_t *conf, const struct config_values *values,
                          enum kafka_role role)
{
    char id[512];
    if (role == KAFKA_PRODUCER) {
        SET_ALL(conf, producer_guarantee);
        snprintf(id, sizeof id, "%s-%s", values->group, values->instance);
        SET_ALL(conf, ((struct setting[]){{"transactional.id", id}}));
        return;
    }
    SET_ALL(conf, consumer_guarantee);
    SET_ALL(conf, ((struct setting[]){{"group.id", values->group}}));
}

static enum log_level level_of(int syslog_level)
{
    if (syslog_level <= 3)
        return LOG_ERROR;
    if (syslog_level <= 5)
        return LOG_WARNING;
    return syslog_level == 6 ? LOG_INFO : LOG_DEBUG;
}

/* What comes again with each attempt is told at 1, 2, 4, 8, … until one goes well. */
static atomic_ullong transaction_faults;

void kafka_conf_transaction_went_well(void)
{
    atomic_store(&transaction_faults, 0);
}

/* As log_is_due(), for what several threads count. */
static bool is_due(atomic_ullong *seen)
{
    unsigned long long count = atomic_fetch_add(seen, 1) + 1;
    return (count & (count - 1)) == 0;
}

static bool is_repeated(const char *facility)
{
    return (strcmp(facility, "TXNERR") == 0 || strcmp(facility, "ADDPARTS") == 0) &&
           !is_due(&transaction_faults);
}

/* Called from librdkafka's threads: does nothing but write. Its own sentences about
 * disconnects come once per broker and attempt, so they are information, not errors. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility,
                   const char *text)
{
    (void)handle;
    enum log_level ours = level_of(level);
    if (ours > LOG_DEBUG &&
        (strcmp(facility, "FAIL") == 0 || strcmp(facility, "CONFWARN") == 0))
        ours = LOG_DEBUG;
    if (ours > LOG_DEBUG && is_repeated(facility))
        ours = LOG_DEBUG;
    log_event(ours, "librdkafka", text, LOG_T("facility", facility));
}

void kafka_conf_log_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    static atomic_ullong seen; /* by the threads of consumer and producer */
    (void)handle;
    (void)opaque;
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT || !is_due(&seen))
        return;
    log_event(LOG_WARNING, "kafka_error", reason,
              LOG_T("code", rd_kafka_err2name((rd_kafka_resp_err_t)code)));
}

rd_kafka_conf_t *kafka_conf_new(const struct config *config, enum kafka_role role,
                                char error[KAFKA_ERROR_MAX])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set_defaults(conf, role);
    if (!set_operators(conf, config, error)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    set_guarantee(conf, config_values(config), role);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, kafka_conf_log_error);
    return conf;
}

rd_kafka_t *kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
                             char error[KAFKA_ERROR_MAX])
{
    char text[256];
    rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof text);
    if (handle != NULL)
        return handle;
    snprintf(error, KAFKA_ERROR_MAX, "kafka: librdkafka refuses the settings: %s", text);
    rd_kafka_conf_destroy(conf);
    return NULL;
}
