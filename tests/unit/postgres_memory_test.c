/* postgres_memory_test.c: what is remembered of accounts, and that it is bounded. */
#include "consumer/postgres_memory.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "tests/unit/test.h"

static struct account account_of(const char *name, int64_t balance_minor)
{
    struct account account = {.account_id = 7,
                              .balance_minor = balance_minor,
                              .minimum_balance_minor = -20,
                              .has_minimum = true,
                              .currency = currency_find("EUR", 3),
                              .version = 3,
                              .version_before = 1,
                              .opened = true,
                              .rests = true};
    snprintf(account.name, sizeof account.name, "%s", name);
    return account;
}

static bool knows(struct postgres_memory *memory, const char *name)
{
    return postgres_memory_recall(memory, name).place != 0;
}

static struct account read_at(const struct postgres_memory *memory, uint32_t place)
{
    struct account account;
    MUST(place != 0);
    postgres_memory_read(memory, place, &account);
    return account;
}

static void one_account(void)
{
    struct postgres_memory *memory = postgres_memory_new();
    struct account account = account_of("a", 5), told;
    test_case("kept, told once a batch, renewed, forgotten");
    postgres_memory_begin(memory);
    CHECK(!knows(memory, "a"));
    postgres_memory_keep(memory, &account);
    postgres_memory_begin(memory);
    struct recalled known = postgres_memory_recall(memory, "a");
    CHECK(known.account_id == 7 && known.fresh && known.first);
    told = read_at(memory, known.place);
    CHECK(told.account_id == 7 && strcmp(told.name, "a") == 0);
    CHECK(told.has_minimum && told.minimum_balance_minor == -20);
    CHECK(told.currency == account.currency && told.balance_minor == 5);
    CHECK(told.version == 3 && told.version_before == 3 && told.balance_before == 5);
    CHECK(!told.opened && !told.rests);
    known = postgres_memory_recall(memory, "a");
    CHECK(known.place != 0 && known.fresh && !known.first);
    CHECK(!knows(memory, "b"));
    account.balance_minor = 9;
    postgres_memory_keep(memory, &account);
    postgres_memory_begin(memory);
    known = postgres_memory_recall(memory, "a");
    CHECK(known.first && read_at(memory, known.place).balance_minor == 9);

    test_case("what was told is kept again where it was, unless another took the place");
    told = read_at(memory, known.place);
    told.balance_minor = 11;
    postgres_memory_keep(memory, &told);
    CHECK(read_at(memory, known.place).balance_minor == 11);
    told.account_id = 8;
    memcpy(told.name, "b", 2);
    postgres_memory_keep(memory, &told);
    CHECK(read_at(memory, known.place).balance_minor == 11);
    CHECK(read_at(memory, postgres_memory_recall(memory, "b").place).account_id == 8);
    postgres_memory_forget(memory);
    CHECK(!knows(memory, "a"));
    postgres_memory_free(memory);
    postgres_memory_free(NULL);
}

static void doubts(void)
{
    struct postgres_memory *memory = postgres_memory_new();
    struct account account = account_of("a", 5), other = account_of("a", 5);
    test_case(
        "in doubt the id is known still, and the balance is not until it is kept again");
    postgres_memory_keep(memory, &account);
    postgres_memory_begin(memory);
    postgres_memory_doubt(memory);
    struct recalled known = postgres_memory_recall(memory, "a");
    CHECK(known.place != 0 && known.account_id == 7);
    CHECK(!known.fresh && known.first);
    postgres_memory_keep(memory, &account);
    CHECK(postgres_memory_recall(memory, "a").fresh);

    test_case("asked for: this name, with this id, by this batch");
    CHECK(postgres_memory_was_asked(memory, &account));
    other.account_id = 8;
    CHECK(!postgres_memory_was_asked(memory, &other));
    other = account_of("b", 5);
    CHECK(!postgres_memory_was_asked(memory, &other));
    postgres_memory_begin(memory);
    CHECK(!postgres_memory_was_asked(memory, &account));
    postgres_memory_free(memory);
}

static void many_accounts(void)
{
    enum { MANY = 600000, LAST = 1000 };
    struct postgres_memory *memory = postgres_memory_new();
    char name[24];
    int known = 0;
    test_case("more than there is room for: the latest are known, and each is itself");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        struct account account = account_of(name, i);
        postgres_memory_keep(memory, &account);
    }
    postgres_memory_begin(memory);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        struct recalled recalled = postgres_memory_recall(memory, name);
        if (recalled.place == 0)
            continue;
        known++;
        struct account account = read_at(memory, recalled.place);
        CHECK(account.balance_minor == i && strcmp(account.name, name) == 0);
    }
    CHECK(known > MANY / 10 && known < MANY / 2);
    for (int i = MANY - LAST; i < MANY; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        CHECK(knows(memory, name));
    }
    postgres_memory_free(memory);
}

int main(void)
{
    one_account();
    doubts();
    many_accounts();
    return test_end();
}
