/* postonce_fault.c: see postonce_fault.h. Owns the names and meanings of the errors,
 * which come from the one list in postonce.h. Never sees a payload. */
#include "producer/postonce_fault.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *meaning;
} errors[] = {
#define X(suffix, text) [POSTONCE_##suffix] = {#suffix, text},
    POSTONCE_ERRORS(X)
#undef X
};

/* The value may come from a caller's memory, so it is looked at before it is used. */
static bool is_known(enum postonce_error error)
{
    return (size_t)error < sizeof(errors) / sizeof(errors[0]);
}

const char *postonce_error_name(enum postonce_error error)
{
    return is_known(error) ? errors[error].name : "UNKNOWN";
}

const char *postonce_error_meaning(enum postonce_error error)
{
    return is_known(error) ? errors[error].meaning
                           : "an error this version does not know";
}

enum postonce_error postonce_fault_set(struct postonce_fault *fault,
                                       enum postonce_error error, const char *format, ...)
{
    if (fault == NULL)
        return error;
    fault->error = error;
    fault->setting = NULL;
    if (format == NULL) {
        snprintf(fault->sentence, sizeof fault->sentence, "%s",
                 postonce_error_meaning(error));
        return error;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->sentence, sizeof fault->sentence, format, arguments);
    va_end(arguments);
    return error;
}

enum postonce_error postonce_fault_setting(struct postonce_fault *fault,
                                           const char *setting, const char *reason)
{
    postonce_fault_set(fault, POSTONCE_SETTING_INVALID, "%s: %s", setting, reason);
    if (fault != NULL)
        fault->setting = setting;
    return POSTONCE_SETTING_INVALID;
}
