/* money.h: decimal text to minor units and back, digit by digit. Never a double. Pure.
 *
 * An amount is a decimal without sign, CONTRACT §1: (0|[1-9][0-9]*)(\.[0-9]+)? with no
 * more decimals than the currency has, at most 10^15-1 minor units. */
#ifndef SCHEMA_MONEY_H
#define SCHEMA_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MONEY_MAX_MINOR INT64_C(999999999999999)
enum { MONEY_TEXT_MAX = 24 };

/* Reads an unsigned amount (0 is allowed here). False: not such a text, or out of range.
 */
bool money_parse(const char *text, size_t size, unsigned exponent, int64_t *minor);
/* Reads an amount ≤ 0: "0", "-0", "-500.00". False for anything above 0. */
bool money_parse_not_positive(const char *text, size_t size, unsigned exponent,
                              int64_t *minor);
/* Writes exactly `exponent` decimals (18 at most) and a NUL; returns the length. Any
 * int64 is fine. */
size_t money_format(int64_t minor, unsigned exponent, char text[MONEY_TEXT_MAX]);
/* left + right; false (and *sum untouched) when it leaves int64. */
bool money_add(int64_t left, int64_t right, int64_t *sum);
bool money_subtract(int64_t left, int64_t right, int64_t *difference);

#endif
