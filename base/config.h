/* config.h: the configuration of both programs (CONTRACT §7), from ONE option table.
 *
 * The table prints `--help`, `postonce config` and the README's table. Precedence: -X >
 * environment > file > default. Every value remembers its origin, for messages and for
 * `config`. Knows nothing of librdkafka or libpq: `kafka.NAME` is kept as text, except
 * the names that the guarantee depends on, which are refused with the reason.
 *
 * File: `name = value` a line, blank lines, and lines whose first character is `#`; a `#`
 * further on belongs to the value, as do quotes. White space around name and value is
 * cut. Every value is checked where it comes in, also one that a higher origin overrides;
 * of two in the same origin the later one wins. An alias of librdkafka is kept under the
 * one name that stands for it (`max.in.flight` …), so that it overrides what it is an
 * alias of. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_VALUE_MAX = 4096, CONFIG_ERROR_MAX = 1024, CONFIG_KAFKA_MAX = 128 };

enum config_origin {
    CONFIG_DEFAULT,
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_COMMAND_LINE
};

/* A `kafka.NAME = value` that goes to librdkafka as it is. */
struct config_property {
    const char *name; /* without "kafka." */
    const char *value;
    const char *origin; /* "FILE:LINE", "POSTONCE_KAFKA_…", "-X kafka.…": for messages */
};

/* The effective values. Strings live as long as the configuration. */
struct config_values {
    const char *postgres;
    const char *group;
    const char *instance;
    const char *topic_commands;
    const char *topic_results; /* "" = none */
    const char *topic_dead_letters;
    int64_t batch_records;        /* 1..10000 */
    int64_t posters;              /* 1..64 */
    int64_t retention_hours;      /* 0 = not set: derived from the topic */
    const char *admin_listen;     /* "" = off */
    bool admin_listen_is_default; /* nobody chose it: a used port is no reason to stop */
    const char *log_level;        /* debug info warning error */
    const char *log_format;       /* text json */
};

struct config;

struct config *config_new(void);
void config_free(struct config *config); /* NULL is fine */

/* Each returns false and one sentence in config_error(): what, where (origin), expected.
 */
bool config_read_file(struct config *config, const char *path);
bool config_read_environment(struct config *config, char *const *environment);
bool config_set_argument(struct config *config, const char *name_equals_value);
/* After all sources: fills in what depends on the machine (instance = host name). */
bool config_finish(struct config *config);
const char *config_error(const struct config *config);
/* An unknown POSTONCE_* variable is a warning: the i-th, or NULL after the last. */
const char *config_warning(const struct config *config, size_t index);

const struct config_values *config_values(const struct config *config);
/* The effective kafka properties (highest origin wins), sorted by name; NULL after the
 * last. */
const struct config_property *config_property(const struct config *config, size_t index);

/* `postonce config`: name, value (secrets masked), origin. Text or one JSON object. */
void config_print(const struct config *config, FILE *out, bool json);
/* The option table for --help (wrapped for a terminal) and for the README (Markdown). */
void config_print_help(FILE *out);
void config_print_markdown(FILE *out);
/* Whether the value of this name is never to be shown (password, secret, key, token …).
 */
bool config_is_secret(const char *name);

#endif
