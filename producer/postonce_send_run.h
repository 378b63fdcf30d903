/* postonce_send_run.h: one run of postonce-send, from the first line to the last answer:
 * what main() hands over to when options and configuration are known to be good. */
#ifndef PRODUCER_POSTONCE_SEND_RUN_H
#define PRODUCER_POSTONCE_SEND_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/exit_code.h"

struct run_options {
    const char *path; /* NULL or "-": stdin */
    bool await;
    int64_t timeout_ms; /* how long each command's result is waited for */
    bool generate_keys;
};

/* Sends everything and returns the exit code of the program; all faults are printed.
 * stop_requested() ends it early: what is in hand is flushed, the rest is named. */
enum exit_code run(const struct config *config, const struct run_options *options);

#endif
