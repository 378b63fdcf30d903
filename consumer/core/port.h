/* port.h: what a call to the world can come back with. Decided by SQLSTATE and Kafka
 * error code, never by text. The adapter that knows the details logs them once. */
#ifndef CONSUMER_CORE_PORT_H
#define CONSUMER_CORE_PORT_H

enum port_status {
    PORT_OK,
    PORT_RETRY,    /* nothing happened; the same call may succeed later */
    PORT_IN_DOUBT, /* it may have happened: look before doing it again */
    PORT_FENCED,   /* somebody else owns what we thought was ours */
    PORT_REFUSED,  /* the database refuses this very data: bisect to the record */
    PORT_FATAL,    /* only a new process, or an operator, can go on */
    PORT_STATUS_COUNT
};

const char *port_status_name(enum port_status status);

#endif
