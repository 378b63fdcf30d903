/* producer_answers_test.c: which result answers which line of postonce-send: results
 * before and after the delivery report, one key on several lines, foreign results,
 * time-outs, and the order in which answers come out; at the end against a model. */
#include <stdlib.h>

#include "producer/postonce_send_answers.h"
#include "tests/unit/test.h"

enum { NEVER = -1, MODEL_LINES = 20000, MODEL_WINDOW = 2000, MODEL_KEYS = 300 };

static bool result(struct answers *answers, const char *key, int32_t partition,
                   int64_t offset, const char *value)
{
    struct answers_result given = {key,    strlen(key), partition,
                                   offset, value,       strlen(value)};
    return answers_result(answers, &given);
}

/* Takes one answer and checks it; line 0: nothing may come. */
static void take(struct answers *answers, int64_t delivered_ms, uint64_t line,
                 const char *value)
{
    struct answer *answer = answers_take(answers, delivered_ms);
    CHECK_INT(answer != NULL ? answer->line_number : 0, line);
    if (answer != NULL && value != NULL)
        CHECK_TEXT(answer->value != NULL ? answer->value : "(unanswered)", value);
    else if (answer != NULL)
        CHECK(answer->value == NULL);
    answer_free(answer);
}

static void check_order(void)
{
    struct answers *answers = answers_new();
    test_case("answers come out in the order of the lines");
    struct answer *first = answers_add(answers, 1, "a");
    struct answer *second = answers_add(answers, 3, "b");
    CHECK_INT(answers_count(answers), 2);
    answers_delivered(answers, second, 0, 0, 10);
    answers_delivered(answers, first, 1, 0, 10);
    CHECK(result(answers, "b", 0, 0, "B"));
    take(answers, NEVER, 0, NULL);
    CHECK(result(answers, "a", 1, 0, "A"));
    take(answers, NEVER, 1, "A");
    take(answers, NEVER, 3, "B");
    take(answers, NEVER, 0, NULL);
    CHECK_INT(answers_count(answers), 0);
    answers_free(answers);
    answers_free(NULL);
    answer_free(NULL);
}

static void check_early(void)
{
    struct answers *answers = answers_new();
    test_case("a result before its delivery report");
    struct answer *first = answers_add(answers, 1, "a");
    CHECK(result(answers, "a", 2, 7, "A"));
    take(answers, NEVER, 0, NULL);
    answers_delivered(answers, first, 2, 7, 10);
    take(answers, NEVER, 1, "A");
    test_case("an early result of somebody else with the same key");
    first = answers_add(answers, 2, "a");
    CHECK(result(answers, "a", 2, 8, "not ours"));
    answers_delivered(answers, first, 2, 9, 10);
    take(answers, NEVER, 0, NULL);
    CHECK(result(answers, "a", 2, 9, "ours"));
    take(answers, NEVER, 2, "ours");
    answers_free(answers);
}

static void check_same_key(void)
{
    struct answers *answers = answers_new();
    struct answer *lines[3];
    test_case("one key on three lines, results early and late and crossed");
    for (uint64_t i = 0; i < 3; i++)
        lines[i] = answers_add(answers, i + 1, "k");
    CHECK(result(answers, "k", 0, 6, "two"));
    answers_delivered(answers, lines[0], 0, 5, 10);
    CHECK(result(answers, "k", 0, 5, "one"));
    answers_delivered(answers, lines[1], 0, 6, 10);
    answers_delivered(answers, lines[2], 1, 5, 10);
    CHECK(result(answers, "k", 1, 5, "three"));
    take(answers, NEVER, 1, "one");
    take(answers, NEVER, 2, "two");
    take(answers, NEVER, 3, "three");
    answers_free(answers);
}

static void check_foreign(void)
{
    struct answers *answers = answers_new();
    test_case("results that are not ours");
    CHECK(!result(answers, "a", 0, 0, "x"));
    struct answer *first = answers_add(answers, 1, "a");
    CHECK(!result(answers, "b", 0, 0, "x"));
    answers_delivered(answers, first, 0, 0, 10);
    CHECK(!result(answers, "b", 0, 0, "x")); /* our place, another key */
    CHECK(!result(answers, "a", 0, 1, "x"));
    CHECK(!result(answers, "a", 1, 0, "x"));
    CHECK(result(answers, "a", 0, 0, ""));
    CHECK(!result(answers, "a", 0, 0, "again"));
    take(answers, NEVER, 1, "");
    answers_free(answers);
}

static void check_unplaced(void)
{
    struct answers *answers = answers_new();
    test_case("delivered, but the offset is not known");
    struct answer *first = answers_add(answers, 1, "a");
    struct answer *second = answers_add(answers, 2, "a");
    answers_delivered(answers, second, 1, 40, 10);
    answers_delivered(answers, first, 1, -1, 10);
    CHECK(!result(answers, "a", 0, 39, "another partition"));
    CHECK(result(answers, "a", 1, 40, "second"));
    CHECK(result(answers, "a", 1, 39, "first"));
    take(answers, NEVER, 1, "first");
    take(answers, NEVER, 2, "second");
    test_case("and the result was early");
    first = answers_add(answers, 3, "b");
    CHECK(result(answers, "b", 0, 4, "third"));
    answers_delivered(answers, first, 0, -1, 10);
    take(answers, NEVER, 3, "third");
    answers_free(answers);
}

static void check_failed_and_late(void)
{
    struct answers *answers = answers_new();
    test_case("failed lines vanish; unanswered ones come out when their time is over");
    struct answer *first = answers_add(answers, 1, "a");
    struct answer *second = answers_add(answers, 2, "b");
    struct answer *third = answers_add(answers, 3, "c");
    struct answer *fourth = answers_add(answers, 4, "d");
    answers_failed(answers, second);
    CHECK_INT(answers_count(answers), 3);
    answers_delivered(answers, first, 0, 0, 100);
    answers_delivered(answers, third, 0, -1, 200);
    take(answers, 99, 0, NULL);
    take(answers, 100, 1, NULL);
    CHECK(!result(answers, "a", 0, 0, "too late"));
    take(answers, 199, 0, NULL);
    take(answers, 200, 3, NULL);
    take(answers, INT64_MAX, 0, NULL); /* no delivery report: it is not over */
    answers_failed(answers, fourth);
    CHECK_INT(answers_count(answers), 0);
    answers_add(answers, 5, "left to answers_free");
    answers_free(answers);
}

/* ---- A long random walk, in which each command has its place and its own value ---- */

struct model_line {
    struct answer *answer;
    char key[16], value[16];
    int32_t partition;
    int64_t offset;
    bool is_delivered, is_answered;
};

static void deliver(struct answers *answers, struct model_line *line)
{
    if (!line->is_delivered)
        answers_delivered(answers, line->answer, line->partition, line->offset, 0);
    line->is_delivered = true;
}

static void answer(struct answers *answers, struct model_line *line)
{
    if (!line->is_answered &&
        !result(answers, line->key, line->partition, line->offset, line->value))
        CHECK(false); /* every one of these is ours */
    line->is_answered = true;
}

static void add_line(struct answers *answers, struct model_line *lines, uint64_t i)
{
    struct model_line *line = &lines[i];
    snprintf(line->key, sizeof line->key, "k%d", rand() % MODEL_KEYS);
    snprintf(line->value, sizeof line->value, "%d", (int)i);
    line->partition = (int32_t)(i % 3); /* each place once */
    line->offset = (int64_t)i / 3;
    line->answer = answers_add(answers, i, line->key);
}

/* Of the lines from `from` to `until`: one is delivered, one is answered. */
static void step(struct answers *answers, struct model_line *lines, uint64_t from,
                 uint64_t until)
{
    uint64_t width = until - from;
    deliver(answers, &lines[from + (uint64_t)rand() % width]);
    answer(answers, &lines[from + (uint64_t)rand() % width]);
}

static uint64_t take_ready(struct answers *answers, const struct model_line *lines,
                           uint64_t *taken)
{
    uint64_t wrong = 0;
    struct answer *got;
    while ((got = answers_take(answers, NEVER)) != NULL) {
        wrong += got->line_number != *taken || got->value == NULL ||
                 strcmp(got->value, lines[*taken].value) != 0;
        *taken += 1;
        answer_free(got);
    }
    return wrong;
}

static void check_model(void)
{
    static struct model_line lines[MODEL_LINES];
    struct answers *answers = answers_new();
    uint64_t taken = 0, wrong = 0;
    srand(7); /* the same walk each time */
    test_case("20,000 lines, 300 keys, in any order of events");
    for (uint64_t i = 0; i < MODEL_LINES; i++) {
        uint64_t from = i < MODEL_WINDOW ? 0 : i - MODEL_WINDOW;
        add_line(answers, lines, i);
        step(answers, lines, from, i + 1);
        answer(answers, &lines[from]);
        deliver(answers, &lines[from]);
        wrong += take_ready(answers, lines, &taken);
    }
    for (uint64_t i = 0; i < MODEL_LINES; i++) {
        deliver(answers, &lines[i]);
        answer(answers, &lines[i]);
    }
    wrong += take_ready(answers, lines, &taken);
    CHECK_INT(taken, MODEL_LINES);
    CHECK_INT(wrong, 0);
    CHECK_INT(answers_count(answers), 0);
    answers_free(answers);
}

int main(void)
{
    check_order();
    check_early();
    check_same_key();
    check_foreign();
    check_unplaced();
    check_failed_and_late();
    check_model();
    return test_end();
}
