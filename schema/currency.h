/* currency.h: the active ISO 4217 currencies that have a minor unit, with their
 * exponents. The list is part of the version (CONTRACT §1). Pure, static, no allocation.
 */
#ifndef SCHEMA_CURRENCY_H
#define SCHEMA_CURRENCY_H

#include <stddef.h>
#include <stdint.h>

enum { CURRENCY_CODE_SIZE = 3 };

struct currency {
    char code[CURRENCY_CODE_SIZE + 1];
    uint8_t exponent; /* decimals: JPY 0, USD 2, BHD 3, CLF 4 */
};

/* The entry of a code (exact case), or NULL. Entries are static: compare by pointer. */
const struct currency *currency_find(const char *code, size_t size);
/* All entries, sorted by code; for tests and documents. */
extern const struct currency currencies[];
extern const size_t currency_count;

#endif
