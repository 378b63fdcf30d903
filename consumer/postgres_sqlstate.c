/* postgres_sqlstate.c: see postgres_sqlstate.h. */
#include "consumer/postgres_sqlstate.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define ADVICE_LOGIN "check user, password and database in the setting `postgres`"
#define ADVICE_SCHEMA \
    "is the schema the one of this version? `postonce migrate --check` tells"

/* The first row that fits. A fault that would meet every record alike must never be
 * REFUSED: it would turn one record after the other into poison. */
static const struct sqlstate_verdict verdicts[] = {
    /* Our own, raised by postonce.must_hit(): the fence, and an account that has moved.
     * */
    {"ZP001", NULL, PORT_FENCED, false, NULL},
    {"ZP002", NULL, PORT_RETRY, false, NULL},
    /* A payment id twice is our bug: redoing it would not end. Any other duplicate means
     * that a concurrent twin committed first, which the next lookup will see. */
    {"23505", "transfer_pkey", PORT_REFUSED, false, NULL},
    {"23505", NULL, PORT_RETRY, false, NULL},
    {"40", NULL, PORT_RETRY, false, NULL},    /* serialization, deadlock */
    {"55P03", NULL, PORT_RETRY, false, NULL}, /* lock not available in time */
    {"57014", NULL, PORT_RETRY, false, NULL}, /* statement timeout, cancelled */
    /* The world's: connection, resources, operator intervention, I/O. */
    {"08", NULL, PORT_RETRY, true, NULL},
    {"53", NULL, PORT_RETRY, true, NULL},
    {"55", NULL, PORT_RETRY, true, NULL},
    {"57", NULL, PORT_RETRY, true, NULL},
    {"58", NULL, PORT_RETRY, true, NULL},
    {"25006", NULL, PORT_RETRY, true, "the server is read-only; is it a standby?"},
    {"25", NULL, PORT_RETRY, true,
     NULL}, /* idle in transaction for too long, and the like */
    {"26", NULL, PORT_RETRY, true,
     "prepared statements have vanished; connect without a transaction pooler"},
    {"28", NULL, PORT_FATAL, true, ADVICE_LOGIN},
    {"3D", NULL, PORT_FATAL, true, ADVICE_LOGIN},
    {"42501", NULL, PORT_FATAL, true,
     "to consume or look up, the role that logs in must be granted `postonce_consumer`; "
     "to "
     "migrate, it must own the schema `postonce` or be allowed to create it"},
    {"42", NULL, PORT_FATAL, true, ADVICE_SCHEMA},
    {"3F", NULL, PORT_FATAL, true, ADVICE_SCHEMA},
    {"0A", NULL, PORT_FATAL, true, ADVICE_SCHEMA},
    {"54", NULL, PORT_FATAL, true, "the server has reached a limit; see its log"},
    {"F0", NULL, PORT_FATAL, true, "the server's configuration is damaged; see its log"},
    {"XX", NULL, PORT_FATAL, true, "the server has an internal error; see its log"},
    {"", NULL, PORT_REFUSED, false, NULL},
};

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const struct sqlstate_verdict *postgres_sqlstate_judge(const char *sqlstate,
                                                       const char *constraint)
{
    const struct sqlstate_verdict *verdict = verdicts;
    for (;; verdict++) {
        if (!begins_with(sqlstate, verdict->prefix))
            continue;
        if (verdict->constraint == NULL)
            return verdict;
        if (constraint != NULL && strcmp(constraint, verdict->constraint) == 0)
            return verdict;
    }
}

bool postgres_sqlstate_may_quote_data(const char *sqlstate)
{
    return begins_with(sqlstate, "22") || begins_with(sqlstate, "P0");
}

static bool is_sqlstate(const char *text)
{
    for (int i = 0; i < SQLSTATE_SIZE; i++)
        if (!isupper((unsigned char)text[i]) && !isdigit((unsigned char)text[i]))
            return false;
    return begins_with(&text[SQLSTATE_SIZE], ": ");
}

const char *postgres_sqlstate_find_in_login(const char *message,
                                            char sqlstate[SQLSTATE_SIZE + 1])
{
    static const char before[] = ":  ";
    const char *sentence = NULL;
    const char *at = message;
    while ((at = strstr(at, before)) != NULL) {
        at += sizeof before - 1;
        if (!is_sqlstate(at))
            continue;
        memcpy(sqlstate, at, SQLSTATE_SIZE);
        sqlstate[SQLSTATE_SIZE] = '\0';
        sentence = at + SQLSTATE_SIZE + 2;
    }
    return sentence;
}
