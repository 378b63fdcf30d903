/* replay.c: the main program of a fuzz target where there is no libFuzzer: gives it every
 * file of a folder, in the order of their names, each in memory of exactly its size. A
 * property that does not hold ends the program, and so the test; the name of the file is
 * printed before it is tried. */
#include <dirent.h>
#include <stdbool.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum { PATH_SIZE = 1024 };

static bool read_file(const char *path, uint8_t **bytes, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        return false;
    long end = ftell(file);
    *size = end > 0 ? (size_t)end : 0;
    *bytes = malloc(*size + (*size == 0));
    rewind(file);
    bool done = *bytes != NULL && fread(*bytes, 1, *size, file) == *size;
    return fclose(file) == 0 && done;
}

static void replay(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    uint8_t *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    printf("%s\n", name);
    fflush(stdout);
    REQUIRE(read_file(path, &bytes, &size));
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argument_count, char **arguments)
{
    struct dirent **entries = NULL;
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", arguments[0]);
        return 2;
    }
    int count = scandir(arguments[1], &entries, is_visible, alphasort);
    for (int i = 0; i < count; i++) {
        replay(arguments[1], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("%d passed, %d failed\n", count > 0 ? count : 0, count > 0 ? 0 : 1);
    return count > 0 ? 0 : 1;
}
