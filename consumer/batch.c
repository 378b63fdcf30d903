/* batch.c: see batch.h. Result memory covers the worst case and is mapped, not touched:
 * what is never used costs address space only. */
#include "consumer/batch.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/must.h"
#include "schema/result.h"

/* Pages become resident when they are first written to. */
static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(memory != MAP_FAILED);
    return memory;
}

struct batch *batch_new(size_t capacity)
{
    struct batch *batch = calloc(1, sizeof *batch);
    MUST(batch != NULL && capacity > 0);
    batch->capacity = capacity;
    batch->results_capacity = capacity * RESULT_MAX;
    batch->records = reserve(capacity * sizeof *batch->records);
    batch->answers = reserve(capacity * sizeof *batch->answers);
    batch->next_offsets = reserve(capacity * sizeof *batch->next_offsets);
    batch->results = reserve(batch->results_capacity);
    return batch;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    MUST(batch->count == 0);
    munmap(batch->records, batch->capacity * sizeof *batch->records);
    munmap(batch->answers, batch->capacity * sizeof *batch->answers);
    munmap(batch->next_offsets, batch->capacity * sizeof *batch->next_offsets);
    munmap(batch->results, batch->results_capacity);
    free(batch);
}

char *batch_reserve(struct batch *batch, size_t size)
{
    MUST(size <= batch->results_capacity - batch->results_used);
    char *bytes = batch->results + batch->results_used;
    batch->results_used += size;
    return bytes;
}
