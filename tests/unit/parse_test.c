/* parse_test.c: numbers and times are read strictly, to the last digit of int64. */
#include "base/parse.h"

#include "base/clock.h"
#include "tests/unit/test.h"

enum { UNTOUCHED = -77 };

static const struct {
    const char *text;
    bool ok;
    int64_t value;
} numbers[] = {
    {"0", true, 0},
    {"7", true, 7},
    {"007", true, 7},
    {"9223372036854775807", true, INT64_MAX},
    {"9223372036854775808", false, 0},
    {"18446744073709551617", false, 0}, /* 2^64 + 1: would wrap to 1 */
    {"99999999999999999999999999", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1.0", false, 0},
    {"1e3", false, 0},
    {"0x10", false, 0},
    {"1_000", false, 0},
    {"\xd9\xa1", false, 0}, /* an Arabic digit one */
};

static void test_numbers(void)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int64_t value = UNTOUCHED;
        test_case(numbers[i].text);
        CHECK(parse_int64(numbers[i].text, strlen(numbers[i].text), &value) ==
              numbers[i].ok);
        CHECK_INT(value, numbers[i].ok ? numbers[i].value : UNTOUCHED);
    }
    int64_t value = UNTOUCHED;
    test_case("a NUL is no digit");
    CHECK(!parse_int64("1\0", 2, &value));
}

static const struct {
    const char *text;
    bool ok;
    int64_t unix_ms;
} times[] = {
    {"1970-01-01T00:00:00Z", true, 0},
    {"2026-01-31T12:00:00Z", true, 1769860800000},
    {"2026-01-31t12:00:00z", true, 1769860800000},
    {"2026-01-31 12:00:00Z", true, 1769860800000},
    {"2026-01-31T12:00:00.5Z", true, 1769860800500},
    {"2026-01-31T12:00:00.123Z", true, 1769860800123},
    {"2026-01-31T12:00:00.1239999999999999999999Z", true, 1769860800123},
    {"2026-01-31T13:00:00+01:00", true, 1769860800000},
    {"2026-01-31T06:30:00-05:30", true, 1769860800000},
    {"2026-01-31T12:00:00-00:00", true, 1769860800000},
    {"1969-12-31T23:59:59.999Z", true, -1},
    {"0000-01-01T00:00:00Z", true, -62167219200000},
    {"9999-12-31T23:59:59.999Z", true, 253402300799999},
    {"2024-02-29T00:00:00Z", true, 1709164800000},
    {"2000-02-29T00:00:00Z", true, 951782400000},
    {"2023-02-29T00:00:00Z", false, 0},
    {"1900-02-29T00:00:00Z", false, 0},
    {"2026-04-31T00:00:00Z", false, 0},
    {"2026-00-01T00:00:00Z", false, 0},
    {"2026-13-01T00:00:00Z", false, 0},
    {"2026-01-00T00:00:00Z", false, 0},
    {"2026-01-31T24:00:00Z", false, 0},
    {"2026-01-31T12:60:00Z", false, 0},
    {"2026-01-31T12:00:60Z", false, 0},
    {"2026-01-31T12:00:00", false, 0},
    {"2026-01-31T12:00Z", false, 0},
    {"2026-01-31", false, 0},
    {"2026-01-31T12:00:00.Z", false, 0},
    {"2026-01-31T12:00:00+0100", false, 0},
    {"2026-01-31T12:00:00+24:00", false, 0},
    {"2026-01-31T12:00:00+01:60", false, 0},
    {"2026-01-31T12:00:00Z ", false, 0},
    {" 2026-01-31T12:00:00Z", false, 0},
    {"2026-1-31T12:00:00Z", false, 0},
    {"+026-01-31T12:00:00Z", false, 0},
    {"12026-01-31T12:00:00Z", false, 0},
    {"", false, 0},
};

static void test_times(void)
{
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int64_t unix_ms = UNTOUCHED;
        test_case(times[i].text);
        CHECK(parse_rfc3339(times[i].text, strlen(times[i].text), &unix_ms) ==
              times[i].ok);
        CHECK_INT(unix_ms, times[i].ok ? times[i].unix_ms : UNTOUCHED);
    }
}

/* Every prefix of a time is no time: nothing may be read beyond the size. */
static void test_prefixes(void)
{
    const char *text = "2026-01-31T12:00:00.5+01:00";
    int64_t unix_ms;
    test_case("prefixes");
    for (size_t size = 0; size < strlen(text); size++)
        CHECK(!parse_rfc3339(text, size, &unix_ms));
}

/* The formatter uses the C library's calendar and the parser its own: they must agree. */
static void test_round_trip(void)
{
    test_case("round trip");
    for (int64_t unix_ms = -62167219200000; unix_ms < 253402300799999;
         unix_ms += INT64_C(86400000) * 13 + 3723456) {
        char text[CLOCK_TEXT_SIZE + 1];
        int64_t back = UNTOUCHED;
        clock_format_ms(unix_ms, text);
        bool ok = parse_rfc3339(text, CLOCK_TEXT_SIZE, &back) && back == unix_ms;
        if (!ok)
            test_case(text);
        CHECK(ok);
    }
}

static const struct {
    const char *text;
    bool ok;
    int64_t unix_ms;
} either[] = {
    {"1769860800000", true, 1769860800000},
    {"0", true, 0},
    {"2026-01-31T12:00:00Z", true, 1769860800000},
    {"1969-12-31T23:59:59Z", false, 0},
    {"-1", false, 0},
    {"now", false, 0},
    {"", false, 0},
};

static void test_either(void)
{
    for (size_t i = 0; i < sizeof(either) / sizeof(either[0]); i++) {
        int64_t unix_ms = UNTOUCHED;
        test_case(either[i].text);
        CHECK(parse_time(either[i].text, strlen(either[i].text), &unix_ms) ==
              either[i].ok);
        CHECK_INT(unix_ms, either[i].ok ? either[i].unix_ms : UNTOUCHED);
    }
}

int main(void)
{
    test_numbers();
    test_times();
    test_prefixes();
    test_round_trip();
    test_either();
    return test_end();
}
