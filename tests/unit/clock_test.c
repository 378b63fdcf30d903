/* clock_test.c: time as text, and clocks that only go forward. */
#include "base/clock.h"

#include "tests/unit/test.h"

static const struct {
    int64_t unix_ms;
    const char *text;
} cases[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {1, "1970-01-01T00:00:00.001Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {-1000, "1969-12-31T23:59:59.000Z"},
    {1769860800000, "2026-01-31T12:00:00.000Z"},
    {951827696789, "2000-02-29T12:34:56.789Z"},
    {-62167219200000, "0000-01-01T00:00:00.000Z"},
    {253402300799999, "9999-12-31T23:59:59.999Z"},
    /* Beyond four digits of year the text stays at the edge. */
    {-62167219200001, "0000-01-01T00:00:00.000Z"},
    {253402300800000, "9999-12-31T23:59:59.999Z"},
    {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
};

static void test_format(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[CLOCK_TEXT_SIZE + 1];
        test_case(cases[i].text);
        clock_format_ms(cases[i].unix_ms, text);
        CHECK_TEXT(text, cases[i].text);
    }
}

static void test_sleep(void)
{
    int64_t before_us = clock_monotonic_us(), before_ms = clock_monotonic_ms();
    test_case("sleeps at least as long");
    clock_sleep_ms(20);
    CHECK(clock_monotonic_us() - before_us >= 20000);
    CHECK(clock_monotonic_ms() - before_ms >= 19);

    test_case("nothing and less than nothing are no sleep");
    before_ms = clock_monotonic_ms();
    clock_sleep_ms(0);
    clock_sleep_ms(-1000);
    clock_sleep_ms(INT64_MIN);
    CHECK(clock_monotonic_ms() - before_ms < 5000);
}

static void test_unix(void)
{
    test_case("the wall clock is in this century, in milliseconds");
    CHECK(clock_unix_ms() > 1577836800000 && clock_unix_ms() < 4102444800000);
}

int main(void)
{
    test_format();
    test_sleep();
    test_unix();
    return test_end();
}
