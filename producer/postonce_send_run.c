/* postonce_send_run.c: see postonce_send_run.h. One thread that reads a line, sends it,
 * and looks after deliveries and results between lines; it waits where there is nothing
 * to do and nowhere else. Memory is bounded: without --await by the producer's queue,
 * with it by the number of commands under way. Owns the counts and the exit code; never
 * judges a command. */
#include "producer/postonce_send_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/stop.h"
#include "producer/postonce.h"
#include "producer/postonce_send_answers.h"
#include "producer/postonce_send_lines.h"
#include "producer/postonce_send_results.h"
#include "producer/postonce_send_tell.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    CONNECT_SLICE_MS = 2000, /* so that Ctrl-C does not wait for the whole of it */
    TOPIC_PATIENCE_MS = 1000,
    FLUSH_TIMEOUT_MS = 10000, /* after a signal */
    IDLE_WAIT_MS = 200,       /* for input, when nothing is under way */
    BUSY_WAIT_MS = 10,        /* for deliveries and results, when there is no input */
    SERVE_EVERY = 64,         /* lines */
    UNDER_WAY_MAX = 50000     /* commands that wait for their results */
};

struct run {
    const struct run_options *options;
    const struct config *config;
    struct tell tell;
    struct lines *lines;
    struct postonce_producer *producer;
    uint64_t reported;       /* deliveries, good and bad */
    struct results *results; /* NULL without --await */
    struct answers *answers; /* NULL without --await */
    uint64_t last_line;      /* the last one that was read */
    bool broken;             /* the input could not be read to its end */
};

/* ---- Opening ---- */

/* The user of a delivery: the answer that waits for it, or the number of its line. */
static void on_delivery(const struct postonce_delivery *delivery, void *context)
{
    struct run *run = context;
    struct answer *answer = run->answers != NULL ? delivery->user : NULL;
    uint64_t line = answer != NULL ? answer->line_number : (uintptr_t)delivery->user;
    run->reported++;
    if (delivery->error == POSTONCE_OK) {
        run->tell.delivered++;
        if (answer != NULL)
            answers_delivered(run->answers, answer, delivery->partition, delivery->offset,
                              clock_monotonic_ms());
        return;
    }
    char reason[POSTONCE_SENTENCE_SIZE];
    snprintf(reason, sizeof reason, "%s: %s",
             delivery->error == POSTONCE_UNCONFIRMED
                 ? "not confirmed, Kafka may have it or not"
                 : "not delivered",
             delivery->reason);
    run->tell.undelivered++;
    tell_line(&run->tell, line, delivery->key, reason);
    if (answer != NULL)
        answers_failed(run->answers, answer);
}

/* A setting that the library refuses, with its origin: the file and line, the variable or
 * the option it came from. */
static void tell_open_fault(struct run *run, const struct postonce_fault *fault)
{
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(run->config, i)) != NULL; i++) {
        if (fault->setting != NULL && strcmp(property->name, fault->setting) == 0) {
            tell_error(&run->tell, "%s: kafka.%s", property->origin, fault->sentence);
            return;
        }
    }
    tell_error(&run->tell, "%s", fault->sentence);
}

static bool open_producer(struct run *run)
{
    struct postonce_setting settings[CONFIG_KAFKA_MAX + 1] = {
        {"client.id", "postonce-send"}};
    struct postonce_options options = {.topic =
                                           config_values(run->config)->topic_commands,
                                       .settings = settings,
                                       .setting_count = 1,
                                       .on_delivery = on_delivery,
                                       .on_log = tell_library_log,
                                       .context = run};
    struct postonce_fault fault;
    const struct config_property *property;
    for (size_t i = 0; (property = config_property(run->config, i)) != NULL; i++) {
        MUST(options.setting_count <= CONFIG_KAFKA_MAX);
        settings[options.setting_count++] =
            (struct postonce_setting){property->name, property->value};
    }
    run->producer = postonce_open(&options, &fault);
    if (run->producer == NULL)
        tell_open_fault(run, &fault);
    return run->producer != NULL;
}

/* A topic that was made a moment ago may not have reached the broker that is asked. */
static bool is_worth_waiting(enum postonce_error error, int64_t waited_ms)
{
    if (stop_requested())
        return false;
    if (error == POSTONCE_TOPIC_MISSING)
        return waited_ms < TOPIC_PATIENCE_MS;
    return error == POSTONCE_UNREACHABLE && waited_ms < CONNECT_TIMEOUT_MS;
}

static enum exit_code connect_producer(struct run *run)
{
    struct postonce_fault fault;
    enum postonce_error error;
    int64_t started_ms = clock_monotonic_ms();
    while ((error = postonce_check(run->producer, CONNECT_SLICE_MS, &fault)) !=
               POSTONCE_OK &&
           is_worth_waiting(error, clock_monotonic_ms() - started_ms))
        clock_sleep_ms(error == POSTONCE_TOPIC_MISSING ? 100 : 0);
    if (error == POSTONCE_OK)
        return EXIT_CODE_DONE;
    if (stop_requested()) {
        tell_error(&run->tell, "interrupted; nothing was sent");
        return EXIT_CODE_FINDINGS;
    }
    tell_error(&run->tell, "%s%s",
               error == POSTONCE_TOPIC_MISSING ? "topics.commands: " : "",
               fault.sentence);
    return error == POSTONCE_UNREACHABLE ? EXIT_CODE_UNREACHABLE : EXIT_CODE_USAGE;
}

static enum exit_code open_results(struct run *run)
{
    struct results_fault fault;
    if (config_values(run->config)->topic_results[0] == '\0') {
        tell_error(&run->tell,
                   "--await needs the topic of the results, and topics.results "
                   "is empty");
        return EXIT_CODE_USAGE;
    }
    run->results = results_open(run->config, &fault);
    if (run->results == NULL) {
        tell_error(&run->tell, "%s", fault.sentence);
        return fault.code;
    }
    run->answers = answers_new();
    return EXIT_CODE_DONE;
}

static enum exit_code open_all(struct run *run)
{
    run->lines = lines_open(run->options->path);
    if (run->lines == NULL) {
        tell_error(&run->tell, "%s: %s", run->options->path, strerror(errno));
        return EXIT_CODE_USAGE;
    }
    if (!open_producer(run))
        return EXIT_CODE_USAGE;
    enum exit_code code = connect_producer(run);
    if (code == EXIT_CODE_DONE && run->options->await)
        code = open_results(run);
    return code;
}

/* ---- Between lines ---- */

static bool is_over(const struct run *run)
{
    return stop_requested() || run->tell.output_failed;
}

static bool is_under_way(const struct run *run)
{
    return run->reported < run->tell.sent ||
           (run->answers != NULL && answers_count(run->answers) > 0);
}

/* Prints answers in the order of their lines; those delivered at or before `delivered_ms`
 * are not waited for any longer. */
static void print_answers(struct run *run, int64_t delivered_ms, const char *reason)
{
    struct answer *answer;
    while ((answer = answers_take(run->answers, delivered_ms)) != NULL) {
        if (answer->value != NULL) {
            run->tell.answered++;
            tell_result(&run->tell, answer->value, answer->value_size);
        } else {
            run->tell.unanswered++;
            tell_line(&run->tell, answer->line_number, answer->key, reason);
        }
        answer_free(answer);
    }
}

static void serve_results(struct run *run, int wait_ms)
{
    struct answers_result result;
    while (results_next(run->results, wait_ms, &result)) {
        answers_result(run->answers, &result);
        wait_ms = 0;
    }
    const char *trouble = results_trouble(run->results);
    if (trouble != NULL)
        tell_error(&run->tell, "%s", trouble);
    char reason[96];
    snprintf(reason, sizeof reason, "delivered, but no result within %" PRId64 " s",
             run->options->timeout_ms / 1000);
    print_answers(run, clock_monotonic_ms() - run->options->timeout_ms, reason);
}

/* Deliveries, results and progress; waits up to wait_ms for the first of them. */
static void serve(struct run *run, int wait_ms)
{
    postonce_poll(run->producer, run->results != NULL ? 0 : wait_ms);
    if (run->results != NULL)
        serve_results(run, wait_ms);
    tell_progress(&run->tell);
}

/* ---- Lines ---- */

static void refuse(struct run *run, uint64_t line_number, const char *reason)
{
    run->tell.refused++;
    tell_line(&run->tell, line_number, NULL, reason);
}

static enum postonce_error hand_over(struct run *run,
                                     const struct postonce_message *message, void *user,
                                     struct postonce_fault *fault)
{
    enum postonce_error error;
    while ((error = postonce_send_message(run->producer, message, user, fault)) ==
               POSTONCE_QUEUE_FULL &&
           !is_over(run))
        serve(run, BUSY_WAIT_MS);
    return error;
}

static void send_message(struct run *run, uint64_t line_number,
                         const struct postonce_message *message)
{
    const char *key = postonce_message_key(message);
    struct postonce_fault fault;
    struct answer *answer = NULL;
    while (run->answers != NULL && answers_count(run->answers) >= UNDER_WAY_MAX &&
           !is_over(run))
        serve(run, BUSY_WAIT_MS);
    if (run->answers != NULL)
        answer = answers_add(run->answers, line_number, key);
    void *user = answer != NULL ? (void *)answer : (void *)(uintptr_t)line_number;
    if (hand_over(run, message, user, &fault) == POSTONCE_OK) {
        run->tell.sent++;
        return;
    }
    run->tell.undelivered++;
    tell_line(&run->tell, line_number, key,
              is_over(run) ? "interrupted before it was sent" : fault.sentence);
    if (answer != NULL)
        answers_failed(run->answers, answer);
}

static void send_line(struct run *run, const struct lines_line *line)
{
    struct postonce_input input = {.json = line->bytes,
                                   .json_size = line->size,
                                   .require_key = !run->options->generate_keys};
    struct postonce_fault fault;
    struct postonce_message *message = postonce_message_new(&input, &fault);
    if (message == NULL) {
        refuse(run, line->number, fault.sentence);
        return;
    }
    /* A key that nobody has seen must not go out: nobody could repeat it. */
    if (!run->options->generate_keys ||
        tell_key(&run->tell, postonce_message_key(message)))
        send_message(run, line->number, message);
    postonce_message_free(message);
}

/* False: there is no more input. */
static bool next_line(struct run *run)
{
    struct lines_line line;
    bool busy = is_under_way(run);
    switch (lines_next(run->lines, busy ? 0 : IDLE_WAIT_MS, &line)) {
    case LINES_LINE:
        run->last_line = line.number;
        send_line(run, &line);
        if (line.number % SERVE_EVERY == 0)
            serve(run, 0);
        return true;
    case LINES_TOO_LONG:
        refuse(run, line.number, "longer than 1048576 bytes");
        return true;
    case LINES_NOTHING:
        serve(run, busy ? BUSY_WAIT_MS : 0);
        return true;
    case LINES_FAILED:
        run->broken = true;
        tell_error(&run->tell, "the input cannot be read on: %s", strerror(errno));
        return false;
    case LINES_END:
        return false;
    }
    return false;
}

/* ---- The end ---- */

static void close_all(struct run *run)
{
    if (run->producer != NULL)
        postonce_close(run->producer, FLUSH_TIMEOUT_MS);
    run->producer = NULL;
    if (run->answers != NULL) {
        serve_results(run, 0);
        print_answers(run, INT64_MAX, "delivered; interrupted before its result came");
    }
    results_close(run->results);
    answers_free(run->answers);
    lines_free(run->lines);
}

static void tell_end(struct run *run, bool interrupted)
{
    if (interrupted)
        tell_error(&run->tell, "interrupted; lines after line %" PRIu64 " were not sent",
                   run->last_line);
    tell_summary(&run->tell);
    if (run->tell.output_failed)
        tell_error(&run->tell, "stdout cannot be written to");
}

enum exit_code run(const struct config *config, const struct run_options *options)
{
    struct run run = {.config = config, .options = options};
    tell_init(&run.tell, options->await);
    enum exit_code code = open_all(&run);
    if (code != EXIT_CODE_DONE) {
        close_all(&run);
        return code;
    }
    while (!is_over(&run) && next_line(&run))
        continue;
    while (!is_over(&run) && is_under_way(&run))
        serve(&run, BUSY_WAIT_MS);
    bool interrupted = stop_requested();
    close_all(&run);
    tell_end(&run, interrupted);
    bool failed = interrupted || run.broken || run.tell.output_failed ||
                  run.tell.refused + run.tell.undelivered + run.tell.unanswered > 0;
    return failed ? EXIT_CODE_FINDINGS : EXIT_CODE_DONE;
}
