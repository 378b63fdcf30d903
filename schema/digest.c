/* digest.c: see digest.h.
 *
 * Owns one OpenSSL context for SHA-256. The algorithm is fetched once and the context
 * used again: fetching it for each command costs more than hashing does. Never fails: a
 * library that cannot do SHA-256 leaves nothing to go on with. */
#include "schema/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/must.h"

struct digest {
    EVP_MD *sha256;      /* owned */
    EVP_MD_CTX *context; /* owned */
};

struct digest *digest_new(void)
{
    struct digest *digest = OPENSSL_zalloc(sizeof(*digest));
    MUST(digest != NULL);
    digest->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->context = EVP_MD_CTX_new();
    MUST(digest->sha256 != NULL && digest->context != NULL);
    return digest;
}

void digest_free(struct digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->sha256);
    OPENSSL_free(digest);
}

void digest_sha256(struct digest *digest, const void *bytes, size_t size,
                   uint8_t sha256[DIGEST_SIZE])
{
    unsigned written = 0;
    MUST(EVP_DigestInit_ex2(digest->context, digest->sha256, NULL) == 1);
    MUST(EVP_DigestUpdate(digest->context, bytes, size) == 1);
    MUST(EVP_DigestFinal_ex(digest->context, sha256, &written) == 1);
    MUST(written == DIGEST_SIZE);
}

void digest_fingerprint(struct digest *digest, const struct command *command,
                        uint8_t fingerprint[DIGEST_SIZE])
{
    uint8_t canonical[COMMAND_CANONICAL_MAX];
    size_t size = command_canonical(command, canonical);
    digest_sha256(digest, canonical, size, fingerprint);
}

void digest_payment_id(struct digest *digest, int64_t timestamp_ms, const char *key,
                       struct uuid *payment_id)
{
    uint8_t sha256[DIGEST_SIZE];
    digest_sha256(digest, key, strlen(key), sha256);
    uuid_v7(timestamp_ms < 0 ? 0 : timestamp_ms, sha256, payment_id);
}
