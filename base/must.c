/* must.c: see must.h. */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "level=fatal event=internal_fault where=%s:%d must=\"%s\"\n", file,
            line, condition);
    abort();
}
