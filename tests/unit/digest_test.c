/* digest_test.c: SHA-256 against published vectors, fingerprints and payment ids against
 * values computed by another program (Python's hashlib), and what makes fingerprints
 * equal. */
#include "schema/digest.h"
#include "schema/intake.h"

#include "tests/unit/test.h"

static struct digest *digest;

static void to_hex(const uint8_t *bytes, size_t size, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 0x0f];
    }
    *hex = '\0';
}

/* FIPS 180-4 examples. */
static const struct {
    const char *text;
    const char *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_vectors(void)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t sha256[DIGEST_SIZE];
        char hex[2 * DIGEST_SIZE + 1];
        test_case(vectors[i].text);
        digest_sha256(digest, vectors[i].text, strlen(vectors[i].text), sha256);
        to_hex(sha256, sizeof(sha256), hex);
        CHECK_TEXT(hex, vectors[i].hex);
    }
}

/* clang-format off */
#define MOVE(client, source, destination, rest)                                  \
    "{\"operation\":\"transfer\",\"client\":\"" client "\",\"source\":\"" source \
    "\",\"destination\":\"" destination "\"," rest "}"
#define TRANSFER(rest) MOVE("m", "a", "b", rest)
#define OPEN(rest)                                                       \
    "{\"operation\":\"open_account\",\"client\":\"m\",\"account\":\"a\"," \
    "\"currency\":\"USD\"" rest "}"
#define REFUND(id)                                                      \
    "{\"operation\":\"refund\",\"client\":\"m\",\"payment_id\":\"" id "\"," \
    "\"amount\":\"1\",\"currency\":\"USD\"}"

/* Values of one group have one fingerprint; different groups have different ones. */
static const struct {
    int group;
    const char *value;
} values[] = {
    /* 0: how the amount is written, white space, order, escapes and the key do not matter
     */
    {0, TRANSFER("\"amount\":\"100.00\",\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":\"100.0\",\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":100,\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":100.00,\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":1e2,\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":0.1E3,\"currency\":\"USD\"")},
    {0, TRANSFER("\"amount\":10000000e-5,\"currency\":\"USD\"")},
    {0, TRANSFER("\"currency\":\"USD\",\"amount\":\"100.00\"")},
    {0, TRANSFER(" \"currency\" : \"\\u0055SD\",\t\"amount\" :\r\n \"100.00\" ")},
    {0, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"idempotency_key\":\"k\"")},
    {0, TRANSFER("\"\\u0061mount\":\"100\",\"currency\":\"USD\"")},
    /* each business field and the client do */
    {1, TRANSFER("\"amount\":\"100.01\",\"currency\":\"USD\"")},
    {2, TRANSFER("\"amount\":\"100\",\"currency\":\"EUR\"")},
    {3, TRANSFER("\"amount\":\"10000\",\"currency\":\"JPY\"")}, /* the minor units of 0 */
    {4, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"reference\":\"r\"")},
    {5, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"reference\":\"r \"")},
    /* U+00E4 and its decomposed form look the same and are not */
    {6, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"reference\":\"\\u00e4\"")},
    {6, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"reference\":\"\xc3\xa4\"")},
    {7, TRANSFER("\"amount\":\"100\",\"currency\":\"USD\",\"reference\":\"a\\u0308\"")},
    {8, MOVE("n", "a", "b", "\"amount\":\"100\",\"currency\":\"USD\"")},
    {9, MOVE("m", "b", "a", "\"amount\":\"100\",\"currency\":\"USD\"")},
    {10, MOVE("m", "a", "c", "\"amount\":\"100\",\"currency\":\"USD\"")},
    {11, MOVE("m", "A", "b", "\"amount\":\"100\",\"currency\":\"USD\"")},
    /* no minimum is 0; null is another thing */
    {20, OPEN("")},
    {20, OPEN(",\"minimum_balance\":0")},
    {20, OPEN(",\"minimum_balance\":-0")},
    {20, OPEN(",\"minimum_balance\":-0.0")},
    {20, OPEN(",\"minimum_balance\":\"0\"")},
    {20, OPEN(",\"minimum_balance\":\"-0\"")},
    {20, OPEN(",\"minimum_balance\":\"0.00\"")},
    {20, OPEN(",\"minimum_balance\":\"-0.00\"")},
    {21, OPEN(",\"minimum_balance\":null")},
    {22, OPEN(",\"minimum_balance\":\"-0.01\"")},
    {22, OPEN(",\"minimum_balance\":-0.01")},
    {22, OPEN(",\"minimum_balance\":-1e-2")},
    {23, OPEN(",\"minimum_balance\":\"-500.00\"")},
    {23, OPEN(",\"minimum_balance\":-500")},
    /* a payment id is its bytes */
    {30, REFUND("0192f0c1-abcd-7ef0-8123-456789abcdef")},
    {30, REFUND("0192F0C1-ABCD-7EF0-8123-456789ABCDEF")},
    {31, REFUND("0192f0c1-abcd-7ef0-8123-456789abcdee")},
};
/* clang-format on */

enum { VALUE_COUNT = sizeof(values) / sizeof(values[0]) };

static void fingerprint_of(const char *value, uint8_t fingerprint[DIGEST_SIZE])
{
    struct intake intake;
    test_case(value);
    intake_init(&intake);
    intake_key_header(&intake, "k", 1);
    intake_value(&intake, value, strlen(value));
    CHECK_TEXT(intake.detail, "");
    digest_fingerprint(digest, &intake.command, fingerprint);
}

static void test_groups(void)
{
    uint8_t fingerprints[VALUE_COUNT][DIGEST_SIZE];
    for (size_t i = 0; i < VALUE_COUNT; i++)
        fingerprint_of(values[i].value, fingerprints[i]);
    for (size_t i = 0; i < VALUE_COUNT; i++)
        for (size_t j = 0; j < i; j++) {
            bool is_equal = memcmp(fingerprints[i], fingerprints[j], DIGEST_SIZE) == 0;
            test_case(values[i].value);
            CHECK_INT(is_equal, values[i].group == values[j].group);
        }
}

/* A context that is used again must not remember what was before. */
static void test_reuse(void)
{
    uint8_t first[DIGEST_SIZE], again[DIGEST_SIZE];
    test_case("reuse");
    digest_sha256(digest, "abc", 3, first);
    digest_sha256(digest, "other", 5, again);
    CHECK(memcmp(first, again, DIGEST_SIZE) != 0);
    digest_sha256(digest, "abc", 3, again);
    CHECK_BYTES(again, DIGEST_SIZE, first, DIGEST_SIZE);
    digest_free(NULL);
}

/* python3 -c 'import hashlib; print(hashlib.sha256(b"order-1").hexdigest()[:20])' gives
 * 0bafe22156d2698c143b, the ten bytes before version and variant are set. */
static const struct {
    int64_t timestamp_ms;
    const char *key;
    const char *payment_id;
} payments[] = {
    {0, "order-1", "00000000-0000-7baf-a221-56d2698c143b"},
    {-1, "order-1", "00000000-0000-7baf-a221-56d2698c143b"},
    {INT64_MIN, "order-1", "00000000-0000-7baf-a221-56d2698c143b"},
    {1, "order-1", "00000000-0001-7baf-a221-56d2698c143b"},
    {1730000000000, "order-1", "0192cc09-1400-7baf-a221-56d2698c143b"},
    {1730000000000, "order-2", "0192cc09-1400-7d5e-b106-cd72ba03fede"},
    {281474976710655, "order-1", "ffffffff-ffff-7baf-a221-56d2698c143b"},
};

static void test_payment_ids(void)
{
    for (size_t i = 0; i < sizeof(payments) / sizeof(payments[0]); i++) {
        struct uuid uuid;
        char text[UUID_TEXT_SIZE + 1];
        test_case(payments[i].payment_id);
        digest_payment_id(digest, payments[i].timestamp_ms, payments[i].key, &uuid);
        uuid_format(&uuid, text);
        CHECK_TEXT(text, payments[i].payment_id);
    }
}

int main(void)
{
    digest = digest_new();
    test_vectors();
    test_groups();
    test_reuse();
    test_payment_ids();
    digest_free(digest);
    return test_end();
}
