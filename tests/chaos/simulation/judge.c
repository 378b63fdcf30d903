/* judge.c: what must hold (DESIGN §6), looked at at every change: the fence (I15), the
 * order (I9), each decision once more by the oracle, sums (I2), offsets (I3, I4), and
 * answers (I5, I14, I17). */
#include "base/must.h"
#include "tests/chaos/simulation/oracle.h"
#include "tests/chaos/simulation/world.h"

static int64_t decided_up_to[SIM_PARTITIONS]; /* new decisions only go forward */

void judge_begin(void)
{
    oracle_begin();
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        decided_up_to[i] = -1;
}

/* Everything above what came back is decided again. */
void judge_restored(void)
{
    for (int32_t i = 0; i < SIM_PARTITIONS; i++) {
        const struct position_row *row = books_position(world.books, i);
        decided_up_to[i] = row == NULL ? -1 : row->next_offset - 1;
    }
}

uint64_t digest_bytes(const char *bytes, size_t size)
{
    uint64_t digest = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001B3);
    return digest;
}

/* --- a posting --- */

static void judge_order(const struct record *record)
{
    if (record->offset <= decided_up_to[record->partition])
        violate("I9: record %d/%lld is decided after %lld", record->partition,
                (long long)record->offset, (long long)decided_up_to[record->partition]);
    decided_up_to[record->partition] = record->offset;
}

static bool is_replay(const struct decision *decision)
{
    return decision->kind == DECISION_INBOX || decision->kind == DECISION_LETTER ||
           decision->kind == DECISION_TWIN;
}

static void judge_decision(const struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct decision *decision = &posting->decisions[index];
    if (decision->kind == DECISION_HALT || decision->kind == DECISION_SKIPPED)
        return;
    const struct sim_record *logged = workload_find(record->partition, record->offset);
    MUST(logged != NULL);
    struct verdict wanted = oracle_decide(&logged->decoded, record->poisoned);
    if (wanted.replay != is_replay(decision) || wanted.outcome != decision->outcome ||
        wanted.code != decision->code)
        violate("record %d/%lld is decided as %s %s (%d), expected %s %s",
                record->partition, (long long)record->offset,
                outcome_name(decision->outcome),
                decision->code == CODE_NONE ? "" : code_name(decision->code),
                decision->kind, outcome_name(wanted.outcome),
                wanted.code == CODE_NONE ? "" : code_name(wanted.code));
    if (decision->kind == DECISION_NEW)
        judge_order(record);
}

void judge_posting(const struct posting *posting, uint64_t snapshot)
{
    oracle_begin_posting(posting, snapshot);
    for (size_t i = 0; i < posting->count; i++)
        judge_decision(posting, i);
}

/* --- the books --- */

static void judge_sum(const struct currency *currency)
{
    int64_t sum = 0;
    for (size_t i = 0; i < world.books->account_count; i++)
        if (world.books->accounts[i].currency == currency)
            sum += world.books->accounts[i].balance_minor;
    if (sum != 0)
        violate("I2: the balances in %s add up to %lld", currency->code, (long long)sum);
}

static void judge_account(const struct account_row *row)
{
    int64_t balance, version;
    if (!oracle_account(row->name, &balance, &version))
        violate("account %s should not be there", row->name);
    else if (balance != row->balance_minor || version != row->version)
        violate("I2: account %s has %lld in version %lld instead of %lld in %lld",
                row->name, (long long)row->balance_minor, (long long)row->version,
                (long long)balance, (long long)version);
    if (row->has_minimum && row->balance_minor < row->minimum_balance_minor)
        violate("I2: account %s is below its minimum", row->name);
}

static void judge_marks(int32_t partition)
{
    const struct sim_group *group = &world.kafka.group;
    const struct position_row *row = books_position(world.books, partition);
    if (world.restored)
        return;
    if (group->has_committed[partition] &&
        (row == NULL || group->committed[partition] > row->next_offset))
        violate("I4: partition %d: committed %lld is above next_offset %lld", partition,
                (long long)group->committed[partition],
                row == NULL ? -1LL : (long long)row->next_offset);
}

void judge_books(void)
{
    for (size_t i = 0; i < world.books->account_count; i++) {
        judge_sum(world.books->accounts[i].currency);
        judge_account(&world.books->accounts[i]);
    }
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        judge_marks(i);
}

/* --- offsets and answers --- */

static size_t index_of(int32_t partition, int64_t offset)
{
    const struct sim_record *record = workload_find(partition, offset);
    MUST(record != NULL);
    return (size_t)(record - world.workload->records[partition]);
}

static const struct inbox_row *inbox_of(const struct record *record)
{
    return record->intake.has_key ? books_inbox(world.books, record->intake.command.key)
                                  : NULL;
}

static bool is_decided(const struct record *record)
{
    return inbox_of(record) != NULL ||
           books_letter(world.books, record->partition, record->offset) != NULL;
}

void judge_offset(int32_t partition, int64_t before, int64_t after)
{
    judge_marks(partition);
    if (after < before && !world.restored)
        violate("partition %d: the committed offset went back from %lld to %lld",
                partition, (long long)before, (long long)after);
    for (size_t i = 0; i < world.workload->count[partition]; i++) {
        const struct record *record = &world.workload->records[partition][i].decoded;
        if (record->offset < before || record->offset >= after)
            continue;
        if (!world.restored && !is_decided(record))
            violate("I3: record %d/%lld is committed and was never decided", partition,
                    (long long)record->offset);
    }
}

static bool is_kept(const struct sim_answer *answer, const struct record *record)
{
    const struct letter_row *letter =
        books_letter(world.books, answer->partition, answer->offset);
    const struct inbox_row *row = inbox_of(record);
    if (letter != NULL)
        return letter->outcome == answer->outcome && letter->code == answer->code &&
               (!letter->has_result ||
                digest_bytes(letter->result, letter->result_size) == answer->digest);
    return row != NULL && row->outcome == answer->outcome && row->code == answer->code &&
           digest_bytes(row->result, row->result_size) == answer->digest;
}

void judge_answer(const struct sim_answer *answer)
{
    size_t index = index_of(answer->partition, answer->offset);
    const struct record *record =
        &world.workload->records[answer->partition][index].decoded;
    struct sim_kafka *kafka = &world.kafka;
    COUNT(ANSWERS);
    events[EVENT_REPLAYS] += answer->replayed;
    if (!world.restored && !is_kept(answer, record))
        violate("I5: the answer to %d/%lld is not what is kept", answer->partition,
                (long long)answer->offset);
    uint8_t *seen = answer->is_letter ? &kafka->letters[answer->partition][index]
                                      : &kafka->results[answer->partition][index];
    if (++*seen > 1 && !world.restored)
        violate("I17: record %d/%lld has %d visible %s", answer->partition,
                (long long)answer->offset, *seen,
                answer->is_letter ? "dead letters" : "results");
    if (kafka->pass > 0 && !answer->replayed && !world.restored)
        violate("record %d/%lld is decided anew after a rewind", answer->partition,
                (long long)answer->offset);
}

static void judge_record(int32_t partition, size_t index)
{
    const struct record *record = &world.workload->records[partition][index].decoded;
    bool has_letter = books_letter(world.books, partition, record->offset) != NULL;
    unsigned results = world.kafka.results[partition][index];
    unsigned letters = world.kafka.letters[partition][index];
    if (!is_decided(record))
        violate("I3: record %d/%lld is never decided", partition,
                (long long)record->offset);
    if (world.restored && results > 1)
        results = 1;
    if (world.restored && letters > 0)
        letters = has_letter; /* it may be decided otherwise now */
    if (results != (record->intake.has_key ? 1U : 0U))
        violate("I17: record %d/%lld has %u visible results", partition,
                (long long)record->offset, results);
    if (letters != (has_letter ? 1U : 0U))
        violate("I17: record %d/%lld has %u visible dead letters", partition,
                (long long)record->offset, letters);
}

/* I10: an applied payment has its transfer, and no transfer is without. */
static void judge_transfers(void)
{
    size_t wanted = 0;
    for (size_t i = 0; i < world.books->inbox_count; i++) {
        const struct inbox_row *row = &world.books->inbox[i];
        wanted += row->has_payment_id;
        if (row->has_payment_id && books_payment(world.books, &row->payment_id) == NULL)
            violate("I10: key %s is applied and has no transfer", row->key);
    }
    if (wanted != world.books->transfer_count)
        violate("I10: %zu transfers for %zu applied payments",
                world.books->transfer_count, wanted);
}

void judge_rest(void)
{
    judge_books();
    judge_transfers();
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        for (size_t j = 0; j < world.workload->count[i]; j++)
            judge_record(i, j);
}

/* --- I7 --- */

static uint64_t mix(uint64_t digest, uint64_t number)
{
    return (digest ^ number) * UINT64_C(0x100000001B3);
}

uint64_t judge_digest(void)
{
    uint64_t digest = 0;
    const struct books *books = world.books;
    for (size_t i = 0; i < books->account_count; i++) {
        digest = mix(digest, (uint64_t)books->accounts[i].balance_minor);
        digest = mix(digest, (uint64_t)books->accounts[i].version);
    }
    for (size_t i = 0; i < books->inbox_count; i++)
        digest = mix(digest,
                     digest_bytes(books->inbox[i].result, books->inbox[i].result_size));
    digest = mix(digest, books->transfer_count);
    return mix(digest, books->letter_count);
}
