/* postonce_send_tell.h: everything postonce-send prints, and the counts it prints.
 *
 * Results (and keys) go to stdout, one a line; faults to stderr, each one line that names
 * the line of the input; where stderr is a terminal, one line of progress is kept below
 * them. Never prints a command. */
#ifndef PRODUCER_POSTONCE_SEND_TELL_H
#define PRODUCER_POSTONCE_SEND_TELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tell {
    bool await;
    uint64_t sent;      /* handed to Kafka */
    uint64_t delivered; /* reported as there */
    uint64_t answered;
    uint64_t refused;     /* lines that are no commands */
    uint64_t undelivered; /* commands that are not there, or perhaps not */
    uint64_t unanswered;
    bool output_failed; /* stdout takes no more */
    /* private to postonce_send_tell.c */
    bool is_terminal, progress_shown;
    int64_t started_ms, progress_ms;
};

void tell_init(struct tell *tell, bool await);
/* A sentence about the whole run. */
__attribute__((format(printf, 2, 3))) void tell_error(struct tell *tell,
                                                      const char *format, ...);
/* A sentence about one line; key NULL: it has none that could be named. */
void tell_line(struct tell *tell, uint64_t line_number, const char *key,
               const char *reason);
/* A key that is about to be used, out of our hands when this returns; stdout, or stderr
 * with await. False: it could not be printed. */
bool tell_key(struct tell *tell, const char *key);
void tell_result(struct tell *tell, const char *value, size_t size);
/* Lets go of what was printed, and refreshes the progress line when it is time. */
void tell_progress(struct tell *tell);
/* The last line: on a terminal, or when anything failed. */
void tell_summary(struct tell *tell);
/* postonce.h's on_log: librdkafka's own words, as log events; any thread. */
void tell_library_log(int level, const char *facility, const char *text, void *context);

#endif
