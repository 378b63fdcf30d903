/* checks.c: what must hold at every moment (DESIGN §6), looked at by the fakes at every
 * change: I2 sums, I3 no loss, I4 committed offset ≤ next_offset, I5 the answer is what
 * was kept, I17 one visible answer for each record with a valid key. All under the
 * mutex. */
#include <string.h>

#include "tests/fakes/world.h"

void check_committed(struct world *world, int32_t partition)
{
    const struct position_row *row = books_position(world->books, partition);
    if (!world->group.has_committed[partition] || world->setback.happened > 0)
        return;
    if (row == NULL || world->group.committed[partition] > row->next_offset)
        world_violation(world, "partition %d: committed %lld is above next_offset %lld",
                        partition, (long long)world->group.committed[partition],
                        row == NULL ? -1LL : (long long)row->next_offset);
}

static void check_sum(struct world *world, const struct currency *currency)
{
    int64_t sum = 0;
    for (size_t i = 0; i < world->books->account_count; i++)
        if (world->books->accounts[i].currency == currency)
            sum += world->books->accounts[i].balance_minor;
    if (sum != 0)
        world_violation(world, "the balances in %s add up to %lld", currency->code,
                        (long long)sum);
}

void check_books(struct world *world)
{
    for (size_t i = 0; i < world->books->account_count; i++)
        check_sum(world, world->books->accounts[i].currency);
    for (int32_t i = 0; i < WORLD_PARTITIONS; i++)
        check_committed(world, i);
}

static unsigned count_at(const struct world *world, const struct topic *topic,
                         int32_t partition, int64_t offset)
{
    unsigned count = 0;
    for (size_t i = 0; i < topic->count; i++) {
        const struct published *message = &topic->messages[i];
        if (message->pass == world->pass && message->partition == partition &&
            message->offset == offset)
            count++;
    }
    return count;
}

static void check_record(struct world *world, const struct logged *logged)
{
    const struct record *record = &logged->decoded;
    int32_t partition = record->partition;
    bool has_letter = books_letter(world->books, partition, record->offset) != NULL;
    bool has_inbox = record->intake.has_key &&
                     books_inbox(world->books, record->intake.command.key) != NULL;
    unsigned results = count_at(world, &world->results, partition, record->offset);
    unsigned letters = count_at(world, &world->letters, partition, record->offset);
    if (!has_letter && !has_inbox)
        world_violation(world, "record %d/%lld is committed and was never decided",
                        partition, (long long)record->offset);
    if (results != (record->intake.has_key ? 1U : 0U))
        world_violation(world, "record %d/%lld has %u visible results", partition,
                        (long long)record->offset, results);
    if (letters != (has_letter ? 1U : 0U))
        world_violation(world, "record %d/%lld has %u visible dead letters", partition,
                        (long long)record->offset, letters);
}

void check_answers(struct world *world, int32_t partition, int64_t from, int64_t to)
{
    const struct partition_log *log = &world->logs[partition];
    for (size_t i = 0; i < log->count; i++) {
        const struct logged *logged = &log->records[i];
        if (logged->offset >= from && logged->offset < to)
            check_record(world, logged);
        else if (logged->offset >= to &&
                 count_at(world, &world->results, partition, logged->offset) > 0)
            world_violation(world,
                            "record %d/%lld is answered above the committed offset",
                            partition, (long long)logged->offset);
    }
}

static bool is_kept(const struct published *result, const char *bytes, size_t size,
                    enum outcome outcome)
{
    return result->size == size && memcmp(result->bytes, bytes, size) == 0 &&
           result->outcome == outcome;
}

void check_result(struct world *world, const struct published *result)
{
    const struct letter_row *letter =
        books_letter(world->books, result->partition, result->offset);
    const struct inbox_row *row = books_inbox(world->books, result->key);
    bool same = false;
    if (world->setback.happened > 0)
        return; /* the row of what was answered may be gone */
    if (letter != NULL)
        same = letter->has_result &&
               is_kept(result, letter->result, letter->result_size, letter->outcome);
    else if (row != NULL)
        same = is_kept(result, row->result, row->result_size, row->outcome);
    if (!same)
        world_violation(world, "the answer to %d/%lld is not what was kept",
                        result->partition, (long long)result->offset);
}
