/* verb_rewind.c: `postonce rewind`: shows where the group's committed offsets would go
 * and how many records would be delivered again; `--execute` moves them, while the group
 * has no members. Money is not looked at here: every record that comes again is answered
 * from the inbox. Record counts are offsets apart: control records and gaps count too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/text_buffer.h"
#include "consumer/kafka_inspect.h"
#include "consumer/verb.h"

enum { TOPIC_JSON_MAX = 2048 };

struct rewind_plan {
    const struct verb_call *call;
    struct kafka_inspect *inspect;
    const char *topic;
    struct kafka_partition *partitions; /* owned */
    size_t count;
    bool executed;
};

/* Unreachable is 69; anything that Kafka answered with is the caller's to mend. */
static int fail_inspect(const struct rewind_plan *plan, enum kafka_inspect_status status)
{
    enum exit_code code = EXIT_CODE_USAGE;
    if (status == KAFKA_INSPECT_UNREACHABLE)
        code = EXIT_CODE_UNREACHABLE;
    if (status == KAFKA_INSPECT_BUSY)
        code = EXIT_CODE_FINDINGS;
    return verb_fail(plan->call, code, "%s", kafka_inspect_error(plan->inspect));
}

/* All partitions of the topic, or the one that --partition names. */
static int choose_partitions(struct rewind_plan *plan)
{
    int32_t partition_count = 0;
    enum kafka_inspect_status status =
        kafka_inspect_topic(plan->inspect, plan->topic, &partition_count);
    if (status != KAFKA_INSPECT_OK)
        return fail_inspect(plan, status);
    int64_t only = arguments_number(plan->call->arguments, "partition", -1);
    if (only >= partition_count)
        return verb_fail(plan->call, EXIT_CODE_USAGE,
                         "--partition %" PRId64 ": %s has partitions 0 to %d", only,
                         plan->topic, partition_count - 1);
    plan->count = only >= 0 ? 1 : (size_t)partition_count;
    plan->partitions = calloc(plan->count, sizeof *plan->partitions);
    MUST(plan->partitions != NULL);
    for (size_t i = 0; i < plan->count; i++)
        plan->partitions[i].partition = only >= 0 ? (int32_t)only : (int32_t)i;
    return EXIT_CODE_DONE;
}

static int check_offset(const struct rewind_plan *plan, int64_t offset)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct kafka_partition *partition = &plan->partitions[i];
        if (partition->has_committed && offset > partition->committed)
            return verb_fail(plan->call, EXIT_CODE_USAGE,
                             "--to-offset %" PRId64 ": partition %d stands at %" PRId64
                             "; forward would leave commands unanswered",
                             offset, partition->partition, partition->committed);
        if (offset < partition->log_start || offset > partition->log_end)
            return verb_fail(plan->call, EXIT_CODE_USAGE,
                             "--to-offset %" PRId64
                             ": partition %d holds offsets %" PRId64 " to %" PRId64,
                             offset, partition->partition, partition->log_start,
                             partition->log_end);
    }
    return EXIT_CODE_DONE;
}

/* What is decided and not answered yet lies above the committed offset: a group that went
 * forward would never answer it. */
static void stay_behind(struct rewind_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct kafka_partition *partition = &plan->partitions[i];
        if (partition->has_committed && partition->target > partition->committed)
            partition->target = partition->committed;
    }
}

static int choose_targets(struct rewind_plan *plan)
{
    enum kafka_inspect_status status =
        kafka_inspect_partitions(plan->inspect, plan->partitions, plan->count);
    int64_t time_ms = arguments_number(plan->call->arguments, "to-time", -1);
    int64_t offset = arguments_number(plan->call->arguments, "to-offset", -1);
    if (status == KAFKA_INSPECT_OK && time_ms >= 0)
        status =
            kafka_inspect_times(plan->inspect, time_ms, plan->partitions, plan->count);
    if (status != KAFKA_INSPECT_OK)
        return fail_inspect(plan, status);
    for (size_t i = 0; time_ms < 0 && i < plan->count; i++)
        plan->partitions[i].target = offset >= 0 ? offset : plan->partitions[i].log_start;
    if (offset >= 0)
        return check_offset(plan, offset);
    stay_behind(plan);
    return EXIT_CODE_DONE;
}

/* How many offsets lie between the target and where the group stands. */
static int64_t records_again(const struct kafka_partition *partition)
{
    int64_t now = partition->has_committed ? partition->committed : partition->log_start;
    return now - partition->target;
}

static int64_t total_again(const struct rewind_plan *plan)
{
    int64_t total = 0;
    for (size_t i = 0; i < plan->count; i++)
        total += records_again(&plan->partitions[i]);
    return total;
}

static void print_text(const struct rewind_plan *plan)
{
    printf("topic %s\n%9s %12s %12s %12s %12s %12s\n", plan->topic, "partition",
           "log start", "log end", "committed", "target", "records");
    for (size_t i = 0; i < plan->count; i++) {
        const struct kafka_partition *partition = &plan->partitions[i];
        char committed[24] = "none";
        if (partition->has_committed)
            snprintf(committed, sizeof committed, "%" PRId64, partition->committed);
        printf("%9d %12" PRId64 " %12" PRId64 " %12s %12" PRId64 " %12" PRId64 "\n",
               partition->partition, partition->log_start, partition->log_end, committed,
               partition->target, records_again(partition));
    }
    printf("%" PRId64 " records would be delivered again%s\n", total_again(plan),
           plan->executed ? "; the offsets are moved"
                          : "; nothing is changed, add --execute to move the offsets");
}

static void print_json_partition(const struct kafka_partition *partition)
{
    printf("{\"partition\":%d,\"log_start\":%" PRId64 ",\"log_end\":%" PRId64
           ",\"committed\":",
           partition->partition, partition->log_start, partition->log_end);
    if (partition->has_committed)
        printf("%" PRId64, partition->committed);
    else
        printf("null");
    printf(",\"target\":%" PRId64 ",\"records\":%" PRId64 "}", partition->target,
           records_again(partition));
}

static void print_json(const struct rewind_plan *plan)
{
    char topic[TOPIC_JSON_MAX];
    struct text_buffer buffer;
    text_buffer_init(&buffer, topic, sizeof topic);
    text_put_json_lossy(&buffer, plan->topic, __builtin_strlen(plan->topic));
    printf("{\"topic\":%.*s,\"executed\":%s,\"records\":%" PRId64 ",\"partitions\":[",
           (int)buffer.size, topic, plan->executed ? "true" : "false", total_again(plan));
    for (size_t i = 0; i < plan->count; i++) {
        if (i > 0)
            putchar(',');
        print_json_partition(&plan->partitions[i]);
    }
    printf("]}\n");
}

static int execute(struct rewind_plan *plan)
{
    size_t members;
    enum kafka_inspect_status status = kafka_inspect_group(plan->inspect, &members);
    if (status == KAFKA_INSPECT_OK)
        status = kafka_inspect_move(plan->inspect, plan->partitions, plan->count);
    if (status != KAFKA_INSPECT_OK)
        return fail_inspect(plan, status);
    plan->executed = true;
    return EXIT_CODE_DONE;
}

static int rewind_with(struct rewind_plan *plan)
{
    int code = choose_partitions(plan);
    if (code == EXIT_CODE_DONE)
        code = choose_targets(plan);
    if (code == EXIT_CODE_DONE && arguments_has(plan->call->arguments, "execute"))
        code = execute(plan);
    if (code != EXIT_CODE_DONE)
        return code;
    if (arguments_has(plan->call->arguments, "json"))
        print_json(plan);
    else
        print_text(plan);
    return EXIT_CODE_DONE;
}

int verb_rewind(const struct verb_call *call)
{
    char error[KAFKA_INSPECT_ERROR_MAX];
    struct rewind_plan plan = {.call = call,
                               .inspect = kafka_inspect_open(call->config, error),
                               .topic = config_values(call->config)->topic_commands};
    if (plan.inspect == NULL)
        return verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    int code = rewind_with(&plan);
    free(plan.partitions);
    kafka_inspect_close(plan.inspect);
    return code;
}
