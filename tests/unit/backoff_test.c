/* backoff_test.c: bounds of the wait, at every attempt, for every end of the random
 * range. */
#include "consumer/core/backoff.h"
#include "tests/unit/test.h"

struct row {
    unsigned attempt;
    int64_t base_ms, cap_ms, bound_ms;
};

static const struct row rows[] = {
    {0, 5, 1000, 5},
    {1, 5, 1000, 10},
    {2, 5, 1000, 20},
    {7, 5, 1000, 640},
    {8, 5, 1000, 1000},
    {9, 5, 1000, 1000},
    {4000000000U, 5, 1000, 1000},
    {0, 2000, 1000, 1000},
    {3, 0, 1000, 0},
    {70, INT64_MAX / 2, INT64_MAX, INT64_MAX},
};

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        int64_t most = row->bound_ms;
        test_case("most");
        CHECK_INT(backoff_ms(row->attempt, row->base_ms, row->cap_ms, (uint64_t)most),
                  most);
        test_case("wraps to the least");
        CHECK_INT(backoff_ms(row->attempt, row->base_ms, row->cap_ms, (uint64_t)most + 1),
                  most > 0 ? 1 : 0);
        test_case("never zero");
        CHECK_INT(backoff_ms(row->attempt, row->base_ms, row->cap_ms, 0),
                  most > 0 ? 1 : 0);
    }
    return test_end();
}
