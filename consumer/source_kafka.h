/* source_kafka.h: what the Kafka side of the program knows of the source beyond the port.
 */
#ifndef CONSUMER_SOURCE_KAFKA_H
#define CONSUMER_SOURCE_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "consumer/kafka_conf.h"
#include "consumer/source.h"

/* Joins the group of `config`. NULL and one sentence in `error` for settings that
 * librdkafka does not take. Borrows the configuration. */
struct source *source_kafka_open(const struct config *config,
                                 char error[KAFKA_ERROR_MAX]);
/* The consumer's handle, for the group metadata of a Kafka transaction; any thread. */
rd_kafka_t *source_kafka_handle(struct source *source);
/* How long it may take, in milliseconds, until the group has noticed that a member died
 * and we have been told to join again for what it had: KIP-62's session and heartbeat. */
int64_t source_kafka_handover_ms(const struct source *source);

#endif
