/* admin.h: the HTTP endpoint of `postonce consume` (CONTRACT §7, admin.listen): /metrics,
 * /livez, /readyz and /status. Reads what metrics.h holds, changes nothing. */
#ifndef CONSUMER_ADMIN_H
#define CONSUMER_ADMIN_H

#include <stdbool.h>

#include "base/config.h"

enum { ADMIN_ERROR_MAX = 256 };

struct admin;

/* Listens at once, answers in a thread of its own. *admin is NULL when it is off. False,
 * and one sentence, when it cannot listen where it was told to. Borrows the config. */
bool admin_open(struct admin **admin, const struct config *config,
                char error[ADMIN_ERROR_MAX]);
void admin_close(struct admin *admin); /* NULL is fine; does not wait for clients */

#endif
