/* kafka_conf.h: librdkafka configurations, from what the guarantee needs, what was
 * measured to be good, and what the operator set, in this order: good defaults, then
 * `kafka.*`, then the settings that the guarantee depends on (which config.h refuses to
 * take from outside). */
#ifndef CONSUMER_KAFKA_CONF_H
#define CONSUMER_KAFKA_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "base/config.h"

enum kafka_role { KAFKA_CONSUMER, KAFKA_PRODUCER, KAFKA_INSPECTOR };

enum { KAFKA_ERROR_MAX = 512 };

/* A configuration the caller owns, or NULL and one sentence in `error` that names the
 * setting and its origin. INSPECTOR: a consumer outside the group, for operator verbs. */
rd_kafka_conf_t *kafka_conf_new(const struct config *config, enum kafka_role role,
                                char error[KAFKA_ERROR_MAX]);
/* The error callback of every handle: information only, logged. */
void kafka_conf_log_error(rd_kafka_t *handle, int code, const char *reason, void *opaque);
/* rd_kafka_new, which takes the configuration over in any case; NULL and a sentence. */
rd_kafka_t *kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
                             char error[KAFKA_ERROR_MAX]);

/* The producer's last transaction was committed: faults in its log are news again. */
void kafka_conf_transaction_went_well(void);

#endif
