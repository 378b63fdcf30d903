/* fuzz.h: what the fuzz targets share. A target is one function from bytes to nothing: it
 * runs real code and calls REQUIRE for each property that must hold. Whoever calls it is
 * libFuzzer, or replay.c. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Holds any sum of minor units, so that an oracle cannot overflow. */
__extension__ typedef __int128 fuzz_wide;

/* libFuzzer's name for it; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "FAIL %s:%d: %s\n", file, line, what);
    abort();
}

#define REQUIRE(condition)                             \
    do {                                               \
        if (!(condition))                              \
            fuzz_fail(__FILE__, __LINE__, #condition); \
    } while (0)

#endif
