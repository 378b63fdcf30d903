/* position.c: see position.h. */
#include "consumer/core/position.h"

#include "base/must.h"

static struct resume halt(enum halt_reason reason, int64_t offset)
{
    return (struct resume){.kind = RESUME_HALT, .reason = reason, .offset = offset};
}

struct resume position_resume(const struct marks *marks)
{
    int64_t known = marks->has_next_offset ? marks->next_offset : marks->log_start;
    bool committed_counts = marks->has_committed && marks->committed <= known;
    int64_t offset = committed_counts ? marks->committed : known;

    if (marks->log_end < known)
        return halt(HALT_LOG_TRUNCATED, known);
    if (marks->log_start > offset)
        return halt(HALT_RECORDS_DELETED, offset);
    return (struct resume){.kind = committed_counts ? RESUME_READ : RESUME_COMMIT_FIRST,
                           .reason = HALT_NONE,
                           .offset = offset};
}

bool position_needs_witness(const struct marks *marks)
{
    return marks->has_next_offset && marks->witness.known &&
           marks->witness.offset >= marks->log_start;
}

bool position_is_witness(const struct witness *witness, int64_t offset,
                         int64_t timestamp_ms)
{
    return witness->offset == offset && witness->timestamp_ms == timestamp_ms;
}

struct halt_text {
    const char *name, *sentence;
};

static const struct halt_text halt_texts[] = {
    [HALT_NONE] = {"none", "the partition is not halted"},
    [HALT_LOG_TRUNCATED] = {"log_truncated",
                            "the topic ends below what was already decided: it was "
                            "re-created or truncated; an operator must decide: "
                            "postonce adopt"},
    [HALT_RECORDS_DELETED] =
        {"records_deleted",
         "the topic starts above the position to resume from: commands "
         "were deleted unread; an operator must decide: postonce adopt"},
    [HALT_TOPIC_REPLACED] = {"topic_replaced",
                             "the last record that was decided is not in the topic any "
                             "more: it was re-created; "
                             "an operator must decide: postonce adopt"},
    [HALT_ROWS_MISSING] =
        {"rows_missing",
         "a record that was decided before left no row: topic and database "
         "do not belong together; an operator must decide: postonce adopt"},
};

static const struct halt_text *text_of(enum halt_reason reason)
{
    MUST((unsigned)reason < sizeof halt_texts / sizeof *halt_texts);
    return &halt_texts[reason];
}

const char *position_halt_name(enum halt_reason reason)
{
    return text_of(reason)->name;
}

const char *position_halt_sentence(enum halt_reason reason)
{
    return text_of(reason)->sentence;
}
