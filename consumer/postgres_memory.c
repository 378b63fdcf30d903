/* postgres_memory.c: see postgres_memory.h. A table of small sets: the hash of a name
 * chooses the set, and within it one after the other is replaced. Hostile names can make
 * it forget, never grow.
 *
 * What it costs is memory that is in no cache. So the hashes stand apart from the
 * entries, where one line tells which entry to look at, if any; and an account that was
 * told is kept again where it was. */
#include "consumer/postgres_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/must.h"
#include "consumer/core/index.h"

enum { SETS = 1 << 14, WAYS = 7, LINE_SIZE = 64 };

/* Two lines of the cache. */
struct entry {
    _Alignas(LINE_SIZE) uint64_t asked_in; /* the batch that asked last */
    uint64_t doubts; /* when it was kept; more of them now: it is not fresh */
    int64_t account_id, balance_minor, minimum_balance_minor, version;
    const struct currency *currency;
    bool has_minimum;
    char name[COMMAND_ACCOUNT_MAX + 1];
};

_Static_assert(sizeof(struct entry) == 2 * (size_t)LINE_SIZE, "an entry is two lines");

struct set {
    uint32_t hashes[WAYS]; /* of the names; 0: empty */
    uint32_t next;         /* the way to be replaced */
};

struct postgres_memory {
    struct set sets[SETS];
    struct entry *entries; /* [SETS × WAYS] */
    uint64_t doubts, batch;
};

static const size_t entries_size = sizeof(struct entry) * SETS * WAYS;

/* Pages become resident when they are first written to. */
struct postgres_memory *postgres_memory_new(void)
{
    struct postgres_memory *memory = calloc(1, sizeof *memory);
    MUST(memory != NULL);
    memory->entries = mmap(NULL, entries_size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(memory->entries != MAP_FAILED);
    return memory;
}

void postgres_memory_free(struct postgres_memory *memory)
{
    if (memory == NULL)
        return;
    munmap(memory->entries, entries_size);
    free(memory);
}

void postgres_memory_forget(struct postgres_memory *memory)
{
    memset(memory->sets, 0, sizeof memory->sets);
}

void postgres_memory_doubt(struct postgres_memory *memory)
{
    memory->doubts++;
}

void postgres_memory_begin(struct postgres_memory *memory)
{
    memory->batch++;
}

/* --- places: 1 + the index of an entry --- */

static struct entry *entry_at(const struct postgres_memory *memory, uint32_t place)
{
    return &memory->entries[place - 1];
}

static uint32_t place_of(uint32_t hash, uint32_t way)
{
    return hash % SETS * WAYS + way + 1;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = index_hash(name, strlen(name));
    return hash != 0 ? hash : 1;
}

static uint32_t find(const struct postgres_memory *memory, uint32_t hash,
                     const char *name)
{
    const struct set *set = &memory->sets[hash % SETS];
    for (uint32_t way = 0; way < WAYS; way++)
        if (set->hashes[way] == hash &&
            strcmp(entry_at(memory, place_of(hash, way))->name, name) == 0)
            return place_of(hash, way);
    return 0;
}

/* A place for one more: an empty one, or the next in turn. */
static uint32_t make_room(struct postgres_memory *memory, uint32_t hash)
{
    struct set *set = &memory->sets[hash % SETS];
    uint32_t way = 0;
    while (way < WAYS && set->hashes[way] != 0)
        way++;
    if (way == WAYS)
        way = set->next++ % WAYS;
    set->hashes[way] = hash;
    return place_of(hash, way);
}

/* --- telling and keeping --- */

struct recalled postgres_memory_recall(struct postgres_memory *memory, const char *name)
{
    uint32_t place = find(memory, hash_of(name), name);
    if (place == 0)
        return (struct recalled){.place = 0};
    struct entry *entry = entry_at(memory, place);
    bool first = entry->asked_in != memory->batch;
    entry->asked_in = memory->batch;
    return (struct recalled){.place = place,
                             .account_id = entry->account_id,
                             .fresh = entry->doubts == memory->doubts,
                             .first = first};
}

void postgres_memory_read(const struct postgres_memory *memory, uint32_t place,
                          struct account *account)
{
    const struct entry *entry = entry_at(memory, place);
    *account = (struct account){.account_id = entry->account_id,
                                .balance_minor = entry->balance_minor,
                                .minimum_balance_minor = entry->minimum_balance_minor,
                                .version = entry->version,
                                .version_before = entry->version,
                                .balance_before = entry->balance_minor,
                                .currency = entry->currency,
                                .remembered_at = place,
                                .has_minimum = entry->has_minimum};
    memcpy(account->name, entry->name, sizeof account->name);
}

bool postgres_memory_was_asked(struct postgres_memory *memory,
                               const struct account *account)
{
    uint32_t place = find(memory, hash_of(account->name), account->name);
    if (place == 0)
        return false;
    const struct entry *entry = entry_at(memory, place);
    return entry->asked_in == memory->batch && entry->account_id == account->account_id;
}

/* The place that the account was told from, unless another one has taken it since. */
static struct entry *told_from(const struct postgres_memory *memory,
                               const struct account *account)
{
    if (account->remembered_at == 0)
        return NULL;
    struct entry *entry = entry_at(memory, account->remembered_at);
    return entry->account_id == account->account_id ? entry : NULL;
}

static struct entry *take_in(struct postgres_memory *memory,
                             const struct account *account)
{
    uint32_t hash = hash_of(account->name);
    uint32_t place = find(memory, hash, account->name);
    if (place == 0)
        place = make_room(memory, hash);
    struct entry *entry = entry_at(memory, place);
    entry->account_id = account->account_id;
    entry->minimum_balance_minor = account->minimum_balance_minor;
    entry->has_minimum = account->has_minimum;
    entry->currency = account->currency;
    memcpy(entry->name, account->name, sizeof entry->name);
    return entry;
}

void postgres_memory_keep(struct postgres_memory *memory, const struct account *account)
{
    struct entry *entry = told_from(memory, account);
    if (entry == NULL)
        entry = take_in(memory, account);
    entry->balance_minor = account->balance_minor;
    entry->version = account->version;
    entry->doubts = memory->doubts;
}
