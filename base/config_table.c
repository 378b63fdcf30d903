/* config_table.c: see config_table.h. The defaults and limits here are those of CONTRACT
 * §7 and §6; a change is a change of the contract. The grammar of topic names is Kafka's
 * own (org.apache.kafka.common.internals.Topic). */
#include "base/config_table.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"

static bool is_topic(const char *text)
{
    const char *allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(text);
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    return size <= 249 && strspn(text, allowed) == size;
}

static bool is_name(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e)
            return false;
    }
    return size <= 249;
}

static bool is_host(const char *text, size_t size)
{
    if (text[0] == '[')
        return size > 2 && text[size - 1] == ']';
    return strcspn(text, ":[] \t") == size && size > 0;
}

/* HOST:PORT with a name or an IPv4 address, or [IPv6]:PORT. */
static bool is_listen_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    return colon != NULL && is_host(text, (size_t)(colon - text)) &&
           parse_int64(colon + 1, strlen(colon + 1), &port) && port <= 65535;
}

static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char topic_expected[] =
    "a topic name: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'";
static const char name_expected[] = "1 to 249 visible ASCII characters without spaces";

const struct config_option config_table[CONFIG_ROW_COUNT] = {
    [CONFIG_ROW_POSTGRES] = {.name = "postgres",
                             .fallback = "",
                             .fallback_words = "libpq's own environment",
                             .may_be_empty = true,
                             .secret = true,
                             .help = "Connection string or URI of the database."},
    [CONFIG_ROW_KAFKA_BOOTSTRAP] = {.name = "kafka.bootstrap.servers",
                                    .fallback = "localhost:9092",
                                    .expected = "HOST:PORT, several separated by commas",
                                    .help = "Brokers to ask first, separated by commas."},
    [CONFIG_ROW_GROUP] = {.name = "group",
                          .fallback = "postonce",
                          .accepts = is_name,
                          .expected = name_expected,
                          .help =
                              "Consumer group; also the stem of the transactional id."},
    [CONFIG_ROW_INSTANCE] = {.name = "instance",
                             .fallback = "",
                             .fallback_words = "host name",
                             .accepts = is_name,
                             .expected = name_expected,
                             .help =
                                 "Unique and stable for each process of the group; the "
                                 "transactional id is GROUP-INSTANCE."},
    [CONFIG_ROW_TOPIC_COMMANDS] = {.name = "topics.commands",
                                   .fallback = "payment-commands",
                                   .accepts = is_topic,
                                   .expected = topic_expected,
                                   .help =
                                       "Topic that commands are read from; must exist."},
    [CONFIG_ROW_TOPIC_RESULTS] = {.name = "topics.results",
                                  .fallback = "payment-results",
                                  .may_be_empty = true,
                                  .accepts = is_topic,
                                  .expected = topic_expected,
                                  .help =
                                      "Topic that results are written to; must exist. "
                                      "Empty: no results are written."},
    [CONFIG_ROW_TOPIC_DEAD_LETTERS] = {.name = "topics.dead_letters",
                                       .fallback = "payment-dead-letters",
                                       .accepts = is_topic,
                                       .expected = topic_expected,
                                       .help =
                                           "Topic that undecidable records are copied "
                                           "to; must exist."},
    [CONFIG_ROW_BATCH_RECORDS] = {.name = "batch.records",
                                  .kind = CONFIG_KIND_INTEGER,
                                  .fallback = "2000",
                                  .least = 1,
                                  .most = 10000,
                                  .help = "Most commands in one Postgres transaction."},
    [CONFIG_ROW_POSTERS] = {.name = "posters",
                            .kind = CONFIG_KIND_INTEGER,
                            .fallback = "1",
                            .least = 1,
                            .most = 64,
                            .help =
                                "Postgres connections that post in parallel; partitions "
                                "are divided among them."},
    [CONFIG_ROW_RETENTION_HOURS] =
        {.name = "retention.hours",
         .kind = CONFIG_KIND_INTEGER,
         .fallback = "",
         .fallback_words = "the command topic's retention + 24, at least 72; "
                           "unlimited for an unlimited topic",
         .least = 1,
         .most = 876000, /* a century */
         .help = "How long a key is remembered."},
    [CONFIG_ROW_ADMIN_LISTEN] = {.name = "admin.listen",
                                 .fallback = "127.0.0.1:9464",
                                 .may_be_empty = true,
                                 .accepts = is_listen_address,
                                 .expected =
                                     "HOST:PORT or [IPV6]:PORT, or nothing for off",
                                 .help =
                                     "Address of /metrics, /livez, /readyz and /status. "
                                     "Empty: off."},
    [CONFIG_ROW_LOG_LEVEL] = {.name = "log.level",
                              .kind = CONFIG_KIND_CHOICE,
                              .fallback = "info",
                              .choices = log_levels,
                              .help = "Least level that is logged, to stderr."},
    [CONFIG_ROW_LOG_FORMAT] = {.name = "log.format",
                               .kind = CONFIG_KIND_CHOICE,
                               .fallback = "text",
                               .choices = log_formats,
                               .help = "Shape of a log line."},
};

enum config_row config_table_find(const char *name)
{
    int row = 0;
    while (row < CONFIG_ROW_COUNT && strcmp(config_table[row].name, name) != 0)
        row++;
    return (enum config_row)row;
}

static bool is_choice(const char *const *choices, const char *value)
{
    while (*choices != NULL && strcmp(*choices, value) != 0)
        choices++;
    return *choices != NULL;
}

static bool is_in_range(const struct config_option *option, const char *value)
{
    int64_t number;
    return parse_int64(value, strlen(value), &number) && number >= option->least &&
           number <= option->most;
}

bool config_table_accepts(const struct config_option *option, const char *value)
{
    if (value[0] == '\0')
        return option->may_be_empty;
    switch (option->kind) {
    case CONFIG_KIND_TEXT:
        return option->accepts == NULL || option->accepts(value);
    case CONFIG_KIND_INTEGER:
        return is_in_range(option, value);
    case CONFIG_KIND_CHOICE:
        return is_choice(option->choices, value);
    }
    return false;
}

void config_table_expected(const struct config_option *option,
                           char text[CONFIG_EXPECTED_SIZE])
{
    if (option->kind == CONFIG_KIND_INTEGER) {
        snprintf(text, CONFIG_EXPECTED_SIZE, "a whole number from %lld to %lld",
                 (long long)option->least, (long long)option->most);
    } else if (option->kind == CONFIG_KIND_CHOICE) {
        size_t used = 0;
        const char *before = "one of ";
        for (const char *const *choice = option->choices; *choice != NULL; choice++) {
            used += (size_t)snprintf(text + used, CONFIG_EXPECTED_SIZE - used, "%s%s",
                                     before, *choice);
            before = ", ";
        }
    } else {
        snprintf(text, CONFIG_EXPECTED_SIZE, "%s",
                 option->expected != NULL ? option->expected : "text");
    }
}

void config_table_variable(const char *name, char variable[CONFIG_VARIABLE_SIZE])
{
    size_t used = (size_t)snprintf(variable, CONFIG_VARIABLE_SIZE, "POSTONCE_");
    for (; *name != '\0' && used < CONFIG_VARIABLE_SIZE - 2; name++) {
        if (*name == '_')
            variable[used++] = '_';
        if (*name == '_' || *name == '.')
            variable[used++] = '_';
        else
            variable[used++] =
                (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
    }
    variable[used] = '\0';
}

bool config_table_name(const char *variable, char name[CONFIG_NAME_MAX + 1])
{
    size_t used = 0;
    for (; *variable != '\0'; variable++) {
        if (used == CONFIG_NAME_MAX || (*variable >= 'a' && *variable <= 'z'))
            return false;
        if (*variable == '_' && variable[1] == '_') {
            variable++;
            name[used++] = '_';
        } else if (*variable == '_') {
            name[used++] = '.';
        } else {
            name[used++] =
                (char)(*variable >= 'A' && *variable <= 'Z' ? *variable - 'A' + 'a'
                                                            : *variable);
        }
    }
    name[used] = '\0';
    return used > 0;
}

bool config_table_is_kafka_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

/* The aliases of librdkafka's CONFIGURATION.md. */
static const struct {
    const char *alias, *name;
} aliases[] = {
    {"metadata.broker.list", "bootstrap.servers"},
    {"auto.commit.enable", "enable.auto.commit"},
    {"request.required.acks", "acks"},
    {"max.in.flight", "max.in.flight.requests.per.connection"},
    {"sasl.mechanisms", "sasl.mechanism"},
    {"fetch.message.max.bytes", "max.partition.fetch.bytes"},
    {"queue.buffering.max.ms", "linger.ms"},
    {"message.send.max.retries", "retries"},
    {"compression.codec", "compression.type"},
    {"delivery.timeout.ms", "message.timeout.ms"},
};

const char *config_table_kafka_alias(const char *name)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcmp(aliases[i].alias, name) == 0)
            return aliases[i].name;
    }
    return name;
}

const struct config_refusal config_refusals[] = {
    {"group.id", "the setting 'group' names the consumer group"},
    {"transactional.id", "it is made of the settings 'group' and 'instance'"},
    {"enable.auto.commit", "offsets are committed only after the database transaction "
                           "that decided the records"},
    {"enable.auto.offset.store", "offsets are committed only after the database "
                                 "transaction that decided the records"},
    {"auto.offset.reset",
     "an offset out of range halts the partition, it must never jump"},
    {"isolation.level", "commands of an aborted transaction must never be seen"},
    {"enable.idempotence", "a result must be visible exactly once"},
    {"acks", "a result counts as written only when all replicas have it"},
    {"max.in.flight.requests.per.connection", "results must keep their order"},
    {"enable.partition.eof",
     "the end of a partition is how --until-end knows when to stop"},
    {"allow.auto.create.topics",
     "a misspelt topic must be an error, not a new empty topic"},
    {"check.crcs", "a damaged record must never be posted"},
    {NULL, NULL},
};

const char *config_table_refusal(const char *name)
{
    for (const struct config_refusal *refusal = config_refusals; refusal->name != NULL;
         refusal++) {
        if (strcmp(refusal->name, name) == 0)
            return refusal->reason;
    }
    return NULL;
}
