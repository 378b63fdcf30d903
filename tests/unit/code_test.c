/* code_test.c: names, order and outcomes of the codes, spelled out once more from
 * CONTRACT §2, so that a slip in the list is seen. */
#include "schema/code.h"

#include "tests/unit/test.h"

static const struct {
    const char *name;
    enum outcome outcome;
} contract[] = {
    {"key_missing", OUTCOME_MALFORMED},
    {"key_invalid", OUTCOME_MALFORMED},
    {"key_ambiguous", OUTCOME_MALFORMED},
    {"value_missing", OUTCOME_MALFORMED},
    {"value_too_large", OUTCOME_MALFORMED},
    {"json_invalid", OUTCOME_MALFORMED},
    {"field_unknown", OUTCOME_MALFORMED},
    {"field_missing", OUTCOME_MALFORMED},
    {"field_invalid", OUTCOME_MALFORMED},
    {"operation_unknown", OUTCOME_MALFORMED},
    {"currency_unknown", OUTCOME_MALFORMED},
    {"amount_invalid", OUTCOME_MALFORMED},
    {"same_account", OUTCOME_MALFORMED},
    {"key_reused", OUTCOME_CONFLICT},
    {"command_too_old", OUTCOME_EXPIRED},
    {"refused_by_database", OUTCOME_POISON},
    {"account_exists", OUTCOME_REJECTED},
    {"payment_unknown", OUTCOME_REJECTED},
    {"payment_not_refundable", OUTCOME_REJECTED},
    {"refund_exceeds_payment", OUTCOME_REJECTED},
    {"source_unknown", OUTCOME_REJECTED},
    {"destination_unknown", OUTCOME_REJECTED},
    {"currency_mismatch", OUTCOME_REJECTED},
    {"insufficient_funds", OUTCOME_REJECTED},
    {"balance_overflow", OUTCOME_REJECTED},
};

/* What CONTRACT §2 says of the order among refusals, operation by operation. */
static const char *const refund_order[] = {"payment_unknown", "payment_not_refundable",
                                           "currency_mismatch", "refund_exceeds_payment",
                                           NULL};
static const char *const transfer_order[] = {"source_unknown",    "destination_unknown",
                                             "currency_mismatch", "insufficient_funds",
                                             "balance_overflow",  NULL};

static const char *const outcomes[] = {"applied",   "rejected", "conflict",
                                       "malformed", "expired",  "poison"};

static enum code find(const char *name)
{
    return code_find(name, strlen(name));
}

static void test_codes(void)
{
    CHECK_INT(CODE_COUNT - 1, sizeof(contract) / sizeof(contract[0]));
    for (unsigned i = 0; i < sizeof(contract) / sizeof(contract[0]); i++) {
        enum code code = find(contract[i].name);
        test_case(contract[i].name);
        CHECK(code != CODE_NONE);
        CHECK_TEXT(code_name(code), contract[i].name);
        CHECK_INT(code_outcome(code), contract[i].outcome);
        CHECK(strlen(code_sentence(code)) > 20);
        CHECK(strpbrk(code_sentence(code), "\"\\\n") == NULL);
        if (contract[i].outcome == OUTCOME_MALFORMED)
            CHECK_INT(code, i + 1);
    }
}

static void test_outcomes(void)
{
    CHECK_INT(OUTCOME_COUNT - 1, sizeof(outcomes) / sizeof(outcomes[0]));
    for (unsigned i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        enum outcome outcome = outcome_find(outcomes[i], strlen(outcomes[i]));
        test_case(outcomes[i]);
        CHECK_INT(outcome, i + 1);
        CHECK_TEXT(outcome_name(outcome), outcomes[i]);
    }
    CHECK_INT(code_outcome(CODE_NONE), OUTCOME_APPLIED);
}

static void test_order(const char *const *names)
{
    for (; names[1] != NULL; names++) {
        test_case(names[0]);
        CHECK(find(names[0]) < find(names[1]));
    }
}

static void test_strangers(void)
{
    static const char *const strangers[] = {
        "",           "none",         "Applied",     "applied ", "applie",
        "key_missin", "key_missing ", "KEY_MISSING", "overdrawn"};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        test_case(strangers[i]);
        CHECK_INT(find(strangers[i]), CODE_NONE);
        CHECK_INT(outcome_find(strangers[i], strlen(strangers[i])), OUTCOME_NONE);
    }
    test_case("the size counts");
    CHECK_INT(code_find("key_missing", 10), CODE_NONE);
    CHECK_INT(code_find("key_missing!", 11), CODE_KEY_MISSING);
    CHECK_INT(outcome_find("applied!", 7), OUTCOME_APPLIED);
}

int main(void)
{
    test_codes();
    test_outcomes();
    test_order(transfer_order);
    test_order(refund_order);
    test_strangers();
    return test_end();
}
