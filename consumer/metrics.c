/* metrics.c: see metrics.h. A slot for each partition, found by its number: one that is
 * beyond the slots is not shown, which is no reason to stop. */
#include "consumer/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/clock.h"

enum { SLOTS_MAX = 4096, BUCKETS_MAX = 16 };

/* --- the table --- */

/* X(name, type, meaning) in the order of CONTRACT §7. */
#define METRICS(X)                                                                       \
    X(commands_total, counter, "Commands decided for the first time, by outcome.")       \
    X(replays_total, counter, "Records answered with what was decided before.")          \
    X(dead_letters_total, counter, "Records written to the dead-letter topic, by code.") \
    X(lag_records, gauge, "Offsets between what is answered and the end of the log.")    \
    X(oldest_command_age_seconds, gauge,                                                 \
      "Age of the oldest command that was read and is not answered; 0 if there is "      \
      "none.")                                                                           \
    X(batch_seconds, histogram, "Time to post a batch in Postgres.")                     \
    X(batch_commands, histogram, "Records of a batch.")                                  \
    X(command_latency_seconds, histogram,                                                \
      "From the timestamp of a record until it was decided.")                            \
    X(retries_total, counter, "Attempts that had to be made again, by cause.")           \
    X(halted, gauge, "1: the partition has halted, and an operator must decide.")        \
    X(postgres_up, gauge, "1: Postgres answered when it was asked last.")                \
    X(kafka_up, gauge, "1: Kafka answered when it was asked last.")                      \
    X(build_info, gauge, "Always 1; the labels say what is running.")

enum metric {
#define X(name, type, meaning) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

static const struct {
    const char *name, *type, *meaning;
} metrics[METRIC_COUNT] = {
#define X(name_, type_, meaning_) [METRIC_##name_] = {#name_, #type_, (meaning_)},
    METRICS(X)
#undef X
};

/* --- histograms --- */

struct histogram {
    int64_t bounds[BUCKETS_MAX]; /* ascending, 0 ends them: microseconds, or records */
    atomic_llong counts[BUCKETS_MAX + 1]; /* the last: above all bounds */
    atomic_llong sum;
};

static struct histogram batch_us = {.bounds = {1000, 2500, 5000, 10000, 25000, 50000,
                                               100000, 250000, 500000, 1000000, 2500000,
                                               10000000}};
static struct histogram batch_records = {
    .bounds = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 4000, 10000}};
static struct histogram latency_us = {.bounds = {2500, 5000, 10000, 25000, 50000, 100000,
                                                 250000, 500000, 1000000, 5000000,
                                                 30000000, 300000000, 3600000000}};

static size_t bucket_of(const struct histogram *histogram, int64_t value)
{
    size_t index = 0;
    while (histogram->bounds[index] != 0 && value > histogram->bounds[index])
        index++;
    return index;
}

static void add(atomic_llong *to, int64_t number)
{
    atomic_fetch_add_explicit(to, number, memory_order_relaxed);
}

static int64_t value_of(atomic_llong *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void set(atomic_llong *to, int64_t number)
{
    atomic_store_explicit(to, number, memory_order_relaxed);
}

static void observe(struct histogram *histogram, int64_t value)
{
    add(&histogram->counts[bucket_of(histogram, value)], 1);
    add(&histogram->sum, value);
}

/* --- counters --- */

static atomic_llong outcomes[OUTCOME_COUNT], letters[CODE_COUNT], replays;
static atomic_llong causes[METRICS_CAUSE_COUNT];
static atomic_bool sides[METRICS_SIDE_COUNT];
static atomic_llong beat_at_ms;
static atomic_bool assigned;

void metrics_retry(enum metrics_cause cause)
{
    add(&causes[cause], 1);
}

void metrics_posting_failed(enum port_status status)
{
    static const enum metrics_cause cause_of[PORT_STATUS_COUNT] = {
        [PORT_IN_DOUBT] = METRICS_POSTGRES_IN_DOUBT,
        [PORT_FENCED] = METRICS_POSTGRES_FENCED,
        [PORT_REFUSED] = METRICS_POSTGRES_REFUSED,
    };
    metrics_retry(cause_of[status]);
}

void metrics_side(enum metrics_side side, bool up)
{
    atomic_store_explicit(&sides[side], up, memory_order_relaxed);
}

bool metrics_is_up(enum metrics_side side)
{
    return atomic_load_explicit(&sides[side], memory_order_relaxed);
}

void metrics_beat(void)
{
    set(&beat_at_ms, clock_monotonic_ms());
}

int64_t metrics_silence_ms(void)
{
    int64_t at_ms = value_of(&beat_at_ms);
    return at_ms == 0 ? -1 : clock_monotonic_ms() - at_ms;
}

/* Counted here first: one atomic operation for each kind, not for each record. */
struct tally {
    int64_t outcomes[OUTCOME_COUNT], replays;
    int64_t buckets[BUCKETS_MAX + 1], latency_us;
};

static void tally_one(struct tally *tally, const struct record *record,
                      const struct answer *answer, int64_t now_ms)
{
    if (answer->outcome == OUTCOME_NONE)
        return;
    if (answer->replayed) {
        tally->replays++;
        return;
    }
    tally->outcomes[answer->outcome]++;
    if (record->timestamp_ms < 0)
        return;
    int64_t us =
        (now_ms > record->timestamp_ms ? now_ms - record->timestamp_ms : 0) * 1000;
    tally->buckets[bucket_of(&latency_us, us)]++;
    tally->latency_us += us;
}

static void add_tally(const struct tally *tally)
{
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        if (tally->outcomes[i] > 0)
            add(&outcomes[i], tally->outcomes[i]);
    for (size_t i = 0; i <= BUCKETS_MAX; i++)
        if (tally->buckets[i] > 0)
            add(&latency_us.counts[i], tally->buckets[i]);
    add(&latency_us.sum, tally->latency_us);
    add(&replays, tally->replays);
}

void metrics_posted(const struct batch *batch, int64_t duration_us)
{
    struct tally tally = {.replays = 0};
    int64_t now_ms = clock_unix_ms();
    for (size_t i = 0; i < batch->count; i++)
        tally_one(&tally, &batch->records[i], &batch->answers[i], now_ms);
    add_tally(&tally);
    observe(&batch_us, duration_us);
    observe(&batch_records, (int64_t)batch->count);
}

/* --- partitions --- */

struct slot {
    atomic_bool owned;
    atomic_llong halted, halt_offset;
    atomic_llong answered;    /* everything below is */
    atomic_llong answered_ms; /* timestamp of the last answered record */
    atomic_llong read;        /* everything below was handed on */
    atomic_llong begun_ms;    /* timestamp of the first one read when all was answered */
    atomic_llong tail;        /* up to here nothing follows what was read */
    atomic_llong log_end;
};

static struct slot slots[SLOTS_MAX];

static struct slot *slot_of(int32_t partition)
{
    return partition >= 0 && partition < SLOTS_MAX ? &slots[partition] : NULL;
}

void metrics_own(int32_t partition)
{
    struct slot *slot = slot_of(partition);
    atomic_store(&assigned, true);
    if (slot == NULL)
        return;
    set(&slot->halted, HALT_NONE);
    atomic_store(&slot->owned, true);
}

void metrics_disown(int32_t partition)
{
    struct slot *slot = slot_of(partition);
    if (slot != NULL)
        atomic_store(&slot->owned, false);
}

void metrics_resume(int32_t partition, int64_t offset, int64_t log_end)
{
    struct slot *slot = slot_of(partition);
    if (slot == NULL)
        return;
    set(&slot->answered, offset);
    set(&slot->read, offset);
    set(&slot->tail, 0);
    set(&slot->log_end, log_end);
}

void metrics_read(int32_t partition, int64_t offset, int64_t timestamp_ms)
{
    struct slot *slot = slot_of(partition);
    if (slot == NULL)
        return;
    if (value_of(&slot->answered) >= value_of(&slot->read))
        set(&slot->begun_ms, timestamp_ms);
    set(&slot->read, offset + 1);
}

void metrics_end(int32_t partition, int64_t end_offset)
{
    struct slot *slot = slot_of(partition);
    if (slot == NULL)
        return;
    set(&slot->tail, end_offset);
    metrics_log_end(partition, end_offset);
}

void metrics_log_end(int32_t partition, int64_t log_end)
{
    struct slot *slot = slot_of(partition);
    if (slot != NULL && log_end > value_of(&slot->log_end))
        set(&slot->log_end, log_end);
}

void metrics_halted(int32_t partition, enum halt_reason reason, int64_t offset)
{
    struct slot *slot = slot_of(partition);
    if (slot == NULL)
        return;
    set(&slot->halt_offset, offset);
    set(&slot->halted, (int64_t)reason);
}

static bool is_letter(enum outcome outcome)
{
    return outcome == OUTCOME_CONFLICT || outcome == OUTCOME_MALFORMED ||
           outcome == OUTCOME_EXPIRED || outcome == OUTCOME_POISON;
}

void metrics_answered(const struct batch *batch)
{
    for (size_t i = 0; i < batch->next_offset_count; i++) {
        struct slot *slot = slot_of(batch->next_offsets[i].partition);
        if (slot != NULL)
            set(&slot->answered, batch->next_offsets[i].offset);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (is_letter(batch->answers[i].outcome))
            add(&letters[batch->answers[i].code], 1);
        struct slot *slot = slot_of(batch->records[i].partition);
        if (slot != NULL && batch->records[i].timestamp_ms > 0)
            set(&slot->answered_ms, batch->records[i].timestamp_ms);
    }
}

bool metrics_is_assigned(void)
{
    return atomic_load(&assigned);
}

/* What was answered, and the gap behind it when nothing else is on the way. */
static int64_t next_offset_of(struct slot *slot)
{
    int64_t answered = value_of(&slot->answered);
    int64_t tail = value_of(&slot->tail);
    return answered >= value_of(&slot->read) && tail > answered ? tail : answered;
}

static int64_t lag_of(struct slot *slot)
{
    int64_t lag = value_of(&slot->log_end) - next_offset_of(slot);
    return lag > 0 ? lag : 0;
}

/* The oldest one came at, or after, the last that was answered. */
static int64_t age_ms_of(struct slot *slot, int64_t now_ms)
{
    if (value_of(&slot->answered) >= value_of(&slot->read))
        return 0;
    int64_t begun_ms = value_of(&slot->begun_ms);
    int64_t answered_ms = value_of(&slot->answered_ms);
    int64_t oldest_ms = answered_ms > begun_ms ? answered_ms : begun_ms;
    return oldest_ms > 0 && now_ms > oldest_ms ? now_ms - oldest_ms : 0;
}

size_t metrics_partitions(struct metrics_partition *partitions, size_t capacity)
{
    size_t count = 0;
    for (int32_t i = 0; i < SLOTS_MAX && count < capacity; i++) {
        struct slot *slot = &slots[i];
        if (!atomic_load(&slot->owned))
            continue;
        partitions[count++] = (struct metrics_partition){
            .partition = i,
            .next_offset = next_offset_of(slot),
            .lag = lag_of(slot),
            .halted = (enum halt_reason)value_of(&slot->halted),
            .halt_offset = value_of(&slot->halt_offset)};
    }
    return count;
}

/* --- the text --- */

static void print_head(FILE *out, enum metric metric)
{
    fprintf(out, "# HELP postonce_%s %s\n# TYPE postonce_%s %s\n", metrics[metric].name,
            metrics[metric].meaning, metrics[metric].name, metrics[metric].type);
}

static void print_counter(FILE *out, enum metric metric, const char *label,
                          const char *value, int64_t number)
{
    fprintf(out, "postonce_%s", metrics[metric].name);
    if (label != NULL)
        fprintf(out, "{%s=\"%s\"}", label, value);
    fprintf(out, " %" PRId64 "\n", number);
}

/* Microseconds as seconds, without a double. */
static void print_seconds(FILE *out, int64_t us)
{
    fprintf(out, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
}

static void print_bound(FILE *out, int64_t bound, bool is_time)
{
    if (is_time)
        print_seconds(out, bound);
    else
        fprintf(out, "%" PRId64, bound);
}

static void print_histogram(FILE *out, enum metric metric, struct histogram *histogram,
                            bool is_time)
{
    const char *name = metrics[metric].name;
    int64_t count = 0;
    print_head(out, metric);
    for (size_t i = 0; histogram->bounds[i] != 0; i++) {
        count += value_of(&histogram->counts[i]);
        fprintf(out, "postonce_%s_bucket{le=\"", name);
        print_bound(out, histogram->bounds[i], is_time);
        fprintf(out, "\"} %" PRId64 "\n", count);
    }
    count += value_of(&histogram->counts[bucket_of(histogram, INT64_MAX)]);
    fprintf(out, "postonce_%s_bucket{le=\"+Inf\"} %" PRId64 "\npostonce_%s_sum ", name,
            count, name);
    print_bound(out, value_of(&histogram->sum), is_time);
    fprintf(out, "\npostonce_%s_count %" PRId64 "\n", name, count);
}

static void print_outcomes(FILE *out)
{
    print_head(out, METRIC_commands_total);
    for (enum outcome i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++)
        print_counter(out, METRIC_commands_total, "outcome", outcome_name(i),
                      value_of(&outcomes[i]));
}

static void print_letters(FILE *out)
{
    print_head(out, METRIC_dead_letters_total);
    for (enum code i = CODE_NONE + 1; i < CODE_COUNT; i++)
        if (is_letter(code_outcome(i)))
            print_counter(out, METRIC_dead_letters_total, "code", code_name(i),
                          value_of(&letters[i]));
}

static void print_causes(FILE *out)
{
    static const char *const labels[METRICS_CAUSE_COUNT] = {
#define X(name, label) [METRICS_##name] = (label),
        METRICS_CAUSES(X)
#undef X
    };
    print_head(out, METRIC_retries_total);
    for (size_t i = 0; i < METRICS_CAUSE_COUNT; i++)
        print_counter(out, METRIC_retries_total, "cause", labels[i],
                      value_of(&causes[i]));
}

static void print_age(FILE *out, struct slot *slot)
{
    print_seconds(out, age_ms_of(slot, clock_unix_ms()) * 1000);
}

static void print_lag(FILE *out, struct slot *slot)
{
    fprintf(out, "%" PRId64, lag_of(slot));
}

static void print_halted(FILE *out, struct slot *slot)
{
    fprintf(out, "%d", value_of(&slot->halted) != HALT_NONE);
}

static void print_partitions(FILE *out, enum metric metric,
                             void (*print)(FILE *out, struct slot *slot))
{
    print_head(out, metric);
    for (int i = 0; i < SLOTS_MAX; i++) {
        if (!atomic_load(&slots[i].owned))
            continue;
        fprintf(out, "postonce_%s{partition=\"%d\"} ", metrics[metric].name, i);
        print(out, &slots[i]);
        fputc('\n', out);
    }
}

static void print_side(FILE *out, enum metric metric, enum metrics_side side)
{
    print_head(out, metric);
    print_counter(out, metric, NULL, NULL, metrics_is_up(side));
}

void metrics_print(FILE *out, const char *build_labels)
{
    print_outcomes(out);
    print_head(out, METRIC_replays_total);
    print_counter(out, METRIC_replays_total, NULL, NULL, value_of(&replays));
    print_letters(out);
    print_partitions(out, METRIC_lag_records, print_lag);
    print_partitions(out, METRIC_oldest_command_age_seconds, print_age);
    print_histogram(out, METRIC_batch_seconds, &batch_us, true);
    print_histogram(out, METRIC_batch_commands, &batch_records, false);
    print_histogram(out, METRIC_command_latency_seconds, &latency_us, true);
    print_causes(out);
    print_partitions(out, METRIC_halted, print_halted);
    print_side(out, METRIC_postgres_up, METRICS_SIDE_POSTGRES);
    print_side(out, METRIC_kafka_up, METRICS_SIDE_KAFKA);
    print_head(out, METRIC_build_info);
    fprintf(out, "postonce_build_info{%s} 1\n", build_labels);
}

void metrics_print_markdown(FILE *out)
{
    fputs("| name | type | meaning |\n|---|---|---|\n", out);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        fprintf(out, "| `postonce_%s` | %s | %s |\n", metrics[i].name, metrics[i].type,
                metrics[i].meaning);
}
