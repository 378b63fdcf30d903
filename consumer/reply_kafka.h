/* reply_kafka.h: how the Kafka side of the program opens the reply port. */
#ifndef CONSUMER_REPLY_KAFKA_H
#define CONSUMER_REPLY_KAFKA_H

#include "consumer/kafka_conf.h"
#include "consumer/reply.h"
#include "consumer/source.h"

/* Checks the settings and connects to nothing yet: reply_recover() makes it usable. The
 * source lends its group metadata. NULL and one sentence for settings not taken. */
struct reply *reply_kafka_open(const struct config *config, struct source *source,
                               char error[KAFKA_ERROR_MAX]);

#endif
