/* must.h: the end of the road for a fault of ours.
 *
 * MUST(condition) is on in release builds. It prints the condition and aborts. Redelivery
 * makes a crash safe; a wrong posting is not. Never use it for data or for the world. */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define MUST(condition) \
    ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

/* Prints one line to stderr and aborts. Async-signal-safe; never returns. */
_Noreturn void must_fail(const char *condition, const char *file, int line);

#endif
