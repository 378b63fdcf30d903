/* decide.c: see decide.h. Who is asked first is fixed here: the kept dead letter, the
 * malformed, the kept key, the hole, the poison, and only then the money
 * (decide_money.c). */
#include "consumer/core/decide.h"

#include <string.h>

#include "base/must.h"
#include "consumer/core/decide_money.h"
#include "consumer/core/index.h"

static void decide_new(struct decision *decision, enum code code)
{
    decision->kind = DECISION_NEW;
    decision->code = code;
    decision->outcome = code_outcome(code);
}

static void decide_kept(struct decision *decision, enum decision_kind kind,
                        const struct kept *kept)
{
    decision->kind = kind;
    decision->outcome = kept->outcome;
    decision->code = kept->code;
}

/* Every record of a posting has a position. */
static struct position *position_of(struct posting *posting, int32_t partition)
{
    size_t i = 0;
    while (posting->positions[i].partition != partition)
        MUST(++i < posting->position_count);
    return &posting->positions[i];
}

static bool is_same_command(const uint8_t *left, const uint8_t *right)
{
    return memcmp(left, right, COMMAND_FINGERPRINT_SIZE) == 0;
}

/* --- keys decided earlier in this run --- */

static bool key_matches(const void *context, size_t index, const void *key)
{
    const struct record *records = context;
    return strcmp(records[index].intake.command.key, key) == 0;
}

static ptrdiff_t find_twin(const struct posting *posting, const struct record *record)
{
    const char *key = record->intake.command.key;
    struct index_search search = {.key = key,
                                  .bytes = key,
                                  .size = strlen(key),
                                  .matches = key_matches,
                                  .context = posting->records};
    return index_find(&posting->keys, &search);
}

static void remember_key(struct posting *posting, size_t index)
{
    const char *key = posting->records[index].intake.command.key;
    index_add(&posting->keys, key, strlen(key), index);
}

/* --- one record --- */

/* Below next_offset everything was decided before and left a row. No row: topic and
 * database are not the ones we know, and nothing of this partition may go on. */
static void halt(struct position *position, const struct record *record,
                 struct decision *decision)
{
    decision->kind = DECISION_HALT;
    position->halted = true;
    position->halt_offset = record->offset;
    position->next_offset = record->offset;
}

/* An earlier version may have accepted what this one finds malformed: then its answer
 * stands. */
static void decide_malformed(struct posting *posting, struct position *position,
                             size_t index)
{
    const struct record *record = &posting->records[index];
    struct decision *decision = &posting->decisions[index];
    if (record->offset >= position->known_next_offset)
        decide_new(decision, record->intake.code);
    else if (posting->inbox[index].found)
        decide_kept(decision, DECISION_INBOX, &posting->inbox[index]);
    else
        halt(position, record, decision);
}

/* True when the key was decided before: in the database, or earlier in this run. */
static bool decide_known_key(struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct kept *kept = &posting->inbox[index];
    struct decision *decision = &posting->decisions[index];
    ptrdiff_t twin = kept->found ? INDEX_NOT_FOUND : find_twin(posting, record);
    if (!kept->found && twin == INDEX_NOT_FOUND)
        return false;
    const uint8_t *fingerprint =
        kept->found ? kept->fingerprint : posting->records[twin].fingerprint;
    if (!is_same_command(fingerprint, record->fingerprint)) {
        decide_new(decision, CODE_KEY_REUSED);
    } else if (kept->found) {
        decide_kept(decision, DECISION_INBOX, kept);
    } else {
        *decision = (struct decision){.kind = DECISION_TWIN,
                                      .outcome = posting->decisions[twin].outcome,
                                      .code = posting->decisions[twin].code,
                                      .twin = (size_t)twin};
    }
    return true;
}

static void decide_command(struct posting *posting, struct position *position,
                           size_t index)
{
    const struct record *record = &posting->records[index];
    struct decision *decision = &posting->decisions[index];
    if (decide_known_key(posting, index))
        return;
    if (record->offset < position->known_next_offset) {
        halt(position, record, decision);
        return;
    }
    if (record->poisoned) {
        decide_new(decision, CODE_REFUSED_BY_DATABASE);
        return;
    }
    enum code code = money_decide(posting, record, decision);
    decide_new(decision, code);
    decision->outcome = code == CODE_NONE ? OUTCOME_APPLIED : OUTCOME_REJECTED;
    remember_key(posting, index);
}

static void decide_record(struct posting *posting, size_t index)
{
    const struct record *record = &posting->records[index];
    struct decision *decision = &posting->decisions[index];
    struct position *position = position_of(posting, record->partition);
    *decision = (struct decision){.kind = DECISION_SKIPPED};
    if (position->halted)
        return;
    if (posting->letters[index].found)
        decide_kept(decision, DECISION_LETTER, &posting->letters[index]);
    else if (record->intake.code != CODE_NONE)
        decide_malformed(posting, position, index);
    else
        decide_command(posting, position, index);
}

void decide_posting(struct posting *posting)
{
    money_begin(posting);
    index_clear(&posting->keys, posting->count);
    for (size_t i = 0; i < posting->position_count; i++)
        posting->positions[i].halted = false;
    for (size_t i = 0; i < posting->count; i++)
        decide_record(posting, i);
}
