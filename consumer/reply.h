/* reply.h: the port to the result topic, the dead-letter topic and the group's offsets.
 * Results, dead letters and offsets are ONE Kafka transaction. Used by the replier
 * thread. */
#ifndef CONSUMER_REPLY_H
#define CONSUMER_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "consumer/batch.h"
#include "consumer/core/port.h"

struct reply;

/* Asked right before offsets are sent: true = what is in hand is stale, abort. */
typedef bool reply_is_stale(void *context);

/* Publishes the answers of the batches, in order, and commits their next_offsets (the
 * later batch wins). OK: visible and committed. RETRY, IN_DOUBT: aborted or unknown; go
 * back to the group's committed offsets. FENCED: another process uses our transactional
 * id. */
__attribute__((warn_unused_result)) enum port_status
reply_publish(struct reply *reply, struct batch *const *batches, size_t count,
              reply_is_stale *is_stale, void *context);
/* Commits offsets and nothing else, in a Kafka transaction. */
__attribute__((warn_unused_result)) enum port_status
reply_commit(struct reply *reply, const struct next_offset *offsets, size_t count,
             reply_is_stale *is_stale, void *context);
/* After RETRY/IN_DOUBT: makes the producer usable again (a new one if need be). */
__attribute__((warn_unused_result)) enum port_status reply_recover(struct reply *reply);
/* After FENCED, before the end: takes the transactional id back once, so that the other
 * process is fenced and notices, too. Takes a few seconds. */
void reply_take_back(struct reply *reply);
void reply_close(struct reply *reply); /* NULL is fine */

#endif
