/* stop.h: SIGTERM and SIGINT as one flag, and signals kept away from library threads. */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <stdbool.h>

/* Before any thread or library handle exists: blocks SIGTERM/SIGINT in this thread
 * (threads inherit the mask), starts the one thread that waits for them, ignores SIGPIPE.
 */
void stop_install(void);
/* True from the first SIGTERM or SIGINT on; any thread. */
bool stop_requested(void);
/* Asks for a stop from inside (tests, --until-end). */
void stop_request(void);
/* A second SIGINT/SIGTERM ends the process at once with _exit(70). */

#endif
