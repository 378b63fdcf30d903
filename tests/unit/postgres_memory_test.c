/* postgres_memory_test.c: what is remembered of accounts, and that it is bounded. */
#include "consumer/postgres_memory.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

static struct account account_of(const char *name, int64_t balance_minor)
{
    struct account account = {.account_id = 7,
                              .balance_minor = balance_minor,
                              .version = 3,
                              .version_before = 1,
                              .opened = true,
                              .rests = true};
    snprintf(account.name, sizeof account.name, "%s", name);
    return account;
}

static void one_account(void)
{
    struct postgres_memory *memory = postgres_memory_new();
    struct account account = account_of("a", 5);
    bool first = false;
    test_case("kept, told once a batch, renewed, forgotten");
    postgres_memory_begin(memory);
    CHECK(postgres_memory_recall(memory, "a", &first) == NULL);
    postgres_memory_keep(memory, &account);
    postgres_memory_begin(memory);
    const struct account *known = postgres_memory_recall(memory, "a", &first);
    CHECK(known != NULL && first);
    CHECK(known != NULL && known->version_before == 3 && known->balance_before == 5);
    CHECK(known != NULL && !known->opened && !known->rests);
    CHECK(postgres_memory_recall(memory, "a", &first) != NULL && !first);
    CHECK(postgres_memory_recall(memory, "b", &first) == NULL);
    account.balance_minor = 9;
    postgres_memory_keep(memory, &account);
    postgres_memory_begin(memory);
    known = postgres_memory_recall(memory, "a", &first);
    CHECK(known != NULL && first && known->balance_minor == 9);
    postgres_memory_forget(memory);
    CHECK(postgres_memory_recall(memory, "a", &first) == NULL);
    postgres_memory_free(memory);
    postgres_memory_free(NULL);
}

static void many_accounts(void)
{
    enum { MANY = 600000, LAST = 1000 };
    struct postgres_memory *memory = postgres_memory_new();
    char name[24];
    bool first;
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
        const struct account *account = postgres_memory_recall(memory, name, &first);
        if (account == NULL)
            continue;
        known++;
        CHECK(account->balance_minor == i && strcmp(account->name, name) == 0);
    }
    CHECK(known > MANY / 10 && known < MANY / 2);
    for (int i = MANY - LAST; i < MANY; i++) {
        snprintf(name, sizeof name, "account-%d", i);
        CHECK(postgres_memory_recall(memory, name, &first) != NULL);
    }
    postgres_memory_free(memory);
}

int main(void)
{
    one_account();
    many_accounts();
    return test_end();
}
