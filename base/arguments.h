/* arguments.h: the command lines of both programs, read from option tables.
 *
 * A table says what an option is called, whether it takes a value, of which kind, and
 * which options exclude each other; the parser checks all of that, so that a program that
 * gets `true` has nothing left to check but the meaning. Accepts `--name value`,
 * `--name=value`,
 * `-x value`, `-xvalue`, options before and after words, and `--` (words only from there
 * on). Never abbreviates, never prints, never exits: an error is one sentence in `error`.
 */
#ifndef BASE_ARGUMENTS_H
#define BASE_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ARGUMENTS_FOUND_MAX = 256, ARGUMENTS_WORD_MAX = 8, ARGUMENTS_ERROR_MAX = 512 };

enum argument_kind {
    ARGUMENT_FLAG,    /* takes no value */
    ARGUMENT_TEXT,    /* any text */
    ARGUMENT_INTEGER, /* decimal digits, `least` to `most` */
    ARGUMENT_TIME     /* RFC 3339 or unix milliseconds; the number is unix milliseconds */
};

/* One row of a table; a row with neither name nor letter ends it. */
struct argument_option {
    const char *name; /* "to-offset"; NULL: has only a letter */
    char letter;      /* 'c' for -c; 0: has only a name */
    enum argument_kind kind;
    bool repeats;        /* may be given more than once (a flag always may) */
    bool required;       /* it, or another one of its choice, must be given */
    const char *choice;  /* options of the same choice exclude each other; NULL: none */
    int64_t least, most; /* ARGUMENT_INTEGER only; both inclusive */
    const char *value_name; /* "N", for messages and help; NULL for a flag */
    const char *help;       /* one sentence */
};

/* What a command takes. Both tables may be NULL. Borrowed by `struct arguments`. */
struct argument_table {
    const struct argument_option *options;
    const struct argument_option *shared; /* options of every verb: -c, -X, --help */
    const char *word_name;                /* "KEY|PAYMENT_ID"; NULL: takes no words */
    size_t least_words, most_words;
};

/* One option that was given. */
struct argument {
    const struct argument_option *option;
    const char *text; /* the value as given; NULL for a flag; lives as long as argv */
    int64_t number;   /* of ARGUMENT_INTEGER and ARGUMENT_TIME */
};

struct arguments {
    struct argument_table table; /* of the last parse */
    const char *const *argv;
    size_t argc, cursor;
    struct argument found[ARGUMENTS_FOUND_MAX];
    size_t found_count;
    const char *words[ARGUMENTS_WORD_MAX];
    size_t word_count;
    char error[ARGUMENTS_ERROR_MAX];
};

/* Borrows argv, without the program's own name in front. */
void arguments_init(struct arguments *arguments, size_t argc, const char *const *argv);
/* Reads options up to the first word (a verb), which is taken and returned through *word;
 * NULL: there is none. What comes after it is left to arguments_parse. */
__attribute__((warn_unused_result)) bool
arguments_parse_verb(struct arguments *arguments, const struct argument_table *table,
                     const char **word);
/* Reads the rest. False: `error` says which option, and what is expected. An option whose
 * name is "help" or "version" switches off the checks for what is missing. */
__attribute__((warn_unused_result)) bool
arguments_parse(struct arguments *arguments, const struct argument_table *table);

/* The nth (from 0) time that this option was given, by name, or by letter ("X"); NULL: it
 * was not. Asking for an option that is in no table is a fault of ours. */
const struct argument *arguments_find(const struct arguments *arguments, const char *name,
                                      size_t nth);
bool arguments_has(const struct arguments *arguments, const char *name);
/* The value as text, or NULL if the option was not given. */
const char *arguments_text(const struct arguments *arguments, const char *name);
/* The value as number, or `otherwise`. */
int64_t arguments_number(const struct arguments *arguments, const char *name,
                         int64_t otherwise);

/* The table as a help text: one option a line, its sentence beside it. */
void arguments_print_help(const struct argument_option *options, FILE *out);

#endif
