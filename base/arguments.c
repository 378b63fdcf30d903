/* arguments.c: see arguments.h. Own parser instead of getopt_long: no globals, no
 * guessing of abbreviated names, and messages that name the option, the value and what is
 * expected. Each step returns false after it wrote `error`, and nothing goes on after
 * that. */
#include "base/arguments.h"

#include <stdarg.h>
#include <string.h>

#include "base/must.h"
#include "base/nearest.h"
#include "base/parse.h"

enum { LABEL_SIZE = 64, HELP_COLUMN = 22 };

static bool is_end(const struct argument_option *option)
{
    return option == NULL || (option->name == NULL && option->letter == '\0');
}

__attribute__((format(printf, 2, 3))) static bool fail(struct arguments *arguments,
                                                       const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(arguments->error, sizeof(arguments->error), format, list);
    va_end(list);
    return false;
}

/* `--name`, or `-x` where there is no name. */
static const char *label_of(const struct argument_option *option, char label[LABEL_SIZE])
{
    if (option->name != NULL)
        snprintf(label, LABEL_SIZE, "--%s", option->name);
    else
        snprintf(label, LABEL_SIZE, "-%c", option->letter);
    return label;
}

static const struct argument_option *find_in(const struct argument_option *option,
                                             const char *name, size_t size)
{
    for (; !is_end(option); option++) {
        bool by_letter = size == 1 && option->letter == name[0];
        bool by_name = option->name != NULL && strlen(option->name) == size &&
                       memcmp(option->name, name, size) == 0;
        if (by_letter || by_name)
            return option;
    }
    return NULL;
}

static const struct argument_option *find_option(const struct argument_table *table,
                                                 const char *name, size_t size)
{
    const struct argument_option *option = find_in(table->options, name, size);
    return option != NULL ? option : find_in(table->shared, name, size);
}

void arguments_init(struct arguments *arguments, size_t argc, const char *const *argv)
{
    *arguments = (struct arguments){.argv = argv, .argc = argc};
}

static void consider_all(struct nearest *nearest, const struct argument_option *option)
{
    for (; !is_end(option); option++) {
        if (option->name != NULL)
            nearest_consider(nearest, option->name);
    }
}

static bool fail_unknown(struct arguments *arguments, const char *given)
{
    char name[LABEL_SIZE];
    int size = (int)strcspn(given, "=");
    snprintf(name, sizeof(name), "%.*s", size - (int)strspn(given, "-"),
             given + strspn(given, "-"));
    struct nearest nearest = nearest_to(name);
    consider_all(&nearest, arguments->table.options);
    consider_all(&nearest, arguments->table.shared);
    if (nearest.found == NULL)
        return fail(arguments, "unknown option %.*s", size, given);
    return fail(arguments, "unknown option %.*s (did you mean --%s?)", size, given,
                nearest.found);
}

/* Reads the value as its kind asks. */
static bool check_value(struct arguments *arguments, struct argument *argument)
{
    const struct argument_option *option = argument->option;
    const char *text = argument->text;
    char label[LABEL_SIZE];
    switch (option->kind) {
    case ARGUMENT_FLAG:
    case ARGUMENT_TEXT:
        return true;
    case ARGUMENT_INTEGER:
        if (parse_int64(text, strlen(text), &argument->number) &&
            argument->number >= option->least && argument->number <= option->most)
            return true;
        return fail(arguments, "%s '%.200s': expected a whole number from %lld to %lld",
                    label_of(option, label), text, (long long)option->least,
                    (long long)option->most);
    case ARGUMENT_TIME:
        if (parse_time(text, strlen(text), &argument->number))
            return true;
        return fail(arguments,
                    "%s '%.200s': expected a time like 2026-01-31T12:00:00Z, or "
                    "milliseconds since 1970",
                    label_of(option, label), text);
    }
    MUST(false);
    return false;
}

/* Refuses what cannot stand beside what was given before. */
static bool check_company(struct arguments *arguments,
                          const struct argument_option *option)
{
    char label[LABEL_SIZE], other_label[LABEL_SIZE];
    for (size_t i = 0; i < arguments->found_count; i++) {
        const struct argument_option *other = arguments->found[i].option;
        if (other == option && !option->repeats && option->kind != ARGUMENT_FLAG)
            return fail(arguments, "%s is given twice", label_of(option, label));
        if (other != option && option->choice != NULL && other->choice != NULL &&
            strcmp(other->choice, option->choice) == 0)
            return fail(arguments, "%s and %s exclude each other; give one of them",
                        label_of(other, other_label), label_of(option, label));
    }
    if (arguments->found_count == ARGUMENTS_FOUND_MAX)
        return fail(arguments, "more than %d options", ARGUMENTS_FOUND_MAX);
    return true;
}

/* `attached` is the value after `=` or the letter; NULL: it is the next argument. */
static bool add_option(struct arguments *arguments, const struct argument_option *option,
                       const char *attached)
{
    char label[LABEL_SIZE];
    struct argument argument = {.option = option, .text = attached};
    if (option->kind == ARGUMENT_FLAG && attached != NULL)
        return fail(arguments, "%s takes no value, but got '%.200s'",
                    label_of(option, label), attached);
    if (option->kind != ARGUMENT_FLAG && attached == NULL) {
        if (arguments->cursor == arguments->argc)
            return fail(arguments, "%s: expected a value: %s %s", label_of(option, label),
                        label_of(option, label), option->value_name);
        argument.text = arguments->argv[arguments->cursor++];
    }
    if (!check_company(arguments, option) || !check_value(arguments, &argument))
        return false;
    arguments->found[arguments->found_count++] = argument;
    return true;
}

static bool take_long(struct arguments *arguments, const char *given)
{
    const char *name = given + 2;
    size_t size = strcspn(name, "=");
    /* One letter is not a name: `--c` is unknown. */
    const struct argument_option *option =
        size > 1 ? find_option(&arguments->table, name, size) : NULL;
    if (option == NULL)
        return fail_unknown(arguments, given);
    return add_option(arguments, option, name[size] == '=' ? name + size + 1 : NULL);
}

static bool take_short(struct arguments *arguments, const char *given)
{
    const struct argument_option *option = find_option(&arguments->table, given + 1, 1);
    if (option == NULL)
        return fail_unknown(arguments, given);
    return add_option(arguments, option, given[2] != '\0' ? given + 2 : NULL);
}

/* A lone `-` is a word: it commonly names standard input. */
static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != '\0';
}

static bool take_option(struct arguments *arguments, const char *given)
{
    return given[1] == '-' ? take_long(arguments, given) : take_short(arguments, given);
}

bool arguments_parse_verb(struct arguments *arguments, const struct argument_table *table,
                          const char **word)
{
    arguments->table = *table;
    *word = NULL;
    while (arguments->cursor < arguments->argc) {
        const char *argument = arguments->argv[arguments->cursor++];
        if (!is_option(argument)) {
            *word = argument;
            return true;
        }
        if (strcmp(argument, "--") != 0 && !take_option(arguments, argument))
            return false;
    }
    return true;
}

static bool take_word(struct arguments *arguments, const char *word)
{
    const struct argument_table *table = &arguments->table;
    MUST(table->most_words <= ARGUMENTS_WORD_MAX);
    if (arguments->word_count < table->most_words) {
        arguments->words[arguments->word_count++] = word;
        return true;
    }
    if (table->most_words == 0)
        return fail(arguments, "unexpected argument '%.200s': expected options only",
                    word);
    return fail(arguments, "unexpected argument '%.200s': expected only %s", word,
                table->word_name);
}

static bool is_given(const struct arguments *arguments,
                     const struct argument_option *option)
{
    for (size_t i = 0; i < arguments->found_count; i++) {
        const struct argument_option *found = arguments->found[i].option;
        bool same_choice = option->choice != NULL && found->choice != NULL &&
                           strcmp(option->choice, found->choice) == 0;
        if (found == option || same_choice)
            return true;
    }
    return false;
}

/* `--a, --b or --c`: the option, and those it may be replaced by. */
static void list_choice(const struct argument_table *table,
                        const struct argument_option *option, char *list, size_t size)
{
    char label[LABEL_SIZE];
    size_t used = (size_t)snprintf(list, size, "%s", label_of(option, label));
    for (const struct argument_option *other = table->options;
         option->choice != NULL && !is_end(other) && used < size; other++) {
        if (other != option && other->choice != NULL &&
            strcmp(other->choice, option->choice) == 0)
            used += (size_t)snprintf(list + used, size - used, " or %s",
                                     label_of(other, label));
    }
}

static bool check_complete(struct arguments *arguments)
{
    const struct argument_table *table = &arguments->table;
    char list[256];
    for (const struct argument_option *option = table->options; !is_end(option);
         option++) {
        if (!option->required || is_given(arguments, option))
            continue;
        list_choice(table, option, list, sizeof(list));
        return fail(arguments, "expected %s", list);
    }
    if (arguments->word_count < table->least_words)
        return fail(arguments, "expected %s", table->word_name);
    return true;
}

static bool asks_for_help(const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->found_count; i++) {
        const char *name = arguments->found[i].option->name;
        if (name != NULL && (strcmp(name, "help") == 0 || strcmp(name, "version") == 0))
            return true;
    }
    return false;
}

bool arguments_parse(struct arguments *arguments, const struct argument_table *table)
{
    bool words_only = false;
    arguments->table = *table;
    while (arguments->cursor < arguments->argc) {
        const char *argument = arguments->argv[arguments->cursor++];
        bool taken = true;
        if (!words_only && strcmp(argument, "--") == 0)
            words_only = true;
        else if (!words_only && is_option(argument))
            taken = take_option(arguments, argument);
        else
            taken = take_word(arguments, argument);
        if (!taken)
            return false;
    }
    return asks_for_help(arguments) || check_complete(arguments);
}

const struct argument *arguments_find(const struct arguments *arguments, const char *name,
                                      size_t nth)
{
    const struct argument_option *option =
        find_option(&arguments->table, name, strlen(name));
    MUST(option != NULL);
    for (size_t i = 0; i < arguments->found_count; i++) {
        if (arguments->found[i].option == option && nth-- == 0)
            return &arguments->found[i];
    }
    return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
    return arguments_find(arguments, name, 0) != NULL;
}

const char *arguments_text(const struct arguments *arguments, const char *name)
{
    const struct argument *argument = arguments_find(arguments, name, 0);
    return argument != NULL ? argument->text : NULL;
}

int64_t arguments_number(const struct arguments *arguments, const char *name,
                         int64_t otherwise)
{
    const struct argument *argument = arguments_find(arguments, name, 0);
    return argument != NULL ? argument->number : otherwise;
}

void arguments_print_help(const struct argument_option *options, FILE *out)
{
    for (const struct argument_option *option = options; !is_end(option); option++) {
        char label[LABEL_SIZE], left[2 * LABEL_SIZE];
        const char *value = option->value_name != NULL ? option->value_name : "";
        label_of(option, label);
        if (option->name != NULL && option->letter != '\0')
            snprintf(left, sizeof(left), "-%c, %s %s", option->letter, label, value);
        else
            snprintf(left, sizeof(left), "%s %s", label, value);
        fprintf(out, "  %-*s %s\n", HELP_COLUMN, left, option->help);
    }
}
