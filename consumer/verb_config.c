/* verb_config.c: `postonce config`: the effective configuration, the origin of each
 * value, secrets masked (CONTRACT §6). Asks nobody: that main.c could read it is all it
 * proves. */
#include <stdio.h>

#include "consumer/kafka_inspect.h"
#include "consumer/verb.h"

int verb_config(const struct verb_call *call)
{
    char error[KAFKA_INSPECT_ERROR_MAX];
    if (!kafka_inspect_settings(call->config, error))
        return verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    config_print(call->config, stdout, arguments_has(call->arguments, "json"));
    return EXIT_CODE_DONE;
}
