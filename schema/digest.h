/* digest.h: SHA-256 from OpenSSL's libcrypto, and what postonce builds from it.
 *
 * A digest context is fetched once and reused; one per thread. */
#ifndef SCHEMA_DIGEST_H
#define SCHEMA_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "schema/command.h"
#include "schema/uuid.h"

enum { DIGEST_SIZE = 32 };

struct digest;

/* Never NULL: a library that cannot do SHA-256 ends the process. */
struct digest *digest_new(void);
void digest_free(struct digest *digest); /* NULL is fine */
void digest_sha256(struct digest *digest, const void *bytes, size_t size,
                   uint8_t sha256[DIGEST_SIZE]);
/* SHA-256 of the canonical form. */
void digest_fingerprint(struct digest *digest, const struct command *command,
                        uint8_t fingerprint[DIGEST_SIZE]);
/* CONTRACT §2 payment_id: version 7 of the record's timestamp (below 0: taken as 0) and
 * the first ten bytes of SHA-256(key). */
void digest_payment_id(struct digest *digest, int64_t timestamp_ms, const char *key,
                       struct uuid *payment_id);

#endif
