/* reply_test.c: the Kafka transaction of answers and offsets against a real broker: it is
 * one act or none, and nobody outside of the group commits offsets.
 *
 * TEST_KAFKA='127.0.0.1:9092' adapter_reply_test
 *
 * Makes topics and a group of its own, named by the time, and leaves them behind. Without
 * the variable nothing is tested, and it says so. librdkafka's mock cluster would not do:
 * it hides nothing from who reads committed, and drops offsets (KAFKA §6). */
#include "consumer/reply_kafka.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "consumer/source_kafka.h"
#include "tests/unit/test.h"

enum { WAIT_MS = 20000, NAME_SIZE = 64 };

static const char value[] = "not JSON";

/* One process of the group: what it reads from and what it answers through. */
struct member {
    struct config *config;
    struct source *source;
    struct reply *reply;
    struct batch *batch; /* the one command, malformed, with an answer */
};

static char names[4][NAME_SIZE]; /* commands, results, dead letters, group */
static rd_kafka_t *admin;

/* --- the broker as a test sees it --- */

static void name_topics(void)
{
    static const char *const kinds[] = {"commands", "results", "letters", "group"};
    static unsigned number;
    number++;
    for (size_t i = 0; i < 4; i++)
        snprintf(names[i], NAME_SIZE, "reply-%s-%lld-%u", kinds[i],
                 (long long)clock_unix_ms(), number);
}

static void make_topics(void)
{
    char error[256];
    rd_kafka_NewTopic_t *topics[3];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    for (size_t i = 0; i < 3; i++)
        topics[i] = rd_kafka_NewTopic_new(names[i], 1, 1, error, sizeof error);
    rd_kafka_CreateTopics(admin, topics, 3, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    CHECK(event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy_array(topics, 3);
    rd_kafka_queue_destroy(queue);
}

/* As an array: librdkafka's variadic form is a GNU expression. */
static void send_command(void)
{
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = names[0]},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADER, .u.header = {"idempotency-key", "k", 1}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)value, sizeof value - 1}},
    };
    CHECK(rd_kafka_produceva(admin, fields, sizeof fields / sizeof *fields) == NULL);
    CHECK(rd_kafka_flush(admin, WAIT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static rd_kafka_t *reader_of(const char *topic)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", getenv("TEST_KAFKA"), NULL, 0);
    rd_kafka_conf_set(conf, "group.id", names[3], NULL, 0);
    rd_kafka_conf_set(conf, "isolation.level", "read_committed", NULL, 0);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", NULL, 0);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
    CHECK(rd_kafka_assign(reader, list) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    return reader;
}

/* How many messages are visible to who reads committed. */
static int count_visible(const char *topic)
{
    rd_kafka_t *reader = reader_of(topic);
    int64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    int count = 0;
    bool at_end = false;
    while (!at_end && clock_monotonic_ms() < end_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);
        if (message == NULL)
            continue;
        at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        count += message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(message);
    }
    CHECK(at_end);
    rd_kafka_destroy(reader);
    return count;
}

/* The group's committed offset, below 0 if there is none. */
static int64_t committed(void)
{
    rd_kafka_t *reader = reader_of(names[0]);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, names[0], 0);
    CHECK(rd_kafka_committed(reader, list, WAIT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR);
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(reader);
    return offset;
}

/* --- a member of the group --- */

static void set(struct config *config, const char *name, const char *text)
{
    char setting[256];
    snprintf(setting, sizeof setting, "%s=%s", name, text);
    CHECK(config_set_argument(config, setting));
}

static struct config *configuration(const char *session_timeout_ms)
{
    struct config *config = config_new();
    set(config, "kafka.session.timeout.ms", session_timeout_ms);
    set(config, "kafka.bootstrap.servers", getenv("TEST_KAFKA"));
    set(config, "topics.commands", names[0]);
    set(config, "topics.results", names[1]);
    set(config, "topics.dead_letters", names[2]);
    set(config, "group", names[3]);
    set(config, "instance", "one");
    CHECK(config_finish(config));
    return config;
}

static bool wait_event(struct source *source, enum source_event wanted,
                       struct record *record)
{
    int64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (clock_monotonic_ms() < end_ms)
        if (source_poll(source, 100, record) == wanted)
            return true;
    return false;
}

/* Joins, reads the one command, and lays out its answer as a poster would. */
static struct member join(void)
{
    char error[KAFKA_ERROR_MAX] = "";
    static const char answer[] = "answer";
    struct member member = {.config = configuration("10000"), .batch = batch_new(1)};
    member.source = source_kafka_open(member.config, error);
    CHECK(member.source != NULL);
    member.reply = reply_kafka_open(member.config, member.source, error);
    CHECK(member.reply != NULL);
    CHECK(reply_recover(member.reply) == PORT_OK);
    struct batch *batch = member.batch;
    CHECK(wait_event(member.source, SOURCE_ASSIGNED, &batch->records[0]));
    CHECK(source_attach(member.source, &(struct attachment){0, 0}, 1) == PORT_OK);
    CHECK(wait_event(member.source, SOURCE_RECORD, &batch->records[0]));
    batch->count = batch->next_offset_count = 1;
    batch->next_offsets[0] = (struct next_offset){0, 1};
    batch->answers[0] = (struct answer){.outcome = OUTCOME_MALFORMED,
                                        .code = batch->records[0].intake.code,
                                        .result = answer,
                                        .result_size = sizeof answer - 1};
    return member;
}

static void leave(struct member *member)
{
    source_release(&member->batch->records[0]);
    member->batch->count = 0;
    batch_free(member->batch);
    reply_close(member->reply);
    source_leave(member->source);
    source_close(member->source);
    config_free(member->config);
}

static bool is_what_it_says(void *context)
{
    const bool *stale = context;
    return *stale;
}

static enum port_status publish(struct member *member, bool stale)
{
    return reply_publish(member->reply, &member->batch, 1, is_what_it_says, &stale);
}

static void check_seen(int answers, bool has_offset)
{
    CHECK_INT(count_visible(names[1]), answers);
    CHECK_INT(count_visible(names[2]), answers);
    int64_t offset = committed();
    CHECK(has_offset ? offset == 1 : offset < 0);
}

/* --- the cases --- */

/* The answers are queued when it is found that they are stale: neither they nor the
 * offset may be seen. Then all of it is, once. */
static void test_all_or_nothing(void)
{
    name_topics();
    make_topics();
    send_command();
    struct member member = join();
    test_case("what is stale when the offsets are to be sent leaves nothing behind");
    CHECK(publish(&member, true) != PORT_OK);
    check_seen(0, false);
    test_case("answer, dead letter and offset are visible together");
    CHECK(reply_recover(member.reply) == PORT_OK);
    CHECK(publish(&member, false) == PORT_OK);
    check_seen(1, true);
    leave(&member);
}

/* Out of the group there is no generation, and the broker takes the offsets of such a
 * "member" unchecked: whoever owns the partition now would be overruled. A session that
 * is shorter than any broker allows is never let in. */
static void test_not_a_member(void)
{
    char error[KAFKA_ERROR_MAX] = "";
    bool stale = false;
    struct next_offset next = {0, 1};
    name_topics();
    make_topics();
    send_command();
    struct member member = join();
    struct config *config = configuration("1");
    struct source *outside = source_kafka_open(config, error);
    CHECK(outside != NULL);
    reply_close(member.reply);
    member.reply = reply_kafka_open(member.config, outside, error);
    CHECK(reply_recover(member.reply) == PORT_OK);
    test_case("who is no member of the group publishes nothing and commits nothing");
    CHECK(publish(&member, stale) != PORT_OK);
    CHECK(reply_recover(member.reply) == PORT_OK);
    CHECK(reply_commit(member.reply, &next, 1, is_what_it_says, &stale) != PORT_OK);
    check_seen(0, false);
    leave(&member);
    source_leave(outside);
    source_close(outside);
    config_free(config);
}

int main(void)
{
    char error[256];
    if (getenv("TEST_KAFKA") == NULL || getenv("TEST_KAFKA")[0] == '\0') {
        printf("SKIPPED: TEST_KAFKA names no broker\n");
        return 0;
    }
    log_configure("error", "text");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", getenv("TEST_KAFKA"), NULL, 0);
    admin = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    CHECK(admin != NULL);
    test_all_or_nothing();
    test_not_a_member();
    rd_kafka_destroy(admin);
    return test_end();
}
