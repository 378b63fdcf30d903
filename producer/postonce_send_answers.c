/* postonce_send_answers.c: see postonce_send_answers.h. Owns every answer until it is
 * taken: all of them in one list in the order of their lines, and those that wait for
 * something in one hash table each, so that nothing depends on how many are under way. */
#include "producer/postonce_send_answers.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { FIRST_BUCKETS = 1024 };

enum state {
    SENT,     /* in by_key: no delivery report yet */
    PLACED,   /* in by_place: its record is known */
    UNPLACED, /* in by_key: delivered, but nobody knows where in the partition */
    ANSWERED, /* in no table */
    EARLY     /* in early: a result without a line */
};

struct table {
    struct answer **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

struct answers {
    struct table by_key, by_place, early;
    struct answer *oldest, *newest;
    size_t count;
};

/* ---- Tables ---- */

static uint64_t hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *byte = bytes; /* FNV-1a */
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t hash_place(int32_t partition, int64_t offset)
{
    uint64_t place = (uint64_t)offset ^ (uint64_t)partition << 48;
    return place * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 by the golden ratio */
}

static struct answer **bucket_of(const struct table *table, uint64_t hash)
{
    /* The low bits are the weak ones of both hashes. */
    return &table->buckets[(hash ^ hash >> 32) & (table->bucket_count - 1)];
}

static void table_init(struct table *table, size_t bucket_count)
{
    table->buckets = calloc(bucket_count, sizeof table->buckets[0]);
    MUST(table->buckets != NULL);
    table->bucket_count = bucket_count;
    table->count = 0;
}

static void put(struct table *table, struct answer *answer)
{
    struct answer **bucket = bucket_of(table, answer->hash);
    answer->next = *bucket;
    if (answer->next != NULL)
        answer->next->link = &answer->next;
    answer->link = bucket;
    *bucket = answer;
    table->count++;
}

static void table_grow(struct table *table)
{
    struct table old = *table;
    table_init(table, old.bucket_count * 2);
    for (size_t i = 0; i < old.bucket_count; i++) {
        while (old.buckets[i] != NULL) {
            struct answer *answer = old.buckets[i];
            old.buckets[i] = answer->next;
            put(table, answer);
        }
    }
    free(old.buckets);
}

static void table_add(struct table *table, struct answer *answer, uint64_t hash)
{
    if (table->count >= table->bucket_count)
        table_grow(table);
    answer->hash = hash;
    put(table, answer);
}

static void table_remove(struct table *table, struct answer *answer)
{
    *answer->link = answer->next;
    if (answer->next != NULL)
        answer->next->link = answer->link;
    table->count--;
}

static bool has_key(const struct answer *answer, const char *key, size_t key_size)
{
    return strlen(answer->key) == key_size && memcmp(answer->key, key, key_size) == 0;
}

/* Offset below 0 on either side: any place in the partition. */
static bool has_place(const struct answer *answer, int32_t partition, int64_t offset)
{
    return answer->partition == partition &&
           (answer->offset == offset || answer->offset < 0 || offset < 0);
}

/* ---- Answers ---- */

static struct answer *answer_new(const char *key, size_t key_size)
{
    struct answer *answer = calloc(1, sizeof *answer + key_size + 1);
    MUST(answer != NULL);
    char *copy = (char *)(answer + 1);
    memcpy(copy, key, key_size);
    answer->key = copy;
    return answer;
}

void answer_free(struct answer *answer)
{
    if (answer == NULL)
        return;
    free(answer->value);
    free(answer);
}

static void keep_value(struct answer *answer, const struct answers_result *result)
{
    answer->value = malloc(result->value_size + 1);
    MUST(answer->value != NULL);
    if (result->value_size > 0)
        memcpy(answer->value, result->value, result->value_size);
    answer->value[result->value_size] = '\0';
    answer->value_size = result->value_size;
}

struct answers *answers_new(void)
{
    struct answers *answers = calloc(1, sizeof *answers);
    MUST(answers != NULL);
    table_init(&answers->by_key, FIRST_BUCKETS);
    table_init(&answers->by_place, FIRST_BUCKETS);
    table_init(&answers->early, FIRST_BUCKETS);
    return answers;
}

static void free_early(const struct table *early)
{
    for (size_t i = 0; i < early->bucket_count; i++) {
        struct answer *next, *answer = early->buckets[i];
        for (; answer != NULL; answer = next) {
            next = answer->next;
            answer_free(answer);
        }
    }
}

void answers_free(struct answers *answers)
{
    if (answers == NULL)
        return;
    free_early(&answers->early);
    while (answers->oldest != NULL) {
        struct answer *answer = answers->oldest;
        answers->oldest = answer->newer;
        answer_free(answer);
    }
    free(answers->by_key.buckets);
    free(answers->by_place.buckets);
    free(answers->early.buckets);
    free(answers);
}

struct answer *answers_add(struct answers *answers, uint64_t line_number, const char *key)
{
    struct answer *answer = answer_new(key, strlen(key));
    answer->line_number = line_number;
    answer->state = SENT;
    answer->older = answers->newest;
    if (answers->newest != NULL)
        answers->newest->newer = answer;
    else
        answers->oldest = answer;
    answers->newest = answer;
    answers->count++;
    table_add(&answers->by_key, answer, hash_bytes(key, strlen(key)));
    return answer;
}

static void unlink_answer(struct answers *answers, struct answer *answer)
{
    if (answer->older != NULL)
        answer->older->newer = answer->newer;
    else
        answers->oldest = answer->newer;
    if (answer->newer != NULL)
        answer->newer->older = answer->older;
    else
        answers->newest = answer->older;
    answers->count--;
}

static struct answer *find_early(const struct answers *answers,
                                 const struct answer *wanted)
{
    size_t key_size = strlen(wanted->key);
    struct answer *early = *bucket_of(&answers->early, wanted->hash);
    while (early != NULL && !(has_key(early, wanted->key, key_size) &&
                              has_place(early, wanted->partition, wanted->offset)))
        early = early->next;
    return early;
}

/* The result was faster than the delivery report. */
static bool take_early(struct answers *answers, struct answer *answer)
{
    struct answer *early = find_early(answers, answer);
    if (early == NULL)
        return false;
    table_remove(&answers->early, early);
    answer->value = early->value;
    answer->value_size = early->value_size;
    early->value = NULL;
    answer_free(early);
    answer->state = ANSWERED;
    return true;
}

void answers_delivered(struct answers *answers, struct answer *answer, int32_t partition,
                       int64_t offset, int64_t now_ms)
{
    table_remove(&answers->by_key, answer);
    answer->partition = partition;
    answer->offset = offset;
    answer->delivered_ms = now_ms;
    if (take_early(answers, answer))
        return;
    answer->state = offset >= 0 ? PLACED : UNPLACED;
    if (answer->state == PLACED)
        table_add(&answers->by_place, answer, hash_place(partition, offset));
    else
        table_add(&answers->by_key, answer, answer->hash);
}

void answers_failed(struct answers *answers, struct answer *answer)
{
    table_remove(&answers->by_key, answer);
    unlink_answer(answers, answer);
    answer_free(answer);
}

static struct answer *find_placed(const struct answers *answers,
                                  const struct answers_result *result)
{
    uint64_t hash = hash_place(result->partition, result->offset);
    struct answer *answer = *bucket_of(&answers->by_place, hash);
    while (answer != NULL && !(has_place(answer, result->partition, result->offset) &&
                               has_key(answer, result->key, result->key_size)))
        answer = answer->next;
    return answer;
}

static struct answer *find_by_key(const struct answers *answers, uint64_t hash,
                                  enum state state, const struct answers_result *result)
{
    struct answer *answer = *bucket_of(&answers->by_key, hash);
    for (; answer != NULL; answer = answer->next) {
        if (answer->state == (int)state &&
            has_key(answer, result->key, result->key_size) &&
            (state == SENT || has_place(answer, result->partition, result->offset)))
            return answer;
    }
    return NULL;
}

static void settle(struct table *table, struct answer *answer,
                   const struct answers_result *result)
{
    table_remove(table, answer);
    keep_value(answer, result);
    answer->state = ANSWERED;
}

static void keep_early(struct answers *answers, uint64_t hash,
                       const struct answers_result *result)
{
    struct answer *early = answer_new(result->key, result->key_size);
    early->state = EARLY;
    early->partition = result->partition;
    early->offset = result->offset;
    keep_value(early, result);
    table_add(&answers->early, early, hash);
}

bool answers_result(struct answers *answers, const struct answers_result *result)
{
    uint64_t hash = hash_bytes(result->key, result->key_size);
    struct answer *answer = find_placed(answers, result);
    if (answer != NULL)
        settle(&answers->by_place, answer, result);
    else if ((answer = find_by_key(answers, hash, UNPLACED, result)) != NULL)
        settle(&answers->by_key, answer, result);
    else if (find_by_key(answers, hash, SENT, result) != NULL)
        keep_early(answers, hash, result);
    else
        return false;
    return true;
}

struct answer *answers_take(struct answers *answers, int64_t delivered_ms)
{
    struct answer *answer = answers->oldest;
    if (answer == NULL || answer->state == SENT)
        return NULL;
    if (answer->state != ANSWERED) {
        if (answer->delivered_ms > delivered_ms)
            return NULL;
        table_remove(answer->state == PLACED ? &answers->by_place : &answers->by_key,
                     answer);
    }
    unlink_answer(answers, answer);
    return answer;
}

size_t answers_count(const struct answers *answers)
{
    return answers->count;
}
