/* metrics_test.c: the numbers of metrics.h, as Prometheus reads them, and that
 * docs/metrics.md shows the table as it is: DOCS_WRITE=1 prints it anew. */
#include "consumer/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "tests/unit/test.h"

static char *printed(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    MUST(out != NULL);
    metrics_print(out, "version=\"1\"");
    MUST(fclose(out) == 0);
    return text;
}

/* Whether the line is there, whole. */
static bool has(const char *line)
{
    char *text = printed();
    bool found = false;
    for (const char *at = text; (at = strstr(at, line)) != NULL && !found; at++)
        found = (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
    free(text);
    return found;
}

static struct batch *batch_of(size_t count)
{
    struct batch *batch = batch_new(8);
    int64_t now_ms = clock_unix_ms();
    batch->count = count;
    for (size_t i = 0; i < count; i++) {
        batch->records[i] =
            (struct record){.partition = 3, .offset = (int64_t)i, .timestamp_ms = now_ms};
        batch->answers[i] = (struct answer){.outcome = OUTCOME_APPLIED};
    }
    batch->next_offsets[0] = (struct next_offset){3, (int64_t)count};
    batch->next_offset_count = 1;
    return batch;
}

static void free_batch(struct batch *batch)
{
    batch->count = 0;
    batch_free(batch);
}

static void counts_records_once(void)
{
    test_case("outcomes, replays and dead letters");
    struct batch *batch = batch_of(5);
    batch->answers[1] = (struct answer){.outcome = OUTCOME_APPLIED, .replayed = true};
    batch->answers[2] =
        (struct answer){.outcome = OUTCOME_CONFLICT, .code = CODE_KEY_REUSED};
    batch->answers[3] = (struct answer){.outcome = OUTCOME_NONE}; /* halted */
    batch->records[4].timestamp_ms = -1;
    metrics_posted(batch, 2500);
    metrics_answered(batch);
    CHECK(has("postonce_commands_total{outcome=\"applied\"} 2"));
    CHECK(has("postonce_commands_total{outcome=\"conflict\"} 1"));
    CHECK(has("postonce_commands_total{outcome=\"rejected\"} 0"));
    CHECK(has("postonce_replays_total 1"));
    CHECK(has("postonce_dead_letters_total{code=\"key_reused\"} 1"));
    CHECK(has("postonce_command_latency_seconds_count 2"));
    free_batch(batch);
}

static void counts_in_buckets(void)
{
    test_case("a bucket holds its own bound, and everything below");
    CHECK(has("postonce_batch_seconds_bucket{le=\"0.001000\"} 0"));
    CHECK(has("postonce_batch_seconds_bucket{le=\"0.002500\"} 1"));
    CHECK(has("postonce_batch_seconds_bucket{le=\"10.000000\"} 1"));
    CHECK(has("postonce_batch_seconds_bucket{le=\"+Inf\"} 1"));
    CHECK(has("postonce_batch_seconds_sum 0.002500"));
    CHECK(has("postonce_batch_commands_bucket{le=\"2\"} 0"));
    CHECK(has("postonce_batch_commands_bucket{le=\"5\"} 1"));
    struct batch *batch = batch_of(1);
    metrics_posted(batch, 60000000);
    CHECK(has("postonce_batch_seconds_bucket{le=\"10.000000\"} 1"));
    CHECK(has("postonce_batch_seconds_bucket{le=\"+Inf\"} 2"));
    CHECK(has("postonce_batch_seconds_sum 60.002500"));
    CHECK(has("postonce_batch_seconds_count 2"));
    free_batch(batch);
}

static void shows_where_a_partition_stands(void)
{
    test_case("lag, age and halt of owned partitions");
    int64_t now_ms = clock_unix_ms();
    char *text = printed();
    CHECK(strstr(text, "partition=\"7\"") == NULL);
    free(text);
    metrics_own(7);
    metrics_resume(7, 100, 110);
    CHECK(has("postonce_lag_records{partition=\"7\"} 10"));
    CHECK(has("postonce_oldest_command_age_seconds{partition=\"7\"} 0.000000"));
    metrics_read(7, 100, now_ms - 5000);
    metrics_read(7, 101, now_ms);
    text = printed();
    CHECK(strstr(text, "age_seconds{partition=\"7\"} 5.") != NULL);
    free(text);
    struct batch *batch = batch_of(1);
    batch->records[0].partition = 7;
    batch->next_offsets[0] = (struct next_offset){7, 102};
    metrics_answered(batch);
    CHECK(has("postonce_oldest_command_age_seconds{partition=\"7\"} 0.000000"));
    CHECK(has("postonce_lag_records{partition=\"7\"} 8"));
    metrics_end(7, 110); /* nothing but markers lies between */
    CHECK(has("postonce_lag_records{partition=\"7\"} 0"));
    metrics_log_end(7, 112);
    CHECK(has("postonce_lag_records{partition=\"7\"} 2"));
    metrics_halted(7, HALT_LOG_TRUNCATED, 110);
    CHECK(has("postonce_halted{partition=\"7\"} 1"));
    metrics_disown(7);
    text = printed();
    CHECK(strstr(text, "partition=\"7\"") == NULL);
    free(text);
    metrics_own(7);
    CHECK(has("postonce_halted{partition=\"7\"} 0"));
    free_batch(batch);
}

static void knows_its_sides(void)
{
    test_case("sides, causes, build");
    CHECK(has("postonce_postgres_up 0"));
    metrics_side(METRICS_SIDE_POSTGRES, true);
    CHECK(has("postonce_postgres_up 1"));
    CHECK(has("postonce_kafka_up 0"));
    metrics_posting_failed(PORT_RETRY);
    metrics_posting_failed(PORT_IN_DOUBT);
    metrics_posting_failed(PORT_FENCED);
    metrics_retry(METRICS_CLAIM);
    CHECK(has("postonce_retries_total{cause=\"postgres\"} 1"));
    CHECK(has("postonce_retries_total{cause=\"commit_in_doubt\"} 1"));
    CHECK(has("postonce_retries_total{cause=\"fenced\"} 1"));
    CHECK(has("postonce_retries_total{cause=\"claim\"} 1"));
    CHECK(has("postonce_build_info{version=\"1\"} 1"));
    CHECK(has("# TYPE postonce_batch_seconds histogram"));
}

/* Beyond the slots nothing is shown, and nothing is harmed. */
static void a_partition_beyond_all_slots(void)
{
    test_case("a partition that has no slot");
    metrics_own(1000000);
    metrics_resume(1000000, 1, 2);
    metrics_read(1000000, 1, 1);
    metrics_end(1000000, 2);
    metrics_halted(1000000, HALT_ROWS_MISSING, 1);
    metrics_disown(1000000);
    metrics_own(-1);
    CHECK(!has("postonce_halted{partition=\"1000000\"} 1"));
}

static void the_page(void)
{
    char *shown = NULL;
    size_t size;
    FILE *memory = open_memstream(&shown, &size);
    MUST(memory != NULL);
    metrics_print_markdown(memory);
    MUST(fclose(memory) == 0);
    if (getenv("DOCS_WRITE") != NULL)
        fputs(shown, stdout);
    test_case("docs/metrics.md");
    char page[16384] = "";
    FILE *file = fopen(TEST_SOURCE "/docs/metrics.md", "r");
    CHECK(file != NULL);
    if (file != NULL) {
        CHECK(fread(page, 1, sizeof page - 1, file) > 0);
        fclose(file);
    }
    CHECK(strstr(page, shown) != NULL);
    free(shown);
}

int main(void)
{
    counts_records_once();
    counts_in_buckets();
    shows_where_a_partition_stands();
    knows_its_sides();
    a_partition_beyond_all_slots();
    the_page();
    return test_end();
}
