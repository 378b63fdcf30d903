/* config_test.c: CONTRACT §7 as tables: values and their limits, file syntax, environment
 * names, precedence and refusals. */
#include "tests/unit/config_support.h"

static void test_defaults(void)
{
    char host[256] = "";
    struct config *config = config_new();
    test_case("defaults");
    gethostname(host, sizeof(host) - 1);
    CHECK(config_finish(config));
    const struct config_values *values = config_values(config);
    CHECK_TEXT(values->postgres, "");
    CHECK_TEXT(values->group, "postonce");
    CHECK_TEXT(values->instance, host);
    CHECK_TEXT(values->topic_commands, "payment-commands");
    CHECK_TEXT(values->topic_results, "payment-results");
    CHECK_TEXT(values->topic_dead_letters, "payment-dead-letters");
    CHECK_INT(values->batch_records, 2000);
    CHECK_INT(values->posters, 1);
    CHECK_INT(values->retention_hours, 0);
    CHECK_TEXT(values->admin_listen, "127.0.0.1:9464");
    CHECK(values->admin_listen_is_default);
    CHECK_TEXT(values->log_level, "info");
    CHECK_TEXT(values->log_format, "text");
    CHECK_TEXT(config_property(config, 0)->name, "bootstrap.servers");
    CHECK_TEXT(config_property(config, 0)->value, "localhost:9092");
    CHECK_TEXT(config_property(config, 0)->origin, "default");
    CHECK(config_property(config, 1) == NULL);
    CHECK(config_warning(config, 0) == NULL);
    CHECK_TEXT(config_error(config), "");
    config_free(config);
    config_free(NULL);
}

#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN
#define CHARS_249 FIFTY FIFTY FIFTY FIFTY TEN TEN TEN TEN "aaaaaaaaa"

static const struct {
    const char *argument;
    const char *error; /* part of it; NULL: accepted */
} arguments[] = {
    {"group=g", NULL},
    {"group=" CHARS_249, NULL},
    {"group=" CHARS_249 "a", "expected 1 to 249 visible ASCII characters"},
    {"group=", "-X group = '': expected 1 to 249 visible"},
    {"group=a b", "-X group = 'a b': expected"},
    {"group=\xc3\xa4", "expected 1 to 249 visible"},
    {"group=a\tb", "expected no control characters"},
    {"instance=pod-0.example", NULL},
    {"instance=", "-X instance = '': expected"},

    {"topics.commands=aZ09._-", NULL},
    {"topics.commands=" CHARS_249, NULL},
    {"topics.commands=" CHARS_249 "a", "expected a topic name: 1 to 249 of"},
    {"topics.commands=", "-X topics.commands = '': expected a topic name"},
    {"topics.commands=.", "expected a topic name"},
    {"topics.commands=..", "expected a topic name"},
    {"topics.commands=...", NULL},
    {"topics.commands=a/b", "expected a topic name"},
    {"topics.commands= a", "expected a topic name"},
    {"topics.results=", NULL},
    {"topics.dead_letters=", "-X topics.dead_letters = '': expected a topic name"},

    {"batch.records=1", NULL},
    {"batch.records=10000", NULL},
    {"batch.records=0",
     "-X batch.records = '0': expected a whole number from 1 to 10000"},
    {"batch.records=10001", "'10001': expected a whole number from 1 to 10000"},
    {"batch.records=9223372036854775808", "expected a whole number"},
    {"batch.records=", "expected a whole number"},
    {"batch.records=-5", "expected a whole number"},
    {"batch.records=5 ", "expected a whole number"},
    {"batch.records=1e3", "expected a whole number"},
    {"posters=1", NULL},
    {"posters=64", NULL},
    {"posters=0", "expected a whole number from 1 to 64"},
    {"posters=65", "expected a whole number from 1 to 64"},
    {"retention.hours=1", NULL},
    {"retention.hours=876000", NULL},
    {"retention.hours=0", "expected a whole number from 1 to 876000"},
    {"retention.hours=876001", "expected a whole number from 1 to 876000"},

    {"admin.listen=", NULL},
    {"admin.listen=0.0.0.0:9464", NULL},
    {"admin.listen=localhost:0", NULL},
    {"admin.listen=localhost:65535", NULL},
    {"admin.listen=[::1]:9464", NULL},
    {"admin.listen=localhost:65536", "expected HOST:PORT or [IPV6]:PORT"},
    {"admin.listen=localhost", "expected HOST:PORT"},
    {"admin.listen=localhost:", "expected HOST:PORT"},
    {"admin.listen=:9464", "expected HOST:PORT"},
    {"admin.listen=::1:9464", "expected HOST:PORT"},
    {"admin.listen=[]:9464", "expected HOST:PORT"},
    {"admin.listen=[::1]x:9464", "expected HOST:PORT"},
    {"admin.listen=x[::1]:9464", "expected HOST:PORT"},
    {"admin.listen=[::1:9464", "expected HOST:PORT"},
    {"admin.listen=local host:1", "expected HOST:PORT"},
    {"admin.listen=localhost:http", "expected HOST:PORT"},

    {"log.level=debug", NULL},
    {"log.level=error", NULL},
    {"log.level=fatal",
     "-X log.level = 'fatal': expected one of debug, info, warning, error"},
    {"log.level=INFO", "expected one of debug"},
    {"log.level=", "expected one of debug"},
    {"log.format=json", NULL},
    {"log.format=xml", "expected one of text, json"},

    {"postgres=", NULL},
    {"postgres=host=db", NULL},
    {"postgres=host=\x01", "-X postgres: expected no control characters"},
    {"kafka.bootstrap.servers=a:1,b:2", NULL},
    {"kafka.bootstrap.servers=", "-X kafka.bootstrap.servers = '': expected HOST:PORT"},
    {"kafka.metadata.broker.list=", "expected HOST:PORT"},
    {"kafka.client.id=", NULL},
    {"kafka.anything.at.all=x", NULL},
    {"kafka.ssl.certificate.pem=a\nb", NULL},
    {"kafka.=x", "is no name that librdkafka could know"},
    {"kafka.Client.Id=x", "is no name that librdkafka could know"},
    {"kafka.client id=x", "is no name that librdkafka could know"},
    {"kafka." CHARS_249 "=x", "is no name that librdkafka could know"},

    {"gruop=x", "-X: unknown setting 'gruop'; did you mean 'group'?"},
    {"topics.deadletters=x", "did you mean 'topics.dead_letters'?"},
    {"bootstrap.servers=x", "did you mean 'kafka.bootstrap.servers'?"},
    {"Group=x", "-X: unknown setting 'Group'; did you mean 'group'?"},
    {"security.protocol=SSL", "those of librdkafka begin with 'kafka.'"},
    {"zzz=x", "-X: unknown setting 'zzz'; 'postonce --help' lists all"},
    {"group", "-X: expected name=value"},
    {"a\x1b[31m\nb\x7f=x", "-X: unknown setting 'a?[31m?b?'; "},
    {"kafka.a\tb=x", "-X kafka.a?b: 'kafka.a?b' is no name"},
    {"", "-X: expected name=value"},
    {"=x", "-X: expected name=value"},
    {CHARS_249 "=x", "-X: unknown setting 'aaaaaaaaaa"},
};

static void test_arguments(void)
{
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
        struct config *config = config_new();
        test_case(arguments[i].argument);
        bool ok = config_set_argument(config, arguments[i].argument);
        CHECK(ok == (arguments[i].error == NULL));
        if (arguments[i].error != NULL)
            check_contains(config_error(config), arguments[i].error);
        else
            CHECK_TEXT(config_error(config), "");
        config_free(config);
    }
}

static void test_value_size(void)
{
    static char argument[CONFIG_VALUE_MAX + 64];
    struct config *config = config_new();
    test_case("the longest value");
    int start = snprintf(argument, sizeof(argument), "kafka.ssl.ca.pem=");
    memset(argument + start, 'x', CONFIG_VALUE_MAX);
    CHECK(config_set_argument(config, argument));
    test_case("one byte more");
    argument[start + CONFIG_VALUE_MAX] = 'x';
    CHECK(!config_set_argument(config, argument));
    CHECK_TEXT(config_error(config),
               "-X kafka.ssl.ca.pem = '…': expected at most 4096 bytes");
    config_free(config);
}

static const struct {
    const char *name;
    const char *text;
    const char *error; /* after the path; NULL: accepted, and the group is `g` */
} files[] = {
    {"plain", "group = g\n", NULL},
    {"no spaces, no newline", "group=g", NULL},
    {"much white space", "\t group \t = \t g \t\r\n", NULL},
    {"comments and blank lines", "# group = x\n\n  # y\n\t\n#\ngroup = g\n", NULL},
    {"byte order mark", "\xef\xbb\xbfgroup = g", NULL},
    {"the later one wins", "group = x\ngroup = g\n", NULL},
    {"carriage returns", "posters = 2\r\ngroup = g\r\n", NULL},

    {"a trailing comment is part of the value", "group = g # mine\n",
     ":1: group = 'g # mine': expected 1 to 249 visible"},
    {"no equals", "\ngroup g\n", ":2: expected 'name = value'"},
    {"no name", "= g\n", ":1: expected 'name = value'"},
    {"a section", "[postonce]\n", ":1: expected 'name = value'"},
    {"unknown", "group = g\n\n\ngruop = g\n",
     ":4: unknown setting 'gruop'; did you mean 'group'?"},
    {"out of range", "#\nposters = 0\n",
     ":2: posters = '0': expected a whole number from 1 to 64"},
    {"quotes are no syntax", "posters = \"2\"\n", ":1: posters = '\"2\"': expected"},
    {"refused", "kafka.acks = 1\n", ":1: kafka.acks cannot be set: "},
    {"control character", "group = a\x01\n", ":1: group = '…': expected no control"},
};

static void test_files(void)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct config *config = config_new();
        test_case(files[i].name);
        bool ok = read_text(config, files[i].text) && config_finish(config);
        CHECK(ok == (files[i].error == NULL));
        if (files[i].error == NULL) {
            CHECK_TEXT(config_values(config)->group, "g");
        } else {
            check_contains(config_error(config), file_path);
            check_contains(config_error(config), files[i].error);
        }
        config_free(config);
    }
}

static void test_odd_files(void)
{
    static char large[1024 * 1024 + 1];
    struct config *config = config_new();
    test_case("a value keeps its #");
    CHECK(read_text(config, "kafka.sasl.password = a#b # c\n") && config_finish(config));
    CHECK_TEXT(property_of(config, "sasl.password"), "a#b # c");
    test_case("a value keeps its =");
    CHECK(read_text(config, "postgres = host=db user=u\n") && config_finish(config));
    CHECK_TEXT(config_values(config)->postgres, "host=db user=u");
    test_case("a NUL byte");
    CHECK(!read_bytes(config, "group\0= g\n", 10));
    check_contains(config_error(config), "it contains a NUL byte");
    test_case("as large as may be");
    memset(large, '\n', sizeof(large));
    CHECK(read_bytes(config, large, sizeof(large) - 1));
    test_case("one byte more");
    CHECK(!read_bytes(config, large, sizeof(large)));
    check_contains(config_error(config), "larger than 1 MiB");
    test_case("no such file");
    CHECK(!config_read_file(config, "/nonexistent/postonce.conf"));
    CHECK_TEXT(
        config_error(config),
        "cannot read the configuration file /nonexistent/postonce.conf: No such file "
        "or directory");
    test_case("a folder");
    CHECK(!config_read_file(config, "/"));
    check_contains(config_error(config), "cannot read the configuration file /: Is a");
    config_free(config);
}

static const struct {
    const char *variable;
    const char *error;   /* part of it; NULL: none */
    const char *warning; /* part of it; NULL: none */
} variables[] = {
    {"POSTONCE_GROUP=g", NULL, NULL},
    {"POSTONCE_TOPICS_DEAD__LETTERS=d", NULL, NULL},
    {"POSTONCE_BATCH_RECORDS=5", NULL, NULL},
    {"POSTONCE_POSTGRES=", NULL, NULL},
    {"POSTONCE_KAFKA_BOOTSTRAP_SERVERS=a:1", NULL, NULL},
    {"POSTONCE_KAFKA_SSL__KEY=x", NULL, NULL},
    {"POSTONCE_POSTERS=0", "POSTONCE_POSTERS = '0': expected a whole number", NULL},
    {"POSTONCE_GROUP=", "POSTONCE_GROUP = '': expected", NULL},
    {"POSTONCE_KAFKA_GROUP_ID=g", "POSTONCE_KAFKA_GROUP_ID cannot be set: ", NULL},
    {"POSTONCE_KAFKA_MAX_IN_FLIGHT=5", "POSTONCE_KAFKA_MAX_IN_FLIGHT cannot be set",
     NULL},
    {"POSTONCE_GRUOP=g", NULL,
     "POSTONCE_GRUOP is no setting of postonce and is ignored; did you mean "
     "POSTONCE_GROUP?"},
    {"POSTONCE_TOPICS_DEAD_LETTERS=d", NULL,
     "did you mean POSTONCE_TOPICS_DEAD__LETTERS?"},
    {"POSTONCE_group=g", NULL, "did you mean POSTONCE_GROUP?"},
    {"POSTONCE_\x1b\n=g", NULL, "POSTONCE_?? is no setting of postonce and is ignored"},
    {"POSTONCE_=g", NULL, "POSTONCE_ is no setting of postonce and is ignored"},
    {"POSTONCE_KAFKA=g", NULL, "POSTONCE_KAFKA is no setting"},
    {"POSTONCE_KAFKA_=g", NULL, "POSTONCE_KAFKA_ is no setting"},
    {"POSTONCE_PORT=tcp://10.0.0.1:80", NULL, "POSTONCE_PORT is no setting"},
    {"POSTONCE_SERVICE_HOST=10.0.0.1", NULL, "POSTONCE_SERVICE_HOST is no setting"},
    {"POSTONCE_PORT_9464_TCP_ADDR=10.0.0.1", NULL, "POSTONCE_PORT_9464_TCP_ADDR is no"},
    {"POSTONCE_KAFKA_SERVICE_HOST=h", NULL, "POSTONCE_KAFKA_SERVICE_HOST is no setting"},
    {"POSTONCE_KAFKA_SERVICE_PORT_TLS=1", NULL, "POSTONCE_KAFKA_SERVICE_PORT_TLS is no"},
    {"POSTONCE_KAFKA_PORT=tcp://h:1", NULL, "POSTONCE_KAFKA_PORT is no setting"},
    {"POSTONCE_KAFKA_PORT_9092_TCP=tcp://h:1", NULL,
     "POSTONCE_KAFKA_PORT_9092_TCP is no"},
    {"POSTONCEGROUP=x", NULL, NULL},
    {"postonce_group=x", NULL, NULL},
    {"PATH=x", NULL, NULL},
};

static void test_variables(void)
{
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        struct config *config = config_new();
        test_case(variables[i].variable);
        CHECK(read_variable(config, variables[i].variable) ==
              (variables[i].error == NULL));
        if (variables[i].error != NULL)
            check_contains(config_error(config), variables[i].error);
        CHECK((config_warning(config, 0) != NULL) == (variables[i].warning != NULL));
        if (variables[i].warning != NULL && config_warning(config, 0) != NULL)
            check_contains(config_warning(config, 0), variables[i].warning);
        CHECK(config_warning(config, 1) == NULL);
        config_free(config);
    }
}

static void test_variable_names(void)
{
    struct config *config = config_new();
    test_case("variables reach the settings they name");
    CHECK(read_variable(config, "POSTONCE_TOPICS_DEAD__LETTERS=d"));
    CHECK(read_variable(config, "POSTONCE_KAFKA_BOOTSTRAP_SERVERS=a:1"));
    CHECK(read_variable(config, "POSTONCE_KAFKA_SASL_PASSWORD=a=b"));
    CHECK(read_variable(config, "POSTONCE_KAFKA_SSL__KEY=x"));
    CHECK(config_finish(config));
    CHECK_TEXT(config_values(config)->topic_dead_letters, "d");
    CHECK_TEXT(property_of(config, "bootstrap.servers"), "a:1");
    CHECK_TEXT(property_of(config, "sasl.password"), "a=b");
    CHECK_TEXT(property_of(config, "ssl_key"), "x");
    config_free(config);
}

/* The origins from the lowest to the highest, each saying its own name. */
static bool read_origin(struct config *config, int origin)
{
    if (origin == 0)
        return read_text(config, "group=file\nkafka.client.id=file");
    if (origin == 1)
        return read_variable(config, "POSTONCE_GROUP=environment") &&
               read_variable(config, "POSTONCE_KAFKA_CLIENT_ID=environment");
    return config_set_argument(config, "group=argument") &&
           config_set_argument(config, "kafka.client.id=argument");
}

/* All subsets of the three origins, read in both orders: the highest wins. */
static void test_precedence(void)
{
    static const char *const names_of[] = {"file", "environment", "argument"};
    for (unsigned which = 0; which < 16; which++) {
        char name[64];
        int highest = -1;
        struct config *config = config_new();
        snprintf(name, sizeof(name), "precedence %u", which);
        test_case(name);
        for (int step = 0; step < 3; step++) {
            int origin = which >= 8 ? 2 - step : step;
            if (((which >> origin) & 1) == 0)
                continue;
            CHECK(read_origin(config, origin));
            highest = origin > highest ? origin : highest;
        }
        CHECK(config_finish(config));
        CHECK_TEXT(config_values(config)->group,
                   highest < 0 ? "postonce" : names_of[highest]);
        CHECK_TEXT(property_of(config, "client.id"),
                   highest < 0 ? "(none)" : names_of[highest]);
        config_free(config);
    }
}

/* CONTRACT §7, and every alias that librdkafka 2.0.2 has for them. */
static const char *const refused[] = {"group.id",
                                      "transactional.id",
                                      "enable.auto.commit",
                                      "auto.commit.enable",
                                      "enable.auto.offset.store",
                                      "auto.offset.reset",
                                      "isolation.level",
                                      "enable.idempotence",
                                      "acks",
                                      "request.required.acks",
                                      "max.in.flight.requests.per.connection",
                                      "max.in.flight",
                                      "enable.partition.eof",
                                      "allow.auto.create.topics",
                                      "check.crcs"};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char line[128], wanted[128];
        struct config *config = config_new();
        test_case(refused[i]);
        snprintf(line, sizeof(line), "kafka.%s=true", refused[i]);
        CHECK(!config_set_argument(config, line));
        snprintf(wanted, sizeof(wanted), "-X kafka.%s cannot be set: ", refused[i]);
        check_contains(config_error(config), wanted);
        CHECK(strlen(config_error(config)) > strlen(wanted) + 15); /* a reason follows */
        CHECK(!read_text(config, line));
        snprintf(wanted, sizeof(wanted), ":1: kafka.%s cannot be set: ", refused[i]);
        check_contains(config_error(config), wanted);
        config_free(config);
    }
}

static void test_topics_differ(void)
{
    static const char *const lines[] = {
        "topics.commands=t\ntopics.results=t\n",
        "topics.commands=t\ntopics.dead_letters=t\n",
        "topics.results=t\ntopics.dead_letters=t\n",
        "topics.results=payment-commands\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct config *config = config_new();
        test_case(lines[i]);
        CHECK(read_text(config, lines[i]));
        CHECK(!config_finish(config));
        check_contains(config_error(config), "expected different topics");
        check_contains(config_error(config), file_path);
        config_free(config);
    }
}

static void test_properties(void)
{
    static const char *const names[] = {"api.version.request", "bootstrap.servers",
                                        "client.id",           "debug",
                                        "linger.ms",           "statistics.interval.ms"};
    struct config *config = config_new();
    test_case("properties are sorted, aliases are one");
    CHECK(config_set_argument(config, "kafka.statistics.interval.ms=1"));
    CHECK(config_set_argument(config, "kafka.linger.ms=7"));
    CHECK(config_set_argument(config, "kafka.api.version.request=true"));
    CHECK(read_text(config, "kafka.queue.buffering.max.ms=5\nkafka.debug=all\n"
                            "kafka.metadata.broker.list=b:2\n"));
    CHECK(config_set_argument(config, "kafka.client.id=c"));
    CHECK(config_finish(config));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_TEXT(config_property(config, i)->name, names[i]);
    CHECK(config_property(config, 6) == NULL);
    CHECK_TEXT(property_of(config, "linger.ms"), "7");
    CHECK_TEXT(property_of(config, "bootstrap.servers"), "b:2");
    CHECK_TEXT(config_property(config, 2)->origin, "-X kafka.client.id");
    config_free(config);
}

static void test_property_limit(void)
{
    struct config *config = config_new();
    char argument[64];
    test_case("as many properties as fit");
    for (int i = 0; i < CONFIG_KAFKA_MAX; i++) {
        snprintf(argument, sizeof(argument), "kafka.p%d=x", i);
        CHECK(config_set_argument(config, argument));
    }
    CHECK(config_set_argument(config, "kafka.p5=y"));
    CHECK(config_finish(config));
    CHECK_TEXT(property_of(config, "p5"), "y");
    CHECK(config_property(config, CONFIG_KAFKA_MAX) != NULL);
    CHECK(config_property(config, CONFIG_KAFKA_MAX + 1) == NULL);
    test_case("one more");
    CHECK(!config_set_argument(config, "kafka.one.more=x"));
    check_contains(config_error(config), "more than 128 settings for librdkafka");
    config_free(config);
}

int main(void)
{
    make_file();
    test_defaults();
    test_arguments();
    test_value_size();
    test_files();
    test_odd_files();
    test_variables();
    test_variable_names();
    test_precedence();
    test_refused();
    test_topics_differ();
    test_properties();
    test_property_limit();
    unlink(file_path);
    return test_end();
}
