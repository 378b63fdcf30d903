/* kafka_record.c: see kafka_record.h. */
#include "consumer/kafka_record.h"

#include <string.h>

#include "consumer/decode.h"

/* Returns the bytes of all headers. */
static size_t offer_keys(struct intake *intake, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    const char *name;
    const void *value;
    size_t size, all = 0;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) ==
                       RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        all += strlen(name) + size;
        if (intake_is_key_header(name))
            intake_key_header(intake, value, size);
    }
    return all;
}

static int64_t timestamp_of(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms;
}

void kafka_record_read(struct record *record, struct digest *digest,
                       rd_kafka_message_t *message)
{
    record->partition = message->partition;
    record->offset = message->offset;
    record->timestamp_ms = timestamp_of(message);
    record->poisoned = false;
    record->origin = message;
    intake_init(&record->intake);
    record->size = message->len + message->key_len + offer_keys(&record->intake, message);
    decode_value(record, digest, message->payload, message->len);
}
