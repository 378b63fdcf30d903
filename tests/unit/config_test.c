/* config_test.c: CONTRACT §7 as tables: values and their limits, file syntax, environment
 * names, precedence, refusals, secrets, and what is printed. */
#include "base/config.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/test.h"

/* ---- helpers ---- */

static char file_path[256];

static void make_file(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(file_path, sizeof(file_path), "%s/postonce_config_XXXXXX",
             folder != NULL ? folder : "/tmp");
    int file = mkstemp(file_path);
    CHECK(file >= 0);
    close(file);
}

static bool read_bytes(struct config *config, const char *bytes, size_t size)
{
    FILE *file = fopen(file_path, "w");
    CHECK(file != NULL && fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
    return config_read_file(config, file_path);
}

static bool read_text(struct config *config, const char *text)
{
    return read_bytes(config, text, strlen(text));
}

static bool read_variable(struct config *config, const char *variable)
{
    char copy[8192];
    char *environment[] = {copy, NULL};
    snprintf(copy, sizeof(copy), "%s", variable);
    return config_read_environment(config, environment);
}

static void check_contains(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        CHECK(true);
    else
        CHECK_TEXT(text, part);
}

static void check_lacks(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        CHECK(true);
    else
        CHECK_TEXT(text, "(a text without the secret)");
}

/* What config_print says. The caller frees it. */
static char *printed(const struct config *config, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    config_print(config, out, json);
    fclose(out);
    return text;
}

/* The value of a property, or "(none)". */
static const char *property_of(const struct config *config, const char *name)
{
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(config, i)) != NULL; i++) {
        if (strcmp(property->name, name) == 0)
            return property->value;
    }
    return "(none)";
}

/* ---- cases ---- */

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

/* ---- secrets ---- */

static const struct {
    const char *name;
    bool secret;
} names[] = {
    {"postgres", true},
    {"kafka.sasl.password", true},
    {"kafka.ssl.key.password", true},
    {"kafka.ssl.key.pem", true},
    {"kafka.ssl_key", true},
    {"kafka.ssl.keystore.password", true},
    {"kafka.sasl.oauthbearer.client.secret", true},
    {"kafka.sasl.oauthbearer.config", true},
    {"kafka.sasl.oauthbearer.assertion.private.key.pem", true},
    {"kafka.sasl.oauthbearer.assertion.private.key.passphrase", true},
    {"kafka.sasl.kerberos.kinit.cmd", true},
    {"kafka.ssl.key.location", false},
    {"kafka.ssl.keystore.location", false},
    {"kafka.sasl.kerberos.keytab", false},
    {"kafka.ssl.certificate.pem", false},
    {"kafka.ssl.ca.pem", false},
    {"kafka.sasl.username", false},
    {"kafka.bootstrap.servers", false},
    {"group", false},
    {"log.level", false},
};

static void test_secret_names(void)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        test_case(names[i].name);
        CHECK(config_is_secret(names[i].name) == names[i].secret);
    }
}

static const struct {
    const char *postgres;
    const char *shown;
} connections[] = {
    {"host=db user=app", "host=db user=app"},
    {"host=db password=SECRET user=app", "host=db password=*** user=app"},
    {"password = SECRET host = db", "password=*** host=db"},
    {"password='SECRET with ''", "***"}, /* one quote too many */
    {"password='SEC RET' host=db", "password=*** host=db"},
    {"password='SEC\\'SECRET x=y' host=db", "password=*** host=db"},
    {"password=SEC\\ RET host=db", "password=*** host=db"},
    {"password=SECRET\\", "password=***"},
    {"password='SECRET", "***"},
    {"password=my SECRET", "***"},
    {"password=my SECRET=x", "***"},
    {"password=my key=SECRET", "***"},
    {"PASSWORD=SECRET", "***"},
    {"sslpassword=SECRET sslkey=/k sslmode=require",
     "sslpassword=*** sslkey=/k sslmode=require"},
    {"scram_client_key=SECRET", "***"},
    {"dbname=postgres://u:SECRET@h/db", "dbname=***"},
    {"options='-c search_path=x' host=db", "options='-c search_path=x' host=db"},
    {"SECRET", "***"},
    {"postgres://app:SECRET@db/pay", "postgres://app:***@db/pay"},
    {"postgresql://app:SECRET@db:5432/pay?sslmode=require",
     "postgresql://app:***@db:5432/pay?sslmode=require"},
    {"postgresql://app@db/pay", "postgresql://app@db/pay"},
    {"postgresql://db/pay", "postgresql://db/pay"},
    {"postgresql://", "postgresql://"},
    {"postgresql:///pay?host=/run&port=5433", "postgresql:///pay?host=/run&port=5433"},
    {"postgresql://app:SEC:RET?x=y@db/pay", "postgresql://app:***@db/pay"},
    {"postgresql://app:@db/pay", "postgresql://app:***@db/pay"},
    {"postgresql://:SECRET@db", "postgresql://:***@db"},
    {"postgresql://db/pay?user=app&password=SECRET&sslmode=require",
     "postgresql://db/pay?user=app&password=***&sslmode=require"},
    {"postgresql://db?password=SECRET", "postgresql://db?password=***"},
    {"postgresql://db/pay?p%61ssword=SECRET", "***"},
    {"postgresql://db/pay?SECRET", "***"},
    {"postgresql://app:SEC/RET@db/pay", "***"},
    {"postgresql://app:SEC@RET@db/pay", "***"},
    {"postgresql://db?password=SECRET@x", "***"},
    {"postgresql://db?SECRET@x", "***"},
    {" postgresql://app:SECRET@db/pay?sslmode=require", "***"},
    {"postgresql://a1,b1:1/pay?target_session_attrs=any",
     "postgresql://a1,b1:1/pay?target_session_attrs=any"},
};

/* The value and origin columns of the first line of `postonce config`. */
static void test_connections(void)
{
    for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++) {
        char argument[256], wanted[256];
        struct config *config = config_new();
        test_case(connections[i].postgres);
        snprintf(argument, sizeof(argument), "postgres=%s", connections[i].postgres);
        CHECK(config_set_argument(config, argument) && config_finish(config));
        char *text = printed(config, false);
        snprintf(wanted, sizeof(wanted), "%-26s %-34s -X postgres\n", "postgres",
                 connections[i].shown);
        CHECK_BYTES(text, strcspn(text, "\n") + 1, wanted, strlen(wanted));
        CHECK_TEXT(config_values(config)->postgres, connections[i].postgres);
        free(text);
        config_free(config);
    }
}

/* Whatever is wrong with a secret, the message does not repeat it. */
static void test_no_secret_in_errors(void)
{
    static char argument[CONFIG_VALUE_MAX + 64];
    static const char *const starts[] = {
        "postgres=SECRET\x01", "kafka.sasl.password=SECRET", "SECRET", "=SECRET"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct config *config = config_new();
        test_case(starts[i]);
        int size = snprintf(argument, sizeof(argument), "%s", starts[i]);
        if (i == 1)
            memset(argument + size, 'x', CONFIG_VALUE_MAX);
        argument[i == 1 ? size + CONFIG_VALUE_MAX : size] = '\0';
        CHECK(!config_set_argument(config, argument));
        check_lacks(config_error(config), "SECRET");
        config_free(config);
    }
    struct config *config = config_new();
    test_case("a line that is no setting");
    CHECK(!read_text(config, "SECRET\n"));
    check_lacks(config_error(config), "SECRET");
    test_case("an unknown variable");
    CHECK(read_variable(config, "POSTONCE_PASSWORD=SECRET"));
    check_lacks(config_warning(config, 0), "SECRET");
    config_free(config);
}

/* ---- printing ---- */

static void test_print(void)
{
    struct config *config = config_new();
    test_case("print");
    CHECK(config_set_argument(config, "instance=i") &&
          config_set_argument(config, "posters=3") &&
          config_set_argument(config, "kafka.sasl.password=SECRET") &&
          config_set_argument(config, "kafka.ssl.certificate.pem=a\nb\"") &&
          read_variable(config, "POSTONCE_TOPICS_RESULTS=") && config_finish(config));
    char *text = printed(config, false);
    check_contains(text, "posters                    3                         "
                         "         -X posters\n");
    check_contains(text, "topics.results             \"\"                         "
                         "        POSTONCE_TOPICS_RESULTS\n");
    check_contains(text, "kafka.ssl.certificate.pem  \"a\\nb\\\"\" -X kafka.ssl.cert");
    check_lacks(text, "SECRET");
    free(text);

    test_case("print as JSON");
    char *json = printed(config, true);
    CHECK(strncmp(json,
                  "{\n  \"postgres\": {\"value\": \"\", \"origin\": \"default\"},\n",
                  50) == 0);
    check_contains(json,
                   "\n  \"posters\": {\"value\": 3, \"origin\": \"-X posters\"},\n");
    check_contains(json,
                   "\"retention.hours\": {\"value\": null, \"origin\": \"default\"}");
    check_contains(json, "\"kafka.sasl.password\": {\"value\": \"***\", \"origin\": ");
    check_contains(json, "\"value\": \"a\\nb\\\"\", \"origin\": "
                         "\"-X kafka.ssl.certificate.pem\"}\n}\n");
    check_lacks(json, "SECRET");
    free(json);
    config_free(config);
}

static char *documented(void (*print)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    print(out);
    fclose(out);
    return text;
}

static void test_documentation(void)
{
    static const char *const all[] = {"postgres",
                                      "kafka.bootstrap.servers",
                                      "group",
                                      "instance",
                                      "topics.commands",
                                      "topics.results",
                                      "topics.dead_letters",
                                      "batch.records",
                                      "posters",
                                      "retention.hours",
                                      "admin.listen",
                                      "log.level",
                                      "log.format"};
    char *help = documented(config_print_help),
         *table = documented(config_print_markdown);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char wanted[64];
        test_case(all[i]);
        snprintf(wanted, sizeof(wanted), "  %s ", all[i]);
        check_contains(help, wanted);
        snprintf(wanted, sizeof(wanted), "\n| `%s` | `POSTONCE_", all[i]);
        check_contains(table, wanted);
    }
    test_case("the help fits a terminal");
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1)
        CHECK(strcspn(line, "\n") <= 80);
    free(help);
    free(table);
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
    test_secret_names();
    test_connections();
    test_no_secret_in_errors();
    test_print();
    test_documentation();
    unlink(file_path);
    return test_end();
}
