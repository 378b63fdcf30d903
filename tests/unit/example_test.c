/* example_test.c: the examples of schema/message/examples/ are what they say.
 *
 * Each command is read as a record with the header `idempotency-key: example-1`, or
 * without any if its file name says key_missing: the valid ones have no fault, the
 * invalid ones the one that begins their name. The results are the bytes that
 * result_write makes of the commands. tests/schema/check_examples.py holds the same files
 * against the JSON Schemas. */
#include <dirent.h>
#include <stdlib.h>

#include "schema/intake.h"
#include "schema/result.h"

#include "tests/unit/test.h"

#define EXAMPLES TEST_SOURCE "/schema/message/examples"

struct text {
    char bytes[8192];
    size_t size;
};

static void read_file(const char *folder, const char *name, struct text *text)
{
    char path[512];
    snprintf(path, sizeof(path), EXAMPLES "/%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    test_case(name);
    CHECK(file != NULL);
    text->size = 0;
    if (file == NULL)
        return;
    text->size = fread(text->bytes, 1, sizeof(text->bytes), file);
    CHECK(text->size < sizeof(text->bytes));
    fclose(file);
}

static void read_command(const char *folder, const char *name, struct intake *intake)
{
    static const char key[] = "example-1";
    struct text text;
    read_file(folder, name, &text);
    intake_init(intake);
    if (strncmp(name, "key_missing.", 12) != 0)
        intake_key_header(intake, key, sizeof(key) - 1);
    intake_value(intake, text.bytes, text.size);
}

static void check_valid(const char *name)
{
    struct intake intake;
    read_command("commands/valid", name, &intake);
    CHECK_TEXT(intake.detail, "");
    CHECK_INT(intake.code, CODE_NONE);
    CHECK_TEXT(intake.command.key, "example-1");
}

static void check_invalid(const char *name)
{
    struct intake intake;
    enum code code = code_find(name, strcspn(name, "."));
    read_command("commands/invalid", name, &intake);
    CHECK(code != CODE_NONE);
    CHECK_TEXT(code_name(intake.code), code_name(code));
}

static unsigned for_each(const char *folder, void (*check)(const char *name))
{
    char path[512];
    unsigned count = 0;
    struct dirent *entry;
    snprintf(path, sizeof(path), EXAMPLES "/%s", folder);
    DIR *listing = opendir(path);
    test_case(folder);
    CHECK(listing != NULL);
    while (listing != NULL && (entry = readdir(listing)) != NULL)
        if (entry->d_name[0] != '.') {
            check(entry->d_name);
            count++;
        }
    if (listing != NULL)
        closedir(listing);
    return count;
}

/* --- results ------------------------------------------------------------------------ */

static const struct uuid payment = {{0x01, 0x92, 0xf0, 0xc1, 0xab, 0xcd, 0x7e, 0xf0, 0x81,
                                     0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}};

static const struct {
    const char *result;
    const char *command; /* "valid/…" or "invalid/…" */
    enum code code;      /* NONE: applied, or malformed as the command is */
    int64_t balance_minor;
} results[] = {
    {"applied.open_account.json", "valid/open_account.json", CODE_NONE, 0},
    {"applied.open_account.settlement.json", "valid/open_account.settlement.json",
     CODE_NONE, 0},
    {"applied.transfer.json", "valid/transfer.json", CODE_NONE, 90000},
    {"applied.transfer.overdrawn.json", "valid/transfer.three-decimals.json", CODE_NONE,
     -12345},
    {"applied.refund.json", "valid/refund.json", CODE_NONE, 6000},
    {"rejected.open_account.json", "valid/open_account.overdraft.json",
     CODE_ACCOUNT_EXISTS, 0},
    {"rejected.transfer.json", "valid/transfer.json", CODE_INSUFFICIENT_FUNDS, 0},
    {"rejected.refund.json", "valid/refund.upper-case.json", CODE_REFUND_EXCEEDS_PAYMENT,
     0},
    {"conflict.json", "valid/transfer.number.json", CODE_KEY_REUSED, 0},
    {"expired.json", "valid/refund.json", CODE_COMMAND_TOO_OLD, 0},
    {"poison.json", "valid/open_account.plain.json", CODE_REFUSED_BY_DATABASE, 0},
    {"malformed.field.json", "invalid/field_unknown.typo.json", CODE_NONE, 0},
    {"malformed.operation.json", "invalid/operation_unknown.later.json", CODE_NONE, 0},
    {"malformed.json.json", "invalid/json_invalid.cut.json", CODE_NONE, 0},
};

enum { RESULT_COUNT = sizeof(results) / sizeof(results[0]) };

static void test_results(void)
{
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        struct intake intake;
        struct text wanted;
        char bytes[RESULT_MAX];
        read_command("commands", results[i].command, &intake);
        enum code code = intake.code != CODE_NONE ? intake.code : results[i].code;
        struct result result = {.intake = &intake,
                                .outcome = code_outcome(code),
                                .code = code,
                                .payment_id = &payment,
                                .balance_minor = results[i].balance_minor};
        read_file("results/valid", results[i].result, &wanted);
        size_t size = result_write(&result, bytes);
        CHECK(wanted.size > 0); /* the file ends with a line feed, the result does not */
        CHECK_BYTES(bytes, size, wanted.bytes, wanted.size - 1);
    }
}

static void ignore(const char *name)
{
    (void)name;
}

int main(void)
{
    CHECK(for_each("commands/valid", check_valid) >= 12);
    CHECK(for_each("commands/invalid", check_invalid) >= 30);
    test_results();
    test_case("each valid result is proven here");
    CHECK_INT(for_each("results/valid", ignore), RESULT_COUNT);
    return test_end();
}
