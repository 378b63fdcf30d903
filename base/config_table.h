/* config_table.h: what can be configured (CONTRACT §7), as data. Only for base/config*.c.
 *
 * One row a setting: everything that reads, checks, prints or documents settings goes
 * through this table, so that they cannot drift. librdkafka's settings are not listed:
 * any name passes, except those in the list of refusals. Owns no state. */
#ifndef BASE_CONFIG_TABLE_H
#define BASE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The order is the order of every listing. */
enum config_row {
    CONFIG_ROW_POSTGRES,
    CONFIG_ROW_KAFKA_BOOTSTRAP,
    CONFIG_ROW_GROUP,
    CONFIG_ROW_INSTANCE,
    CONFIG_ROW_TOPIC_COMMANDS,
    CONFIG_ROW_TOPIC_RESULTS,
    CONFIG_ROW_TOPIC_DEAD_LETTERS,
    CONFIG_ROW_BATCH_RECORDS,
    CONFIG_ROW_POSTERS,
    CONFIG_ROW_RETENTION_HOURS,
    CONFIG_ROW_ADMIN_LISTEN,
    CONFIG_ROW_LOG_LEVEL,
    CONFIG_ROW_LOG_FORMAT,
    CONFIG_ROW_COUNT
};

enum config_kind { CONFIG_KIND_TEXT, CONFIG_KIND_INTEGER, CONFIG_KIND_CHOICE };

struct config_option {
    const char *name;
    enum config_kind kind;
    const char *fallback;       /* the default; "" also where it is derived later */
    const char *fallback_words; /* the default in words, if `fallback` does not say it */
    bool may_be_empty;
    bool secret;
    int64_t least, most;        /* CONFIG_KIND_INTEGER */
    const char *const *choices; /* CONFIG_KIND_CHOICE; NULL after the last */
    bool (*accepts)(
        const char *text); /* CONFIG_KIND_TEXT, never for an empty one; NULL: any */
    const char *expected;  /* what `accepts` accepts, to follow "expected" */
    const char *help;      /* one sentence */
};

enum {
    CONFIG_NAME_MAX = 100, /* bytes of a setting's name */
    CONFIG_VARIABLE_SIZE = 2 * CONFIG_NAME_MAX + 16,
    CONFIG_EXPECTED_SIZE = 160
};

extern const struct config_option config_table[CONFIG_ROW_COUNT];

/* The row of this name, or CONFIG_ROW_COUNT. */
enum config_row config_table_find(const char *name);
bool config_table_accepts(const struct config_option *option, const char *value);
/* What the option expects, to follow "expected". */
void config_table_expected(const struct config_option *option,
                           char text[CONFIG_EXPECTED_SIZE]);

/* POSTONCE_… for a name, and the name for what follows POSTONCE_. False: it is not one
 * that the rule of CONTRACT §7 produces. */
void config_table_variable(const char *name, char variable[CONFIG_VARIABLE_SIZE]);
bool config_table_name(const char *variable, char name[CONFIG_NAME_MAX + 1]);

/* Names of librdkafka, without "kafka.". */
bool config_table_is_kafka_name(const char *name);
/* librdkafka has several names for some settings; one of them speaks for all. */
const char *config_table_kafka_alias(const char *name);

/* The settings that the guarantee depends on; a row without a name ends them. */
struct config_refusal {
    const char *name; /* never an alias */
    const char *reason;
};
extern const struct config_refusal config_refusals[];
/* Why this setting (no alias) must not be set, or NULL if it may. */
const char *config_table_refusal(const char *name);

#endif
