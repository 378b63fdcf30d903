/* workload.c: the commands of a history, as JSON through the real intake: a few accounts
 * that many share, keys that come again in the same partition and in another one, with
 * the same command or a different one, refunds, refusals and garbage. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "consumer/decode.h"
#include "tests/chaos/simulation/world.h"

enum {
    VALUE_MAX = 512,
    ACCOUNTS = 6,
    COMMANDS = 45,
    SPREAD_MS = 6000,
    EPOCH_MS = 1000000
};

struct writer {
    struct workload *workload;
    struct digest *digest;
    int64_t next_offset[SIM_PARTITIONS];
    int64_t at_us;
    unsigned number;
};

static void put_record(struct writer *writer, int32_t partition, const char *key,
                       const char *value)
{
    struct workload *workload = writer->workload;
    size_t count = workload->count[partition]++;
    MUST(count < SIM_LOG);
    struct sim_record *to = &workload->records[partition][count];
    to->at_us = writer->at_us;
    to->decoded = (struct record){.partition = partition,
                                  .offset = writer->next_offset[partition]++,
                                  .timestamp_ms = EPOCH_MS + writer->number++};
    if (chance_per_mille(100))
        writer->next_offset[partition]++; /* a gap, as a transaction marker leaves it */
    intake_init(&to->decoded.intake);
    if (key != NULL)
        intake_key_header(&to->decoded.intake, key, strlen(key));
    decode_value(&to->decoded, writer->digest, value, value == NULL ? 0 : strlen(value));
}

static int32_t any_partition(void)
{
    return (int32_t)chance_below(SIM_PARTITIONS);
}

/* To a partition, and now and then to it again, or to another one: once as a rule. */
__attribute__((format(printf, 3, 4))) static void
put(struct writer *writer, const char *key, const char *format, ...)
{
    char value[VALUE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    MUST(size > 0 && (size_t)size < sizeof value);
    int32_t partition = any_partition();
    put_record(writer, partition, key, value);
    if (chance_per_mille(150))
        put_record(writer, partition, key, value);
    if (chance_per_mille(100))
        put_record(writer, any_partition(), key, value);
}

static void open_account(struct writer *writer, unsigned number)
{
    char key[32];
    snprintf(key, sizeof key, "open-%u", number);
    put(writer, key,
        "{\"operation\":\"open_account\",\"client\":\"bank\",\"account\":\"a%u\","
        "\"currency\":\"%s\"%s}",
        number, number == 5 ? "EUR" : "USD",
        number == 0 ? ",\"minimum_balance\":null" : "");
}

static void transfer(struct writer *writer, const char *key)
{
    uint64_t source = chance_below(ACCOUNTS), destination = chance_below(ACCOUNTS);
    put(writer, key,
        "{\"operation\":\"transfer\",\"client\":\"shop\",\"source\":\"a%u\","
        "\"destination\":\"%s%u\",\"amount\":\"%u.00\",\"currency\":\"USD\"}",
        (unsigned)(chance_per_mille(400) ? 0 : source),
        chance_per_mille(30) ? "nobody" : "a", (unsigned)destination,
        1 + (unsigned)chance_below(50));
}

static const struct record *any_record(const struct writer *writer)
{
    int32_t partition = any_partition();
    size_t count = writer->workload->count[partition];
    return count == 0
               ? NULL
               : &writer->workload->records[partition][chance_below(count)].decoded;
}

/* Of whatever lies in the log: a payment, a refund, or nothing that was ever applied. */
static void refund(struct writer *writer, const char *key)
{
    char payment_id[UUID_TEXT_SIZE + 1];
    const struct record *paid = any_record(writer);
    if (paid == NULL)
        return;
    uuid_format(&paid->payment_id, payment_id);
    put(writer, key,
        "{\"operation\":\"refund\",\"client\":\"%s\",\"payment_id\":\"%s\","
        "\"amount\":\"%u.00\",\"currency\":\"USD\"}",
        chance_per_mille(50) ? "stranger" : "shop", payment_id,
        1 + (unsigned)chance_below(30));
}

/* Another command, or the first one, under a key that came before. */
static void come_again(struct writer *writer)
{
    const struct record *before = any_record(writer);
    if (before == NULL || !before->intake.has_key)
        return;
    char key[COMMAND_KEY_MAX + 1];
    memcpy(key, before->intake.command.key, sizeof key);
    transfer(writer, key);
}

static void garbage(struct writer *writer, const char *key)
{
    static const char *const values[] = {"{", "[]", "{\"operation\":\"hold\"}", NULL};
    const char *value = values[chance_below(4)];
    put_record(writer, any_partition(), chance_per_mille(500) ? key : NULL, value);
    if (chance_per_mille(300))
        transfer(writer, key); /* the key is still free */
}

static void put_any(struct writer *writer, unsigned number)
{
    char key[32];
    uint64_t kind = chance_below(100);
    snprintf(key, sizeof key, "k%u", number);
    if (kind < 60)
        transfer(writer, key);
    else if (kind < 75)
        refund(writer, key);
    else if (kind < 87)
        come_again(writer);
    else if (kind < 95)
        garbage(writer, key);
    else
        open_account(writer, (unsigned)chance_below(ACCOUNTS));
}

void workload_make(struct workload *workload, uint64_t seed)
{
    fiber_begin(seed, 0);
    *workload = (struct workload){.end_us = 0};
    struct writer writer = {.workload = workload, .digest = digest_new()};
    for (int i = 0; i < SIM_PARTITIONS; i++)
        writer.next_offset[i] = workload->first_offset[i] = 5 * i;
    for (unsigned i = 0; i < ACCOUNTS; i++)
        open_account(&writer, i);
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (chance_per_mille(400)) /* else in one go with the one before */
            writer.at_us += chance_between(1, 2 * SPREAD_MS / COMMANDS) * MILLISECOND_US;
        put_any(&writer, i);
    }
    workload->end_us = writer.at_us + 400 * MILLISECOND_US;
    digest_free(writer.digest);
}

const struct sim_record *workload_find(int32_t partition, int64_t offset)
{
    const struct workload *workload = world.workload;
    for (size_t i = 0; i < workload->count[partition]; i++)
        if (workload->records[partition][i].decoded.offset == offset)
            return &workload->records[partition][i];
    return NULL;
}
