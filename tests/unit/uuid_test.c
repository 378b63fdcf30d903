/* uuid_test.c: the text form in both directions and the bits of version 7. */
#include "schema/uuid.h"

#include "tests/unit/test.h"

static const struct {
    const char *text;
    const char *lower; /* NULL: refused */
} texts[] = {
    {"00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"},
    {"00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"},
    {"0192F0c1-abCD-7eF0-8123-456789AbCdEf", "0192f0c1-abcd-7ef0-8123-456789abcdef"},
    {"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"},
    {"ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
    {"", NULL},
    {"00112233-4455-6677-8899-aabbccddeef", NULL},
    {"00112233-4455-6677-8899-aabbccddeefff", NULL},
    {"00112233-4455-6677-8899-aabbccddeeff ", NULL},
    {" 0112233-4455-6677-8899-aabbccddeeff", NULL},
    {"{0112233-4455-6677-8899-aabbccddeef}", NULL},
    {"00112233445566778899aabbccddeeff0000", NULL},
    {"00112233-4455-6677-8899aaabbccddeeff", NULL},
    {"0011223-34455-6677-8899-aabbccddeeff", NULL},
    {"00112233+4455-6677-8899-aabbccddeeff", NULL},
    {"00112233-4455+6677-8899-aabbccddeeff", NULL},
    {"00112233-4455-6677+8899-aabbccddeeff", NULL},
    {"00112233-4455-6677-8899+aabbccddeeff", NULL},
    {"0011223g-4455-6677-8899-aabbccddeeff", NULL},
    {"g0112233-4455-6677-8899-aabbccddeeff", NULL},
    {"0011223G-4455-6677-8899-aabbccddeeff", NULL},
    /* the neighbours of the digits in ASCII */
    {"0011223/-4455-6677-8899-aabbccddeeff", NULL},
    {"0011223:-4455-6677-8899-aabbccddeeff", NULL},
    {"0011223@-4455-6677-8899-aabbccddeeff", NULL},
    {"0011223`-4455-6677-8899-aabbccddeeff", NULL},
    {"00112233-4455-6677-8899-aabbccddee\xc3\xbc", NULL},
};

static const struct {
    int64_t unix_ms;
    uint8_t tail[UUID_TAIL_SIZE];
    const char *text;
} sevens[] = {
    /* the example of RFC 9562 appendix A.6 */
    {0x017F22E279B0,
     {0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f},
     "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"},
    {0, {0}, "00000000-0000-7000-8000-000000000000"},
    {0xffffffffffff,
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     "ffffffff-ffff-7fff-bfff-ffffffffffff"},
    /* only the low 48 bits count */
    {0x7fff000000000001, {0}, "00000000-0001-7000-8000-000000000000"},
    {-1, {0}, "ffffffff-ffff-7000-8000-000000000000"},
    {0x010203040506,
     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
     "01020304-0506-7102-8304-05060708090a"},
};

static void test_texts(void)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct uuid uuid;
        char text[UUID_TEXT_SIZE + 1];
        memset(&uuid, 0xa5, sizeof(uuid));
        struct uuid before = uuid;
        bool is_read = uuid_parse(texts[i].text, strlen(texts[i].text), &uuid);
        test_case(texts[i].text);
        CHECK_INT(is_read, texts[i].lower != NULL);
        CHECK(is_read || uuid_equal(&uuid, &before));
        uuid_format(&uuid, text);
        CHECK_TEXT(text,
                   is_read ? texts[i].lower : "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5");
    }
}

static void test_sevens(void)
{
    for (size_t i = 0; i < sizeof(sevens) / sizeof(sevens[0]); i++) {
        struct uuid uuid;
        char text[UUID_TEXT_SIZE + 1];
        test_case(sevens[i].text);
        uuid_v7(sevens[i].unix_ms, sevens[i].tail, &uuid);
        uuid_format(&uuid, text);
        CHECK_TEXT(text, sevens[i].text);
    }
}

static void test_bytes_and_equality(void)
{
    struct uuid left, right;
    test_case("bytes");
    CHECK(uuid_parse("00112233-4455-6677-8899-aabbccddeeff", UUID_TEXT_SIZE, &left));
    for (unsigned i = 0; i < UUID_SIZE; i++)
        CHECK_INT(left.bytes[i], i * 0x11);
    test_case("equality");
    right = left;
    CHECK(uuid_equal(&left, &right));
    for (unsigned i = 0; i < UUID_SIZE; i++) {
        right = left;
        right.bytes[i] ^= 1;
        CHECK(!uuid_equal(&left, &right));
    }
}

int main(void)
{
    test_texts();
    test_sevens();
    test_bytes_and_equality();
    return test_end();
}
