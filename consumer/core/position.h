/* position.h: where a partition that was just assigned is to be resumed (DESIGN §4).
 * Pure. */
#ifndef CONSUMER_CORE_POSITION_H
#define CONSUMER_CORE_POSITION_H

#include <stdbool.h>
#include <stdint.h>

/* The last record that was decided. Read again, it shows that the topic is still the one
 * we know: another topic of the same name has another record there, or none. */
struct witness {
    bool known; /* false: nothing was decided yet, or by an older version */
    int64_t offset;
    int64_t timestamp_ms; /* -1: it has none */
};

/* What Kafka and the database say of one partition. */
struct marks {
    bool has_committed;   /* the group has a committed offset */
    int64_t committed;    /* C */
    bool has_next_offset; /* stream_position had a row before our claim */
    int64_t next_offset;  /* W */
    int64_t log_start;    /* first offset that can be read */
    int64_t log_end;      /* behind the last committed record */
    struct witness witness;
};

enum resume_kind {
    RESUME_READ,         /* read from `offset` */
    RESUME_COMMIT_FIRST, /* commit `offset` for the group, then ask again */
    RESUME_HALT          /* an operator must decide; `reason` says why */
};

enum halt_reason {
    HALT_NONE,
    HALT_LOG_TRUNCATED,   /* the log ends below next_offset: re-created or truncated */
    HALT_RECORDS_DELETED, /* the log starts above the offset to resume from */
    HALT_TOPIC_REPLACED,  /* the last decided record is not there any more */
    HALT_ROWS_MISSING /* a record below next_offset left neither inbox nor dead letter row
                       */
};

struct resume {
    enum resume_kind kind;
    enum halt_reason reason;
    int64_t offset;
};

/* C ≤ W: read from C. No C, or C > W: W must be committed first, so that a crash between
 * the first Postgres commit and the first Kafka commit is answered again; no row: W = log
 * start. Never jumps. */
struct resume position_resume(const struct marks *marks);
/* Whether the witness can be, and so has to be, read again before anything else. */
bool position_needs_witness(const struct marks *marks);
/* Whether this is the record that was decided: the first one read at or behind it. */
bool position_is_witness(const struct witness *witness, int64_t offset,
                         int64_t timestamp_ms);
/* "log_truncated" … and one sentence that names the verb that resolves it. */
const char *position_halt_name(enum halt_reason reason);
const char *position_halt_sentence(enum halt_reason reason);

#endif
