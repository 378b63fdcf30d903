/* config_fuzz.c: configurations. The input is parts separated by NUL: the first is a
 * file, each other one a variable, if it begins with POSTONCE_, or what follows a -X.
 *
 * Whatever they hold, an error is one line that begins with its origin. What `postonce
 * config` prints has one line a setting, tells no secret (libpq says where in a
 * connection string the passwords are), and reads back as the same settings. */
#include <jansson.h>
#include <libpq-fe.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "base/config_mask.h"
#include "tests/fuzz/fuzz.h"

enum { PARTS_MAX = 6, TEXT_SIZE = 64, LARGE = 1024 * 1024 };

static const char mask[] = "***";
static int memory_file = -1;
static char file_path[TEXT_SIZE];
static size_t file_size;

/* The linker sends calls of malloc here. config.c asks for room for the largest file that
 * there may be; it gets just enough for this one. That shows the first byte read beyond
 * it, and a MiB is slow to have under ASan. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return __real_malloc(size > LARGE ? file_size + 1 : size);
}

/* A file without a disk, with a name as any other has. */
static void begin(void)
{
    if (memory_file >= 0)
        return;
    memory_file = memfd_create("postonce.conf", MFD_CLOEXEC);
    REQUIRE(memory_file >= 0);
    snprintf(file_path, sizeof(file_path), "/proc/self/fd/%d", memory_file);
}

static void write_file(const char *text)
{
    file_size = strlen(text);
    REQUIRE(file_size < LARGE && ftruncate(memory_file, 0) == 0);
    REQUIRE(pwrite(memory_file, text, file_size, 0) == (ssize_t)file_size);
}

/* --- what is said of a fault -------------------------------------------------------- */

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool is_one_line(const char *text)
{
    for (; *text != '\0'; text++)
        if ((*text >= 0 && *text < 0x20) || *text == 0x7f)
            return false;
    return true;
}

static void check_sentence(const char *text)
{
    REQUIRE(strlen(text) > 10 && strlen(text) < CONFIG_ERROR_MAX - 1);
    REQUIRE(is_one_line(text));
}

static void check_fault(const struct config *config, const char *origin)
{
    const char *error = config_error(config);
    check_sentence(error);
    REQUIRE(begins_with(error, origin));
}

static void check_file_fault(const struct config *config)
{
    const char *error = config_error(config);
    check_fault(config, file_path);
    error += strlen(file_path);
    REQUIRE(*error++ == ':' && *error >= '1' && *error <= '9');
    REQUIRE(strstr(error, ": ") != NULL);
}

/* An error never shows the value of a secret that it can be told by. */
static void check_discretion(const struct config *config, const char *argument)
{
    char name[128];
    const char *value = strchr(argument, '=');
    if (value == NULL || (size_t)(value - argument) >= sizeof(name))
        return;
    snprintf(name, sizeof(name), "%.*s", (int)(value - argument), argument);
    value++;
    value += strspn(value, " \t"); /* which stand around the name in a sentence, too */
    if (config_is_secret(name) && strlen(value) > 8 && strstr(name, value) == NULL)
        REQUIRE(strstr(config_error(config), value) == NULL);
}

static bool set_argument(struct config *config, const char *argument)
{
    if (config_set_argument(config, argument))
        return true;
    check_fault(config, "-X");
    check_discretion(config, argument);
    return false;
}

/* Everything that can be told of topics that are the same comes from all origins. */
static bool finish(struct config *config)
{
    if (config_finish(config))
        return true;
    check_fault(config, "topics.");
    return false;
}

/* --- reading ------------------------------------------------------------------------ */

struct parts {
    char *texts[PARTS_MAX + 1]; /* NULL after the last */
    size_t count;
    char *bytes; /* owned: all of them, each with its NUL */
};

static void split(struct parts *parts, const uint8_t *bytes, size_t size)
{
    *parts = (struct parts){.bytes = malloc(size + 1)};
    REQUIRE(parts->bytes != NULL);
    memcpy(parts->bytes, bytes, size);
    parts->bytes[size] = '\0';
    for (char *at = parts->bytes; at <= parts->bytes + size && parts->count < PARTS_MAX;
         at += strlen(at) + 1)
        parts->texts[parts->count++] = at;
}

static bool read_parts(struct config *config, const struct parts *parts)
{
    write_file(parts->texts[0]);
    if (!config_read_file(config, file_path)) {
        check_file_fault(config);
        return false;
    }
    if (!config_read_environment(config, parts->texts + 1)) {
        check_fault(config, "POSTONCE_");
        return false;
    }
    for (size_t i = 1; i < parts->count; i++)
        if (!begins_with(parts->texts[i], "POSTONCE_") &&
            !set_argument(config, parts->texts[i]))
            return false;
    return finish(config);
}

/* Of one setting, by the simplest rule: the last -X counts, else the last variable. The
 * file is not asked: who reads it is what is tested. */
static void check_precedence(const struct config *config, const struct parts *parts)
{
    static const char *const beginnings[] = {"group=", "POSTONCE_GROUP="};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = parts->count; j > 1; j--)
            if (begins_with(parts->texts[j - 1], beginnings[i])) {
                const char *value = parts->texts[j - 1] + strlen(beginnings[i]);
                REQUIRE(strcmp(config_values(config)->group, value) == 0);
                return;
            }
}

static void check_warnings(const struct config *config)
{
    const char *warning;
    for (size_t i = 0; (warning = config_warning(config, i)) != NULL; i++) {
        check_sentence(warning);
        REQUIRE(begins_with(warning, "POSTONCE_"));
    }
}

/* --- what is printed ---------------------------------------------------------------- */

static char *print(const struct config *config, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out != NULL);
    config_print(config, out, json);
    REQUIRE(fclose(out) == 0 && strlen(text) == size);
    return text;
}

static json_t *print_json(const struct config *config)
{
    char *text = print(config, true);
    json_t *read = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    REQUIRE(json_is_object(read));
    free(text);
    return read;
}

/* JSON strings, which stand for what would not be seen, leave DEL as it is. */
static bool is_shown(const char *text)
{
    while (*text < 0 || *text >= 0x20)
        text++;
    return *text == '\0';
}

/* One line a setting, each with its name, and nothing that a terminal would obey. */
static void check_text(const struct config *config, json_t *read)
{
    char *text = print(config, false), *line = text;
    for (void *at = json_object_iter(read); at != NULL;
         at = json_object_iter_next(read, at)) {
        char *end = strchr(line, '\n');
        REQUIRE(end != NULL);
        *end = '\0';
        REQUIRE(is_shown(line) && begins_with(line, json_object_iter_key(at)));
        line = end + 1;
    }
    REQUIRE(*line == '\0');
    free(text);
}

/* The value as text, "" where there is none. Numbers are printed to `room`. */
static const char *value_of(json_t *shown, char room[TEXT_SIZE])
{
    json_t *value = json_object_get(shown, "value");
    if (json_is_string(value))
        return json_string_value(value);
    room[0] = '\0';
    if (json_is_integer(value))
        snprintf(room, TEXT_SIZE, "%lld", (long long)json_integer_value(value));
    else
        REQUIRE(json_is_null(value));
    return room;
}

static void set_again(struct config *again, const char *name, json_t *shown)
{
    char argument[2 * CONFIG_SHOWN_SIZE], room[TEXT_SIZE];
    const char *origin = json_string_value(json_object_get(shown, "origin"));
    const char *value = value_of(shown, room);
    int size = snprintf(argument, sizeof(argument), "%s=%s", name, value);
    REQUIRE(size > 0 && size < (int)sizeof(argument) && origin != NULL);
    if (!begins_with(origin, "default"))
        REQUIRE(config_set_argument(again, argument));
}

/* The value that was printed is the one of `again`, as it may be shown. */
static void check_shown(json_t *read, const char *name, const char *value)
{
    char shown[CONFIG_SHOWN_SIZE], room[TEXT_SIZE];
    config_mask(name, value, shown);
    REQUIRE(strcmp(value_of(json_object_get(read, name), room), shown) == 0);
}

static void check_number(json_t *read, const char *name, int64_t number)
{
    json_t *value = json_object_get(json_object_get(read, name), "value");
    REQUIRE(json_integer_value(value) == number); /* 0, if there is none */
}

static void check_values(json_t *read, const struct config_values *values)
{
    check_shown(read, "postgres", values->postgres);
    check_shown(read, "group", values->group);
    check_shown(read, "instance", values->instance);
    check_shown(read, "topics.commands", values->topic_commands);
    check_shown(read, "topics.results", values->topic_results);
    check_shown(read, "topics.dead_letters", values->topic_dead_letters);
    check_shown(read, "admin.listen", values->admin_listen);
    check_shown(read, "log.level", values->log_level);
    check_shown(read, "log.format", values->log_format);
    check_number(read, "batch.records", values->batch_records);
    check_number(read, "posters", values->posters);
    check_number(read, "retention.hours", values->retention_hours);
}

/* What was printed, given with -X to another one, makes the same configuration. Of a
 * value that is not UTF-8, what is printed instead of it does. */
static void check_reads_back(const struct config *config, json_t *read)
{
    char name[TEXT_SIZE * 2];
    const struct config_property *property, *original;
    struct config *again = config_new();
    for (void *at = json_object_iter(read); at != NULL;
         at = json_object_iter_next(read, at))
        set_again(again, json_object_iter_key(at), json_object_iter_value(at));
    REQUIRE(config_finish(again));
    check_values(read, config_values(again));
    for (size_t i = 0; (property = config_property(again, i)) != NULL; i++) {
        original = config_property(config, i);
        REQUIRE(original != NULL && strcmp(original->name, property->name) == 0);
        snprintf(name, sizeof(name), "kafka.%s", property->name);
        check_shown(read, name, property->value);
    }
    config_free(again);
}

/* --- secrets ------------------------------------------------------------------------ */

/* A character that stands in the text only where it belongs to the password, and in no
 * mask, shows the password as soon as it is shown. */
static void check_hidden(const char *text, const char *password, const char *shown)
{
    if (strstr(text, password) == NULL || strpbrk(text, "%\\") != NULL)
        return; /* written in other letters */
    for (const char *letter = password; *letter != '\0'; letter++) {
        size_t balance = 0; /* times in the text, less those in the password */
        for (const char *at = text; *at != '\0'; at++)
            balance += *at == *letter;
        for (const char *at = password; *at != '\0'; at++)
            balance -= *at == *letter;
        REQUIRE(balance != 0 || strchr("*= ", *letter) != NULL ||
                strchr(shown, *letter) == NULL);
    }
}

static bool is_password(const PQconninfoOption *option)
{
    return option->val != NULL && option->val[0] != '\0' &&
           strstr(option->keyword, "password") != NULL;
}

/* As libpq reads the text, and as it reads what is shown of it. */
static void check_postgres(const char *text, const char *shown)
{
    PQconninfoOption *options = PQconninfoParse(text, NULL);
    for (PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++)
        if (is_password(at))
            check_hidden(text, at->val, shown);
    PQconninfoFree(options);
    options = PQconninfoParse(shown, NULL);
    for (PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++)
        REQUIRE(!is_password(at) || strcmp(at->val, mask) == 0);
    PQconninfoFree(options);
}

static void check_secrets(const struct config *config, json_t *read)
{
    char shown[CONFIG_SHOWN_SIZE], name[TEXT_SIZE * 2], room[TEXT_SIZE];
    const char *postgres = config_values(config)->postgres;
    const struct config_property *property;
    config_mask("postgres", postgres, shown);
    if (postgres[0] != '\0')
        check_postgres(postgres, shown);
    for (size_t i = 0; (property = config_property(config, i)) != NULL; i++) {
        snprintf(name, sizeof(name), "kafka.%s", property->name);
        const char *printed = value_of(json_object_get(read, name), room);
        if (config_is_secret(name) && property->value[0] != '\0')
            REQUIRE(strcmp(printed, mask) == 0);
        else
            REQUIRE(strcmp(printed, property->value) == 0 ||
                    strstr(printed, "\xef\xbf\xbd") != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct parts parts;
    struct config *config = config_new();
    begin();
    split(&parts, bytes, size);
    bool done = read_parts(config, &parts);
    check_warnings(config);
    if (done) {
        check_precedence(config, &parts);
        json_t *read = print_json(config);
        check_text(config, read);
        check_secrets(config, read);
        check_reads_back(config, read);
        json_decref(read);
    }
    config_free(config);
    free(parts.bytes);
    return 0;
}
