/* batch_test.c: the memory of a batch: born with its maximum, reused. */
#include "consumer/batch.h"
#include "consumer/core/port.h"
#include "schema/result.h"
#include "tests/unit/test.h"

static void test_reserve(void)
{
    struct batch *batch = batch_new(2);
    test_case("the worst case fits");
    char *first = batch_reserve(batch, RESULT_MAX);
    char *second = batch_reserve(batch, RESULT_MAX);
    CHECK(second == first + RESULT_MAX);
    first[0] = 'a';
    second[RESULT_MAX - 1] = 'z';
    test_case("memory is used again");
    batch->results_used = 0;
    CHECK(batch_reserve(batch, 1) == first);
    batch_free(batch);
    batch_free(NULL);
}

static void test_status_names(void)
{
    static const char *const names[] = {"ok",     "retry",   "in_doubt",
                                        "fenced", "refused", "fatal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_TEXT(port_status_name((enum port_status)i), names[i]);
}

int main(void)
{
    test_reserve();
    test_status_names();
    return test_end();
}
