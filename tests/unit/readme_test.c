/* readme_test.c: the README's configuration table is the one that the option table
 * prints. To renew it: run this test with README_WRITE=1 and copy what it prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "tests/unit/test.h"

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t size = text == NULL ? 0 : fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    if (size == 0) {
        free(text);
        return NULL;
    }
    return text;
}

int main(void)
{
    char *table = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&table, &size);
    config_print_markdown(memory);
    fclose(memory);
    char *readme = read_all(TEST_SOURCE "/README.md");
    CHECK(readme != NULL);
    CHECK(size > 0);
    CHECK(readme != NULL && strstr(readme, table) != NULL);
    if (getenv("README_WRITE") != NULL)
        fputs(table, stdout);
    free(table);
    free(readme);
    return test_end();
}
