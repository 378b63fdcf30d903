/* currency_test.c: the list is sorted, found entry by entry, and what it must and must
 * not contain. tests/schema/check_examples.py compares it with the message schemas. */
#include "schema/currency.h"

#include "tests/unit/test.h"

/* clang-format off */
static const struct {
    const char *code;
    int exponent; /* -1: no currency of ours */
} cases[] = {
    {"USD", 2}, {"EUR", 2}, {"GBP", 2}, {"JPY", 0}, {"KRW", 0}, {"ISK", 0}, {"CLP", 0},
    {"VND", 0}, {"UGX", 0}, {"UYI", 0}, {"XAF", 0}, {"XOF", 0}, {"XPF", 0}, {"BIF", 0},
    {"BHD", 3}, {"IQD", 3}, {"JOD", 3}, {"KWD", 3}, {"LYD", 3}, {"OMR", 3}, {"TND", 3},
    {"CLF", 4}, {"UYW", 4}, {"MGA", 2}, {"MRU", 2}, {"HUF", 2}, {"TWD", 2},
    /* the first and the last */
    {"AED", 2}, {"ZWG", 2},
    /* funds with a minor unit */
    {"BOV", 2}, {"CHE", 2}, {"CHW", 2}, {"COU", 2}, {"MXV", 2}, {"USN", 2}, {"XAD", 2},
    /* newcomers and what they replaced */
    {"XCG", 2}, {"ANG", -1}, {"ZWL", -1}, {"SLE", 2}, {"SLL", -1}, {"VED", 2}, {"VES", 2},
    {"BGN", -1}, {"HRK", -1}, {"CUC", -1}, {"DEM", -1}, {"MRO", -1}, {"VEF", -1},
    /* without a minor unit */
    {"XAU", -1}, {"XAG", -1}, {"XPT", -1}, {"XPD", -1}, {"XDR", -1}, {"XTS", -1},
    {"XXX", -1}, {"XBA", -1}, {"XBB", -1}, {"XBC", -1}, {"XBD", -1}, {"XSU", -1},
    {"XUA", -1},
    /* no codes */
    {"", -1}, {"U", -1}, {"US", -1}, {"USDX", -1}, {"usd", -1}, {"Usd", -1}, {"USd", -1},
    {"US ", -1}, {" US", -1}, {"840", -1}, {"AAA", -1}, {"ZZZ", -1}, {"BTC", -1},
    {"\xff\xff\xff", -1}, {"US\xc4", -1},
};
/* clang-format on */

int main(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct currency *found =
            currency_find(cases[i].code, strlen(cases[i].code));
        test_case(cases[i].code);
        CHECK_INT(found != NULL ? found->exponent : -1, cases[i].exponent);
    }
    /* ISO 4217 List One of 2026-01-01: 178 codes, 13 of them without a minor unit. */
    test_case("list");
    CHECK_INT(currency_count, 165);
    for (size_t i = 0; i < currency_count; i++) {
        test_case(currencies[i].code);
        CHECK_INT(strlen(currencies[i].code), CURRENCY_CODE_SIZE);
        CHECK(currency_find(currencies[i].code, CURRENCY_CODE_SIZE) == &currencies[i]);
        CHECK(i == 0 || strcmp(currencies[i - 1].code, currencies[i].code) < 0);
        CHECK(currencies[i].exponent <= 4);
    }
    test_case("NUL in the code");
    CHECK(currency_find("US\0", 3) == NULL);
    return test_end();
}
