/* command_scan_test.c: the short way through JSON takes what is plain, declines the rest,
 * and never says anything else than jansson. */
#include "schema/command_scan.h"

#include <string.h>

#include "tests/unit/test.h"

static const char *const plain[] = {
    "{\"client\":\"m\"}",
    " {\t\"client\" : \"m\" ,\r\n\"amount\":\"1.00\" } \n",
    "{\"amount\":\"\"}",
    "{\"reference\":\" ~!'{}[]:,\"}",
    "{\"operation\":\"transfer\",\"client\":\"m\",\"source\":\"a\",\"destination\":\"b\","
    "\"amount\":\"0.01\",\"currency\":\"USD\",\"reference\":\"r\",\"idempotency_key\":"
    "\"k\"}",
    "{\"account\":\"a\",\"payment_id\":\"p\",\"minimum_balance\":\"0\"}",
};

/* Not JSON, or JSON that only jansson can judge. */
static const char *const other[] = {
    "",
    " ",
    "{",
    "{}",
    "null",
    "[\"client\",\"m\"]",
    "{\"client\"",
    "{\"client\":",
    "{\"client\":\"m",
    "{\"client\":\"m\"",
    "{\"client\":\"m\",",
    "{\"client\":\"m\",}",
    "{,\"client\":\"m\"}",
    "{\"client\":\"m\"}}",
    "{\"client\":\"m\"} x",
    "{\"client\":\"m\"\"amount\":\"1\"}",
    "{\"client\" \"m\"}",
    "{client:\"m\"}",
    "{'client':'m'}",
    "{\"client\":\"m\",\"client\":\"m\"}",
    "{\"client\":\"a\\u0062c\"}",
    "{\"cl\\u0069ent\":\"m\"}",
    "{\"client\":\"a\nb\"}",
    "{\"client\":\"a\n\"}",
    "{\"client\":\"a \"x}",
    "{\"client\":\"\x7f\"}",
    "{\"client\":\"\xc3\xa9\"}",
    "{\"client\":\"\xff\"}",
    "{\"amount\":1}",
    "{\"minimum_balance\":null}",
    "{\"reference\":{\"client\":\"m\"}}",
    "{\"reference\":[\"m\"]}",
    "{\"reference\":true}",
    "{\"colour\":\"red\"}",
    "{\"clien\":\"m\"}",
    "{\"clientx\":\"m\"}",
    "{\"\":\"m\"}",
    "{\v\"client\":\"m\"}",
    "\xef\xbb\xbf{\"client\":\"m\"}",
};

static void check_values(const struct command_json *scanned,
                         const struct command_json *read)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct json_value *left = &scanned->values[i], *right = &read->values[i];
        CHECK(left->kind == right->kind && left->size == right->size);
        if (left->kind == VALUE_KIND_STRING && left->size == right->size)
            CHECK(memcmp(left->text, right->text, left->size) == 0);
    }
}

static void test_plain(void)
{
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        struct command_json scanned, read;
        test_case(plain[i]);
        CHECK(command_scan(&scanned, plain[i], strlen(plain[i])));
        CHECK(command_json_read(&read, plain[i], strlen(plain[i])) == NULL);
        CHECK(scanned.present == read.present && scanned.present != 0);
        CHECK(scanned.unknown == NULL && read.unknown == NULL);
        check_values(&scanned, &read);
        command_json_close(&scanned);
        command_json_close(&read);
    }
}

static void test_other(void)
{
    struct command_json json;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        test_case(other[i]);
        CHECK(!command_scan(&json, other[i], strlen(other[i])));
    }
    test_case("a NUL");
    CHECK(!command_scan(&json, "{\"client\":\"a\0b\"}", 16));
    CHECK(!command_scan(&json, "{\"client\":\"ab\"}\0", 16));
}

/* Each beginning of a plain value is none. */
static void test_cut(void)
{
    struct command_json json;
    const char *whole = plain[4];
    test_case("cut off anywhere");
    for (size_t size = 0; size < strlen(whole); size++)
        CHECK(!command_scan(&json, whole, size));
}

int main(void)
{
    test_plain();
    test_other();
    test_cut();
    return test_end();
}
