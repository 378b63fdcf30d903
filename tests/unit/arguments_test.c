/* arguments_test.c: command lines as people type them, right and wrong, against one table
 * that has every kind of option. */
#include "base/arguments.h"

#include "tests/unit/test.h"

static const struct argument_option shared[] = {
    {.letter = 'c', .kind = ARGUMENT_TEXT, .value_name = "FILE", .help = "A file."},
    {.letter = 'X',
     .kind = ARGUMENT_TEXT,
     .repeats = true,
     .value_name = "name=value",
     .help = "A setting."},
    {.name = "help", .letter = 'h', .help = "Help."},
    {.name = NULL},
};

static const struct argument_option options[] = {
    {.name = "json", .help = "JSON."},
    {.name = "key", .kind = ARGUMENT_TEXT, .value_name = "KEY", .help = "A key."},
    {.name = "partition",
     .kind = ARGUMENT_INTEGER,
     .least = 0,
     .most = 100,
     .value_name = "P",
     .help = "A number."},
    {.name = "to-offset",
     .kind = ARGUMENT_INTEGER,
     .choice = "target",
     .required = true,
     .least = 1,
     .most = INT64_MAX,
     .value_name = "N",
     .help = "An offset."},
    {.name = "to-time",
     .kind = ARGUMENT_TIME,
     .choice = "target",
     .required = true,
     .value_name = "T",
     .help = "A time."},
    {.name = "to-earliest", .choice = "target", .required = true, .help = "The start."},
    {.name = NULL},
};

static const struct argument_table table = {options, shared, "one KEY", 1, 2};

enum { ARGC_MAX = 8 };

/* Options that are given to every case, so that each shows one thing: see `full`. */
static const struct {
    const char *name;
    const char *argv[ARGC_MAX];
    const char *error; /* part of it; NULL: accepted */
} cases[] = {
    {"least", {"k", "--to-earliest"}, NULL},
    {"options first", {"--to-earliest", "k"}, NULL},
    {"two words", {"k", "l", "--to-earliest"}, NULL},
    {"a dash is a word", {"-", "--to-earliest"}, NULL},
    {"words only after --", {"--to-earliest", "--", "--json", "--"}, NULL},
    {"a flag may repeat", {"k", "--to-earliest", "--json", "--json"}, NULL},
    {"equals", {"k", "--to-offset=1"}, NULL},
    {"next argument", {"k", "--to-offset", "9223372036854775807"}, NULL},
    {"attached letter", {"k", "--to-earliest", "-cFILE", "-Xa=b", "-X", "c=d"}, NULL},
    {"value with equals", {"k", "--to-earliest", "--key=a=b"}, NULL},
    {"empty value", {"k", "--to-earliest", "--key="}, NULL},
    {"empty word", {"", "--to-earliest"}, NULL},
    {"value that looks like an option", {"k", "--to-earliest", "--key", "--json"}, NULL},
    {"help needs nothing else", {"--help"}, NULL},
    {"help by letter", {"-h"}, NULL},

    {"no word", {"--to-earliest"}, "expected one KEY"},
    {"three words", {"a", "b", "c"}, "unexpected argument 'c': expected only one KEY"},
    {"no target", {"k"}, "expected --to-offset or --to-time or --to-earliest"},
    {"two targets",
     {"k", "--to-offset", "1", "--to-earliest"},
     "--to-offset and --to-earliest exclude each other"},
    {"twice",
     {"k", "--to-offset", "1", "--to-offset", "2"},
     "--to-offset is given twice"},
    {"letter twice", {"k", "-ca", "-cb"}, "-c is given twice"},
    {"unknown", {"k", "--frobnicate"}, "unknown option --frobnicate"},
    {"unknown and near", {"k", "--jsno"}, "unknown option --jsno (did you mean --json?)"},
    {"unknown with value", {"k", "--jsno=secret"}, "unknown option --jsno (did"},
    {"no abbreviation", {"k", "--part", "1"}, "unknown option --part"},
    {"a letter is no name", {"k", "--c", "f"}, "unknown option --c"},
    {"unknown letter", {"k", "-z"}, "unknown option -z"},
    {"a name is no letter", {"k", "-json"}, "unknown option -json"},
    {"flag with value", {"k", "--json=yes"}, "--json takes no value, but got 'yes'"},
    {"letter flag with value", {"k", "-hx"}, "--help takes no value, but got 'x'"},
    {"no value", {"k", "--to-offset"}, "--to-offset: expected a value: --to-offset N"},
    {"no value for a letter", {"k", "-X"}, "-X: expected a value: -X name=value"},
    {"below",
     {"k", "--to-offset", "0"},
     "--to-offset '0': expected a whole number from 1 to "},
    {"above", {"k", "--partition=101"}, "'101': expected a whole number from 0 to 100"},
    {"overflow", {"k", "--to-offset=9223372036854775808"}, "expected a whole number"},
    {"negative", {"k", "--partition", "-1"}, "--partition '-1': expected a whole number"},
    {"empty number", {"k", "--partition="}, "--partition '': expected a whole number"},
    {"no number", {"k", "--partition=1x"}, "expected a whole number"},
    {"no time", {"k", "--to-time=noon"}, "--to-time 'noon': expected a time like 2026-"},
};

static size_t count(const char *const *argv)
{
    size_t argc = 0;
    while (argc < ARGC_MAX && argv[argc] != NULL)
        argc++;
    return argc;
}

static void test_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arguments arguments;
        test_case(cases[i].name);
        arguments_init(&arguments, count(cases[i].argv), cases[i].argv);
        bool ok = arguments_parse(&arguments, &table);
        CHECK(ok == (cases[i].error == NULL));
        if (cases[i].error == NULL)
            CHECK_TEXT(arguments.error, "");
        else if (strstr(arguments.error, cases[i].error) == NULL)
            CHECK_TEXT(arguments.error, cases[i].error);
    }
}

static void test_values(void)
{
    static const char *const argv[] = {"-c",
                                       "file",
                                       "-X",
                                       "a=1",
                                       "--partition=100",
                                       "k",
                                       "--to-time",
                                       "1970-01-01T00:00:01Z",
                                       "-Xb=2",
                                       "--json"};
    struct arguments arguments;
    test_case("values");
    arguments_init(&arguments, sizeof(argv) / sizeof(argv[0]), argv);
    CHECK(arguments_parse(&arguments, &table));
    CHECK_TEXT(arguments_text(&arguments, "c"), "file");
    CHECK_TEXT(arguments_find(&arguments, "X", 0)->text, "a=1");
    CHECK_TEXT(arguments_find(&arguments, "X", 1)->text, "b=2");
    CHECK(arguments_find(&arguments, "X", 2) == NULL);
    CHECK_INT(arguments_number(&arguments, "partition", -1), 100);
    CHECK_INT(arguments_number(&arguments, "to-time", -1), 1000);
    CHECK_INT(arguments_number(&arguments, "to-offset", -1), -1);
    CHECK(arguments_has(&arguments, "json"));
    CHECK(!arguments_has(&arguments, "help"));
    CHECK(arguments_text(&arguments, "key") == NULL);
    CHECK_INT(arguments.word_count, 1);
    CHECK_TEXT(arguments.words[0], "k");
}

/* A verb is the first word; what stands before it counts as well. */
static void test_verb(void)
{
    static const char *const argv[] = {"-c",  "file", "lookup",       "-X",
                                       "a=1", "k",    "--to-earliest"};
    static const struct argument_table before = {.shared = shared};
    struct arguments arguments;
    const char *verb;
    test_case("options before the verb");
    arguments_init(&arguments, sizeof(argv) / sizeof(argv[0]), argv);
    CHECK(arguments_parse_verb(&arguments, &before, &verb));
    CHECK_TEXT(verb, "lookup");
    CHECK(arguments_parse(&arguments, &table));
    CHECK_TEXT(arguments_text(&arguments, "c"), "file");
    CHECK_TEXT(arguments_text(&arguments, "X"), "a=1");
    CHECK_INT(arguments.word_count, 1);

    test_case("no verb");
    arguments_init(&arguments, 2, argv);
    CHECK(arguments_parse_verb(&arguments, &before, &verb));
    CHECK(verb == NULL);

    test_case("an option of a verb before the verb");
    static const char *const early[] = {"--json", "lookup"};
    arguments_init(&arguments, 2, early);
    CHECK(!arguments_parse_verb(&arguments, &before, &verb));
    CHECK_TEXT(arguments.error, "unknown option --json");
}

static void test_nothing_allowed(void)
{
    static const struct argument_table none = {.options = NULL};
    static const char *const argv[] = {"k"};
    struct arguments arguments;
    test_case("a table without options and words");
    arguments_init(&arguments, 0, NULL);
    CHECK(arguments_parse(&arguments, &none));
    arguments_init(&arguments, 1, argv);
    CHECK(!arguments_parse(&arguments, &none));
    CHECK_TEXT(arguments.error, "unexpected argument 'k': expected options only");
}

static void test_limit(void)
{
    static const char *argv[ARGUMENTS_FOUND_MAX + 1];
    static const struct argument_table none = {.shared = shared};
    struct arguments arguments;
    for (size_t i = 0; i <= ARGUMENTS_FOUND_MAX; i++)
        argv[i] = "-Xa=b";
    test_case("as many options as fit");
    arguments_init(&arguments, ARGUMENTS_FOUND_MAX, argv);
    CHECK(arguments_parse(&arguments, &none));
    test_case("one more");
    arguments_init(&arguments, ARGUMENTS_FOUND_MAX + 1, argv);
    CHECK(!arguments_parse(&arguments, &none));
    CHECK_TEXT(arguments.error, "more than 256 options");
}

static void test_help(void)
{
    char text[1024] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    test_case("help");
    arguments_print_help(shared, out);
    fclose(out);
    CHECK_TEXT(text, "  -c FILE                A file.\n"
                     "  -X name=value          A setting.\n"
                     "  -h, --help             Help.\n");
}

int main(void)
{
    test_cases();
    test_values();
    test_verb();
    test_nothing_allowed();
    test_limit();
    test_help();
    return test_end();
}
