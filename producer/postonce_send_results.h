/* postonce_send_results.h: the result topic, read from the end it had when it was opened.
 *
 * Reads every partition, committed records only, in no consumer group: nothing is left
 * behind and nobody is disturbed. Gives out only results of commands on the command
 * topic. Open it before the first command is sent, or its result may be missed. */
#ifndef PRODUCER_POSTONCE_SEND_RESULTS_H
#define PRODUCER_POSTONCE_SEND_RESULTS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/exit_code.h"
#include "producer/postonce_send_answers.h"

enum { RESULTS_SENTENCE_MAX = 512 };

struct results_fault {
    enum exit_code code; /* USAGE or UNREACHABLE */
    char sentence[RESULTS_SENTENCE_MAX];
};

struct results;

/* NULL: see fault. The configuration is borrowed as long as the results are open. */
struct results *results_open(const struct config *config, struct results_fault *fault);
void results_close(struct results *results); /* NULL is fine */

/* The next result, borrowed until the next call; waits up to timeout_ms for the first
 * record. False: none came, or none of ours. */
bool results_next(struct results *results, int timeout_ms, struct answers_result *result);
/* What went wrong since the last call, one sentence; NULL: nothing. */
const char *results_trouble(struct results *results);

#endif
