/* pg_conninfo.c: see pg_conninfo.h. */
#include "consumer/pg_conninfo.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <string.h>

/* A password in a URI whose @, : or / are not percent-encoded ends up in host or port. */
static bool is_sound_place(const PQconninfoOption *option)
{
    if (option->val == NULL)
        return true;
    if (strcmp(option->keyword, "host") == 0)
        return strchr(option->val, '@') == NULL;
    return strcmp(option->keyword, "port") != 0 ||
           option->val[strspn(option->val, "0123456789,")] == '\0';
}

const char *pg_conninfo_fault(const char *postgres)
{
    if (strchr(postgres, '=') == NULL && strstr(postgres, "://") == NULL)
        return NULL;
    PQconninfoOption *options = PQconninfoParse(postgres, NULL);
    const char *fault =
        options == NULL ? "the setting `postgres` is no connection string or URI of libpq"
                        : NULL;
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++)
        if (!is_sound_place(option))
            fault = "the setting `postgres` has a host or a port that can be none; in a "
                    "URI, @ : and / within a password are written %40 %3A and %2F";
    PQconninfoFree(options);
    return fault;
}
