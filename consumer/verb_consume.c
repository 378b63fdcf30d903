/* verb_consume.c: `postonce consume`: checks what must be there, opens the ports, runs
 * the worker, and closes in the order that loses nothing. What is merely not reachable is
 * waited for; what is missing or refused ends with one sentence that says what to do. */
#include <unistd.h>
#ifdef __GLIBC__ /* which the header before this one tells */
#include <malloc.h>
#endif

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stop.h"
#include "consumer/admin.h"
#include "consumer/failpoint.h"
#include "consumer/jitter.h"
#include "consumer/kafka_inspect.h"
#include "consumer/reply_kafka.h"
#include "consumer/source_kafka.h"
#include "consumer/verb.h"
#include "consumer/watchdog.h"
#include "consumer/worker.h"

enum {
    WAIT_BASE_MS = 200,
    WAIT_CAP_MS = 5000,
    WAIT_SLICE_MS = 50,
    CLOSE_DEADLINE_S = 10,
    FREE_DEADLINE_S = 3,
    KEPT_FREE_BYTES = 64 << 20
};

/* librdkafka asks for a piece of memory for each message and each header in one thread
 * and gives it back in another. glibc's defaults are not made for that: an arena for each
 * thread, small pieces that are put together only now and then, and memory that goes back
 * to the kernel between two batches. Another malloc may not know what is asked of it. */
static void settle_memory(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MXFAST, 0);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES);
#endif
}

/* False when a stop was asked for meanwhile. */
static bool wait_a_little(unsigned attempt)
{
    int64_t until_ms =
        clock_monotonic_ms() + jitter_ms(attempt, WAIT_BASE_MS, WAIT_CAP_MS);
    while (!stop_requested() && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(WAIT_SLICE_MS);
    return !stop_requested();
}

/* --- Kafka --- */

static enum kafka_inspect_status check_topics(struct kafka_inspect *inspect,
                                              const struct config_values *values)
{
    const char *const topics[] = {values->topic_commands, values->topic_dead_letters,
                                  values->topic_results};
    enum kafka_inspect_status status = KAFKA_INSPECT_OK;
    int32_t partition_count;
    for (size_t i = 0; status == KAFKA_INSPECT_OK && i < sizeof topics / sizeof *topics;
         i++)
        if (topics[i][0] != '\0')
            status = kafka_inspect_topic(inspect, topics[i], &partition_count);
    return status;
}

static enum exit_code wait_for_topics(const struct verb_call *call,
                                      struct kafka_inspect *inspect)
{
    uint64_t faults = 0;
    for (unsigned attempt = 0;; attempt++) {
        enum kafka_inspect_status status =
            check_topics(inspect, config_values(call->config));
        if (status == KAFKA_INSPECT_OK)
            return EXIT_CODE_DONE;
        if (status != KAFKA_INSPECT_UNREACHABLE)
            return (enum exit_code)verb_fail(call, EXIT_CODE_USAGE, "%s",
                                             kafka_inspect_error(inspect));
        if (log_is_due(&faults))
            log_note(LOG_WARNING, "waiting_for_kafka", kafka_inspect_error(inspect));
        if (!wait_a_little(attempt))
            return EXIT_CODE_DONE;
    }
}

static enum exit_code check_kafka(const struct verb_call *call)
{
    char error[KAFKA_INSPECT_ERROR_MAX];
    struct kafka_inspect *inspect = kafka_inspect_open(call->config, error);
    if (inspect == NULL)
        return (enum exit_code)verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    enum exit_code code = wait_for_topics(call, inspect);
    kafka_inspect_close(inspect);
    return code;
}

/* --- Postgres --- */

static enum exit_code judge_schema(const struct verb_call *call, enum store_schema schema,
                                   int found, int wanted)
{
    switch (schema) {
    case STORE_SCHEMA_CURRENT:
        return EXIT_CODE_DONE;
    case STORE_SCHEMA_MISSING:
        return (enum exit_code)verb_fail(call, EXIT_CODE_HALTED,
                                         "the database has no postonce schema; run "
                                         "`postonce migrate`");
    case STORE_SCHEMA_OLDER:
        return (enum exit_code)verb_fail(
            call, EXIT_CODE_HALTED,
            "the schema has version %d, this program needs %d; "
            "run `postonce migrate`",
            found, wanted);
    case STORE_SCHEMA_NEWER:
        break;
    }
    return (enum exit_code)verb_fail(
        call, EXIT_CODE_HALTED,
        "the schema has version %d, this program knows only %d; "
        "run a newer postonce",
        found, wanted);
}

static enum exit_code wait_for_schema(const struct verb_call *call, struct store *store)
{
    enum store_schema schema;
    int found = 0, wanted = 0;
    uint64_t faults = 0;
    for (unsigned attempt = 0;; attempt++) {
        enum port_status status = store_check(store, &schema, &found, &wanted);
        if (status == PORT_OK)
            return judge_schema(call, schema, found, wanted);
        if (status == PORT_FATAL)
            return (enum exit_code)verb_fail(call, EXIT_CODE_USAGE, "%s",
                                             store_fault(store));
        if (log_is_due(&faults))
            log_note(LOG_WARNING, "waiting_for_postgres", store_fault(store));
        if (!wait_a_little(attempt))
            return EXIT_CODE_DONE;
    }
}

/* --- the ports --- */

struct ports {
    struct source *source;
    struct reply *reply;
    struct store *reader_store;
    struct store *poster_stores[WORKER_POSTERS_MAX];
    size_t posters;
};

static void open_stores(struct ports *ports, const struct config_values *values)
{
    struct store_settings settings = {
        .postgres = values->postgres, .topic = values->topic_commands, .role = "reader"};
    ports->reader_store = store_open(&settings);
    settings.role = "poster";
    ports->posters = (size_t)values->posters;
    MUST(ports->posters <= WORKER_POSTERS_MAX);
    for (size_t i = 0; i < ports->posters; i++)
        ports->poster_stores[i] = store_open(&settings);
}

static void close_stores(struct ports *ports)
{
    store_close(ports->reader_store);
    for (size_t i = 0; i < ports->posters; i++)
        store_close(ports->poster_stores[i]);
}

/* The group is left last: until then nobody else is given what we may still have in hand.
 */
static void close_kafka(struct ports *ports)
{
    reply_close(ports->reply);
    if (FAILPOINT(LEAVE_BEGUN))
        _exit(EXIT_CODE_INTERNAL);
    watchdog_arm("leaving the consumer group", CLOSE_DEADLINE_S);
    source_leave(ports->source);
    watchdog_disarm();
    if (FAILPOINT(LEAVE_DONE))
        _exit(EXIT_CODE_INTERNAL);
}

static enum exit_code run_worker(const struct verb_call *call, struct ports *ports)
{
    char error[KAFKA_ERROR_MAX];
    ports->source = source_kafka_open(call->config, error);
    if (ports->source == NULL)
        return (enum exit_code)verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    ports->reply = reply_kafka_open(call->config, ports->source, error);
    if (ports->reply == NULL)
        return (enum exit_code)verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    struct worker_settings settings = {
        .source = ports->source,
        .reply = ports->reply,
        .reader_store = ports->reader_store,
        .poster_stores = ports->poster_stores,
        .posters = ports->posters,
        .batch_records = (size_t)config_values(call->config)->batch_records,
        .until_end = arguments_has(call->arguments, "until-end"),
        .handover_ms = source_kafka_handover_ms(ports->source),
        .stop_requested = stop_requested};
    return worker_run(&settings);
}

static void log_start(const struct config_values *values)
{
    log_event(LOG_INFO, "started", "postonce consume", LOG_T("group", values->group),
              LOG_T("instance", values->instance),
              LOG_T("commands", values->topic_commands),
              LOG_T("results", values->topic_results),
              LOG_T("dead_letters", values->topic_dead_letters));
}

static enum exit_code consume(const struct verb_call *call)
{
    struct ports ports = {0};
    enum exit_code code = check_kafka(call);
    if (code != EXIT_CODE_DONE || stop_requested())
        return code;
    open_stores(&ports, config_values(call->config));
    code = wait_for_schema(call, ports.reader_store);
    if (code == EXIT_CODE_DONE && !stop_requested())
        code = run_worker(call, &ports);
    close_kafka(&ports);
    close_stores(&ports);
    log_event(LOG_INFO, "stopped",
              "everything in hand is finished or left for redelivery",
              LOG_I("exit", code));
    watchdog_arm_last(FREE_DEADLINE_S, (int)code);
    source_close(ports.source);
    watchdog_disarm();
    return code;
}

int verb_consume(const struct verb_call *call)
{
    struct admin *admin;
    char error[ADMIN_ERROR_MAX];
    settle_memory();
    stop_install();
    watchdog_start();
    log_start(config_values(call->config));
    if (!admin_open(&admin, call->config, error))
        return verb_fail(call, EXIT_CODE_USAGE, "%s", error);
    enum exit_code code = consume(call);
    admin_close(admin);
    return (int)code;
}
