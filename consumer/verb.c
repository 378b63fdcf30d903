/* verb.c: see verb.h. What every verb needs, and nothing that any verb does. */
#include "consumer/verb.h"

#include <stdarg.h>
#include <stdio.h>

int verb_fail(const struct verb_call *call, enum exit_code code, const char *format, ...)
{
    char sentence[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof(sentence), format, list);
    va_end(list);
    fprintf(stderr, "postonce %s: %s\n", call->verb, sentence);
    return (int)code;
}
