/* posting_memory.c: see posting_memory.h. */
#include "consumer/posting_memory.h"

#include <stdlib.h>

#include "base/must.h"

static void *room_for(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    MUST(memory != NULL);
    return memory;
}

static struct slot_index index_for(size_t entries)
{
    struct slot_index index = {.slot_count = 16};
    while (index.slot_count < 4 * entries)
        index.slot_count *= 2;
    index.slots = room_for(index.slot_count, sizeof *index.slots);
    return index;
}

struct posting *posting_new(size_t capacity)
{
    MUST(capacity >= 1 && capacity <= POSTING_RECORDS_MAX);
    struct posting *posting = room_for(1, sizeof *posting);
    posting->capacity = capacity;
    posting->positions = room_for(capacity, sizeof *posting->positions);
    posting->inbox = room_for(capacity, sizeof *posting->inbox);
    posting->letters = room_for(capacity, sizeof *posting->letters);
    posting->accounts = room_for(3 * capacity, sizeof *posting->accounts);
    posting->payments = room_for(2 * capacity, sizeof *posting->payments);
    posting->new_account_ids = room_for(capacity, sizeof *posting->new_account_ids);
    posting->decisions = room_for(capacity, sizeof *posting->decisions);
    posting->results = room_for(capacity, sizeof *posting->results);
    posting->result_sizes = room_for(capacity, sizeof *posting->result_sizes);
    posting->keys = index_for(capacity);
    posting->account_names = index_for(3 * capacity);
    posting->payment_ids = index_for(2 * capacity);
    return posting;
}

void posting_free(struct posting *posting)
{
    if (posting == NULL)
        return;
    free(posting->positions);
    free(posting->inbox);
    free(posting->letters);
    free(posting->accounts);
    free(posting->payments);
    free(posting->new_account_ids);
    free(posting->decisions);
    free(posting->results);
    free(posting->result_sizes);
    free(posting->keys.slots);
    free(posting->account_names.slots);
    free(posting->payment_ids.slots);
    free(posting);
}
