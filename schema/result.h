/* result.h: the bytes of a result (CONTRACT §3): compact JSON, fixed order of fields, no
 * clock. Equal input gives equal bytes; that is what "the same answer" rests on. Pure. */
#ifndef SCHEMA_RESULT_H
#define SCHEMA_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "schema/code.h"
#include "schema/command.h"
#include "schema/intake.h"

enum { RESULT_MAX = 3072 }; /* above the longest possible result; proven by a test */

struct result {
    const struct intake *intake; /* key, operation, client, fields as far as readable */
    enum outcome outcome;
    enum code code;                /* NONE with applied */
    const struct uuid *payment_id; /* applied transfer or refund; else ignored */
    int64_t balance_minor; /* applied: of the account or the debited account after */
};

/* Writes the value of the result; returns its size. The intake MUST have a key. The
 * detail is the intake's own for malformed and the code's sentence for everything else.
 */
size_t result_write(const struct result *result, char bytes[RESULT_MAX]);

#endif
