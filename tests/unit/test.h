/* test.h: table tests without a framework. A test program calls CHECK… in its cases and
 * ends with `return test_end();`, which prints `N passed, N failed` and gives the exit
 * code. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned test_passed, test_failed;
static char test_case_name[160];

/* Names the case that following checks belong to; copied, and cut if it is long. */
static inline void test_case(const char *name)
{
    snprintf(test_case_name, sizeof test_case_name, "%.*s",
             (int)sizeof test_case_name - 1, name);
}

static inline bool test_note(bool ok, const char *file, int line, const char *what)
{
    if (ok)
        test_passed++;
    else {
        test_failed++;
        printf("FAIL %s:%d %s: %s\n", file, line, test_case_name, what);
    }
    return ok;
}

static inline void test_int(int64_t got, int64_t want, const char *file, int line,
                            const char *what)
{
    if (!test_note(got == want, file, line, what))
        printf("     got %" PRId64 ", want %" PRId64 "\n", got, want);
}

static inline void test_bytes(const void *got, size_t got_size, const void *want,
                              size_t want_size, const char *file, int line,
                              const char *what)
{
    bool same =
        got_size == want_size && (want_size == 0 || memcmp(got, want, want_size) == 0);
    if (!test_note(same, file, line, what))
        printf("     got  %.*s\n     want %.*s\n", (int)got_size, (const char *)got,
               (int)want_size, (const char *)want);
}

#define CHECK(condition) ((void)test_note((condition), __FILE__, __LINE__, #condition))
#define CHECK_INT(got, want) \
    test_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got)
#define CHECK_BYTES(got, got_size, want, want_size) \
    test_bytes((got), (got_size), (want), (want_size), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want) CHECK_BYTES((got), strlen(got), (want), strlen(want))

static inline int test_end(void)
{
    printf("%u passed, %u failed\n", test_passed, test_failed);
    return test_failed == 0 && test_passed > 0 ? 0 : 1;
}

#endif
