/* decode.h: the last step from bytes to a record: verdict, fingerprint, payment id. Knows
 * nothing of Kafka; the source has offered the key headers to record->intake before. */
#ifndef CONSUMER_DECODE_H
#define CONSUMER_DECODE_H

#include <stddef.h>

#include "consumer/core/record.h"
#include "schema/digest.h"

/* Judges the value and derives what a valid command needs. Borrows nothing. */
void decode_value(struct record *record, struct digest *digest, const void *value,
                  size_t size);

#endif
