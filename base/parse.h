/* parse.h: numbers and times as a person writes them, read strictly. Pure.
 *
 * The whole text must be what is asked for: no white space, no sign, nothing after it, no
 * overflow. On false the value is untouched. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, 0 … INT64_MAX. */
__attribute__((warn_unused_result)) bool parse_int64(const char *text, size_t size,
                                                     int64_t *value);
/* RFC 3339 date and time, as unix milliseconds: `2026-01-31T12:00:00Z`, with a fraction
 * (cut to milliseconds) or an offset `+01:00`; `t`, `z` and a space for `T` as the RFC
 * allows. No leap seconds: unix time has none. */
__attribute__((warn_unused_result)) bool parse_rfc3339(const char *text, size_t size,
                                                       int64_t *unix_ms);
/* What `--to-time` takes: either of them; a number is unix milliseconds. Never before
 * 1970, because Kafka gives negative timestamps other meanings. */
__attribute__((warn_unused_result)) bool parse_time(const char *text, size_t size,
                                                    int64_t *unix_ms);

#endif
