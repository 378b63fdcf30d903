/* record.h: one record of the command topic, decoded: coordinates, command or refusal,
 * and what is derived from them. Plain data. */
#ifndef CONSUMER_CORE_RECORD_H
#define CONSUMER_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/command.h"
#include "schema/intake.h"
#include "schema/uuid.h"

struct record {
    int32_t partition;
    bool poisoned; /* Postgres refuses this very record: the outcome is poison */
    int64_t offset;
    int64_t timestamp_ms; /* of the record; -1: it has none */
    int64_t
        follows;   /* the position before it: everything below must be decided already */
    int64_t epoch; /* of the claim under which it was read */
    void *origin;  /* what the source gave us, released by source_release() */
    size_t size;   /* bytes that origin holds: key, value and headers */
    struct uuid payment_id;                        /* set for valid commands */
    uint8_t fingerprint[COMMAND_FINGERPRINT_SIZE]; /* set for valid commands */
    struct intake intake;
};

#endif
