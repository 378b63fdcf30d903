/* producer_uuid7_test.c: the keys that libpostonce makes, RFC 9562 version 7: text, bits,
 * the order in one thread and in four, and the clock inside. */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "producer/postonce_uuid7.h"
#include "schema/uuid.h"
#include "tests/unit/test.h"

enum { MANY = 100000, THREADS = 4, EACH = 20000, ALL = THREADS * EACH };

static const uint8_t zeros[POSTONCE_UUID7_RANDOM];
static const uint8_t ones[POSTONCE_UUID7_RANDOM] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                                    0xff, 0xff, 0xff, 0xff, 0xff};

static uint64_t stamp(uint64_t unix_ms, uint64_t counter)
{
    return unix_ms << 12 | counter;
}

static void check_next(void)
{
    test_case("a later millisecond starts a counter in its lower half");
    CHECK_INT(postonce_uuid7_next(0, 1000, zeros), stamp(1000, 0));
    CHECK_INT(postonce_uuid7_next(0, 1000, ones), stamp(1000, 0x7ff));
    CHECK_INT(postonce_uuid7_next(stamp(999, 0xfff), 1000, zeros), stamp(1000, 0));
    test_case("the same millisecond counts on");
    CHECK_INT(postonce_uuid7_next(stamp(1000, 5), 1000, ones), stamp(1000, 6));
    test_case("a full counter runs ahead of the clock");
    CHECK_INT(postonce_uuid7_next(stamp(1000, 0xfff), 1000, ones), stamp(1001, 0));
    test_case("a clock that was set back changes nothing");
    CHECK_INT(postonce_uuid7_next(stamp(1000, 5), 10, ones), stamp(1000, 6));
}

static void check_write(void)
{
    char text[POSTONCE_UUID7_SIZE];
    test_case("version and variant bits, whatever the random bytes");
    postonce_uuid7_write(0, zeros, text);
    CHECK_TEXT(text, "00000000-0000-7000-8000-000000000000");
    postonce_uuid7_write(UINT64_C(0x0fffffffffffffff), ones, text);
    CHECK_TEXT(text, "ffffffff-ffff-7fff-bfff-ffffffffffff");
    test_case("the example of RFC 9562, appendix A.6");
    const uint8_t tail[POSTONCE_UUID7_RANDOM] = {0x18, 0xc4, 0xdc, 0x0c,
                                                 0x0c, 0x07, 0x39, 0x8f};
    postonce_uuid7_write(stamp(UINT64_C(0x017f22e279b0), 0xcc3), tail, text);
    CHECK_TEXT(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void check_real(void)
{
    char text[POSTONCE_UUID7_SIZE], before[POSTONCE_UUID7_SIZE] = "";
    struct uuid uuid;
    int64_t started_ms = clock_unix_ms();
    unsigned wrong = 0;
    for (int i = 0; i < MANY; i++) {
        wrong += postonce_uuid7(text) != POSTONCE_OK || strcmp(before, text) >= 0 ||
                 text[14] != '7' || strchr("89ab", text[19]) == NULL ||
                 !uuid_parse(text, strlen(text), &uuid);
        memcpy(before, text, sizeof before);
    }
    test_case("100,000 in a row ascend and are version 7");
    CHECK_INT(wrong, 0);
    test_case("the time inside is the time of day");
    int64_t inside_ms = 0;
    for (int i = 0; i < 6; i++)
        inside_ms = inside_ms << 8 | uuid.bytes[i];
    CHECK(inside_ms >= started_ms && inside_ms <= clock_unix_ms() + 1000);
}

static void *make_each(void *keys)
{
    char(*texts)[POSTONCE_UUID7_SIZE] = keys;
    for (int i = 0; i < EACH; i++)
        if (postonce_uuid7(texts[i]) != POSTONCE_OK)
            texts[i][0] = '\0';
    return NULL;
}

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void check_threads(void)
{
    static char keys[ALL][POSTONCE_UUID7_SIZE];
    pthread_t threads[THREADS];
    unsigned wrong = 0;
    test_case("four threads at once");
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, make_each, keys[i * EACH]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 1; i < ALL; i++)
        wrong += i % EACH != 0 && strcmp(keys[i - 1], keys[i]) >= 0;
    CHECK_INT(wrong, 0); /* each thread saw its own ascend */
    qsort(keys, ALL, sizeof keys[0], compare);
    for (int i = 1; i < ALL; i++)
        wrong += strncmp(keys[i - 1], keys[i], 18) == 0;
    CHECK_INT(wrong, 0); /* and no two have one stamp */
}

int main(void)
{
    check_next();
    check_write();
    check_real();
    check_threads();
    return test_end();
}
