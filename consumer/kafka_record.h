/* kafka_record.h: from a Kafka message of the command topic to a record, the same for
 * whoever reads commands. */
#ifndef CONSUMER_KAFKA_RECORD_H
#define CONSUMER_KAFKA_RECORD_H

#include <librdkafka/rdkafka.h>

#include "consumer/core/record.h"
#include "schema/digest.h"

/* Fills everything but `follows` and `epoch`; the message becomes the record's origin and
 * still belongs to the caller. */
void kafka_record_read(struct record *record, struct digest *digest,
                       rd_kafka_message_t *message);

#endif
