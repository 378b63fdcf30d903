/* config_print.h: how settings are printed. Only for base/config*.c. */
#ifndef BASE_CONFIG_PRINT_H
#define BASE_CONFIG_PRINT_H

#include <stdbool.h>
#include <stdio.h>

/* One line of `postonce config`. The value is as it is: what is secret of it is hidden
 * here. */
struct config_shown {
    const char *name, *value, *origin;
    bool is_first;
    bool is_number; /* empty = not set */
};

/* As text, or as one member of a JSON object (which the first one opens). */
void config_print_one(const struct config_shown *shown, FILE *out, bool json);

#endif
