/* main.c: the command line of `postonce` (CONTRACT §6). Owns the table of verbs, from
 * which command lines are parsed and help is printed, and the configuration, which it
 * reads for them. Knows neither Kafka nor Postgres, and decides nothing about payments.
 * Usage and configuration errors end with one sentence on stderr and exit code 2. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/nearest.h"
#include "consumer/verb.h"
#include "version.h"

struct verb {
    const char *name;
    const char *synopsis;
    const char *summary; /* a line of `postonce --help` */
    const char *help;    /* of `postonce VERB --help` */
    const struct argument_option *options;
    const char *word_name;
    size_t least_words, most_words;
    int (*run)(const struct verb_call *call);
};

#define OPTION_JSON                                           \
    {                                                         \
        .name = "json", .help = "Print JSON instead of text." \
    }
#define OPTION_END   \
    {                \
        .name = NULL \
    }

/* Accepted before and after the verb. */
static const struct argument_option shared_options[] = {
    {.letter = 'c',
     .kind = ARGUMENT_TEXT,
     .value_name = "FILE",
     .help = "Read this configuration file."},
    {.letter = 'X',
     .kind = ARGUMENT_TEXT,
     .repeats = true,
     .value_name = "name=value",
     .help = "Set one setting; wins over environment and file."},
    {.name = "help", .letter = 'h', .help = "Print this help and stop."},
    {.name = "version", .help = "Print the version and stop."},
    OPTION_END,
};

static const struct argument_option migrate_options[] = {
    {.name = "check", .help = "Change nothing; exit 1 if the schema is behind."},
    OPTION_JSON,
    OPTION_END,
};

static const struct argument_option consume_options[] = {
    {.name = "until-end",
     .help = "Stop when all partitions have reached the end they had at the start."},
    OPTION_END,
};

static const struct argument_option json_options[] = {OPTION_JSON, OPTION_END};

static const struct argument_option rewind_options[] = {
    {.name = "to-offset",
     .kind = ARGUMENT_INTEGER,
     .choice = "target",
     .required = true,
     .least = 0,
     .most = INT64_MAX,
     .value_name = "N",
     .help = "Next offset to read."},
    {.name = "to-time",
     .kind = ARGUMENT_TIME,
     .choice = "target",
     .required = true,
     .value_name = "T",
     .help = "First record at or after T: RFC 3339, or milliseconds since 1970."},
    {.name = "to-earliest",
     .choice = "target",
     .required = true,
     .help = "First record that the topic still has."},
    {.name = "partition",
     .kind = ARGUMENT_INTEGER,
     .least = 0,
     .most = INT32_MAX,
     .value_name = "P",
     .help = "Only this partition."},
    {.name = "execute", .help = "Move the offsets; without it nothing is changed."},
    OPTION_JSON,
    OPTION_END,
};

static const struct argument_option audit_options[] = {
    {.name = "topic", .help = "Read the command and result topics too."},
    {.name = "never-rewound",
     .help = "With --topic: more than one result for a record is a finding."},
    {.name = "limit",
     .kind = ARGUMENT_INTEGER,
     .least = 1,
     .most = 10000,
     .value_name = "N",
     .help = "Print at most N findings of each kind; 100 if not given."},
    {.name = "digest", .help = "Print a digest of the books, too."},
    OPTION_JSON,
    OPTION_END,
};

static const struct verb verbs[] = {
    {.name = "migrate",
     .synopsis = "[--check] [--json]",
     .summary = "bring the database schema up to this version",
     .help =
         "Brings the schema up to this version: numbered, checksummed migrations, one\n"
         "transaction each, under an advisory lock, so that two at once are fine.",
     .options = migrate_options,
     .run = verb_migrate},
    {.name = "consume",
     .synopsis = "[--until-end]",
     .summary = "the daemon: post each payment command exactly once",
     .help =
         "Reads commands, posts each exactly once, and answers. SIGTERM and SIGINT "
         "finish\n"
         "what is in hand and leave the group; a second one ends the process at once.",
     .options = consume_options,
     .run = verb_consume},
    {.name = "lookup",
     .synopsis = "KEY|PAYMENT_ID [--json]",
     .summary = "what became of a command",
     .help =
         "Shows what became of a command: its inbox row, its transfer, refunds of it, "
         "and\n"
         "the coordinates of its record. Write `--` before a key that begins with `-`.",
     .options = json_options,
     .word_name = "one KEY or PAYMENT_ID",
     .least_words = 1,
     .most_words = 1,
     .run = verb_lookup},
    {.name = "audit",
     .synopsis = "[--topic [--never-rewound]] [--limit N] [--digest] [--json]",
     .summary = "prove the books",
     .help =
         "Reads the whole database in one snapshot, beside consumers at work, and "
         "proves\n"
         "that every balance, entry, transfer, refund, command and stored result "
         "follows\n"
         "from the others. One line for each finding, and exit code 1 if there are "
         "any.\n\n"
         "--topic claims, of every record below the group's committed offset: it has "
         "one\n"
         "outcome; with a valid key it has a visible result; every visible result of it\n"
         "carries the stored bytes. After a rewind there are more results than one for "
         "a\n"
         "record; with --never-rewound that is a finding.\n\n"
         "--digest: the same before and after any rewind, another for other books.",
     .options = audit_options,
     .run = verb_audit},
    {.name = "rewind",
     .synopsis = "--to-offset N | --to-time T | --to-earliest\n"
                 "                       [--partition P] [--execute] [--json]",
     .summary = "read commands again; no money moves twice",
     .help = "Shows how the group's offsets would move, and moves them with --execute. "
             "Refused\n"
             "while the group has members.",
     .options = rewind_options,
     .run = verb_rewind},
    {.name = "config",
     .synopsis = "[--json]",
     .summary = "print the effective configuration",
     .help = "Prints each setting, its value (secrets masked) and where the value comes "
             "from.",
     .options = json_options,
     .run = verb_config},
};
enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static void print_help(void)
{
    printf("postonce posts each payment command exactly once.\n\n"
           "Usage: postonce VERB [-c FILE] [-X name=value]… [options]\n\nVerbs:\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("  %-22s %s\n", verbs[i].name, verbs[i].summary);
    printf("  'postonce VERB --help' tells more.\n\nOptions of every verb:\n");
    arguments_print_help(shared_options, stdout);
    printf("\nSettings (-X name=value > environment > file > default):\n");
    config_print_help(stdout);
    printf("\n  In a file: name = value. In the environment: POSTONCE_ and the name in\n"
           "  capitals, '.' as '_', '_' as '__' (POSTONCE_TOPICS_DEAD__LETTERS).\n"
           "\nExit codes: 0 done; 1 done, with findings or failures; 2 wrong usage or\n"
           "configuration; 3 halted, an operator must decide; 69 Kafka or Postgres not\n"
           "reachable; 70 internal, a restart is safe.\n");
}

static void print_verb_help(const struct verb *verb)
{
    printf("Usage: postonce %s [-c FILE] [-X name=value]… %s\n\n%s\n\nOptions:\n",
           verb->name, verb->synopsis, verb->help);
    arguments_print_help(verb->options, stdout);
    arguments_print_help(shared_options, stdout);
    printf("\n'postonce --help' lists the settings and the exit codes.\n");
}

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
    va_list list;
    char sentence[2048];
    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    fprintf(stderr, "postonce%s\n", sentence);
    return EXIT_CODE_USAGE;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static void list_verbs(char *list, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < VERB_COUNT && used < size; i++)
        used += (size_t)snprintf(list + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 verbs[i].name);
}

static int fail_unknown_verb(const char *name)
{
    char list[256];
    struct nearest nearest = nearest_to(name);
    if (strcmp(name, "adopt") == 0) /* named by the log of a halt */
        return fail(": adopt is not part of this version; the README says under \"When a "
                    "partition halts\" what to do instead");
    for (size_t i = 0; i < VERB_COUNT; i++)
        nearest_consider(&nearest, verbs[i].name);
    if (nearest.found != NULL)
        return fail(": unknown verb '%.100s'; did you mean '%s'?", name, nearest.found);
    list_verbs(list, sizeof(list));
    return fail(": unknown verb '%.100s'; expected one of %s", name, list);
}

static int run_without_verb(const struct arguments *arguments)
{
    char list[256];
    if (arguments_has(arguments, "help")) {
        print_help();
        return EXIT_CODE_DONE;
    }
    if (arguments_has(arguments, "version")) {
        printf("postonce %s (%s)\n", POSTONCE_VERSION, POSTONCE_COMMIT);
        return EXIT_CODE_DONE;
    }
    list_verbs(list, sizeof(list));
    return fail(": expected a verb: one of %s; see 'postonce --help'", list);
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

static int run_configured(const struct verb *verb, const struct arguments *arguments,
                          const struct config *config)
{
    const struct config_values *values = config_values(config);
    struct verb_call call = {verb->name, config, arguments};
    if (!log_configure(values->log_level, values->log_format))
        return verb_fail(&call, EXIT_CODE_INTERNAL,
                         "log.level or log.format is not known");
    const char *warning;
    for (size_t i = 0; (warning = config_warning(config, i)) != NULL; i++)
        log_note(LOG_WARNING, "unknown_variable", warning);
    return verb->run(&call);
}

static int run_verb(const struct verb *verb, struct arguments *arguments)
{
    const struct argument_table table = {verb->options, shared_options, verb->word_name,
                                         verb->least_words, verb->most_words};
    if (!arguments_parse(arguments, &table))
        return fail(" %s: %s; see 'postonce %s --help'", verb->name, arguments->error,
                    verb->name);
    if (arguments_has(arguments, "version"))
        return run_without_verb(arguments);
    if (arguments_has(arguments, "help")) {
        print_verb_help(verb);
        return EXIT_CODE_DONE;
    }
    struct config *config = config_new();
    int code = read_config(config, arguments)
                   ? run_configured(verb, arguments, config)
                   : fail(" %s: %s", verb->name, config_error(config));
    config_free(config);
    return code;
}

static int run(struct arguments *arguments)
{
    static const struct argument_table table = {.shared = shared_options};
    const char *name;
    if (!arguments_parse_verb(arguments, &table, &name))
        return fail(": %s; see 'postonce --help'", arguments->error);
    if (name == NULL)
        return run_without_verb(arguments);
    const struct verb *verb = find_verb(name);
    return verb != NULL ? run_verb(verb, arguments) : fail_unknown_verb(name);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    arguments_init(&arguments, argc > 0 ? (size_t)argc - 1 : 0,
                   (const char *const *)argv + 1);
    int code = run(&arguments);
    /* A result that nobody could be given is a failure: a full disk, a closed pipe. */
    if (fflush(stdout) != 0 && code == EXIT_CODE_DONE) {
        perror("postonce: cannot write to stdout");
        code = EXIT_CODE_FINDINGS;
    }
    return code;
}
