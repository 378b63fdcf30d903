/* config_print.c: see config_print.h, and config.h for the help and the README's table.
 * All of it comes from the option table. Shows no value that config_mask has not passed.
 */
#include "base/config_print.h"

#include <string.h>

#include "base/config.h"
#include "base/config_mask.h"
#include "base/config_table.h"
#include "base/must.h"
#include "base/text_buffer.h"

enum { WIDTH = 80, HELP_COLUMN = 28, NAME_WIDTH = 26, VALUE_WIDTH = 34 };

/* Room for a masked value of which every byte is escaped. */
enum { ESCAPED_SIZE = 6 * CONFIG_SHOWN_SIZE + 2 };

static void put_json(FILE *out, const char *text)
{
    char bytes[ESCAPED_SIZE];
    struct text_buffer escaped;
    text_buffer_init(&escaped, bytes, sizeof(bytes));
    text_put_json_lossy(&escaped, text, strlen(text));
    MUST(!escaped.overflow);
    fwrite(escaped.bytes, 1, escaped.size, out);
}

/* JSON knows no number that begins with zeros; a setting may be written so. */
static const char *skip_zeros(const char *digits)
{
    while (digits[0] == '0' && digits[1] != '\0')
        digits++;
    return digits;
}

static void print_json(const struct config_shown *shown, const char *value, FILE *out)
{
    fputs(shown->is_first ? "{\n  " : ",\n  ", out);
    put_json(out, shown->name);
    fputs(": {\"value\": ", out);
    if (!shown->is_number)
        put_json(out, value);
    else
        fputs(value[0] != '\0' ? skip_zeros(value) : "null", out);
    fputs(", \"origin\": ", out);
    put_json(out, shown->origin);
    fputs("}", out);
}

/* Values that would not be seen, or would break the line, are printed as JSON strings. */
static bool needs_quotes(const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return true;
    }
    return value[0] == '\0' || value[0] == ' ' || value[strlen(value) - 1] == ' ';
}

static void print_text(const struct config_shown *shown, const char *value, FILE *out)
{
    fprintf(out, "%-*s ", NAME_WIDTH, shown->name);
    if (needs_quotes(value)) {
        put_json(out, value);
        fprintf(out, "%*s", value[0] == '\0' ? VALUE_WIDTH - 2 : 0, "");
    } else {
        fprintf(out, "%-*s", VALUE_WIDTH, value);
    }
    fprintf(out, " %s\n", shown->origin);
}

void config_print_one(const struct config_shown *shown, FILE *out, bool json)
{
    char value[CONFIG_SHOWN_SIZE];
    config_mask(shown->name, shown->value, value);
    if (json)
        print_json(shown, value, out);
    else
        print_text(shown, value, out);
}

/* What is said of an option besides its sentence: limits and default. */
static void describe(const struct config_option *option, char *text, size_t size)
{
    char expected[CONFIG_EXPECTED_SIZE];
    const char *fallback =
        option->fallback_words != NULL ? option->fallback_words : option->fallback;
    if (option->kind == CONFIG_KIND_TEXT) {
        snprintf(text, size, "%s Default: %s.", option->help, fallback);
    } else {
        config_table_expected(option, expected);
        snprintf(text, size, "%s Expected: %s. Default: %s.", option->help, expected,
                 fallback);
    }
}

/* Goes on to column HELP_COLUMN, in the next line if the cursor is past it. */
static int start_line(int column, FILE *out)
{
    if (column >= HELP_COLUMN) {
        fputs("\n", out);
        column = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - column, "");
    return HELP_COLUMN;
}

/* Words from column HELP_COLUMN on, in lines of at most WIDTH; the cursor is at `column`.
 */
static void print_wrapped(const char *text, int column, FILE *out)
{
    column = start_line(column, out);
    while (*text != '\0') {
        int size = (int)strcspn(text, " ");
        if (column + 1 + size > WIDTH)
            column = start_line(column, out);
        if (column > HELP_COLUMN)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", size, text);
        text += size;
        text += strspn(text, " ");
    }
    fputs("\n", out);
}

static void print_help_row(const char *name, const char *text, FILE *out)
{
    print_wrapped(text, fprintf(out, "  %s", name), out);
}

static void list_refusals(char *text, size_t size, const char *quote)
{
    size_t used = 0;
    for (const struct config_refusal *refusal = config_refusals; refusal->name != NULL;
         refusal++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s",
                                 used > 0 ? ", " : "", quote, refusal->name, quote);
        MUST(used < size);
    }
}

void config_print_help(FILE *out)
{
    char text[1024], refusals[512];
    for (int row = 0; row < CONFIG_ROW_COUNT; row++) {
        describe(&config_table[row], text, sizeof(text));
        print_help_row(config_table[row].name, text, out);
        if (row != CONFIG_ROW_KAFKA_BOOTSTRAP)
            continue;
        list_refusals(refusals, sizeof(refusals), "");
        snprintf(
            text, sizeof(text),
            "Any setting of librdkafka, except those that the guarantee depends on: %s.",
            refusals);
        print_help_row("kafka.NAME", text, out);
    }
}

static void print_markdown_row(const struct config_option *option, FILE *out)
{
    char variable[CONFIG_VARIABLE_SIZE], expected[CONFIG_EXPECTED_SIZE];
    config_table_variable(option->name, variable);
    fprintf(out, "| `%s` | `%s` | ", option->name, variable);
    if (option->fallback_words != NULL)
        fputs(option->fallback_words, out);
    else
        fprintf(out, "`%s`", option->fallback);
    fprintf(out, " | %s", option->help);
    if (option->kind != CONFIG_KIND_TEXT) {
        config_table_expected(option, expected);
        fprintf(out, " Expected: %s.", expected);
    }
    fputs(" |\n", out);
}

void config_print_markdown(FILE *out)
{
    char refusals[512];
    fputs("| name | environment | default | |\n|---|---|---|---|\n", out);
    for (int row = 0; row < CONFIG_ROW_COUNT; row++)
        print_markdown_row(&config_table[row], out);
    list_refusals(refusals, sizeof(refusals), "`");
    fprintf(out,
            "\nEvery `kafka.NAME` goes to librdkafka as it is, except those that the "
            "guarantee depends on; setting one of these, or an alias of it, is an error "
            "that says why: %s.\n",
            refusals);
}
