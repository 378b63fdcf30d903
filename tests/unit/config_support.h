/* config_support.h: what the tests of the configuration share: a file to read from, one
 * variable, and looking at what was printed. */
#ifndef TESTS_UNIT_CONFIG_SUPPORT_H
#define TESTS_UNIT_CONFIG_SUPPORT_H

#include "base/config.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char file_path[256];

static inline void make_file(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(file_path, sizeof(file_path), "%s/postonce_config_XXXXXX",
             folder != NULL ? folder : "/tmp");
    int file = mkstemp(file_path);
    CHECK(file >= 0);
    close(file);
}

static inline bool read_bytes(struct config *config, const char *bytes, size_t size)
{
    FILE *file = fopen(file_path, "w");
    CHECK(file != NULL && fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
    return config_read_file(config, file_path);
}

static inline bool read_text(struct config *config, const char *text)
{
    return read_bytes(config, text, strlen(text));
}

static inline bool read_variable(struct config *config, const char *variable)
{
    char copy[8192];
    char *environment[] = {copy, NULL};
    snprintf(copy, sizeof(copy), "%s", variable);
    return config_read_environment(config, environment);
}

static inline void check_contains(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        CHECK(true);
    else
        CHECK_TEXT(text, part);
}

static inline void check_lacks(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        CHECK(true);
    else
        CHECK_TEXT(text, "(a text without the secret)");
}

/* What config_print says. The caller frees it. */
static inline char *printed(const struct config *config, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    config_print(config, out, json);
    fclose(out);
    return text;
}

/* The value of a property, or "(none)". */
static inline const char *property_of(const struct config *config, const char *name)
{
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(config, i)) != NULL; i++) {
        if (strcmp(property->name, name) == 0)
            return property->value;
    }
    return "(none)";
}

/* ---- cases ---- */

#endif
