/* audit_test.c: docs/audit.md lists the findings as the program does, and the bits that
 * --topic remembers are kept. To renew the page: run with DOCS_WRITE=1, and put what it
 * prints under "The findings". */
#include "consumer/audit.h"

#include <stdlib.h>

#include "consumer/audit_bits.h"
#include "tests/unit/test.h"

static void the_page(void)
{
    char *shown = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&shown, &size);
    audit_print_markdown(memory);
    fclose(memory);
    if (getenv("DOCS_WRITE") != NULL)
        fputs(shown, stdout);
    test_case("docs/audit.md");
    char page[32768] = "";
    FILE *file = fopen(TEST_SOURCE "/docs/audit.md", "r");
    CHECK(file != NULL);
    if (file != NULL) {
        CHECK(fread(page, 1, sizeof page - 1, file) > 0);
        fclose(file);
    }
    CHECK(strstr(page, shown) != NULL);
    free(shown);
}

static void the_names(void)
{
    test_case("names and sentences");
    for (unsigned i = 0; i < AUDIT_CHECK_COUNT; i++) {
        const char *sentence = audit_check_sentence((enum audit_check)i);
        CHECK(sentence[0] != '\0' && sentence[strlen(sentence) - 1] != '.');
        CHECK(strchr(sentence, '|') == NULL && strchr(sentence, '"') == NULL);
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(audit_check_name((enum audit_check)i),
                         audit_check_name((enum audit_check)j)) != 0);
    }
}

static void the_bits(void)
{
    struct audit_bits bits;
    test_case("bits");
    audit_bits_init(&bits, 1000, 1200);
    CHECK(!audit_bits_covers(&bits, 999) && audit_bits_covers(&bits, 1000));
    CHECK(audit_bits_covers(&bits, 1199) && !audit_bits_covers(&bits, 1200));
    CHECK_INT(audit_bits_find(&bits, 1000), -1);
    for (int64_t offset = 1000; offset < 1200; offset += 3)
        CHECK(!audit_bits_put(&bits, offset, true));
    for (int64_t offset = 1000; offset < 1200; offset++)
        CHECK(audit_bits_get(&bits, offset) == ((offset - 1000) % 3 == 0));
    CHECK_INT(audit_bits_find(&bits, 1001), 1003);
    CHECK(audit_bits_put(&bits, 1003, false));
    CHECK_INT(audit_bits_find(&bits, 1001), 1006);
    CHECK(!audit_bits_put(&bits, 1003, true));
    audit_bits_clear(&bits);
    test_case("no bits");
    audit_bits_init(&bits, 50, 20);
    CHECK(!audit_bits_covers(&bits, 50) && !audit_bits_covers(&bits, 20));
    CHECK_INT(audit_bits_find(&bits, 50), -1);
    audit_bits_clear(&bits);
}

int main(void)
{
    the_page();
    the_names();
    the_bits();
    return test_end();
}
