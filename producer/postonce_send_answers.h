/* postonce_send_answers.h: which result answers which line. Memory only, no I/O, no
 * clock.
 *
 * A result belongs to the command whose record it names (partition and offset, known from
 * the delivery report), so that two lines with one key get each its own. A result may
 * overtake the delivery report; it is kept then, if its key is that of a command under
 * way. Answers are taken out in the order in which the lines were added. One thread. */
#ifndef PRODUCER_POSTONCE_SEND_ANSWERS_H
#define PRODUCER_POSTONCE_SEND_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line that was sent. Readable: the first four fields. */
struct answer {
    uint64_t line_number;
    const char *key;
    char *value; /* the result, NUL-terminated; NULL: unanswered */
    size_t value_size;
    /* private to postonce_send_answers.c */
    int state;
    int32_t partition;
    int64_t offset;
    int64_t delivered_ms;
    struct answer *older, *newer; /* in the order of the lines */
    uint64_t hash;                /* the table that holds it */
    struct answer *next, **link;
};

/* A result as it was read; borrowed for the length of a call. */
struct answers_result {
    const char *key;
    size_t key_size;
    int32_t partition; /* of the command */
    int64_t offset;
    const char *value;
    size_t value_size;
};

struct answers;

struct answers *answers_new(void);
void answers_free(struct answers *answers); /* NULL is fine; frees what was not taken */

/* A line about to be sent. The answer stays ours until it is taken. Copies the key. */
struct answer *answers_add(struct answers *answers, uint64_t line_number,
                           const char *key);
/* Its record is there. Offset below 0: the broker did not tell it; the next result with
 * its key and partition that belongs to nothing else is its own then. */
void answers_delivered(struct answers *answers, struct answer *answer, int32_t partition,
                       int64_t offset, int64_t now_ms);
/* It will have no result: forgets and frees it. */
void answers_failed(struct answers *answers, struct answer *answer);
/* False: the result answers none of our lines. Copies the value. */
bool answers_result(struct answers *answers, const struct answers_result *result);

/* Takes out the oldest line, if it is answered, or was delivered at or before
 * `delivered_ms` (unanswered: value is NULL); else NULL. The caller frees it. */
struct answer *answers_take(struct answers *answers, int64_t delivered_ms);
void answer_free(struct answer *answer); /* NULL is fine */
/* Lines added and neither failed nor taken. */
size_t answers_count(const struct answers *answers);

#endif
