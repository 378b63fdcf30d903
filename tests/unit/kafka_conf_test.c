/* kafka_conf_test.c: the settings that the guarantee depends on are what librdkafka is
 * given, whatever else is set. Nothing that a consumer shows from outside tells most of
 * them from their opposites on a good day. */
#include "consumer/kafka_conf.h"

#include "tests/unit/test.h"

static struct config *config_with(const char *const *settings, size_t count)
{
    struct config *config = config_new();
    for (size_t i = 0; i < count; i++)
        CHECK(config_set_argument(config, settings[i]));
    CHECK(config_finish(config));
    return config;
}

static rd_kafka_conf_t *conf_of(const struct config *config, enum kafka_role role)
{
    char error[KAFKA_ERROR_MAX] = "";
    rd_kafka_conf_t *conf = kafka_conf_new(config, role, error);
    CHECK_TEXT(error, "");
    return conf;
}

static void check_setting(const rd_kafka_conf_t *conf, const char *name, const char *want)
{
    char value[512] = "";
    size_t size = sizeof value;
    test_case(name);
    CHECK(rd_kafka_conf_get(conf, name, value, &size) == RD_KAFKA_CONF_OK);
    CHECK_TEXT(value, want);
}

static const struct {
    enum kafka_role role;
    const char *name, *value;
} guarantee[] = {
    {KAFKA_CONSUMER, "group.id", "books"},
    {KAFKA_CONSUMER, "enable.auto.commit", "false"},
    {KAFKA_CONSUMER, "enable.auto.offset.store", "false"},
    {KAFKA_CONSUMER, "auto.offset.reset", "error"},
    {KAFKA_CONSUMER, "isolation.level", "read_committed"},
    {KAFKA_CONSUMER, "check.crcs", "true"},
    {KAFKA_CONSUMER, "allow.auto.create.topics", "false"},
    {KAFKA_CONSUMER, "enable.partition.eof", "true"},
    {KAFKA_PRODUCER, "transactional.id", "books-one"},
    {KAFKA_PRODUCER, "enable.idempotence", "true"},
    {KAFKA_PRODUCER, "acks", "-1"}, /* all */
};

static void check_guarantee(const struct config *config)
{
    rd_kafka_conf_t *confs[] = {[KAFKA_CONSUMER] = conf_of(config, KAFKA_CONSUMER),
                                [KAFKA_PRODUCER] = conf_of(config, KAFKA_PRODUCER)};
    for (size_t i = 0; i < sizeof guarantee / sizeof *guarantee; i++)
        check_setting(confs[guarantee[i].role], guarantee[i].name, guarantee[i].value);
    rd_kafka_conf_destroy(confs[KAFKA_CONSUMER]);
    rd_kafka_conf_destroy(confs[KAFKA_PRODUCER]);
}

/* An operator's setting wins over a default, and touches nothing of the guarantee. */
static void test_operators(void)
{
    static const char *const settings[] = {"group=books", "instance=one",
                                           "kafka.linger.ms=7",
                                           "kafka.session.timeout.ms=6000"};
    struct config *config = config_with(settings, sizeof settings / sizeof *settings);
    rd_kafka_conf_t *consumer = conf_of(config, KAFKA_CONSUMER);
    rd_kafka_conf_t *producer = conf_of(config, KAFKA_PRODUCER);
    check_setting(consumer, "session.timeout.ms", "6000");
    check_setting(producer, "linger.ms", "7");
    rd_kafka_conf_destroy(consumer);
    rd_kafka_conf_destroy(producer);
    check_guarantee(config);
    config_free(config);
}

static void test_defaults(void)
{
    static const char *const settings[] = {"group=books", "instance=one"};
    struct config *config = config_with(settings, 2);
    check_guarantee(config);
    config_free(config);
}

int main(void)
{
    test_defaults();
    test_operators();
    return test_end();
}
