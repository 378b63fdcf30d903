/* command_test.c: names, references, operations, and the canonical form byte for byte. */
#include "schema/command.h"

#include "tests/unit/test.h"

#define LONG_64 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"

static const struct {
    const char *text;
    size_t max;
    bool is_name;
} names[] = {
    {"a", 64, true},
    {"acct-1", 64, true},
    {"!", 64, true},          /* 0x21, the first */
    {"~", 64, true},          /* 0x7E, the last */
    {"\"\\'/<>{}", 64, true}, /* ugly, and allowed */
    {LONG_64, 64, true},
    {LONG_64 "e", 64, false},
    {LONG_64 "e", 65, true},
    {LONG_64 LONG_64 LONG_64
     "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddd",
     255, true},
    {LONG_64 LONG_64 LONG_64 LONG_64, 255, false},
    {"", 64, false},
    {" ", 64, false}, /* 0x20 */
    {"\x7f", 64, false},
    {"\x80", 64, false},
    {"\xff", 64, false},
    {"a b", 64, false},
    {"a\tb", 64, false},
    {"a\n", 64, false},
    {" a", 64, false},
    {"a ", 64, false},
    {"k\xc3\xb6nto", 64, false},
};

static const struct {
    const char *what;
    const char *text;
    bool is_reference;
} references[] = {
    {"plain", "order 456", true},
    {"one", "a", true},
    {"a space", " ", true},
    {"empty", "", false},
    {"umlaut", "k\xc3\xb6nnen", true},
    {"three bytes", "\xe2\x82\xac", true},
    {"four bytes", "\xf0\x9f\x92\xb6", true},
    {"right to left override", "\xe2\x80\xae", true},
    /* control characters and their neighbours */
    {"U+0001", "\x01", false},
    {"U+001F", "a\x1f", false},
    {"tab", "a\tb", false},
    {"line feed", "a\nb", false},
    {"U+007E", "~", true},
    {"DEL", "\x7f", false},
    {"U+0080", "\xc2\x80", false},
    {"U+0085", "a\xc2\x85", false},
    {"U+009F", "\xc2\x9f", false},
    {"U+00A0", "\xc2\xa0", true},
    {"U+0780, which also ends in 0x80", "\xde\x80", true},
    /* the table of RFC 3629 §4, first and last of each line, and one beyond */
    {"U+07FF", "\xdf\xbf", true},
    {"U+0800", "\xe0\xa0\x80", true},
    {"U+0FFF", "\xe0\xbf\xbf", true},
    {"U+1000", "\xe1\x80\x80", true},
    {"U+CFFF", "\xec\xbf\xbf", true},
    {"U+D7FF", "\xed\x9f\xbf", true},
    {"U+E000", "\xee\x80\x80", true},
    {"U+FFFF", "\xef\xbf\xbf", true},
    {"U+10000", "\xf0\x90\x80\x80", true},
    {"U+3FFFF", "\xf0\xbf\xbf\xbf", true},
    {"U+40000", "\xf1\x80\x80\x80", true},
    {"U+FFFFF", "\xf3\xbf\xbf\xbf", true},
    {"U+10FFFF", "\xf4\x8f\xbf\xbf", true},
    {"U+110000", "\xf4\x90\x80\x80", false},
    {"0xF5", "\xf5\x80\x80\x80", false},
    {"0xFF", "\xff", false},
    {"surrogate U+D800", "\xed\xa0\x80", false},
    {"surrogate U+DFFF", "\xed\xbf\xbf", false},
    {"overlong in two bytes", "\xc0\xaf", false},
    {"overlong 0xC1", "\xc1\xbf", false},
    {"overlong in three bytes", "\xe0\x9f\xbf", false},
    {"overlong in four bytes", "\xf0\x8f\xbf\xbf", false},
    {"a continuation alone", "\x80", false},
    {"a continuation alone, the last", "a\xbf", false},
    {"two bytes, cut", "\xc3", false},
    {"three bytes, cut to one", "\xe2", false},
    {"three bytes, cut to two", "\xe2\x82", false},
    {"four bytes, cut to three", "\xf0\x9f\x92", false},
    {"two bytes, the second too high", "\xc3\xc0", false},
    {"two bytes, the second too low", "\xc3\x7f", false},
    {"two bytes, the second a letter", "\xc3g", false},
    {"three bytes, the third too high", "\xe2\x82\xc0", false},
    {"three bytes, the third too low", "\xe2\x82\x2c", false},
    {"four bytes, the third wrong", "\xf0\x9f\x2c\xb6", false},
    {"four bytes, the fourth wrong", "\xf0\x9f\x92\x2c", false},
};

static const struct {
    const char *name;
    enum operation operation;
} operations[] = {
    {"open_account", OPERATION_OPEN_ACCOUNT},
    {"transfer", OPERATION_TRANSFER},
    {"refund", OPERATION_REFUND},
    {"", OPERATION_NONE},
    {"none", OPERATION_NONE},
    {"Transfer", OPERATION_NONE},
    {"transfers", OPERATION_NONE},
    {"transfe", OPERATION_NONE},
    {"transfer ", OPERATION_NONE},
    {"hold", OPERATION_NONE},
    {"xxxxxx", OPERATION_NONE}, /* as long as refund */
};

static void test_names(void)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        test_case(names[i].text);
        CHECK_INT(command_is_name(names[i].text, strlen(names[i].text), names[i].max),
                  names[i].is_name);
    }
    test_case("NUL in a name");
    CHECK(!command_is_name("a\0b", 3, 64));
}

static void test_references(void)
{
    for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
        test_case(references[i].what);
        CHECK_INT(command_is_reference(references[i].text, strlen(references[i].text)),
                  references[i].is_reference);
    }
    test_case("NUL in a reference");
    CHECK(!command_is_reference("a\0b", 3));
}

/* 140 code points, whatever each of them weighs. */
static void test_reference_length(void)
{
    static const char *const points[] = {"a", "\xc3\xbc", "\xe2\x82\xac",
                                         "\xf0\x9f\x92\xb6"};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        char text[COMMAND_REFERENCE_MAX + 4];
        size_t length = strlen(points[i]);
        test_case(points[i]);
        for (size_t point = 0; point < 141; point++)
            memcpy(text + point * length, points[i], length);
        CHECK(command_is_reference(text, 139 * length));
        CHECK(command_is_reference(text, 140 * length));
        CHECK(!command_is_reference(text, 141 * length));
    }
}

static void test_operations(void)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        enum operation operation = operations[i].operation;
        test_case(operations[i].name);
        CHECK_INT(operation_find(operations[i].name, strlen(operations[i].name)),
                  operation);
        if (operation != OPERATION_NONE)
            CHECK_TEXT(operation_name(operation), operations[i].name);
    }
}

/* --- the canonical form ------------------------------------------------------------- */

static struct command sample(enum operation operation)
{
    struct command command = {.operation = operation,
                              .currency = currency_find("USD", 3),
                              .amount_minor = 0x0102030405,
                              .has_minimum = true,
                              .minimum_balance_minor = -2,
                              .client = "c",
                              .account = "acc",
                              .source = "src",
                              .destination = "dst",
                              .key = "never part of it",
                              .reference = "ref"};
    for (unsigned i = 0; i < UUID_SIZE; i++)
        command.refunded_payment_id.bytes[i] = (uint8_t)i;
    return command;
}

static void check_form(const char *what, const struct command *command, const char *form,
                       size_t form_size)
{
    uint8_t canonical[COMMAND_CANONICAL_MAX];
    size_t size = command_canonical(command, canonical);
    test_case(what);
    CHECK_BYTES(canonical, size, form, form_size);
}

#define FORM(what, command, form) check_form(what, command, form, sizeof(form) - 1)

static void test_forms(void)
{
    struct command account = sample(OPERATION_OPEN_ACCOUNT);
    struct command transfer = sample(OPERATION_TRANSFER);
    struct command refund = sample(OPERATION_REFUND);
    FORM("account with a limit", &account,
         "\1\0\14open_account\0\1c\0\3acc\0\3USD\0\10\xff\xff\xff\xff\xff\xff\xff\xfe");
    account.minimum_balance_minor = 0;
    FORM("account with limit 0", &account,
         "\1\0\14open_account\0\1c\0\3acc\0\3USD\0\10\0\0\0\0\0\0\0\0");
    account.has_minimum = false;
    FORM("account without limit", &account, "\1\0\14open_account\0\1c\0\3acc\0\3USD\0\0");
    FORM("transfer", &transfer,
         "\1\0\10transfer\0\1c\0\3src\0\3dst\0\10\0\0\0\1\2\3\4\5\0\3USD\0\3ref");
    transfer.reference[0] = '\0';
    FORM("transfer without reference", &transfer,
         "\1\0\10transfer\0\1c\0\3src\0\3dst\0\10\0\0\0\1\2\3\4\5\0\3USD\0\0");
    FORM("refund", &refund,
         "\1\0\6refund\0\1c\0\20\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17"
         "\0\10\0\0\0\1\2\3\4\5\0\3USD\0\3ref");
}

/* Where one field ends and the next begins is part of the form. */
static void test_borders(void)
{
    struct command left = sample(OPERATION_TRANSFER);
    struct command right = left;
    uint8_t left_form[COMMAND_CANONICAL_MAX], right_form[COMMAND_CANONICAL_MAX];
    memcpy(left.source, "ab", 3);
    memcpy(left.destination, "c", 2);
    memcpy(right.source, "a", 2);
    memcpy(right.destination, "bc", 3);
    size_t left_size = command_canonical(&left, left_form);
    size_t right_size = command_canonical(&right, right_form);
    test_case("borders");
    CHECK_INT(left_size, right_size);
    CHECK(memcmp(left_form, right_form, left_size) != 0);
}

static void fill(char *text, size_t size)
{
    memset(text, 'x', size);
    text[size] = '\0';
}

static void test_longest_form(void)
{
    struct command command = sample(OPERATION_TRANSFER);
    uint8_t canonical[COMMAND_CANONICAL_MAX];
    fill(command.client, COMMAND_CLIENT_MAX);
    fill(command.source, COMMAND_ACCOUNT_MAX);
    fill(command.destination, COMMAND_ACCOUNT_MAX);
    fill(command.reference, COMMAND_REFERENCE_MAX);
    command.amount_minor = INT64_MAX;
    test_case("longest");
    size_t size = command_canonical(&command, canonical);
    CHECK_INT(size, 1 + (2 + 8) + 3 * (2 + 64) + (2 + 8) + (2 + 3) + (2 + 560));
    CHECK(size <= COMMAND_CANONICAL_MAX);
    /* The reference's size takes both bytes of its prefix: 560 is 0x0230. */
    CHECK_INT(canonical[size - 562], 0x02);
    CHECK_INT(canonical[size - 561], 0x30);
}

int main(void)
{
    test_names();
    test_references();
    test_reference_length();
    test_operations();
    test_forms();
    test_borders();
    test_longest_form();
    return test_end();
}
