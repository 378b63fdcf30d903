/* position_test.c: every cell of the rule where to resume (DESIGN §4). */
#include "consumer/core/position.h"
#include "tests/unit/test.h"

struct row {
    const char *name;
    struct marks marks;
    enum resume_kind kind;
    enum halt_reason reason;
    int64_t offset;
};

#define C(offset) .has_committed = true, .committed = (offset)
#define W(offset) .has_next_offset = true, .next_offset = (offset)
#define LOG(first, end) .log_start = (first), .log_end = (end)

static const struct row rows[] = {
    {"C = W", {C(7), W(7), LOG(0, 9)}, RESUME_READ, HALT_NONE, 7},
    {"C < W: answered again", {C(3), W(7), LOG(0, 9)}, RESUME_READ, HALT_NONE, 3},
    {"C > W: the database is older",
     {C(8), W(7), LOG(0, 9)},
     RESUME_COMMIT_FIRST,
     HALT_NONE,
     7},
    {"no C: W", {W(7), LOG(0, 9)}, RESUME_COMMIT_FIRST, HALT_NONE, 7},
    {"no C, no W: the start", {LOG(4, 9)}, RESUME_COMMIT_FIRST, HALT_NONE, 4},
    {"no C, no W, empty log", {LOG(0, 0)}, RESUME_COMMIT_FIRST, HALT_NONE, 0},
    {"no W: the start counts as W", {C(8), LOG(4, 9)}, RESUME_COMMIT_FIRST, HALT_NONE, 4},
    {"no W, C at the start", {C(4), LOG(4, 9)}, RESUME_READ, HALT_NONE, 4},
    {"W at the log end", {C(9), W(9), LOG(0, 9)}, RESUME_READ, HALT_NONE, 9},
    {"W one above the log end",
     {C(9), W(10), LOG(0, 9)},
     RESUME_HALT,
     HALT_LOG_TRUNCATED,
     10},
    {"re-created topic, no C", {W(10), LOG(0, 0)}, RESUME_HALT, HALT_LOG_TRUNCATED, 10},
    {"start at C", {C(5), W(7), LOG(5, 9)}, RESUME_READ, HALT_NONE, 5},
    {"start one above C", {C(5), W(7), LOG(6, 9)}, RESUME_HALT, HALT_RECORDS_DELETED, 5},
    {"no C, start above W", {W(5), LOG(6, 9)}, RESUME_HALT, HALT_RECORDS_DELETED, 5},
    {"C > W, start above W",
     {C(9), W(5), LOG(6, 9)},
     RESUME_HALT,
     HALT_RECORDS_DELETED,
     5},
};

static void test_rows(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_case(rows[i].name);
        struct resume resume = position_resume(&rows[i].marks);
        CHECK_INT(resume.kind, rows[i].kind);
        CHECK_INT(resume.reason, rows[i].reason);
        CHECK_INT(resume.offset, rows[i].offset);
    }
}

static void test_texts(void)
{
    test_case("texts");
    CHECK_TEXT(position_halt_name(HALT_NONE), "none");
    CHECK_TEXT(position_halt_name(HALT_LOG_TRUNCATED), "log_truncated");
    CHECK_TEXT(position_halt_name(HALT_RECORDS_DELETED), "records_deleted");
    CHECK_TEXT(position_halt_name(HALT_ROWS_MISSING), "rows_missing");
    CHECK_TEXT(position_halt_name(HALT_TOPIC_REPLACED), "topic_replaced");
    CHECK_TEXT(position_halt_sentence(HALT_NONE), "the partition is not halted");
    for (int reason = HALT_LOG_TRUNCATED; reason <= HALT_ROWS_MISSING; reason++)
        CHECK(strstr(position_halt_sentence((enum halt_reason)reason),
                     "operator must decide: postonce adopt") != NULL);
}

#define LAST(offset) .witness = {true, (offset), 1000}

static void test_witness(void)
{
    test_case("witness");
    CHECK(position_needs_witness(&(struct marks){W(7), LAST(6), LOG(0, 9)}));
    CHECK(position_needs_witness(&(struct marks){W(7), LAST(6), LOG(6, 9)}));
    CHECK(!position_needs_witness(&(struct marks){W(7), LAST(6), LOG(7, 9)}));
    CHECK(!position_needs_witness(&(struct marks){W(7), LOG(0, 9)}));
    CHECK(!position_needs_witness(&(struct marks){LAST(6), LOG(0, 9)}));
    struct witness witness = {true, 6, 1000};
    CHECK(position_is_witness(&witness, 6, 1000));
    CHECK(!position_is_witness(&witness, 6, 1001));
    CHECK(!position_is_witness(&witness, 7, 1000));
}

int main(void)
{
    test_witness();
    test_rows();
    test_texts();
    return test_end();
}
