/* nearest.h: "did you mean …": the known name that a mistyped one was most likely to be.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* The search so far; begin with nearest_to(NAME). `found` is NULL while nothing is near.
 */
struct nearest {
    const char *wanted;
    const char *found;
    size_t distance; /* of found */
};

struct nearest nearest_to(const char *wanted);
/* Remembers `candidate` if it is nearer than what was found. Borrows it. */
void nearest_consider(struct nearest *nearest, const char *candidate);

#endif
