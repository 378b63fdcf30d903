/* port.c: see port.h. */
#include "consumer/port.h"

const char *port_status_name(enum port_status status)
{
    switch (status) {
    case PORT_OK:
        return "ok";
    case PORT_RETRY:
        return "retry";
    case PORT_IN_DOUBT:
        return "in_doubt";
    case PORT_FENCED:
        return "fenced";
    case PORT_REFUSED:
        return "refused";
    case PORT_FATAL:
        return "fatal";
    }
    return "unknown";
}
