/* workload.c: see workload.h. Each group of commands is written for one partition, with
 * that partition's own accounts and keys. */
#include "tests/fakes/workload.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

enum { ACCOUNTS = 4, TURNS = 8, POOLS = 6 };

struct writer {
    struct world *world;
    int32_t partition;
    int64_t last; /* offset of the last record */
};

/* A key "PARTITION-NAME" as the header, and a value. */
__attribute__((format(printf, 3, 4))) static void
put(struct writer *writer, const char *name, const char *format, ...)
{
    char key[COMMAND_KEY_MAX + 1], value[WORLD_VALUE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    MUST(size > 0 && (size_t)size < sizeof value);
    snprintf(key, sizeof key, "%d-%s", writer->partition, name);
    writer->last = world_append(writer->world, writer->partition, key, value);
    if (writer->last % 7 == 6)
        world_skip_offset(writer->world, writer->partition);
}

static void open_account(struct writer *writer, const char *name, const char *currency,
                         const char *rest)
{
    char key[COMMAND_KEY_MAX + 1];
    snprintf(key, sizeof key, "open-%s", name);
    put(writer, key,
        "{\"operation\":\"open_account\",\"client\":\"bank\",\"account\":\"%s-%d\","
        "\"currency\":\"%s\"%s}",
        name, writer->partition, currency, rest);
}

/* Accounts are named without their partition. */
struct transfer {
    const char *key, *source, *destination, *amount;
};

static void transfer(struct writer *writer, struct transfer wanted)
{
    put(writer, wanted.key,
        "{\"operation\":\"transfer\",\"client\":\"shop\",\"source\":\"%s-%d\","
        "\"destination\":\"%s-%d\",\"amount\":\"%s\",\"currency\":\"USD\"}",
        wanted.source, writer->partition, wanted.destination, writer->partition,
        wanted.amount);
}

static void refund(struct writer *writer, const char *name, int64_t paid,
                   const char *amount)
{
    char payment_id[UUID_TEXT_SIZE + 1];
    const struct logged *payment = world_find(writer->world, writer->partition, paid);
    MUST(payment != NULL);
    uuid_format(&payment->decoded.payment_id, payment_id);
    put(writer, name,
        "{\"operation\":\"refund\",\"client\":\"shop\",\"payment_id\":\"%s\","
        "\"amount\":\"%s\",\"currency\":\"USD\"}",
        payment_id, amount);
}

static void account_name(char name[16], int number)
{
    snprintf(name, 16, "a%d", number % ACCOUNTS);
}

static void open_all(struct writer *writer)
{
    char name[16];
    open_account(writer, "bank", "USD", ",\"minimum_balance\":null");
    open_account(writer, "euro", "EUR", "");
    for (int i = 0; i < ACCOUNTS; i++) {
        account_name(name, i);
        open_account(writer, name, "USD", i == 3 ? ",\"minimum_balance\":\"-5.00\"" : "");
    }
}

static void pay_in(struct writer *writer)
{
    char key[24], name[16];
    for (int i = 0; i < ACCOUNTS; i++) {
        account_name(name, i);
        snprintf(key, sizeof key, "pay-%d", i);
        transfer(writer, (struct transfer){key, "bank", name, "100.00"});
    }
}

/* Round and round, each second one delivered twice in a row. */
static void turn(struct writer *writer)
{
    char key[24], source[16], destination[16];
    for (int i = 0; i < TURNS; i++) {
        account_name(source, i);
        account_name(destination, i + 1);
        snprintf(key, sizeof key, "turn-%d", i);
        struct transfer wanted = {key, source, destination, "12.34"};
        transfer(writer, wanted);
        if (i % 2 == 0)
            transfer(writer, wanted);
    }
}

static void be_refused(struct writer *writer)
{
    transfer(writer, (struct transfer){"much", "a0", "a1", "5000"});
    transfer(writer, (struct transfer){"nobody", "nobody", "a1", "1"});
    transfer(writer, (struct transfer){"nowhere", "a0", "nowhere", "1"});
    transfer(writer, (struct transfer){"mixed", "a0", "euro", "1"});
    transfer(writer, (struct transfer){"much", "a0", "a1", "5000.00"});
    put(writer, "again",
        "{\"operation\":\"open_account\",\"client\":\"bank\",\"account\":\"a0-%d\","
        "\"currency\":\"USD\"}",
        writer->partition);
}

static void be_in_conflict(struct writer *writer)
{
    transfer(writer, (struct transfer){"turn-1", "a1", "a2", "12.35"});
    transfer(writer, (struct transfer){"much", "a0", "a1", "1"});
    transfer(writer, (struct transfer){"turn-1", "a1", "a2", "12.34"});
}

static void put_tombstone(struct writer *writer)
{
    char key[24];
    snprintf(key, sizeof key, "%d-tombstone", writer->partition);
    world_append(writer->world, writer->partition, key, NULL);
}

static void be_malformed(struct writer *writer)
{
    struct world *world = writer->world;
    transfer(writer, (struct transfer){"mended", "a1", "a2", "0.001"});
    transfer(writer, (struct transfer){"mended", "a1", "a2", "0.01"});
    put(writer, "broken", "{\"operation\":");
    world_append(world, writer->partition, NULL, "{\"operation\":\"transfer\"}");
    world_append(world, writer->partition, "not a key", "{}");
    world_append(world, writer->partition, NULL, NULL);
    put(writer, "two", "{\"idempotency_key\":\"another\",\"operation\":\"refund\"}");
    put_tombstone(writer);
}

static void give_back(struct writer *writer)
{
    transfer(writer, (struct transfer){"order", "a2", "a3", "50"});
    int64_t order = writer->last;
    refund(writer, "part", order, "20.00");
    int64_t part = writer->last;
    refund(writer, "rest-and-more", order, "30.01");
    refund(writer, "rest", order, "30.00");
    refund(writer, "rest", order, "30");
    refund(writer, "of-refund", part, "1.00");
    put(writer, "stranger",
        "{\"operation\":\"refund\",\"client\":\"stranger\",\"payment_id\":"
        "\"01234567-89ab-7def-8123-456789abcdef\",\"amount\":1,\"currency\":\"USD\"}");
}

/* The key only in the value; money that leaves the partition. */
static void share(struct writer *writer)
{
    for (int i = 0; i < 3; i++)
        put(writer,
            i == 0   ? "sink-0"
            : i == 1 ? "sink-1"
                     : "sink-2",
            "{\"operation\":\"transfer\",\"client\":\"shop\",\"source\":\"a%d-%d\","
            "\"destination\":\"sink\",\"amount\":0.5,\"currency\":\"USD\","
            "\"reference\":\"order %d\"}",
            i, writer->partition, i);
    char value[WORLD_VALUE_MAX];
    snprintf(value, sizeof value,
             "{\"operation\":\"transfer\",\"client\":\"shop\",\"source\":\"a1-%d\","
             "\"destination\":\"sink\",\"amount\":1,\"currency\":\"USD\","
             "\"idempotency_key\":\"inside-%d\"}",
             writer->partition, writer->partition);
    world_append(writer->world, writer->partition, NULL, value);
}

/* The same command in two partitions; whichever comes first, the answer is the same. */
static void put_pool(struct world *world, int number)
{
    char key[24], value[WORLD_VALUE_MAX];
    snprintf(key, sizeof key, "pool-%d", number);
    snprintf(value, sizeof value,
             "{\"operation\":\"transfer\",\"client\":\"shop\",\"source\":\"pool-%d\","
             "\"destination\":\"sink\",\"amount\":\"7.00\",\"currency\":\"USD\"}",
             number);
    world_append(world, number % WORLD_PARTITIONS, key, value);
    world_append(world, (number + 1) % WORLD_PARTITIONS, key, value);
}

static void open_shared(struct world *world)
{
    char name[24];
    books_open_account(world->books, "sink", "USD");
    for (int i = 0; i < POOLS; i++) {
        snprintf(name, sizeof name, "pool-%d", i);
        books_open_account(world->books, name, "USD");
    }
}

void workload_fill(struct world *world)
{
    static void (*const parts[])(struct writer *) = {
        open_all,       pay_in,       turn,      be_refused,
        be_in_conflict, be_malformed, give_back, share};
    open_shared(world);
    for (int i = 0; i < POOLS / 2; i++)
        put_pool(world, i);
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++) {
        struct writer writer = {.world = world, .partition = i};
        for (size_t part = 0; part < sizeof parts / sizeof *parts; part++)
            parts[part](&writer);
    }
    for (int i = POOLS / 2; i < POOLS; i++)
        put_pool(world, i);
    world_skip_offset(world, 1); /* a log may end in a gap */
}
