/* kafka_message.h: results and dead letters as Kafka messages with their headers
 * (CONTRACT §3, §4). Knows nothing of transactions: it builds headers and hands messages
 * to a producer. */
#ifndef CONSUMER_KAFKA_MESSAGE_H
#define CONSUMER_KAFKA_MESSAGE_H

#include <librdkafka/rdkafka.h>

#include "consumer/batch.h"

/* Where messages go and where the commands came from. */
struct kafka_message_target {
    rd_kafka_t *producer;
    rd_kafka_topic_t *results; /* NULL: no results are wanted */
    rd_kafka_topic_t *letters;
    const char *command_topic;
};

/* Queue the result, or the dead letter, of one record if it has one; a full queue is
 * waited for. Key and value are copied. An error is returned as librdkafka gives it. */
rd_kafka_resp_err_t kafka_message_result(const struct kafka_message_target *target,
                                         const struct record *record,
                                         const struct answer *answer);
rd_kafka_resp_err_t kafka_message_letter(const struct kafka_message_target *target,
                                         const struct record *record,
                                         const struct answer *answer);

#endif
