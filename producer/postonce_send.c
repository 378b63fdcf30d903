/* postonce_send.c: postonce-send, the command line of libpostonce (CONTRACT §6). Reads
 * the options and the configuration, prints help, and hands over to run(). */
#include <stdio.h>
#include <string.h>

#include "base/arguments.h"
#include "base/config.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/stop.h"
#include "producer/postonce_send_run.h"
#include "version.h"

extern char **environ;

enum { TIMEOUT_S = 60, TIMEOUT_MAX_S = 86400 };

static const struct argument_option options[] = {
    {.letter = 'c',
     .kind = ARGUMENT_TEXT,
     .value_name = "FILE",
     .help = "Read the configuration from FILE."},
    {.letter = 'X',
     .kind = ARGUMENT_TEXT,
     .repeats = true,
     .value_name = "NAME=VALUE",
     .help = "Set one configuration value; stronger than environment and file."},
    {.name = "await",
     .help =
         "Wait for the results and print them, one a line, in the order of the input."},
    {.name = "timeout",
     .kind = ARGUMENT_INTEGER,
     .least = 1,
     .most = TIMEOUT_MAX_S,
     .value_name = "SECONDS",
     .help = "With --await: how long to wait for each result after delivery; 60."},
    {.name = "generate-keys",
     .help =
         "Give a line without a key a new UUIDv7, and print each key before it is sent "
         "(to stdout; with --await to stderr)."},
    {.name = "help", .help = "Print this."},
    {.name = "version", .help = "Print the version."},
    {0}};

static const struct argument_table table = {
    .options = options, .word_name = "FILE", .most_words = 1};

static int print_help(void)
{
    fputs("postonce-send [-c FILE] [-X name=value]... [--await] [--timeout SECONDS]\n"
          "              [--generate-keys] [FILE]\n"
          "\n"
          "Sends payment commands to Kafka, one JSON object a line, from FILE or stdin. "
          "The\n"
          "idempotency key of a line is its field `idempotency_key`. A line that is no "
          "object,\n"
          "or has no valid key, is named on stderr and the rest goes on. Sending a line "
          "again\n"
          "with the same key is always safe.\n"
          "\n",
          stdout);
    arguments_print_help(options, stdout);
    fputs("\n"
          "Configuration: kafka.NAME (any property of librdkafka), topics.commands,\n"
          "topics.results, log.level, log.format; also as POSTONCE_... in the "
          "environment.\n"
          "`postonce config` prints what is in effect.\n"
          "\n"
          "Exit code: 0 all delivered (with --await: and answered), 1 some not, each "
          "named on\n"
          "stderr, 2 wrong usage or configuration, 69 Kafka could not be reached.\n",
          stdout);
    return fflush(stdout) == 0 ? EXIT_CODE_DONE : EXIT_CODE_FINDINGS;
}

static int print_version(void)
{
    printf("postonce-send %s (%s)\n", POSTONCE_VERSION, POSTONCE_COMMIT);
    return fflush(stdout) == 0 ? EXIT_CODE_DONE : EXIT_CODE_FINDINGS;
}

static int usage_error(const char *sentence)
{
    fprintf(stderr, "postonce-send: %s\n", sentence);
    return EXIT_CODE_USAGE;
}

static bool read_config(struct config *config, const struct arguments *arguments)
{
    const char *path = arguments_text(arguments, "c");
    if (path != NULL && !config_read_file(config, path))
        return false;
    if (!config_read_environment(config, environ))
        return false;
    const struct argument *setting;
    for (size_t i = 0; (setting = arguments_find(arguments, "X", i)) != NULL; i++) {
        if (!config_set_argument(config, setting->text))
            return false;
    }
    return config_finish(config);
}

static void print_warnings(const struct config *config)
{
    const char *warning;
    for (size_t i = 0; (warning = config_warning(config, i)) != NULL; i++)
        fprintf(stderr, "postonce-send: warning: %s\n", warning);
}

static int send_all(const struct config *config, const struct arguments *arguments)
{
    const struct config_values *values = config_values(config);
    struct run_options run_options = {
        .path = arguments->word_count > 0 ? arguments->words[0] : NULL,
        .await = arguments_has(arguments, "await"),
        .timeout_ms = arguments_number(arguments, "timeout", TIMEOUT_S) * 1000,
        .generate_keys = arguments_has(arguments, "generate-keys")};
    print_warnings(config);
    if (!log_configure(values->log_level, values->log_format))
        return usage_error("log.level or log.format has a value that is not known");
    return (int)run(config, &run_options);
}

static int configure_and_send(const struct arguments *arguments)
{
    struct config *config = config_new();
    int code = read_config(config, arguments) ? send_all(config, arguments)
                                              : usage_error(config_error(config));
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    stop_install(); /* before librdkafka's threads exist */
    arguments_init(&arguments, argc > 0 ? (size_t)argc - 1 : 0,
                   (const char *const *)argv + 1);
    bool is_parsed = arguments_parse(&arguments, &table);
    if (is_parsed && arguments_has(&arguments, "help"))
        return print_help();
    if (is_parsed && arguments_has(&arguments, "version"))
        return print_version();
    if (!is_parsed)
        return usage_error(arguments.error);
    if (arguments_has(&arguments, "timeout") && !arguments_has(&arguments, "await"))
        return usage_error("--timeout is for waiting: it needs --await");
    return configure_and_send(&arguments);
}
