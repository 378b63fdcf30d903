/* money_test.c: the grammar and limits of amounts at every exponent, and int64's edge. */
#include "schema/money.h"

#include "tests/unit/test.h"

#define NO INT64_MIN /* no amount */

static const struct {
    const char *text;
    unsigned exponent;
    int64_t minor;
} amounts[] = {
    /* the grammar (CONTRACT §1): (0|[1-9][0-9]*)(\.[0-9]+)? */
    {"0", 2, 0},
    {"0.0", 2, 0},
    {"0.00", 2, 0},
    {"1", 2, 100},
    {"9", 2, 900},
    {"10", 2, 1000},
    {"1.5", 2, 150},
    {"1.05", 2, 105},
    {"100.00", 2, 10000},
    {"100", 2, 10000},
    {"0.01", 2, 1},
    {"0.10", 2, 10},
    {"", 2, NO},
    {".", 2, NO},
    {"1.", 2, NO},
    {".5", 2, NO},
    {"00", 2, NO},
    {"01", 2, NO},
    {"00.1", 2, NO},
    {"-1", 2, NO},
    {"-0", 2, NO},
    {"+1", 2, NO},
    {" 1", 2, NO},
    {"1 ", 2, NO},
    {"1\n", 2, NO},
    {"1,00", 2, NO},
    {"1,000.00", 2, NO},
    {"1.2.3", 2, NO},
    {"1..2", 2, NO},
    {"1.-2", 2, NO},
    {"1e2", 2, NO},
    {"1E2", 2, NO},
    {"0x10", 2, NO},
    {"1_000", 2, NO},
    {"NaN", 2, NO},
    {"Infinity", 2, NO},
    {"\xd9\xa1", 2, NO}, /* ARABIC-INDIC DIGIT ONE */
    {"1/", 2, NO},       /* the neighbours of the digits in ASCII */
    {"1:", 2, NO},
    {"/", 2, NO},
    {":", 2, NO},
    /* no more decimals than the currency has, not even zeros */
    {"1", 0, 1},
    {"1.0", 0, NO},
    {"1.00", 2, 100},
    {"1.000", 2, NO},
    {"1.234", 2, NO},
    {"1.234", 3, 1234},
    {"1.2340", 3, NO},
    {"1.2345", 4, 12345},
    {"1.23450", 4, NO},
    {"1.2", 1, 12},
    {"1.20", 1, NO},
    /* the largest and one beyond, at every exponent that there is */
    {"999999999999999", 0, MONEY_MAX_MINOR},
    {"1000000000000000", 0, NO},
    {"99999999999999.9", 1, MONEY_MAX_MINOR},
    {"100000000000000.0", 1, NO},
    {"9999999999999.99", 2, MONEY_MAX_MINOR},
    {"9999999999999.9", 2, MONEY_MAX_MINOR - 9},
    {"10000000000000.00", 2, NO},
    {"10000000000000", 2, NO},
    {"999999999999.999", 3, MONEY_MAX_MINOR},
    {"1000000000000.000", 3, NO},
    {"1000000000000", 3, NO},
    {"99999999999.9999", 4, MONEY_MAX_MINOR},
    {"100000000000.0000", 4, NO},
    {"100000000000", 4, NO},
    /* int64 and uint64, where a careless sum wraps */
    {"9223372036854775807", 0, NO},
    {"9223372036854775808", 0, NO},
    {"18446744073709551616", 0, NO},
    {"18446744073709551617.00", 2, NO},
    {"184467440737095517", 2, NO},
    {"99999999999999999999999999999999999999999999999999999999999999999999", 2, NO},
    {"0.99999999999999999999", 20, NO},
};

static const struct {
    const char *text;
    unsigned exponent;
    int64_t minor; /* 1: no such amount */
} minimums[] = {
    {"0", 2, 0},
    {"0.00", 2, 0},
    {"-0", 2, 0},
    {"-0.0", 2, 0},
    {"-0.00", 2, 0},
    {"-0.000", 2, 1},
    {"-500.00", 2, -50000},
    {"-500", 2, -50000},
    {"-0.01", 2, -1},
    {"-1", 0, -1},
    {"-1.0", 0, 1},
    {"-1.234", 3, -1234},
    {"-1.2345", 4, -12345},
    {"-999999999999999", 0, -MONEY_MAX_MINOR},
    {"-1000000000000000", 0, 1},
    {"-9999999999999.99", 2, -MONEY_MAX_MINOR},
    {"-10000000000000.00", 2, 1},
    {"-999999999999.999", 3, -MONEY_MAX_MINOR},
    {"-1000000000000.000", 3, 1},
    {"-99999999999.9999", 4, -MONEY_MAX_MINOR},
    {"-100000000000.0000", 4, 1},
    {"0.01", 2, 1},
    {"500.00", 2, 1},
    {"1", 0, 1},
    {"", 2, 1},
    {"-", 2, 1},
    {"--1", 2, 1},
    {"+0", 2, 1},
    {"-+1", 2, 1},
    {" -1", 2, 1},
    {"- 1", 2, 1},
    {"1-", 2, 1},
    {"-01", 2, 1},
    {"-1.", 2, 1},
    {"\xe2\x88\x92", 2, 1}, /* MINUS SIGN */
};

static const struct {
    int64_t minor;
    unsigned exponent;
    const char *text;
} formats[] = {
    {0, 0, "0"},
    {0, 2, "0.00"},
    {0, 4, "0.0000"},
    {1, 0, "1"},
    {1, 1, "0.1"},
    {1, 2, "0.01"},
    {1, 3, "0.001"},
    {1, 4, "0.0001"},
    {10, 2, "0.10"},
    {99, 2, "0.99"},
    {100, 2, "1.00"},
    {101, 2, "1.01"},
    {12345, 2, "123.45"},
    {12345, 3, "12.345"},
    {12345, 4, "1.2345"},
    {12345, 0, "12345"},
    {-1, 0, "-1"},
    {-1, 2, "-0.01"},
    {-100, 2, "-1.00"},
    {-50000, 2, "-500.00"},
    {MONEY_MAX_MINOR, 0, "999999999999999"},
    {MONEY_MAX_MINOR, 2, "9999999999999.99"},
    {-MONEY_MAX_MINOR, 3, "-999999999999.999"},
    {INT64_MAX, 0, "9223372036854775807"},
    {INT64_MIN, 0, "-9223372036854775808"},
    {INT64_MAX, 2, "92233720368547758.07"},
    {INT64_MIN, 2, "-92233720368547758.08"},
    {INT64_MIN, 3, "-9223372036854775.808"},
    {INT64_MIN, 4, "-922337203685477.5808"},
    {INT64_MIN, 18, "-9.223372036854775808"},
    {1, 18, "0.000000000000000001"},
};

static const struct {
    int64_t left, right;
    bool adds;
    bool subtracts;
} sums[] = {
    {0, 0, true, true},
    {1, 2, true, true},
    {INT64_MAX, 0, true, true},
    {INT64_MAX, 1, false, true},
    {INT64_MAX - 1, 1, true, true},
    {INT64_MAX, -1, true, false},
    {INT64_MIN, 0, true, true},
    {INT64_MIN, -1, false, true},
    {INT64_MIN, 1, true, false},
    {INT64_MIN + 1, 1, true, true},
    {INT64_MAX, INT64_MIN, true, false},
    {INT64_MIN, INT64_MIN, false, true},
    {INT64_MAX, INT64_MAX, false, true},
    {0, INT64_MIN, true, false},
    {-1, INT64_MIN, false, true},
};

static void test_amounts(void)
{
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        int64_t minor = NO;
        size_t size = strlen(amounts[i].text);
        test_case(amounts[i].text);
        CHECK_INT(money_parse(amounts[i].text, size, amounts[i].exponent, &minor),
                  amounts[i].minor != NO);
        CHECK_INT(minor, amounts[i].minor); /* untouched when refused */
    }
}

static void test_minimums(void)
{
    for (size_t i = 0; i < sizeof(minimums) / sizeof(minimums[0]); i++) {
        int64_t minor = 1;
        size_t size = strlen(minimums[i].text);
        test_case(minimums[i].text);
        CHECK_INT(money_parse_not_positive(minimums[i].text, size, minimums[i].exponent,
                                           &minor),
                  minimums[i].minor != 1);
        CHECK_INT(minor, minimums[i].minor);
    }
}

static void test_formats(void)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        char text[MONEY_TEXT_MAX];
        test_case(formats[i].text);
        CHECK_INT(money_format(formats[i].minor, formats[i].exponent, text),
                  strlen(formats[i].text));
        CHECK_TEXT(text, formats[i].text);
    }
}

/* What is written can be read again, around each power of ten. */
static void test_round_trips(void)
{
    test_case("round trip");
    for (unsigned exponent = 0; exponent <= 4; exponent++)
        for (int64_t power = 1; power <= MONEY_MAX_MINOR; power *= 10)
            for (int64_t minor = power - 1; minor <= power + 1; minor++) {
                char text[MONEY_TEXT_MAX];
                int64_t read = NO;
                size_t size = money_format(minor, exponent, text);
                CHECK(money_parse(text, size, exponent, &read));
                CHECK_INT(read, minor);
            }
}

static void test_sums(void)
{
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        int64_t result = 77;
        int64_t left = sums[i].left, right = sums[i].right;
        test_case("add and subtract");
        CHECK_INT(money_add(left, right, &result), sums[i].adds);
        CHECK_INT(result, sums[i].adds ? left + right : 77);
        result = 77;
        CHECK_INT(money_subtract(left, right, &result), sums[i].subtracts);
        CHECK_INT(result, sums[i].subtracts ? left - right : 77);
    }
}

/* The size counts, not a NUL: what follows the text is not part of it. */
static void test_size(void)
{
    int64_t minor = NO;
    test_case("size");
    CHECK(money_parse("12345", 3, 0, &minor));
    CHECK_INT(minor, 123);
    CHECK(!money_parse("1\0002", 3, 0, &minor));
    CHECK(!money_parse("1.\000", 3, 2, &minor));
    CHECK(money_parse_not_positive("-12", 2, 0, &minor));
    CHECK_INT(minor, -1);
    static const char
        end[1]; /* ASan sees it when the byte behind an empty text is read */
    CHECK(!money_parse(end + 1, 0, 2, &minor));
    CHECK(!money_parse_not_positive(end + 1, 0, 2, &minor));
}

int main(void)
{
    test_amounts();
    test_minimums();
    test_formats();
    test_round_trips();
    test_sums();
    test_size();
    return test_end();
}
