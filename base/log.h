/* log.h: structured logs on stderr, one line an event: `key=value` text, or JSON.
 *
 * Never a payload, never a secret. Thread-safe: a line is one write(2). Business
 * identifiers that come from outside (keys) are escaped and bounded. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_FATAL };

struct log_field {
    const char *name; /* NULL ends a list */
    enum { LOG_TEXT, LOG_INT, LOG_BYTES } type;
    const char *text; /* NULL: the field is left out */
    int64_t number;   /* LOG_INT; for LOG_BYTES the size of text */
};

#define LOG_T(name_, text_) ((struct log_field){(name_), LOG_TEXT, (text_), 0})
#define LOG_I(name_, number_) \
    ((struct log_field){(name_), LOG_INT, NULL, (int64_t)(number_)})
#define LOG_B(name_, bytes_, size_) \
    ((struct log_field){(name_), LOG_BYTES, (bytes_), (int64_t)(size_)})
#define LOG_END ((struct log_field){NULL, LOG_TEXT, NULL, 0})

/* Text and info until called. False: no such level or format. Before any thread starts.
 */
bool log_configure(const char *level, const char *format);
bool log_is_on(enum log_level level);
/* One event: a snake_case event name, one sentence, and fields up to LOG_END. */
void log_fields(enum log_level level, const char *event, const char *sentence,
                const struct log_field *fields);
#define log_event(level, event, sentence, ...) \
    log_fields((level), (event), (sentence),   \
               (const struct log_field[]){__VA_ARGS__, LOG_END})
/* The same without fields: C17 has no empty __VA_ARGS__. */
#define log_note(level, event, sentence) \
    log_fields((level), (event), (sentence), (const struct log_field[]){LOG_END})

/* For faults in a retry loop: true on the 1st, 2nd, 4th, 8th … call. */
bool log_is_due(uint64_t *count);

#endif
