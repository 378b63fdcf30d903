/* run.c: see run.h. */
#include "tests/fakes/run.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* A life takes part of a second; one that gets nowhere must not last for ever. After the
 * first of these the test has failed, and the others need not be waited for as long. */
enum { LIVES_MAX = 8, POSTERS_MAX = 4, LIFE_MS = 30000, LIFE_AFTER_MS = 1000 };

static atomic_bool anything_overdue;

static _Thread_local struct world *running;
static _Thread_local int64_t deadline_ms;

static bool stop_requested(void)
{
    if (clock_monotonic_ms() > deadline_ms) {
        running->overdue = true;
        anything_overdue = true;
    }
    return running->overdue || world_should_stop(running);
}

enum exit_code run_once(struct world *world, struct run_setup setup)
{
    struct store *posters[POSTERS_MAX] = {NULL};
    for (size_t i = 0; i < setup.posters; i++)
        posters[i] = store_fake_open(world);
    struct source *source = source_fake_open(world);
    struct worker_settings settings = {.source = source,
                                       .reply = reply_fake_open(world, source),
                                       .reader_store = store_fake_open(world),
                                       .poster_stores = posters,
                                       .posters = setup.posters,
                                       .batch_records = setup.batch_records,
                                       .until_end = true,
                                       .stop_requested = stop_requested};
    running = world;
    deadline_ms = clock_monotonic_ms() + (anything_overdue ? LIFE_AFTER_MS : LIFE_MS);
    enum exit_code code = worker_run(&settings);
    for (size_t i = 0; i < setup.posters; i++)
        store_close(posters[i]);
    store_close(settings.reader_store);
    reply_close(settings.reply);
    source_close(source);
    return code;
}

#define DIFFERS(difference, ...) \
    (snprintf((difference), RUN_DIFFERENCE_MAX, __VA_ARGS__), false)

bool run_to_end(struct world *world, struct run_setup setup,
                char difference[RUN_DIFFERENCE_MAX])
{
    for (int life = 0; life < LIVES_MAX; life++) {
        enum exit_code code = run_once(world, setup);
        if (code == EXIT_CODE_DONE && world_is_at_end(world))
            return true;
        if (world->overdue)
            return DIFFERS(difference, "the worker gets nowhere");
        if (code == EXIT_CODE_DONE)
            world->early_ends++;
        else if (code != EXIT_CODE_INTERNAL && code != EXIT_CODE_USAGE)
            return DIFFERS(difference, "the worker ended with %d", code);
    }
    return DIFFERS(difference, "the worker does not get to the end");
}

/* --- the books --- */

static bool same_accounts(struct world *world, const struct world *reference,
                          char difference[RUN_DIFFERENCE_MAX])
{
    const struct books *wanted = reference->books;
    if (world->books->account_count != wanted->account_count)
        return DIFFERS(difference, "%zu accounts instead of %zu",
                       world->books->account_count, wanted->account_count);
    for (size_t i = 0; i < wanted->account_count; i++) {
        const struct account_row *row = &wanted->accounts[i];
        const struct account_row *got = books_account(world->books, row->name);
        if (got == NULL || got->balance_minor != row->balance_minor ||
            got->version != row->version || got->currency != row->currency ||
            got->has_minimum != row->has_minimum ||
            got->minimum_balance_minor != row->minimum_balance_minor)
            return DIFFERS(difference, "account %s has another balance or version",
                           row->name);
    }
    return true;
}

static bool same_inbox(struct world *world, const struct world *reference,
                       char difference[RUN_DIFFERENCE_MAX])
{
    const struct books *wanted = reference->books;
    if (world->books->inbox_count != wanted->inbox_count)
        return DIFFERS(difference, "%zu inbox rows instead of %zu",
                       world->books->inbox_count, wanted->inbox_count);
    for (size_t i = 0; i < wanted->inbox_count; i++) {
        const struct inbox_row *row = &wanted->inbox[i];
        const struct inbox_row *got = books_inbox(world->books, row->key);
        if (got == NULL || got->outcome != row->outcome || got->code != row->code ||
            got->result_size != row->result_size ||
            memcmp(got->result, row->result, row->result_size) != 0 ||
            memcmp(got->fingerprint, row->fingerprint, sizeof row->fingerprint) != 0)
            return DIFFERS(difference, "key %s is decided otherwise", row->key);
    }
    return true;
}

static bool same_letters(struct world *world, const struct world *reference,
                         char difference[RUN_DIFFERENCE_MAX])
{
    const struct books *wanted = reference->books;
    if (world->books->letter_count != wanted->letter_count)
        return DIFFERS(difference, "%zu dead letters instead of %zu",
                       world->books->letter_count, wanted->letter_count);
    for (size_t i = 0; i < wanted->letter_count; i++) {
        const struct letter_row *row = &wanted->letters[i];
        const struct letter_row *got =
            books_letter(world->books, row->partition, row->offset);
        if (got == NULL || got->code != row->code || got->has_result != row->has_result ||
            got->result_size != row->result_size ||
            memcmp(got->result, row->result, row->result_size) != 0)
            return DIFFERS(difference, "dead letter %d/%lld is another", row->partition,
                           (long long)row->offset);
    }
    return true;
}

static bool same_transfers(struct world *world, const struct world *reference,
                           char difference[RUN_DIFFERENCE_MAX])
{
    const struct books *wanted = reference->books;
    if (world->books->transfer_count != wanted->transfer_count)
        return DIFFERS(difference, "%zu transfers instead of %zu",
                       world->books->transfer_count, wanted->transfer_count);
    for (size_t i = 0; i < wanted->transfer_count; i++) {
        const struct transfer_row *row = &wanted->transfers[i];
        const struct transfer_row *got = books_payment(world->books, &row->payment_id);
        if (got == NULL || got->amount_minor != row->amount_minor ||
            got->is_refund != row->is_refund)
            return DIFFERS(difference, "a transfer is another");
    }
    return true;
}

bool run_same_books(struct world *world, const struct world *reference,
                    char difference[RUN_DIFFERENCE_MAX])
{
    if (world->violations > 0)
        return DIFFERS(difference, "%u violations, the first: %s", world->violations,
                       world->violation);
    if (world->origins_out > 0)
        return DIFFERS(difference, "%u records were not released", world->origins_out);
    return same_accounts(world, reference, difference) &&
           same_inbox(world, reference, difference) &&
           same_letters(world, reference, difference) &&
           same_transfers(world, reference, difference);
}

/* --- the answers --- */

static const struct published *find_answer(const struct topic *topic, unsigned pass,
                                           const struct published *like)
{
    for (size_t i = 0; i < topic->count; i++) {
        const struct published *message = &topic->messages[i];
        if (message->pass == pass && message->partition == like->partition &&
            message->offset == like->offset)
            return message;
    }
    return NULL;
}

/* Each answer of the reference is there once; that there are no others, the count
 * says. */
static bool same_topic(const struct world *world, const struct topic *got,
                       const struct topic *wanted, char difference[RUN_DIFFERENCE_MAX])
{
    size_t count = 0, reference_count = 0;
    for (size_t i = 0; i < got->count; i++)
        count += got->messages[i].pass == world->pass;
    for (size_t i = 0; i < wanted->count; i++) {
        const struct published *message = &wanted->messages[i];
        if (message->pass != 0)
            continue;
        reference_count++;
        const struct published *answer = find_answer(got, world->pass, message);
        if (answer == NULL || answer->outcome != message->outcome ||
            answer->code != message->code || answer->size != message->size ||
            memcmp(answer->bytes, message->bytes, message->size) != 0)
            return DIFFERS(difference, "record %d/%lld is answered otherwise",
                           message->partition, (long long)message->offset);
    }
    if (count != reference_count)
        return DIFFERS(difference, "%zu answers instead of %zu", count, reference_count);
    return true;
}

bool run_same(struct world *world, const struct world *reference,
              char difference[RUN_DIFFERENCE_MAX])
{
    return run_same_books(world, reference, difference) &&
           same_topic(world, &world->results, &reference->results, difference) &&
           same_topic(world, &world->letters, &reference->letters, difference);
}

bool run_all_replayed(struct world *world, char difference[RUN_DIFFERENCE_MAX])
{
    for (size_t i = 0; i < world->results.count; i++) {
        const struct published *message = &world->results.messages[i];
        if (message->pass == world->pass && !message->replayed)
            return DIFFERS(difference, "record %d/%lld is not answered as replayed",
                           message->partition, (long long)message->offset);
    }
    return true;
}
