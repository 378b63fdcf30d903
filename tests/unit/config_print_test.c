/* config_print_test.c: what the configuration shows: secrets masked, in print and in
 * errors, and the documents that come from the option table. */
#include "tests/unit/config_support.h"

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

    test_case("zeros before a number are not JSON's");
    CHECK(config_set_argument(config, "posters=0007") && config_finish(config));
    json = printed(config, true);
    check_contains(json, "\"posters\": {\"value\": 7, ");
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
    test_secret_names();
    test_connections();
    test_no_secret_in_errors();
    test_print();
    test_documentation();
    unlink(file_path);
    return test_end();
}
