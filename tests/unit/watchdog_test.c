/* watchdog_test.c: who is bitten and who is not, each case in a process of its own.
 *
 * Nobody looks at a clock: what must live is next to a second thread with a longer
 * deadline of its own, counted in the same ticks, that ends the process with another
 * code. */
#include "consumer/watchdog.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/test.h"

enum { HANG_MS = 20000, HUNG = 12, LATER = 13, LAST = 14, WATCHDOG = 70 };
enum { SHORT_S = 1, LONGER_S = 2, FOR_EVER_S = 3600 };

/* The call that does not come back; it does so in the end, or a toothless watchdog would
 * have the test wait for ever. */
static int hang(void)
{
    clock_sleep_ms(HANG_MS);
    return HUNG;
}

/* Bites without a word when the short deadline is long over. */
static void *hang_longer(void *unused)
{
    (void)unused;
    watchdog_arm_last(LONGER_S, LATER);
    hang();
    return NULL;
}

static int hang_beside_longer(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, hang_longer, NULL) != 0)
        return HUNG;
    pthread_detach(thread);
    return hang();
}

static int armed(void)
{
    watchdog_arm("a slow call", SHORT_S);
    return hang_beside_longer();
}

static int armed_after_two_starts(void)
{
    watchdog_start(); /* twice does no harm */
    return armed();
}

static int armed_after_disarmed(void)
{
    watchdog_arm("a quick call", SHORT_S);
    watchdog_disarm();
    return armed();
}

static int disarmed(void)
{
    watchdog_arm("a quick call", SHORT_S);
    watchdog_disarm();
    return hang_beside_longer();
}

static int armed_again(void)
{
    watchdog_arm("a quick call", SHORT_S);
    watchdog_arm("another call", FOR_EVER_S);
    return hang_beside_longer();
}

static void *be_quick(void *unused)
{
    (void)unused;
    watchdog_arm("a quick call", SHORT_S);
    watchdog_disarm();
    return NULL;
}

/* A slot is a thread's own: nobody disarms for somebody else. */
static int disarmed_by_another(void)
{
    pthread_t thread;
    watchdog_arm("a slow call", SHORT_S);
    if (pthread_create(&thread, NULL, be_quick, NULL) != 0)
        return HUNG;
    pthread_join(thread, NULL);
    return hang_beside_longer();
}

static int armed_last(void)
{
    watchdog_arm("a slow call", FOR_EVER_S);
    watchdog_arm_last(SHORT_S, LAST);
    return hang_beside_longer();
}

static const struct {
    const char *name;
    int (*run)(void);
    int exit_code;
    const char *call; /* what the log names; NULL: it is silent */
} cases[] = {
    {"a call that does not come back", armed, WATCHDOG, "a slow call"},
    {"started twice", armed_after_two_starts, WATCHDOG, "a slow call"},
    {"the second call does not come back", armed_after_disarmed, WATCHDOG, "a slow call"},
    {"another thread came back", disarmed_by_another, WATCHDOG, "a slow call"},
    {"disarmed in time", disarmed, LATER, NULL},
    {"armed again in time", armed_again, LATER, NULL},
    {"the last one has its own code and is silent", armed_last, LAST, NULL},
};

/* All that the child says on stderr, until it has ended; false: too much, or no end. */
static bool listen_to(int end, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    while (used < size - 1 && (got = read(end, text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(end);
    return used < size - 1;
}

static void check_log(const char *log, const char *call)
{
    if (call == NULL) {
        CHECK_TEXT(log, "");
        return;
    }
    CHECK(strstr(log, "event=watchdog") != NULL);
    CHECK(strstr(log, call) != NULL);
    CHECK(strchr(log, '\n') == strrchr(log, '\n')); /* one line */
}

int main(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = 0, ends[2];
        char log[2000];
        test_case(cases[i].name);
        fflush(stdout);
        if (pipe(ends) != 0)
            return 1;
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], STDERR_FILENO);
            watchdog_start();
            _exit(cases[i].run());
        }
        close(ends[1]);
        CHECK(listen_to(ends[0], log, sizeof log));
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), cases[i].exit_code);
        check_log(log, cases[i].call);
    }
    return test_end();
}
