/* postonce_send_tell.c: see postonce_send_tell.h. Owns stdout and what is on the
 * terminal: the line of progress is wiped before anything else is written there. A
 * message is one write, so that it does not mix with the log's. */
#include "producer/postonce_send_tell.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { MESSAGE_SIZE = 2048, PROGRESS_EVERY_MS = 200 };

void tell_init(struct tell *tell, bool await)
{
    *tell = (struct tell){.await = await,
                          .is_terminal = isatty(STDERR_FILENO) == 1,
                          .started_ms = clock_monotonic_ms()};
}

static void wipe_progress(struct tell *tell)
{
    if (tell->progress_shown)
        fputs("\r\033[K", stderr);
    tell->progress_shown = false;
}

/* stderr has no buffer of its own, so one call is one write. */
static void put_message(struct tell *tell, const char *message)
{
    wipe_progress(tell);
    fwrite(message, 1, strlen(message), stderr);
}

void tell_error(struct tell *tell, const char *format, ...)
{
    char sentence[MESSAGE_SIZE / 2], message[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    snprintf(message, sizeof message, "postonce-send: %s\n", sentence);
    put_message(tell, message);
}

void tell_line(struct tell *tell, uint64_t line_number, const char *key,
               const char *reason)
{
    if (key != NULL)
        tell_error(tell, "line %" PRIu64 ": key %s: %s", line_number, key, reason);
    else
        tell_error(tell, "line %" PRIu64 ": %s", line_number, reason);
}

static void flush_output(struct tell *tell)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        tell->output_failed = true;
}

bool tell_key(struct tell *tell, const char *key)
{
    if (tell->await) {
        char message[MESSAGE_SIZE];
        snprintf(message, sizeof message, "%s\n", key);
        put_message(tell, message);
        return true;
    }
    wipe_progress(tell);
    puts(key);
    flush_output(tell);
    return !tell->output_failed;
}

void tell_result(struct tell *tell, const char *value, size_t size)
{
    wipe_progress(tell);
    fwrite(value, 1, size, stdout);
    putchar('\n');
}

/* What is counted, without the rate. */
static void put_counts(const struct tell *tell, char *text, size_t size)
{
    char answers[96] = "";
    if (tell->await)
        snprintf(answers, sizeof answers,
                 ", %" PRIu64 " answered, %" PRIu64 " unanswered", tell->answered,
                 tell->unanswered);
    snprintf(text, size,
             "%" PRIu64 " delivered, %" PRIu64 " not delivered, %" PRIu64
             " lines refused%s",
             tell->delivered, tell->undelivered, tell->refused, answers);
}

/* Of what the run waits for; 0 in the first 100 ms, when it would say nothing. */
static uint64_t per_second(const struct tell *tell, int64_t now_ms)
{
    int64_t passed_ms = now_ms - tell->started_ms;
    uint64_t count = tell->await ? tell->answered : tell->delivered;
    return passed_ms < 100 ? 0 : count * 1000 / (uint64_t)passed_ms;
}

void tell_progress(struct tell *tell)
{
    flush_output(tell);
    int64_t now_ms = clock_monotonic_ms();
    if (!tell->is_terminal || now_ms - tell->progress_ms < PROGRESS_EVERY_MS)
        return;
    char counts[MESSAGE_SIZE / 2], message[MESSAGE_SIZE];
    put_counts(tell, counts, sizeof counts);
    snprintf(message, sizeof message, "\r%s, %" PRIu64 "/s\033[K", counts,
             per_second(tell, now_ms));
    fwrite(message, 1, strlen(message), stderr);
    tell->progress_shown = true;
    tell->progress_ms = now_ms;
}

void tell_summary(struct tell *tell)
{
    char counts[MESSAGE_SIZE / 2];
    flush_output(tell);
    wipe_progress(tell);
    if (!tell->is_terminal && tell->refused + tell->undelivered + tell->unanswered == 0)
        return;
    put_counts(tell, counts, sizeof counts);
    tell_error(tell, "%s", counts);
}

static enum log_level level_of(int syslog_level)
{
    if (syslog_level <= 3)
        return LOG_ERROR;
    if (syslog_level <= 5)
        return LOG_WARNING;
    return syslog_level == 6 ? LOG_INFO : LOG_DEBUG;
}

/* What fails for good is told with the lines it failed for. That something failed and is
 * tried again, or that a setting is for the other program, is for debugging. */
void tell_library_log(int level, const char *facility, const char *text, void *context)
{
    (void)context;
    static const char *const noise[] = {"FAIL", "CONFWARN", "GETPID"};
    enum log_level ours = level_of(level);
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++) {
        if (strcmp(facility, noise[i]) == 0)
            ours = LOG_DEBUG;
    }
    log_event(ours, "librdkafka", text, LOG_T("facility", facility));
}
