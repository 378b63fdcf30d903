/* port.c: see port.h. */
#include "consumer/core/port.h"

#include "base/must.h"

const char *port_status_name(enum port_status status)
{
    static const char *const names[PORT_STATUS_COUNT] = {
        [PORT_OK] = "ok",
        [PORT_RETRY] = "retry",
        [PORT_IN_DOUBT] = "in_doubt",
        [PORT_FENCED] = "fenced",
        [PORT_REFUSED] = "refused",
        [PORT_FATAL] = "fatal",
    };
    MUST((unsigned)status < PORT_STATUS_COUNT);
    return names[status];
}
