/* postgres_memory.c: see postgres_memory.h. A table of small sets: the hash of a name
 * chooses the set, and within it one after the other is replaced. Hostile names can make
 * it forget, never grow. */
#include "consumer/postgres_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/must.h"
#include "consumer/core/index.h"

enum { SETS = 1 << 15, WAYS = 4 };

struct entry {
    uint64_t life;     /* of the memory when it was kept; another one: empty */
    uint64_t doubts;   /* when it was kept; more of them now: it is not fresh */
    uint64_t asked_in; /* the batch that asked last */
    struct account account;
};

struct set {
    struct entry entries[WAYS];
    uint32_t next; /* the one to be replaced */
};

struct postgres_memory {
    struct set *sets;
    uint64_t life, doubts, batch;
};

/* Pages become resident when they are first written to. */
struct postgres_memory *postgres_memory_new(void)
{
    struct postgres_memory *memory = calloc(1, sizeof *memory);
    MUST(memory != NULL);
    memory->sets = mmap(NULL, SETS * sizeof *memory->sets, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(memory->sets != MAP_FAILED);
    memory->life = 1;
    return memory;
}

void postgres_memory_free(struct postgres_memory *memory)
{
    if (memory == NULL)
        return;
    munmap(memory->sets, SETS * sizeof *memory->sets);
    free(memory);
}

void postgres_memory_forget(struct postgres_memory *memory)
{
    memory->life++;
}

void postgres_memory_doubt(struct postgres_memory *memory)
{
    memory->doubts++;
}

void postgres_memory_begin(struct postgres_memory *memory)
{
    memory->batch++;
}

static struct set *set_of(struct postgres_memory *memory, const char *name)
{
    return &memory->sets[index_hash(name, strlen(name)) % SETS];
}

static struct entry *find(const struct postgres_memory *memory, struct set *set,
                          const char *name)
{
    for (int i = 0; i < WAYS; i++)
        if (set->entries[i].life == memory->life &&
            strcmp(set->entries[i].account.name, name) == 0)
            return &set->entries[i];
    return NULL;
}

struct recalled postgres_memory_recall(struct postgres_memory *memory, const char *name)
{
    struct entry *entry = find(memory, set_of(memory, name), name);
    if (entry == NULL)
        return (struct recalled){.account = NULL};
    bool first = entry->asked_in != memory->batch;
    entry->asked_in = memory->batch;
    return (struct recalled){.account = &entry->account,
                             .fresh = entry->doubts == memory->doubts,
                             .first = first};
}

bool postgres_memory_was_asked(struct postgres_memory *memory,
                               const struct account *account)
{
    const struct entry *entry =
        find(memory, set_of(memory, account->name), account->name);
    return entry != NULL && entry->asked_in == memory->batch &&
           entry->account.account_id == account->account_id;
}

/* A place for one more: an empty one, or the next in turn. */
static struct entry *make_room(const struct postgres_memory *memory, struct set *set)
{
    for (int i = 0; i < WAYS; i++)
        if (set->entries[i].life != memory->life)
            return &set->entries[i];
    return &set->entries[set->next++ % WAYS];
}

void postgres_memory_keep(struct postgres_memory *memory, const struct account *account)
{
    struct set *set = set_of(memory, account->name);
    struct entry *entry = find(memory, set, account->name);
    if (entry == NULL)
        entry = make_room(memory, set);
    entry->life = memory->life;
    entry->doubts = memory->doubts;
    entry->account = *account;
    entry->account.version_before = account->version;
    entry->account.balance_before = account->balance_minor;
    entry->account.opened = entry->account.rests = false;
}
