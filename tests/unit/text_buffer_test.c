/* text_buffer_test.c: numbers, JSON strings, what is not UTF-8, and the edge of the room.
 */
#include "base/text_buffer.h"

#include "tests/unit/test.h"

static const struct {
    int64_t value;
    const char *text;
} numbers[] = {
    {0, "0"},
    {7, "7"},
    {-7, "-7"},
    {10, "10"},
    {-1000, "-1000"},
    {INT64_MAX, "9223372036854775807"},
    {INT64_MIN, "-9223372036854775808"},
};

#define BYTES(text) text, sizeof(text) - 1

/* clang-format off */
static const struct {
    const char *bytes;
    size_t size;
    const char *json;
    const char *lossy; /* NULL: the same */
} strings[] = {
    {BYTES(""), "\"\"", NULL},
    {BYTES("plain"), "\"plain\"", NULL},
    {BYTES("a\"b"), "\"a\\\"b\"", NULL},
    {BYTES("\\"), "\"\\\\\"", NULL},
    {BYTES("/"), "\"/\"", NULL},
    {BYTES("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"", NULL},
    {BYTES("\x01\x1f"), "\"\\u0001\\u001f\"", NULL},
    {BYTES("\x0b"), "\"\\u000b\"", NULL},
    {BYTES(" ~\x7f"), "\" ~\x7f\"", NULL},
    {BYTES("\"\""), "\"\\\"\\\"\"", NULL},
    {BYTES("a\nb\nc"), "\"a\\nb\\nc\"", NULL},
    {BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xb6"),
     "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xb6\"", NULL},
    {BYTES("a\0b"), "\"a\\u0000b\"", "\"a\xef\xbf\xbd" "b\""},
    {BYTES("a\x80"), "\"a\x80\"", "\"a\xef\xbf\xbd\""},
    {BYTES("\xff\""), "\"\xff\\\"\"", "\"\xef\xbf\xbd\\\"\""},
    {BYTES("\n\xc3"), "\"\\n\xc3\"", "\"\\n\xef\xbf\xbd\""},
    {BYTES("\xc3\n"), "\"\xc3\\n\"", "\"\xef\xbf\xbd\\n\""},
    {BYTES("\xe2\x82"), "\"\xe2\x82\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xe2\x82g"), "\"\xe2\x82g\"", "\"\xef\xbf\xbd\xef\xbf\xbdg\""},
    {BYTES("\xc3g"), "\"\xc3g\"", "\"\xef\xbf\xbdg\""},
    {BYTES("\xc0\xaf"), "\"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xe0\x9f\xbf"), "\"\xe0\x9f\xbf\"",
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xed\xa0\x80"), "\"\xed\xa0\x80\"",
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xed\x9f\xbf"), "\"\xed\x9f\xbf\"", NULL},
    {BYTES("\xe0\xa0\x80"), "\"\xe0\xa0\x80\"", NULL},
    {BYTES("\xf0\x90\x80\x80"), "\"\xf0\x90\x80\x80\"", NULL},
    {BYTES("\xf0\x8f\x80\x80"), "\"\xf0\x8f\x80\x80\"",
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"", NULL},
    {BYTES("\xf4\x90\x80\x80"), "\"\xf4\x90\x80\x80\"",
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("ab\xff" "cd\xff" "ef"), "\"ab\xff" "cd\xff" "ef\"",
     "\"ab\xef\xbf\xbd" "cd\xef\xbf\xbd" "ef\""},
    {BYTES("\xc2\x80\xdf\xbf"), "\"\xc2\x80\xdf\xbf\"", NULL},
    {BYTES("\xe1\x80\x80\xec\xbf\xbf"), "\"\xe1\x80\x80\xec\xbf\xbf\"", NULL},
    {BYTES("\xf1\x80\x80\x80"), "\"\xf1\x80\x80\x80\"", NULL},
    {BYTES("\xf3\xbf\xbf\xbf"), "\"\xf3\xbf\xbf\xbf\"", NULL},
    {BYTES("\xc1\xbf"), "\"\xc1\xbf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xc3\xc0"), "\"\xc3\xc0\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xc3\x7f"), "\"\xc3\x7f\"", "\"\xef\xbf\xbd\x7f\""},
    {BYTES("\xf5\x80\x80\x80"), "\"\xf5\x80\x80\x80\"",
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {BYTES("\xf5"), "\"\xf5\"", "\"\xef\xbf\xbd\""},
};
/* clang-format on */

static void test_numbers(void)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char bytes[32];
        struct text_buffer buffer;
        test_case(numbers[i].text);
        text_buffer_init(&buffer, bytes, sizeof(bytes));
        text_put_int(&buffer, numbers[i].value);
        CHECK_BYTES(bytes, buffer.size, numbers[i].text, strlen(numbers[i].text));
    }
}

static void test_strings(void)
{
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        char bytes[64];
        struct text_buffer buffer;
        const char *lossy = strings[i].lossy != NULL ? strings[i].lossy : strings[i].json;
        test_case(strings[i].json);
        text_buffer_init(&buffer, bytes, sizeof(bytes));
        text_put_json(&buffer, strings[i].bytes, strings[i].size);
        CHECK_BYTES(bytes, buffer.size, strings[i].json, strlen(strings[i].json));
        text_buffer_init(&buffer, bytes, sizeof(bytes));
        text_put_json_lossy(&buffer, strings[i].bytes, strings[i].size);
        CHECK_BYTES(bytes, buffer.size, lossy, strlen(lossy));
        CHECK(!buffer.overflow);
    }
}

/* With every room from nothing to enough: never beyond it, and what is there is a prefix.
 */
static void test_room(void)
{
    static const char whole[] = "x=-42,\"a\\\"\\u0001b\"\"\xef\xbf\xbd\"!";
    size_t needed = sizeof(whole) - 1;
    for (size_t room = 0; room <= needed + 1; room++) {
        char bytes[sizeof(whole) + 8];
        struct text_buffer buffer;
        memset(bytes, '#', sizeof(bytes));
        text_buffer_init(&buffer, bytes, room);
        text_put_string(&buffer, "x=");
        text_put_int(&buffer, -42);
        text_put(&buffer, ",", 1);
        text_put_json(&buffer, "a\"\1b", 4);
        text_put_json_lossy(&buffer, "\xff", 1);
        text_put(&buffer, "!", 1);
        test_case("room");
        CHECK_INT(buffer.overflow, room < needed);
        CHECK(buffer.size <= room);
        CHECK(memcmp(bytes, whole, buffer.size) == 0);
        CHECK_INT(bytes[buffer.size], '#');
    }
}

static void test_overflow_stays(void)
{
    char bytes[4];
    struct text_buffer buffer;
    test_case("overflow stays");
    text_buffer_init(&buffer, bytes, sizeof(bytes));
    text_put(&buffer, "abc", 3);
    text_put(&buffer, "de", 2);
    CHECK(buffer.overflow);
    text_put(&buffer, "f", 1); /* it would fit; a hole before it would be worse */
    text_put(&buffer, "", 0);
    CHECK(buffer.overflow);
    CHECK_BYTES(bytes, buffer.size, "abc", 3);
    test_case("nothing at all");
    text_buffer_init(&buffer, NULL, 0);
    text_put(&buffer, NULL, 0);
    CHECK(!buffer.overflow);
    text_put(&buffer, "a", 1);
    CHECK(buffer.overflow);
}

int main(void)
{
    test_numbers();
    test_strings();
    test_room();
    test_overflow_stays();
    return test_end();
}
