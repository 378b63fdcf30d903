/* steady.c: commands at a steady rate, and how long each takes until its result is
 * visible.
 *
 *   steady BOOTSTRAP COMMANDS RESULTS RATE FILE SETTLING
 *
 * An open loop: command i of FILE, one JSON object a line with its key in front, is due
 * at begin + i / RATE, whether or not what came before was answered; its latency counts
 * from then, so that a stall is charged to all that had to wait. The record's timestamp
 * is that time, too. `correlation-id`, which a consumer hands through, tells what was
 * answered. Prints JSON: of the first SETTLING commands, which meet a consumer and a
 * database that have just begun, apart from the others. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/parse.h"

enum { LINE_MAX_BYTES = 4096, WAIT_MS = 30000, PARTITIONS_MAX = 64, TURN_US = 200 };

struct run {
    const char *bootstrap, *commands, *results;
    char **lines;
    size_t count;
    int64_t rate, settling;
    int64_t begin_us;
    int64_t *latency_us; /* [count]; -1: not answered */
    atomic_size_t answered;
    atomic_bool reads, ended;
    size_t twice;
    int64_t behind_max_us; /* the sender itself */
};

static int64_t due_us(const struct run *run, size_t index)
{
    return run->begin_us + (int64_t)index * 1000000 / run->rate;
}

/* --- Kafka --- */

static rd_kafka_t *handle_new(rd_kafka_type_t type, const char *const *settings)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (; settings[0] != NULL; settings += 2)
        MUST(rd_kafka_conf_set(conf, settings[0], settings[1], error, sizeof error) ==
             RD_KAFKA_CONF_OK);
    rd_kafka_t *handle = rd_kafka_new(type, conf, error, sizeof error);
    MUST(handle != NULL);
    return handle;
}

static int partition_count(rd_kafka_t *handle, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, name, NULL);
    MUST(rd_kafka_metadata(handle, 0, topic, &metadata, 10000) == 0);
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    MUST(count > 0 && count <= PARTITIONS_MAX);
    return count;
}

/* --- the reader --- */

static void assign_ends(rd_kafka_t *reader, const char *topic)
{
    int count = partition_count(reader, topic);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++) {
        int64_t start, end;
        MUST(rd_kafka_query_watermark_offsets(reader, topic, i, &start, &end, 10000) ==
             0);
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = end;
    }
    MUST(rd_kafka_assign(reader, list) == 0);
    rd_kafka_topic_partition_list_destroy(list);
}

static void take_result(struct run *run, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    int64_t index;
    if (message->err != 0 || rd_kafka_message_headers(message, &headers) != 0 ||
        rd_kafka_header_get_last(headers, "correlation-id", &value, &size) != 0 ||
        !parse_int64(value, size, &index))
        return;
    MUST((size_t)index < run->count);
    if (run->latency_us[index] >= 0) {
        run->twice++;
        return;
    }
    run->latency_us[index] = clock_monotonic_us() - due_us(run, (size_t)index);
    atomic_fetch_add(&run->answered, 1);
}

static void *read_results(void *argument)
{
    struct run *run = argument;
    const char *settings[] = {"bootstrap.servers",
                              run->bootstrap,
                              "group.id",
                              "bench-steady",
                              "isolation.level",
                              "read_committed",
                              "enable.auto.commit",
                              "false",
                              "fetch.wait.max.ms",
                              "100",
                              NULL};
    rd_kafka_t *reader = handle_new(RD_KAFKA_CONSUMER, settings);
    rd_kafka_poll_set_consumer(reader);
    assign_ends(reader, run->results);
    for (int i = 0; i < 20; i++) { /* it fetches by then */
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 50);
        if (message != NULL)
            rd_kafka_message_destroy(message);
    }
    atomic_store(&run->reads, true);
    while (!atomic_load(&run->ended)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 50);
        if (message == NULL)
            continue;
        take_result(run, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(reader);
    return NULL;
}

/* --- the sender --- */

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message,
                      void *opaque)
{
    (void)producer;
    (void)opaque;
    MUST(message->err == 0);
}

static rd_kafka_t *producer_new(const struct run *run)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *settings[] = {"bootstrap.servers",
                              run->bootstrap,
                              "enable.idempotence",
                              "true",
                              "linger.ms", /* as libpostonce */
                              "2",
                              "queue.buffering.max.messages",
                              "1000000",
                              NULL};
    for (size_t i = 0; settings[i] != NULL; i += 2)
        MUST(rd_kafka_conf_set(conf, settings[i], settings[i + 1], error, sizeof error) ==
             RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    MUST(producer != NULL);
    return producer;
}

/* As an array: librdkafka's variadic form is a GNU expression. */
static void send_one(struct run *run, rd_kafka_t *producer, int partitions, size_t index,
                     int64_t unix_ms)
{
    static const char start[] = "{\"idempotency_key\":\"";
    char *line = run->lines[index];
    const char *key = line + sizeof start - 1;
    char correlation[24];
    snprintf(correlation, sizeof correlation, "%zu", index);
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = run->commands},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)index % partitions},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = unix_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADER,
         .u.header = {"idempotency-key", key, (ssize_t)strcspn(key, "\"")}},
        {.vtype = RD_KAFKA_VTYPE_HEADER, .u.header = {"correlation-id", correlation, -1}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {line, strlen(line)}},
    };
    MUST(rd_kafka_produceva(producer, fields, sizeof fields / sizeof *fields) == NULL);
}

static int64_t unix_us(void)
{
    struct timespec now;
    MUST(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Begins with a whole millisecond, because a record's time has no others. */
static void send_all(struct run *run, rd_kafka_t *producer, int partitions)
{
    int64_t unix_minus_monotonic_us = unix_us() - clock_monotonic_us();
    run->begin_us = (unix_us() / 1000 + 100) * 1000 - unix_minus_monotonic_us;
    const struct timespec turn = {0, TURN_US * 1000};
    for (size_t i = 0; i < run->count; i++) {
        int64_t due = due_us(run, i), now;
        while ((now = clock_monotonic_us()) < due) {
            rd_kafka_poll(producer, 0);
            nanosleep(&turn, NULL);
        }
        if (now - due > run->behind_max_us)
            run->behind_max_us = now - due;
        send_one(run, producer, partitions, i, (due + unix_minus_monotonic_us) / 1000);
    }
    MUST(rd_kafka_flush(producer, WAIT_MS) == 0);
}

/* --- the program --- */

static void read_lines(struct run *run, const char *path)
{
    static char line[LINE_MAX_BYTES];
    size_t capacity = 0;
    FILE *file = fopen(path, "r");
    MUST(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (run->count == capacity) {
            capacity = 2 * capacity + 1024;
            run->lines = realloc(run->lines, capacity * sizeof *run->lines);
            MUST(run->lines != NULL);
        }
        line[strcspn(line, "\n")] = '\0';
        run->lines[run->count++] = strdup(line);
    }
    fclose(file);
    run->latency_us = malloc((run->count + 1) * sizeof *run->latency_us);
    MUST(run->latency_us != NULL);
    memset(run->latency_us, 0xff, (run->count + 1) * sizeof *run->latency_us);
}

static int ascending(const void *left, const void *right)
{
    int64_t one = *(const int64_t *)left, other = *(const int64_t *)right;
    return (one > other) - (one < other);
}

/* What is not answered comes first, and is not counted in. */
static void tell_latencies(const char *name, int64_t *latency_us, size_t count)
{
    qsort(latency_us, count, sizeof *latency_us, ascending);
    size_t dropped = 0;
    while (dropped < count && latency_us[dropped] < 0)
        dropped++;
    const int64_t *found = latency_us + dropped;
    size_t answered = count - dropped;
    if (answered == 0)
        return;
    printf("\"%s_p50_us\": %" PRId64 ", \"%s_p99_us\": %" PRId64
           ", \"%s_max_us\": %" PRId64 ", ",
           name, found[answered / 2], name, found[answered * 99 / 100], name,
           found[answered - 1]);
}

static void tell(struct run *run)
{
    size_t settling = (size_t)run->settling < run->count ? (size_t)run->settling : 0;
    printf("{\"sent\": %zu, \"dropped\": %zu, \"answered_twice\": %zu, ", run->count,
           run->count - atomic_load(&run->answered), run->twice);
    tell_latencies("visible", run->latency_us + settling, run->count - settling);
    tell_latencies("settling_visible", run->latency_us, settling);
    printf("\"sender_behind_max_us\": %" PRId64 "}\n", run->behind_max_us);
}

int main(int argc, char **argv)
{
    static struct run run;
    pthread_t reader;
    if (argc != 7 || !parse_int64(argv[4], strlen(argv[4]), &run.rate) || run.rate == 0 ||
        !parse_int64(argv[6], strlen(argv[6]), &run.settling)) {
        fprintf(stderr, "usage: steady BOOTSTRAP COMMANDS RESULTS RATE FILE SETTLING\n");
        return 2;
    }
    run.bootstrap = argv[1];
    run.commands = argv[2];
    run.results = argv[3];
    read_lines(&run, argv[5]);
    rd_kafka_t *producer = producer_new(&run);
    int partitions = partition_count(producer, run.commands);
    MUST(pthread_create(&reader, NULL, read_results, &run) == 0);
    while (!atomic_load(&run.reads))
        clock_sleep_ms(10);
    send_all(&run, producer, partitions);
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (atomic_load(&run.answered) < run.count && clock_monotonic_ms() < deadline_ms)
        clock_sleep_ms(20);
    atomic_store(&run.ended, true);
    MUST(pthread_join(reader, NULL) == 0);
    tell(&run);
    rd_kafka_destroy(producer);
    return 0;
}
