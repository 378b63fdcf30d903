/* decode.c: see decode.h. */
#include "consumer/decode.h"

void decode_value(struct record *record, struct digest *digest, const void *value,
                  size_t size)
{
    struct intake *intake = &record->intake;
    intake_value(intake, value, size);
    if (intake->code != CODE_NONE)
        return;
    digest_fingerprint(digest, &intake->command, record->fingerprint);
    digest_payment_id(digest, record->timestamp_ms, intake->command.key,
                      &record->payment_id);
}
