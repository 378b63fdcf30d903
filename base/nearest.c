/* nearest.c: see nearest.h. Distance is the number of letters to insert, delete, replace
 * or swap with their neighbour (optimal string alignment), case aside. About a third of
 * the wanted name may differ, at least one letter: further away a suggestion is a riddle.
 */
#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { NAME_SIZE_MAX = 64 };

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

static bool is_same(char left, char right)
{
    return tolower((unsigned char)left) == tolower((unsigned char)right);
}

/* One more row of the table: `rows[0]` is the new one, `rows[1]` and `rows[2]` are those
 * of one and of two letters less of `left`. */
static void fill_row(size_t *const rows[3], const char *left, size_t i, const char *right,
                     size_t width)
{
    rows[0][0] = i;
    for (size_t j = 1; j <= width; j++) {
        size_t replaced = rows[1][j - 1] + (is_same(left[i - 1], right[j - 1]) ? 0 : 1);
        size_t shifted = smaller(rows[0][j - 1], rows[1][j]) + 1;
        rows[0][j] = smaller(replaced, shifted);
        if (i > 1 && j > 1 && is_same(left[i - 1], right[j - 2]) &&
            is_same(left[i - 2], right[j - 1]))
            rows[0][j] = smaller(rows[0][j], rows[2][j - 2] + 1);
    }
}

static size_t edit_distance(const char *left, const char *right)
{
    size_t memory[3][NAME_SIZE_MAX + 1];
    size_t height = strlen(left), width = strlen(right);
    for (size_t j = 0; j <= width; j++)
        memory[0][j] = j;
    for (size_t i = 1; i <= height; i++) {
        size_t *const rows[3] = {memory[i % 3], memory[(i + 2) % 3], memory[(i + 1) % 3]};
        fill_row(rows, left, i, right, width);
    }
    return memory[height % 3][width];
}

struct nearest nearest_to(const char *wanted)
{
    size_t farthest = (strlen(wanted) + 1) / 3;
    return (struct nearest){.wanted = wanted,
                            .distance = farthest > 1 ? farthest + 1 : 2};
}

void nearest_consider(struct nearest *nearest, const char *candidate)
{
    size_t wanted_size = strlen(nearest->wanted), size = strlen(candidate);
    if (size > NAME_SIZE_MAX || wanted_size > NAME_SIZE_MAX)
        return;
    /* Letters that one of them lacks are all to be inserted. */
    if (size + nearest->distance <= wanted_size ||
        wanted_size + nearest->distance <= size)
        return;
    size_t distance = edit_distance(nearest->wanted, candidate);
    if (distance < nearest->distance) {
        nearest->found = candidate;
        nearest->distance = distance;
    }
}
