/* intake.h: from the headers and value of a record to a command, or to the code that says
 * why not. Knows nothing of Kafka. Order of calls: intake_init, intake_key_header for
 * each header that intake_is_key_header names, intake_value once. */
#ifndef SCHEMA_INTAKE_H
#define SCHEMA_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "schema/code.h"
#include "schema/command.h"

enum { INTAKE_DETAIL_MAX = 200 };

struct intake {
    enum code code;  /* CODE_NONE: a valid command; else a malformed code */
    bool has_key;    /* exactly one valid key: command.key is set, a result can be sent */
    bool has_client; /* command.client is readable, also when the command is malformed */
    /* private to intake.c */
    bool header_seen, header_invalid, header_ambiguous;
    struct command command;             /* operation is NONE unless readable */
    char detail[INTAKE_DETAIL_MAX + 1]; /* one sentence if code is set; valid UTF-8 */
};

void intake_init(struct intake *intake);
/* `idempotency-key` or `x-idempotency-key`, compared without case. */
bool intake_is_key_header(const char *name);
/* A key header; value NULL or size 0: a header without value. Borrows nothing. */
void intake_key_header(struct intake *intake, const void *value, size_t size);
/* The record's value (NULL: none) and the verdict: code and detail are final after this.
 * Borrows nothing. Operation and client are set whenever each is readable by itself,
 * whatever else is wrong, except with json_invalid. */
void intake_value(struct intake *intake, const void *value, size_t size);

#endif
