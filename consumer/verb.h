/* verb.h: what main.c and the verbs of `postonce` agree on (CONTRACT §6).
 *
 * main.c owns the command line and the configuration: when a verb runs, its options are
 * parsed and checked against its table in main.c, the configuration is read, checked and
 * borrowed for the length of the call, and logging is set up. A verb opens what it needs,
 * prints results to stdout and errors to stderr, and returns the exit code of the
 * program. A verb never calls exit() and never reads argv or the environment. */
#ifndef CONSUMER_VERB_H
#define CONSUMER_VERB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arguments.h"
#include "base/config.h"
#include "base/exit_code.h"

struct verb_call {
    const char *verb; /* "rewind": for messages */
    const struct config *config;
    /* Options by name, as in the table below: arguments_has(call->arguments, "json"),
     * arguments_number(call->arguments, "to-offset", -1), arguments_text(...);
     * words[0 … word_count) are the positional arguments. */
    const struct arguments *arguments;
};

/* The options of each verb, by name. What must not be missing, stand together or be out
 * of range is refused before a verb runs. migrate: check, json consume: until-end lookup:
 * json; words[0] is the key or payment id rewind:  exactly one of to-offset (number from
 * 0), to-time (number: unix milliseconds), to-earliest; partition (number 0 … INT32_MAX),
 * execute, json config:  json audit: topic, never-rewound, limit (number 1 to 10000),
 * digest, json */
int verb_migrate(const struct verb_call *call);
int verb_consume(const struct verb_call *call);
int verb_lookup(const struct verb_call *call);
int verb_rewind(const struct verb_call *call);
int verb_audit(const struct verb_call *call);
int verb_config(const struct verb_call *call);

/* Prints `postonce VERB: SENTENCE` and a newline to stderr as one write, and returns
 * `code`, so that a verb can end with `return verb_fail(call, EXIT_CODE_USAGE, "…")`. */
__attribute__((format(printf, 3, 4))) int
verb_fail(const struct verb_call *call, enum exit_code code, const char *format, ...);

#endif
