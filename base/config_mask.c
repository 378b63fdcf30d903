/* config_mask.c: see config_mask.h. A connection string is masked only where it reads as
 * libpq would read it (conninfo_parse and conninfo_uri_parse_options in fe-connect.c) and
 * nothing in it is unusual; otherwise not a byte of it is shown. Better to hide too much.
 */
#include "base/config_mask.h"

#include <stdbool.h>
#include <string.h>

#include "base/config.h"
#include "base/config_table.h"
#include "base/text_buffer.h"

static const char mask[] = "***";

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* By the words in it, so that settings of later librdkafka versions are covered as well.
 * A location of a key is a path, not the key. */
static bool sounds_secret(const char *name)
{
    static const char *const words[] = {"password", "passphrase", "secret",
                                        "token",    "credential", "oauthbearer.config",
                                        "kinit.cmd"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(name, words[i]) != NULL)
            return true;
    }
    return strstr(name, "key") != NULL && !ends_with(name, ".location") &&
           !ends_with(name, ".keytab");
}

bool config_is_secret(const char *name)
{
    enum config_row row = config_table_find(name);
    return row < CONFIG_ROW_COUNT ? config_table[row].secret : sounds_secret(name);
}

/* The parameters of libpq that are no secrets. Of any other name we are not sure: it may
 * be the second half of a password that should have been quoted. */
static const char *const harmless_parameters[] = {"host",
                                                  "hostaddr",
                                                  "port",
                                                  "dbname",
                                                  "user",
                                                  "service",
                                                  "passfile",
                                                  "connect_timeout",
                                                  "client_encoding",
                                                  "options",
                                                  "application_name",
                                                  "fallback_application_name",
                                                  "keepalives",
                                                  "keepalives_idle",
                                                  "keepalives_interval",
                                                  "keepalives_count",
                                                  "tcp_user_timeout",
                                                  "replication",
                                                  "gssencmode",
                                                  "gssdelegation",
                                                  "sslmode",
                                                  "sslnegotiation",
                                                  "sslcompression",
                                                  "sslcert",
                                                  "sslkey",
                                                  "sslcertmode",
                                                  "sslrootcert",
                                                  "sslcrl",
                                                  "sslcrldir",
                                                  "sslsni",
                                                  "requirepeer",
                                                  "require_auth",
                                                  "channel_binding",
                                                  "ssl_min_protocol_version",
                                                  "ssl_max_protocol_version",
                                                  "min_protocol_version",
                                                  "max_protocol_version",
                                                  "krbsrvname",
                                                  "gsslib",
                                                  "target_session_attrs",
                                                  "load_balance_hosts"};

static bool is_name(const char *bytes, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(bytes, name, size) == 0;
}

static bool is_harmless(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof(harmless_parameters) / sizeof(harmless_parameters[0]);
         i++) {
        if (is_name(name, size, harmless_parameters[i]))
            return true;
    }
    return false;
}

/* Writes the value of one parameter as it may be shown; false: its name is not certain. A
 * value with an `@` may itself be a URI. */
static bool put_parameter(struct text_buffer *out, const char *name, size_t name_size,
                          const char *value, size_t value_size)
{
    bool harmless = is_harmless(name, name_size);
    text_put(out, name, name_size);
    text_put_string(out, "=");
    if (harmless && memchr(value, '@', value_size) == NULL)
        text_put(out, value, value_size);
    else
        text_put_string(out, mask);
    return harmless || is_name(name, name_size, "password") ||
           is_name(name, name_size, "sslpassword");
}

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\n\r\f\v");
}

/* The end of a conninfo value, quotes included; NULL: it does not end as it should. */
static const char *value_end(const char *at)
{
    bool quoted = *at == '\'';
    if (quoted)
        at++;
    while (*at != '\0' && (quoted ? *at != '\'' : strchr(" \t\n\r\f\v", *at) == NULL)) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        at++;
    }
    if (!quoted)
        return at;
    return *at == '\'' ? at + 1 : NULL;
}

/* `name = value` pairs separated by white space. */
static bool mask_conninfo(const char *at, struct text_buffer *out)
{
    for (at = skip_space(at); *at != '\0'; at = skip_space(at)) {
        size_t name_size = strcspn(at, "= \t\n\r\f\v");
        const char *value = skip_space(at + name_size);
        if (*value != '=')
            return false;
        value = skip_space(value + 1);
        const char *end = value_end(value);
        if (end == NULL)
            return false;
        text_put_string(out, out->size > 0 ? " " : "");
        if (!put_parameter(out, at, name_size, value, (size_t)(end - value)))
            return false;
        at = end;
    }
    return true;
}

/* `?name=value&name=value`. */
static bool mask_query(const char *at, struct text_buffer *out)
{
    while (*at != '\0') {
        text_put(out, at, 1); /* `?` or `&` */
        const char *name = at + 1;
        size_t name_size = strcspn(name, "=&");
        const char *value = name + name_size + 1;
        if (name[name_size] != '=')
            return false;
        size_t value_size = strcspn(value, "&");
        if (!put_parameter(out, name, name_size, value, value_size))
            return false;
        at = value + value_size;
    }
    return true;
}

/* What follows `postgresql://`. libpq takes everything before an `@` that comes before
 * any
 * `/` as user and password. */
static bool mask_uri(const char *at, struct text_buffer *out)
{
    size_t user_size = strcspn(at, "@/");
    if (at[user_size] == '@') {
        size_t name_size = strcspn(at, ":@");
        if (memchr(at, '?', name_size) != NULL || memchr(at, '=', name_size) != NULL)
            return false;
        text_put(out, at, name_size);
        if (at[name_size] == ':') {
            text_put_string(out, ":");
            text_put_string(out, mask);
        }
        text_put_string(out, "@");
        at += user_size + 1;
    }
    size_t place_size = strcspn(at, "?");
    /* A second `@`: a password with an `@` or `/` in it that should have been encoded. */
    if (strchr(at, '@') != NULL)
        return false;
    text_put(out, at, place_size);
    return mask_query(at + place_size, out);
}

static bool mask_postgres(const char *value, struct text_buffer *out)
{
    static const char *const schemes[] = {"postgresql://", "postgres://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t size = strlen(schemes[i]);
        if (strncmp(value, schemes[i], size) == 0) {
            text_put(out, value, size);
            return mask_uri(value + size, out);
        }
    }
    return mask_conninfo(value, out);
}

void config_mask(const char *name, const char *value, char shown[CONFIG_SHOWN_SIZE])
{
    struct text_buffer out;
    text_buffer_init(&out, shown, CONFIG_SHOWN_SIZE - 1);
    bool is_postgres = strcmp(name, config_table[CONFIG_ROW_POSTGRES].name) == 0;
    bool sure = true;
    if (value[0] == '\0' || !config_is_secret(name))
        text_put_string(&out, value);
    else
        sure = is_postgres && mask_postgres(value, &out);
    if (!sure || out.overflow) {
        text_buffer_init(&out, shown, CONFIG_SHOWN_SIZE - 1);
        text_put_string(&out, mask);
    }
    shown[out.size] = '\0';
}
