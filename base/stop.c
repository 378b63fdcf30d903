/* stop.c: see stop.h. A thread in sigwait instead of a signal handler: nothing here runs
 * in signal context, so it may log, and no library call of ours is ever interrupted. Owns
 * the one flag of the process; never takes it back. */
#include "base/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/log.h"
#include "base/must.h"

/* The waiting thread logs one line at a time and calls nothing else. */
static const size_t stack_size = (size_t)256 * 1024;

static atomic_bool requested;
static pthread_once_t waiter_once = PTHREAD_ONCE_INIT;

static void stop_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
}

static const char *wait_for_signal(void)
{
    sigset_t signals;
    int number = 0;
    stop_signals(&signals);
    MUST(sigwait(&signals, &number) == 0);
    return number == SIGINT ? "SIGINT" : "SIGTERM";
}

static void *wait_for_signals(void *unused)
{
    (void)unused;
    const char *name = wait_for_signal();
    log_event(LOG_INFO, "stop_requested", "Finishing what is in hand.",
              LOG_T("signal", name));
    stop_request();
    name = wait_for_signal();
    log_event(LOG_FATAL, "stop_forced",
              "A second signal: ending at once; a restart is safe.",
              LOG_T("signal", name));
    _exit(EXIT_CODE_INTERNAL);
}

static void start_waiter(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    MUST(pthread_attr_init(&attributes) == 0);
    MUST(pthread_attr_setstacksize(&attributes, stack_size) == 0);
    /* Nobody joins it: it ends with the process. */
    MUST(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    MUST(pthread_create(&thread, &attributes, wait_for_signals, NULL) == 0);
    MUST(pthread_attr_destroy(&attributes) == 0);
}

void stop_install(void)
{
    sigset_t signals;
    stop_signals(&signals);
    MUST(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);

    /* A closed socket or pipe is an error of the call that wrote, not the end of us. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    MUST(sigaction(SIGPIPE, &ignore, NULL) == 0);

    MUST(pthread_once(&waiter_once, start_waiter) == 0);
}

bool stop_requested(void)
{
    return atomic_load_explicit(&requested, memory_order_acquire);
}

void stop_request(void)
{
    atomic_store_explicit(&requested, true, memory_order_release);
}
