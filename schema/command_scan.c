/* command_scan.c: see command_scan.h. */
#include "schema/command_scan.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' ||
                                    *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

static bool take_at_once(struct scan *scan, char byte)
{
    if (scan->at == scan->end || *scan->at != byte)
        return false;
    scan->at++;
    return true;
}

static bool take(struct scan *scan, char byte)
{
    skip_space(scan);
    return take_at_once(scan, byte);
}

static bool is_plain(char byte)
{
    return byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\';
}

static bool take_string(struct scan *scan, const char **text, size_t *size)
{
    if (!take(scan, '"'))
        return false;
    *text = scan->at;
    while (scan->at < scan->end && is_plain(*scan->at))
        scan->at++;
    *size = (size_t)(scan->at - *text);
    return take_at_once(scan, '"');
}

enum field command_scan_field(const char *name, size_t size)
{
    static const struct {
        const char *name;
        size_t size;
    } names[] = {
#define X(suffix, field) {#field, sizeof(#field) - 1},
        COMMAND_FIELDS(X)
#undef X
    };
    unsigned field = 0;
    while (field < FIELD_COUNT &&
           (names[field].size != size || memcmp(names[field].name, name, size) != 0))
        field++;
    return (enum field)field;
}

static bool take_member(struct scan *scan, struct command_json *json)
{
    const char *name;
    size_t size;
    struct json_value value = {.kind = VALUE_KIND_STRING};
    if (!take_string(scan, &name, &size) || !take(scan, ':') ||
        !take_string(scan, &value.text, &value.size))
        return false;
    enum field field = command_scan_field(name, size);
    if (field == FIELD_COUNT || (json->present & 1U << field) != 0)
        return false;
    json->present |= 1U << field;
    json->values[field] = value;
    return true;
}

bool command_scan(struct command_json *json, const char *value, size_t size)
{
    struct scan scan = {value, value + size};
    memset(json, 0, sizeof(*json));
    if (!take(&scan, '{'))
        return false;
    do {
        if (!take_member(&scan, json))
            return false;
    } while (take(&scan, ','));
    if (!take(&scan, '}'))
        return false;
    skip_space(&scan);
    return scan.at == scan.end;
}
