/* stop_test.c: signals and the flag, each case in a process of its own. */
#include "base/stop.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/test.h"

enum { DEADLINE_MS = 10000, GOOD = 11, BAD = 12 };

static bool waited_for_stop(void)
{
    int64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (!stop_requested() && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(1);
    return stop_requested();
}

/* Threads that exist later must not receive the signal either. */
static void *wait_in_thread(void *unused)
{
    (void)unused;
    static char yes;
    return waited_for_stop() ? &yes : NULL;
}

static int stops_by(int number)
{
    pthread_t thread;
    void *result = NULL;
    stop_install();
    if (stop_requested() || pthread_create(&thread, NULL, wait_in_thread, NULL) != 0)
        return BAD;
    kill(getpid(), number);
    pthread_join(thread, &result);
    return result != NULL ? GOOD : BAD;
}

static int by_term(void)
{
    return stops_by(SIGTERM);
}

static int by_int(void)
{
    return stops_by(SIGINT);
}

static int by_second(void)
{
    if (stops_by(SIGTERM) != GOOD)
        return BAD;
    kill(getpid(), SIGINT);
    clock_sleep_ms(DEADLINE_MS);
    return BAD;
}

static int by_request(void)
{
    if (stop_requested())
        return BAD;
    stop_request();
    return stop_requested() ? GOOD : BAD;
}

/* The signal after a request from inside is the first signal, not the second. */
static int by_signal_after_request(void)
{
    stop_install();
    stop_request();
    kill(getpid(), SIGTERM);
    clock_sleep_ms(50);
    return GOOD;
}

static int by_broken_pipe(void)
{
    int ends[2];
    stop_install();
    stop_install(); /* twice does no harm */
    if (pipe(ends) != 0)
        return BAD;
    close(ends[0]);
    return write(ends[1], "x", 1) == -1 && !stop_requested() ? GOOD : BAD;
}

static const struct {
    const char *name;
    int (*run)(void);
    int exit_code;
} cases[] = {
    {"SIGTERM", by_term, GOOD},
    {"SIGINT", by_int, GOOD},
    {"a second signal ends the process at once", by_second, 70},
    {"a request from inside", by_request, GOOD},
    {"a signal after a request", by_signal_after_request, GOOD},
    {"SIGPIPE is ignored", by_broken_pipe, GOOD},
};

int main(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = 0;
        test_case(cases[i].name);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            /* What the signals say in the log is not looked at here. */
            dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
            _exit(cases[i].run());
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), cases[i].exit_code);
    }
    return test_end();
}
