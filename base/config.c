/* config.c: see config.h. Owns the settings: takes them from file, environment and
 * command line, checks each where it comes in, and keeps for each name the one of the
 * highest origin (the last one of the same origin wins). What can be set, and to what, is
 * in config_table.c; what may be shown, in config_mask.c. Allocates; an allocation that
 * fails ends the process, which has not begun to work yet. */
#include "base/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_print.h"
#include "base/config_table.h"
#include "base/must.h"
#include "base/nearest.h"
#include "base/parse.h"

enum { FILE_SIZE_MAX = 1024 * 1024, WARNING_MAX = 256, HOST_NAME_SIZE = 256 };

/* Where a setting comes from, and the names of it that messages use. */
struct source {
    enum config_origin origin;
    const char *where; /* "FILE:LINE", "POSTONCE_…", "-X NAME" */
};

struct setting {
    char *name; /* of kafka settings, without "kafka."; NULL in the rows of the table */
    char *value;
    char *where;
    enum config_origin origin;
};

struct config {
    struct setting rows[CONFIG_ROW_COUNT];
    struct setting kafka[CONFIG_KAFKA_MAX]; /* sorted by name */
    size_t kafka_count;
    struct config_values values;
    struct config_property properties[CONFIG_KAFKA_MAX + 1];
    size_t property_count;
    char *warnings[WARNING_MAX];
    size_t warning_count;
    char error[CONFIG_ERROR_MAX];
};

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    MUST(copy != NULL);
    return copy;
}

static void clear_setting(struct setting *setting)
{
    free(setting->name);
    free(setting->value);
    free(setting->where);
    *setting = (struct setting){.name = NULL};
}

static void replace_setting(struct setting *setting, const struct source *source,
                            const char *value)
{
    free(setting->value);
    free(setting->where);
    setting->value = copy_text(value);
    setting->where = copy_text(source->where);
    setting->origin = source->origin;
}

struct config *config_new(void)
{
    static const struct source source = {CONFIG_DEFAULT, "default"};
    struct config *config = calloc(1, sizeof(*config));
    MUST(config != NULL);
    for (int row = 0; row < CONFIG_ROW_COUNT; row++)
        replace_setting(&config->rows[row], &source, config_table[row].fallback);
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (int row = 0; row < CONFIG_ROW_COUNT; row++)
        clear_setting(&config->rows[row]);
    for (size_t i = 0; i < config->kafka_count; i++)
        clear_setting(&config->kafka[i]);
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config);
}

const char *config_error(const struct config *config)
{
    return config->error;
}

const char *config_warning(const struct config *config, size_t index)
{
    return index < config->warning_count ? config->warnings[index] : NULL;
}

/* What somebody wrote is repeated in messages: it must not break the line, nor be obeyed
 * by a terminal. */
static void hide_controls(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

__attribute__((format(printf, 2, 3))) static bool fail(struct config *config,
                                                       const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(config->error, sizeof(config->error), format, list);
    va_end(list);
    hide_controls(config->error);
    return false;
}

/* "FILE:3: group", "POSTONCE_GROUP", "-X group": a variable and -X carry the name
 * already. */
static void subject_of(const struct source *source, const char *name, char *text,
                       size_t size)
{
    if (source->origin == CONFIG_FILE)
        snprintf(text, size, "%s: %s", source->where, name);
    else
        snprintf(text, size, "%s", source->where);
}

static bool fail_value(struct config *config, const struct source *source,
                       const char *name, const char *value, const char *expected)
{
    char subject[CONFIG_ERROR_MAX / 2];
    subject_of(source, name, subject, sizeof(subject));
    if (config_is_secret(name))
        return fail(config, "%s: expected %s", subject, expected);
    return fail(config, "%s = '%.200s': expected %s", subject, value, expected);
}

static bool fail_unknown(struct config *config, const struct source *source,
                         const char *name)
{
    struct nearest nearest = nearest_to(name);
    char place[CONFIG_ERROR_MAX / 2];
    if (source->origin == CONFIG_FILE)
        snprintf(place, sizeof(place), "%s", source->where);
    else
        snprintf(place, sizeof(place), "-X");
    for (int row = 0; row < CONFIG_ROW_COUNT; row++)
        nearest_consider(&nearest, config_table[row].name);
    if (nearest.found != NULL)
        return fail(config, "%s: unknown setting '%.100s'; did you mean '%s'?", place,
                    name, nearest.found);
    return fail(config,
                "%s: unknown setting '%.100s'; 'postonce --help' lists all, and those of "
                "librdkafka begin with 'kafka.'",
                place, name);
}

static bool has_controls(const char *value)
{
    for (; *value != '\0'; value++) {
        if ((unsigned char)*value < 0x20 || *value == 0x7f)
            return true;
    }
    return false;
}

static bool set_row(struct config *config, const struct source *source,
                    enum config_row row, const char *value)
{
    const struct config_option *option = &config_table[row];
    char expected[CONFIG_EXPECTED_SIZE];
    if (has_controls(value))
        return fail_value(config, source, option->name, "…", "no control characters");
    if (!config_table_accepts(option, value)) {
        config_table_expected(option, expected);
        return fail_value(config, source, option->name, value, expected);
    }
    if (source->origin >= config->rows[row].origin)
        replace_setting(&config->rows[row], source, value);
    return true;
}

/* The place of `name` in the sorted settings, or where it belongs. */
static size_t find_kafka(const struct config *config, const char *name)
{
    size_t i = 0;
    while (i < config->kafka_count && strcmp(config->kafka[i].name, name) < 0)
        i++;
    return i;
}

static bool keep_kafka(struct config *config, const struct source *source,
                       const char *name, const char *value)
{
    size_t at = find_kafka(config, name);
    struct setting *setting = &config->kafka[at];
    bool is_new = at == config->kafka_count || strcmp(setting->name, name) != 0;
    if (is_new && config->kafka_count == CONFIG_KAFKA_MAX)
        return fail(config, "%s: more than %d settings for librdkafka", source->where,
                    CONFIG_KAFKA_MAX);
    if (is_new) {
        memmove(setting + 1, setting, (config->kafka_count - at) * sizeof(*setting));
        *setting = (struct setting){.name = copy_text(name)};
        config->kafka_count++;
    }
    if (source->origin >= setting->origin)
        replace_setting(setting, source, value);
    return true;
}

/* `full` is the name as given, `kafka.…`. */
static bool set_kafka(struct config *config, const struct source *source,
                      const char *full, const char *value)
{
    const char *name = full + strlen("kafka.");
    char bootstrap[CONFIG_NAME_MAX + 1];
    char subject[CONFIG_ERROR_MAX / 2];
    if (!config_table_is_kafka_name(name) || strlen(full) > CONFIG_NAME_MAX)
        return fail(config, "%s: '%.100s' is no name that librdkafka could know",
                    source->where, full);
    name = config_table_kafka_alias(name);
    const char *reason = config_table_refusal(name);
    if (reason != NULL) {
        subject_of(source, full, subject, sizeof(subject));
        return fail(config, "%s cannot be set: %s", subject, reason);
    }
    snprintf(bootstrap, sizeof(bootstrap), "kafka.%.*s", CONFIG_NAME_MAX - 6, name);
    enum config_row row = config_table_find(bootstrap);
    if (row < CONFIG_ROW_COUNT)
        return set_row(config, source, row, value);
    return keep_kafka(config, source, name, value);
}

static bool set_value(struct config *config, const struct source *source,
                      const char *name, const char *value)
{
    if (strlen(value) > CONFIG_VALUE_MAX) {
        char expected[64];
        snprintf(expected, sizeof(expected), "at most %d bytes", CONFIG_VALUE_MAX);
        return fail_value(config, source, name, "…", expected);
    }
    if (strncmp(name, "kafka.", 6) == 0)
        return set_kafka(config, source, name, value);
    enum config_row row = config_table_find(name);
    if (row == CONFIG_ROW_COUNT)
        return fail_unknown(config, source, name);
    return set_row(config, source, row, value);
}

/* ---- command line ---- */

bool config_set_argument(struct config *config, const char *name_equals_value)
{
    const char *equals = strchr(name_equals_value, '=');
    /* One byte more than a name may have, so that a cut one is still too long. */
    char name[CONFIG_NAME_MAX + 2], where[CONFIG_NAME_MAX + 8];
    /* The argument may hold a secret where the `=` was forgotten: not repeated. */
    if (equals == NULL || equals == name_equals_value)
        return fail(config, "-X: expected name=value");
    size_t size = (size_t)(equals - name_equals_value);
    snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name)),
             name_equals_value);
    snprintf(where, sizeof(where), "-X %s", name);
    struct source source = {CONFIG_COMMAND_LINE, where};
    return set_value(config, &source, name, equals + 1);
}

/* ---- environment ---- */

static void warn_unknown(struct config *config, const char *variable)
{
    char wanted[CONFIG_VARIABLE_SIZE], known[CONFIG_ROW_COUNT][CONFIG_VARIABLE_SIZE];
    char text[CONFIG_ERROR_MAX];
    if (config->warning_count == WARNING_MAX)
        return;
    snprintf(wanted, sizeof(wanted), "%s", variable);
    struct nearest nearest = nearest_to(wanted);
    /* The common prefix would make everything look near. */
    nearest.distance = nearest_to(wanted + strlen("POSTONCE_")).distance;
    for (int row = 0; row < CONFIG_ROW_COUNT; row++) {
        config_table_variable(config_table[row].name, known[row]);
        nearest_consider(&nearest, known[row]);
    }
    snprintf(text, sizeof(text), "%s is no setting of postonce and is ignored%s%s%s",
             wanted, nearest.found != NULL ? "; did you mean " : "",
             nearest.found != NULL ? nearest.found : "",
             nearest.found != NULL ? "?" : "");
    hide_controls(text);
    config->warnings[config->warning_count++] = copy_text(text);
}

/* Kubernetes describes a service called `postonce-kafka` to every container in variables
 * like POSTONCE_KAFKA_SERVICE_HOST and POSTONCE_KAFKA_PORT_9092_TCP; they are not ours.
 */
static bool is_from_kubernetes(const char *name)
{
    return strcmp(name, "kafka.port") == 0 || strncmp(name, "kafka.port.", 11) == 0 ||
           strcmp(name, "kafka.service.host") == 0 ||
           strncmp(name, "kafka.service.port", 18) == 0;
}

static bool read_variable(struct config *config, const char *variable, const char *value)
{
    char name[CONFIG_NAME_MAX + 1];
    struct source source = {CONFIG_ENVIRONMENT, variable};
    bool known = config_table_name(variable + strlen("POSTONCE_"), name) &&
                 (config_table_find(name) < CONFIG_ROW_COUNT ||
                  (strncmp(name, "kafka.", 6) == 0 &&
                   config_table_is_kafka_name(name + 6) && !is_from_kubernetes(name)));
    if (known)
        return set_value(config, &source, name, value);
    warn_unknown(config, variable);
    return true;
}

bool config_read_environment(struct config *config, char *const *environment)
{
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (strncmp(*environment, "POSTONCE_", 9) != 0 || equals == NULL)
            continue;
        char variable[CONFIG_VARIABLE_SIZE];
        size_t size = (size_t)(equals - *environment);
        snprintf(variable, sizeof(variable), "%.*s",
                 (int)(size < sizeof(variable) ? size : sizeof(variable)), *environment);
        if (!read_variable(config, variable, equals + 1))
            return false;
    }
    return true;
}

/* ---- file ---- */

/* Cuts white space off both ends, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r", text[size - 1]) != NULL)
        size--;
    text[size] = '\0';
    return text;
}

/* `name = value`, a comment or nothing. A `#` counts only as the first character of a
 * line: a value (a password, a URI) may contain one. */
static bool read_line(struct config *config, const char *where, char *line)
{
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#')
        return true;
    char *equals = strchr(line, '=');
    if (equals == NULL || equals == line)
        return fail(config, "%s: expected 'name = value'", where);
    *equals = '\0';
    struct source source = {CONFIG_FILE, where};
    return set_value(config, &source, trim(line), trim(equals + 1));
}

static bool read_lines(struct config *config, const char *path, char *text)
{
    char where[CONFIG_ERROR_MAX / 4];
    int number = 0;
    while (text != NULL) {
        char *end = strchr(text, '\n');
        if (end != NULL)
            *end++ = '\0';
        snprintf(where, sizeof(where), "%.200s:%d", path, ++number);
        if (!read_line(config, where, text))
            return false;
        text = end;
    }
    return true;
}

/* The whole file, NUL-terminated, or NULL and an error. The caller frees it. */
static char *read_whole(struct config *config, FILE *file, const char *path)
{
    char *text = malloc(FILE_SIZE_MAX + 1);
    MUST(text != NULL);
    size_t size = fread(text, 1, FILE_SIZE_MAX + 1, file);
    const char *fault = NULL;
    if (ferror(file) != 0)
        fault = strerror(errno);
    else if (size > FILE_SIZE_MAX)
        fault = "it is larger than 1 MiB";
    else if (memchr(text, '\0', size) != NULL)
        fault = "it contains a NUL byte";
    if (fault != NULL) {
        fail(config, "cannot read the configuration file %.200s: %s", path, fault);
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

bool config_read_file(struct config *config, const char *path)
{
    bool done = false;
    char *text = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fail(config, "cannot read the configuration file %.200s: %s", path,
                    strerror(errno));
    text = read_whole(config, file, path);
    if (text != NULL) {
        /* Some editors put a byte order mark in front. */
        bool has_mark = strncmp(text, "\xef\xbb\xbf", 3) == 0;
        done = read_lines(config, path, has_mark ? text + 3 : text);
    }
    free(text);
    fclose(file);
    return done;
}

/* ---- the effective values ---- */

static bool set_host_name(struct config *config)
{
    static const struct source source = {CONFIG_DEFAULT, "default (host name)"};
    struct setting *instance = &config->rows[CONFIG_ROW_INSTANCE];
    char name[HOST_NAME_SIZE] = "";
    if (instance->origin != CONFIG_DEFAULT)
        return true;
    if (gethostname(name, sizeof(name) - 1) != 0 ||
        !config_table_accepts(&config_table[CONFIG_ROW_INSTANCE], name))
        return fail(config,
                    "instance: the host name '%s' cannot be used; set 'instance' to "
                    "a name that is unique and stable for this process",
                    name);
    replace_setting(instance, &source, name);
    return true;
}

/* Results that are read as commands, or dead letters as results, would go round for ever.
 */
static bool check_topics(struct config *config)
{
    static const enum config_row topics[] = {CONFIG_ROW_TOPIC_COMMANDS,
                                             CONFIG_ROW_TOPIC_RESULTS,
                                             CONFIG_ROW_TOPIC_DEAD_LETTERS};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = i + 1; j < 3; j++) {
            const struct setting *left = &config->rows[topics[i]];
            const struct setting *right = &config->rows[topics[j]];
            if (strcmp(left->value, right->value) == 0)
                return fail(
                    config,
                    "%s (%.200s) and %s (%.200s) are both '%s': expected different "
                    "topics",
                    config_table[topics[i]].name, left->where,
                    config_table[topics[j]].name, right->where, left->value);
        }
    }
    return true;
}

static const char *text_of(const struct config *config, enum config_row row)
{
    return config->rows[row].value;
}

static int64_t number_of(const struct config *config, enum config_row row)
{
    int64_t number = 0;
    const char *text = text_of(config, row);
    MUST(text[0] == '\0' || parse_int64(text, strlen(text), &number));
    return number;
}

static void fill_values(struct config *config)
{
    config->values = (struct config_values){
        .postgres = text_of(config, CONFIG_ROW_POSTGRES),
        .group = text_of(config, CONFIG_ROW_GROUP),
        .instance = text_of(config, CONFIG_ROW_INSTANCE),
        .topic_commands = text_of(config, CONFIG_ROW_TOPIC_COMMANDS),
        .topic_results = text_of(config, CONFIG_ROW_TOPIC_RESULTS),
        .topic_dead_letters = text_of(config, CONFIG_ROW_TOPIC_DEAD_LETTERS),
        .batch_records = number_of(config, CONFIG_ROW_BATCH_RECORDS),
        .posters = number_of(config, CONFIG_ROW_POSTERS),
        .retention_hours = number_of(config, CONFIG_ROW_RETENTION_HOURS),
        .admin_listen = text_of(config, CONFIG_ROW_ADMIN_LISTEN),
        .admin_listen_is_default =
            config->rows[CONFIG_ROW_ADMIN_LISTEN].origin == CONFIG_DEFAULT,
        .log_level = text_of(config, CONFIG_ROW_LOG_LEVEL),
        .log_format = text_of(config, CONFIG_ROW_LOG_FORMAT),
    };
}

/* The settings of librdkafka, with the one that the table has a row for in its place. */
static void fill_properties(struct config *config)
{
    const struct setting *row = &config->rows[CONFIG_ROW_KAFKA_BOOTSTRAP];
    struct config_property bootstrap = {config_table[CONFIG_ROW_KAFKA_BOOTSTRAP].name +
                                            strlen("kafka."),
                                        row->value, row->where};
    size_t place = find_kafka(config, bootstrap.name);
    config->property_count = 0;
    for (size_t i = 0; i <= config->kafka_count; i++) {
        if (i == place)
            config->properties[config->property_count++] = bootstrap;
        if (i < config->kafka_count)
            config->properties[config->property_count++] = (struct config_property){
                config->kafka[i].name, config->kafka[i].value, config->kafka[i].where};
    }
}

bool config_finish(struct config *config)
{
    if (!set_host_name(config) || !check_topics(config))
        return false;
    fill_values(config);
    fill_properties(config);
    return true;
}

const struct config_values *config_values(const struct config *config)
{
    return &config->values;
}

const struct config_property *config_property(const struct config *config, size_t index)
{
    return index < config->property_count ? &config->properties[index] : NULL;
}

void config_print(const struct config *config, FILE *out, bool json)
{
    for (int row = 0; row < CONFIG_ROW_COUNT; row++) {
        struct config_shown shown = {config_table[row].name, config->rows[row].value,
                                     config->rows[row].where, row == 0,
                                     config_table[row].kind == CONFIG_KIND_INTEGER};
        config_print_one(&shown, out, json);
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        char name[CONFIG_NAME_MAX + 8];
        snprintf(name, sizeof(name), "kafka.%s", config->kafka[i].name);
        struct config_shown shown = {name, config->kafka[i].value, config->kafka[i].where,
                                     false, false};
        config_print_one(&shown, out, json);
    }
    if (json)
        fputs("\n}\n", out);
}
