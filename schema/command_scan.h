/* command_scan.h: the short way through a command's JSON; private to command_json.c.
 *
 * Nearly every sender writes one flat object of strings without escapes. Such a value is
 * read where it lies, without the tree that jansson makes of it, which was a third of
 * what the consumer spent on a command. Whatever is in any way else is left to jansson:
 * this file refuses nothing, it only declines. */
#ifndef SCHEMA_COMMAND_SCAN_H
#define SCHEMA_COMMAND_SCAN_H

#include "schema/command_json.h"

/* The field of this name, or FIELD_COUNT. */
enum field command_scan_field(const char *name, size_t size);
/* True: `value` is one object (RFC 8259) whose names are fields, each there once, and
 * whose values are strings of printable ASCII without escapes; `json` holds them,
 * borrowed from `value`, and command_json_close is due. False: it is not, or may not be;
 * `json` holds nothing of use. */
bool command_scan(struct command_json *json, const char *value, size_t size);

#endif
