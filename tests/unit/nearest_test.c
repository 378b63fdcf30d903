/* nearest_test.c: a suggestion is made for a slip of the finger, and for nothing else. */
#include "base/nearest.h"

#include "tests/unit/test.h"

static const char *const known[] = {"group",    "instance",      "posters",
                                    "postgres", "batch.records", "topics.dead_letters",
                                    "json"};

static const struct {
    const char *wanted;
    const char *found; /* NULL: none */
} cases[] = {
    {"group", "group"},
    {"gruop", "group"},
    {"GROUP", "group"},
    {"grou", "group"},
    {"groups", "group"},
    {"poster", "posters"},
    {"postgre", "postgres"},
    {"batch.record", "batch.records"},
    {"topics.deadletters", "topics.dead_letters"},
    {"topics.dead-letters", "topics.dead_letters"},
    {"jsn", "json"},
    {"jsno", "json"},
    {"jsxx", NULL},
    {"gxxxp", NULL},
    {"postgers", "posters"}, /* as near as postgres: the first one */
    {"xxxx", NULL},
    {"", NULL},
    {"retention", NULL},
    {"a name far longer than any that could be known, to the end of the array", NULL},
};

int main(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nearest nearest = nearest_to(cases[i].wanted);
        test_case(cases[i].wanted);
        for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
            nearest_consider(&nearest, known[j]);
        CHECK_TEXT(nearest.found != NULL ? nearest.found : "(none)",
                   cases[i].found != NULL ? cases[i].found : "(none)");
    }
    test_case("a candidate that is too long is passed over");
    struct nearest nearest = nearest_to("x");
    nearest_consider(&nearest,
                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    CHECK(nearest.found == NULL);
    return test_end();
}
