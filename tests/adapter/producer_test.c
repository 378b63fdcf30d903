/* producer_test.c: libpostonce, and the reader of results of postonce-send, on
 * librdkafka's own mock cluster: no broker is needed. Every wait has a deadline.
 *
 * Not under TSan: librdkafka starts its threads with thrd_create(), which TSan does not
 * see, and the first malloc() in such a thread ends the program.
 *
 * The mock keeps records and headers and counts offsets; it can be made slow, taken down,
 * or told to refuse. It knows nothing of transactions: those are for the integration
 * tests. */
#include <pthread.h>
#include <stdlib.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "producer/postonce.h"
#include "producer/postonce_send_results.h"
#include "tests/unit/test.h"

enum { PARTITIONS = 7, DEADLINE_MS = 30000, SENT_MAX = 20000, THREADS = 4 };
enum { API_PRODUCE = 0, API_INIT_PRODUCER_ID = 22 };

#define TOPIC "payment-commands"
#define RESULTS "payment-results"

/* ---- The cluster, and what was reported ---- */

struct cluster {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *mock;
};

struct report {
    unsigned count; /* how often this command was reported */
    enum postonce_error error;
    char key[POSTONCE_KEY_SIZE], reason[POSTONCE_SENTENCE_SIZE];
    int32_t partition;
    int64_t offset;
};

/* By number: the user of command n is &reports[n]. One thread polls at a time. */
static struct report reports[SENT_MAX];
static unsigned report_count;

static void on_delivery(const struct postonce_delivery *delivery, void *context)
{
    struct report *report = delivery->user;
    if (context != reports)
        CHECK(false);
    report->count++;
    report->error = delivery->error;
    report->partition = delivery->partition;
    report->offset = delivery->offset;
    snprintf(report->key, sizeof report->key, "%s", delivery->key);
    snprintf(report->reason, sizeof report->reason, "%s", delivery->reason);
    report_count++;
}

static struct cluster cluster_open(void)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0); /* it hosts, it is not tested */
    struct cluster cluster = {
        .handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text)};
    cluster.mock = rd_kafka_mock_cluster_new(cluster.handle, 1);
    rd_kafka_mock_topic_create(cluster.mock, TOPIC, PARTITIONS, 1);
    rd_kafka_mock_topic_create(cluster.mock, RESULTS, 2, 1);
    memset(reports, 0, sizeof reports);
    report_count = 0;
    return cluster;
}

static void cluster_close(struct cluster *cluster)
{
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->handle);
}

/* With one more setting, if its name is not NULL. */
static struct postonce_producer *producer_open(const struct cluster *cluster,
                                               const char *name, const char *value)
{
    struct postonce_fault fault;
    struct postonce_setting settings[] = {
        {"bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster->mock)},
        {name, value}};
    struct postonce_options options = {.settings = settings,
                                       .setting_count = name != NULL ? 2 : 1,
                                       .on_delivery = on_delivery,
                                       .context = reports};
    struct postonce_producer *producer = postonce_open(&options, &fault);
    if (producer == NULL)
        printf("%s\n", fault.sentence);
    CHECK(producer != NULL);
    return producer;
}

static enum postonce_error send_json(struct postonce_producer *producer, unsigned number,
                                     const char *key, const char *source)
{
    char json[2048];
    snprintf(json, sizeof json, "{\"operation\":\"transfer\",\"source\":\"%s\"}", source);
    struct postonce_input input = {
        .json = json, .json_size = strlen(json), .key = key, .user = &reports[number]};
    return postonce_send(producer, &input, NULL, NULL);
}

static void wait_reports(struct postonce_producer *producer, unsigned count)
{
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (report_count < count && clock_monotonic_ms() < end_ms)
        postonce_poll(producer, 100);
    CHECK_INT(report_count, count);
}

/* ---- Delivery ---- */

/* Reads one record back: record key, key header and value as `RECORD_KEY|KEY|VALUE`. */
static void read_back(const struct cluster *cluster, const struct report *report,
                      char *text, size_t size)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers",
                      rd_kafka_mock_cluster_bootstraps(cluster->mock), NULL, 0);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, TOPIC, NULL);
    CHECK(rd_kafka_consume_start(topic, report->partition, report->offset) == 0);
    rd_kafka_message_t *record = rd_kafka_consume(topic, report->partition, DEADLINE_MS);
    rd_kafka_headers_t *headers = NULL;
    const void *key = "";
    size_t key_size = 0;
    text[0] = '\0';
    CHECK(record != NULL && record->err == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (record != NULL && rd_kafka_message_headers(record, &headers) == 0 &&
        rd_kafka_header_get_last(headers, "idempotency-key", &key, &key_size) == 0)
        snprintf(text, size, "%.*s|%.*s|%.*s", (int)record->key_len,
                 record->key != NULL ? (const char *)record->key : "", (int)key_size,
                 (const char *)key, (int)record->len, (const char *)record->payload);
    if (record != NULL)
        rd_kafka_message_destroy(record);
    rd_kafka_consume_stop(topic, report->partition);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(handle);
}

static void check_delivered(unsigned number, const char *key)
{
    CHECK_INT(reports[number].count, 1);
    CHECK_INT(reports[number].error, POSTONCE_OK);
    CHECK_TEXT(reports[number].reason, "");
    CHECK_TEXT(reports[number].key, key);
    CHECK(reports[number].offset >= 0);
}

static void test_delivery(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer = producer_open(&cluster, NULL, NULL);
    char key[POSTONCE_KEY_SIZE], text[512];
    struct postonce_command command = {
        .operation = POSTONCE_REFUND, .payment_id = "p-1", .amount = "1"};
    struct postonce_input input = {.command = &command, .user = &reports[2]};
    test_case("a struct and JSON arrive, with their keys");
    CHECK_INT(send_json(producer, 0, "k-0", "kafka"), POSTONCE_OK);
    CHECK_INT(send_json(producer, 1, "k-1", "kafka"), POSTONCE_OK);
    CHECK_INT(postonce_send(producer, &input, key, NULL), POSTONCE_OK);
    CHECK_INT(report_count, 0); /* never from a send */
    CHECK_INT(postonce_flush(producer, DEADLINE_MS), POSTONCE_OK);
    check_delivered(0, "k-0");
    check_delivered(1, "k-1");
    check_delivered(2, key);
    read_back(&cluster, &reports[1], text, sizeof text);
    CHECK_TEXT(text, "kafka|k-1|{\"operation\":\"transfer\",\"source\":\"kafka\"}");
    read_back(&cluster, &reports[2], text, sizeof text);
    CHECK(strncmp(text, "p-1|", 4) == 0 && strncmp(text + 4, key, 36) == 0);
    CHECK_TEXT(text + 40,
               "|{\"operation\":\"refund\",\"payment_id\":\"p-1\",\"amount\":\"1\"}");
    test_case("one source, one partition, in order, where Java's murmur2 would put it");
    CHECK_INT(reports[0].partition, (0xd067cf64 & 0x7fffffff) % PARTITIONS);
    CHECK_INT(reports[1].partition, reports[0].partition);
    CHECK_INT(reports[1].offset, reports[0].offset + 1);
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    CHECK_INT(report_count, 3);
    CHECK_INT(postonce_close(NULL, 0), POSTONCE_OK);
    cluster_close(&cluster);
}

static void test_refused(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer = producer_open(&cluster, NULL, NULL);
    test_case("a command the broker refuses is named, and the next one arrives");
    rd_kafka_mock_push_request_errors(cluster.mock, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    CHECK_INT(send_json(producer, 0, "k-0", "s"), POSTONCE_OK);
    wait_reports(producer, 1);
    CHECK_INT(reports[0].error, POSTONCE_NOT_DELIVERED);
    CHECK_TEXT(reports[0].key, "k-0");
    CHECK_TEXT(reports[0].reason, "Broker: Message size too large");
    CHECK_INT(reports[0].offset, -1);
    CHECK_INT(send_json(producer, 1, "k-1", "s"), POSTONCE_OK);
    wait_reports(producer, 2);
    check_delivered(1, "k-1");
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    cluster_close(&cluster);
}

/* Without idempotence nobody would ask for a producer id, and the refusal of one would
 * be no obstacle. */
static void test_idempotent(void)
{
    struct cluster cluster = cluster_open();
    test_case("nothing is sent but under a producer id, which tells retries apart");
    rd_kafka_mock_push_request_errors(cluster.mock, API_INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    struct postonce_producer *producer = producer_open(&cluster, NULL, NULL);
    if (send_json(producer, 0, "k-0", "s") == POSTONCE_OK) {
        wait_reports(producer, 1);
        CHECK_INT(reports[0].error, POSTONCE_NOT_DELIVERED);
    }
    CHECK_INT(reports[0].offset, report_count > 0 ? -1 : 0);
    (void)postonce_close(producer, DEADLINE_MS);
    cluster_close(&cluster);
}

static void test_too_large(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer =
        producer_open(&cluster, "message.max.bytes", "1000");
    char source[1200];
    test_case("too large for the producer itself: told by the send, not by a report");
    memset(source, 's', sizeof source - 1);
    source[sizeof source - 1] = '\0';
    CHECK_INT(send_json(producer, 0, "k-0", source), POSTONCE_TOO_LARGE);
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    CHECK_INT(report_count, 0);
    cluster_close(&cluster);
}

static void test_queue_full(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer =
        producer_open(&cluster, "queue.buffering.max.messages", "5");
    struct postonce_input input = {.json = "{}", .json_size = 2, .user = &reports[5]};
    struct postonce_fault fault;
    char key[POSTONCE_KEY_SIZE] = "";
    test_case("a full queue: the send says so, and works again when there is room");
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    for (unsigned i = 0; i < 5; i++)
        CHECK_INT(send_json(producer, i, "k", "s"), POSTONCE_OK);
    CHECK_INT(postonce_send(producer, &input, key, &fault), POSTONCE_QUEUE_FULL);
    CHECK_INT(fault.error, POSTONCE_QUEUE_FULL);
    CHECK_INT(strlen(key), 36);
    rd_kafka_mock_broker_set_up(cluster.mock, 1);
    wait_reports(producer, 5);
    input.key = key;
    CHECK_INT(postonce_send(producer, &input, NULL, &fault), POSTONCE_OK);
    wait_reports(producer, 6);
    check_delivered(5, key);
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    cluster_close(&cluster);
}

static void test_close_over_commands(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer = producer_open(&cluster, NULL, NULL);
    test_case("closing over a command under way: not confirmed");
    CHECK_INT(send_json(producer, 0, "k-0", "s"), POSTONCE_OK);
    wait_reports(producer, 1); /* the producer id is there */
    rd_kafka_mock_broker_set_rtt(cluster.mock, 1, 5000);
    CHECK_INT(send_json(producer, 1, "k-1", "s"), POSTONCE_OK);
    CHECK_INT(postonce_flush(producer, 300), POSTONCE_TIMED_OUT);
    CHECK_INT(postonce_close(producer, 300), POSTONCE_TIMED_OUT);
    CHECK_INT(reports[1].count, 1);
    CHECK_INT(reports[1].error, POSTONCE_UNCONFIRMED);
    CHECK_TEXT(reports[1].key, "k-1");
    test_case("closing over a command that never left: not delivered");
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    producer = producer_open(&cluster, NULL, NULL);
    CHECK_INT(send_json(producer, 2, "k-2", "s"), POSTONCE_OK);
    CHECK_INT(postonce_close(producer, 100), POSTONCE_TIMED_OUT);
    CHECK_INT(reports[2].count, 1);
    CHECK_INT(reports[2].error, POSTONCE_NOT_DELIVERED);
    CHECK(strlen(reports[2].reason) > 0);
    cluster_close(&cluster);
}

static void test_message_timeout(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_producer *producer =
        producer_open(&cluster, "message.timeout.ms", "500");
    test_case("no broker for longer than a message may wait");
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    CHECK_INT(send_json(producer, 0, "k-0", "s"), POSTONCE_OK);
    wait_reports(producer, 1);
    CHECK_INT(reports[0].error, POSTONCE_NOT_DELIVERED);
    CHECK_TEXT(reports[0].reason, "Local: Message timed out");
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    cluster_close(&cluster);
}

/* ---- Threads ---- */

static struct postonce_producer *shared;

static void *send_many(void *argument)
{
    const struct report *first = argument;
    unsigned from = (unsigned)(first - reports);
    for (unsigned i = from; i < from + SENT_MAX / THREADS; i++)
        if (send_json(shared, i, NULL, "s") != POSTONCE_OK)
            return argument;
    return NULL;
}

static void test_threads(void)
{
    struct cluster cluster = cluster_open();
    pthread_t threads[THREADS];
    unsigned wrong = 0;
    test_case("four threads send while a fifth polls: each command is reported once");
    shared = producer_open(&cluster, NULL, NULL);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, send_many,
                             &reports[i * (SENT_MAX / THREADS)]) == 0);
    wait_reports(shared, SENT_MAX);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        CHECK(pthread_join(threads[i], &failed) == 0 && failed == NULL);
    }
    for (unsigned i = 0; i < SENT_MAX; i++)
        wrong += reports[i].count != 1 || reports[i].error != POSTONCE_OK;
    CHECK_INT(wrong, 0);
    CHECK_INT(postonce_close(shared, DEADLINE_MS), POSTONCE_OK);
    cluster_close(&cluster);
}

/* ---- Settings and the question whether Kafka is there ---- */

static void check_setting(const char *name, const char *value)
{
    struct postonce_setting settings[] = {{"bootstrap.servers", "127.0.0.1:1"},
                                          {name, value}};
    struct postonce_options options = {.settings = settings, .setting_count = 2};
    struct postonce_fault fault = {.error = POSTONCE_OK};
    test_case(name);
    CHECK(postonce_open(&options, &fault) == NULL);
    CHECK_INT(fault.error, POSTONCE_SETTING_INVALID);
    CHECK(fault.setting == name);
    CHECK(strstr(fault.sentence, name) == fault.sentence);
}

static void test_settings(void)
{
    check_setting("linger.mss", "1");
    check_setting("linger.ms", "soon");
    check_setting("acks", "1");
    check_setting("enable.idempotence", "true");
    check_setting("transactional.id", "t");
}

static void test_check(void)
{
    struct cluster cluster = cluster_open();
    struct postonce_fault fault;
    struct postonce_producer *producer = producer_open(&cluster, NULL, NULL);
    test_case("the topic is there");
    CHECK_INT(postonce_check(producer, DEADLINE_MS, NULL), POSTONCE_OK);
    test_case("the topic is missing");
    rd_kafka_mock_topic_set_error(cluster.mock, TOPIC,
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    CHECK_INT(postonce_check(producer, DEADLINE_MS, &fault), POSTONCE_TOPIC_MISSING);
    CHECK(strstr(fault.sentence, TOPIC) != NULL);
    test_case("we may not use the topic");
    rd_kafka_mock_topic_set_error(cluster.mock, TOPIC,
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    CHECK_INT(postonce_check(producer, DEADLINE_MS, &fault), POSTONCE_REFUSED);
    CHECK_INT(postonce_close(producer, DEADLINE_MS), POSTONCE_OK);
    test_case("there is no Kafka, and the sentence says why");
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    producer = producer_open(&cluster, NULL, NULL);
    CHECK_INT(postonce_check(producer, 500, &fault), POSTONCE_UNREACHABLE);
    CHECK(strstr(fault.sentence, rd_kafka_mock_cluster_bootstraps(cluster.mock)) != NULL);
    postonce_close(producer, 0);
    cluster_close(&cluster);
}

/* ---- The reader of results ---- */

/* Writes a result as the consumer does; partition or offset NULL: without that header. */
static void write_result(const struct cluster *cluster, const char *key,
                         const char *topic, const char *partition, const char *offset)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(3);
    rd_kafka_header_add(headers, "command-topic", -1, topic, -1);
    if (partition != NULL)
        rd_kafka_header_add(headers, "command-partition", -1, partition, -1);
    if (offset != NULL)
        rd_kafka_header_add(headers, "command-offset", -1, offset, -1);
    char key_copy[32], value[64];
    snprintf(key_copy, sizeof key_copy, "%s", key);
    snprintf(value, sizeof value, "result of %s", key);
    rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = RESULTS},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key_copy, strlen(key_copy)}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, strlen(value)}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers}};
    CHECK(rd_kafka_produceva(cluster->handle, fields, sizeof fields / sizeof fields[0]) ==
          NULL);
    CHECK(rd_kafka_flush(cluster->handle, DEADLINE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static struct config *mock_config(const struct cluster *cluster)
{
    char setting[256];
    struct config *config = config_new();
    snprintf(setting, sizeof setting, "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(cluster->mock));
    CHECK(config_set_argument(config, setting) && config_finish(config));
    return config;
}

static struct cluster results_cluster_open(void)
{
    /* Writing needs a handle that knows the cluster: the one that hosts it does not. */
    struct cluster cluster = cluster_open();
    rd_kafka_brokers_add(cluster.handle, rd_kafka_mock_cluster_bootstraps(cluster.mock));
    return cluster;
}

static bool wait_result(struct results *results, struct answers_result *result)
{
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (clock_monotonic_ms() < end_ms) {
        if (results_next(results, 100, result))
            return true;
    }
    return false;
}

static void test_results(void)
{
    struct cluster cluster = results_cluster_open();
    struct config *config = mock_config(&cluster);
    struct results_fault fault;
    struct answers_result result = {.key = ""};
    test_case("only results of our command topic, only new ones, with their place");
    write_result(&cluster, "before", TOPIC, "0", "1");
    struct results *results = results_open(config, &fault);
    CHECK(results != NULL);
    CHECK(!results_next(results, 0, &result));
    write_result(&cluster, "other", "other-commands", "0", "1");
    write_result(&cluster, "bare", TOPIC, NULL, NULL);
    write_result(&cluster, "odd", TOPIC, "3", "x");
    write_result(&cluster, "ours", TOPIC, "3", "9000000000");
    CHECK(wait_result(results, &result));
    CHECK_BYTES(result.key, result.key_size, "ours", 4);
    CHECK_BYTES(result.value, result.value_size, "result of ours", 14);
    CHECK_INT(result.partition, 3);
    CHECK_INT(result.offset, 9000000000);
    CHECK(results_trouble(results) == NULL);
    results_close(results);
    test_case("the topic of the results is missing");
    rd_kafka_mock_topic_set_error(cluster.mock, RESULTS,
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    CHECK(results_open(config, &fault) == NULL);
    CHECK_INT(fault.code, EXIT_CODE_USAGE);
    CHECK(strstr(fault.sentence, RESULTS) != NULL);
    config_free(config);
    cluster_close(&cluster);
}

static int test_all(void)
{
    CHECK(log_configure("error", "text"));
    test_delivery();
    test_refused();
    test_idempotent();
    test_too_large();
    test_queue_full();
    test_close_over_commands();
    test_message_timeout();
    test_threads();
    test_settings();
    test_check();
    test_results();
    return test_end();
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    const bool has_tsan = true;
#else
    const bool has_tsan = false;
#endif
    if (!has_tsan)
        return test_all();
    puts("skipped: librdkafka cannot run under TSan");
    return 0;
}
