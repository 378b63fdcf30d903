/* code.c: see code.h.
 *
 * Owns the tables that the lists OUTCOMES and CODES of the header expand to, and nothing
 * else: a name, a sentence or an outcome is never written anywhere but in those lists.
 * Pure; no heap. */
#include "schema/code.h"

#include <string.h>

/* NONE has an empty name, so that no name finds it and a slip prints nothing. */
/* clang-format off */
static const char *const outcome_names[OUTCOME_COUNT] = {
    [OUTCOME_NONE] = "",
#define X(suffix, name) [OUTCOME_##suffix] = #name,
    OUTCOMES(X)
#undef X
};
/* clang-format on */

struct code_entry {
    const char *name;
    const char *sentence;
    enum outcome outcome;
};

static const struct code_entry codes[CODE_COUNT] = {
    [CODE_NONE] = {"", "", OUTCOME_APPLIED},
#define X(suffix, name, outcome, text) [CODE_##suffix] = {#name, text, OUTCOME_##outcome},
    CODES(X)
#undef X
};

const char *outcome_name(enum outcome outcome)
{
    return outcome_names[outcome];
}

const char *code_name(enum code code)
{
    return codes[code].name;
}

const char *code_sentence(enum code code)
{
    return codes[code].sentence;
}

enum outcome code_outcome(enum code code)
{
    return codes[code].outcome;
}

static bool is_name(const char *known, const char *name, size_t size)
{
    return strlen(known) == size && memcmp(known, name, size) == 0;
}

enum outcome outcome_find(const char *name, size_t size)
{
    for (unsigned i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++)
        if (is_name(outcome_names[i], name, size))
            return (enum outcome)i;
    return OUTCOME_NONE;
}

enum code code_find(const char *name, size_t size)
{
    for (unsigned i = CODE_NONE + 1; i < CODE_COUNT; i++)
        if (is_name(codes[i].name, name, size))
            return (enum code)i;
    return CODE_NONE;
}
