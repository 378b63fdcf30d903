/* verb_audit_topic.h: `postonce audit --topic`: topic ↔ inbox ↔ results. */
#ifndef CONSUMER_VERB_AUDIT_TOPIC_H
#define CONSUMER_VERB_AUDIT_TOPIC_H

#include "consumer/postgres_audit.h"
#include "consumer/verb.h"

struct topic_audit;

/* Before the snapshot: asks Kafka how far the group has got. Everything below that is in
 * the snapshot then. NULL: *code, and the sentence is printed. */
struct topic_audit *topic_audit_open(const struct verb_call *call, int *code);
/* Within the snapshot. Returns the exit code; DONE also if there are findings. */
int topic_audit_run(struct topic_audit *topic, struct postgres_audit *books);
/* How many records and results were read. */
void topic_audit_counts(const struct topic_audit *topic, int64_t *records,
                        int64_t *results);
void topic_audit_close(struct topic_audit *topic); /* NULL is fine */

#endif
