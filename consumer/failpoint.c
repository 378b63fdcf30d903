/* failpoint.c: see failpoint.h. Reads its two variables once; a word that it does not
 * understand ends the process at once, or a test would test nothing. */
#include "consumer/failpoint.h"

#ifdef POSTONCE_FAILPOINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/parse.h"

enum { DELAY_MS = 700, DELAY_MAX_MS = 600000 };

enum action { ACTION_NONE, ACTION_KILL, ACTION_STOP, ACTION_ERROR, ACTION_DELAY };

static const char *const actions[] = {
    [ACTION_NONE] = "none",   [ACTION_KILL] = "kill",   [ACTION_STOP] = "stop",
    [ACTION_ERROR] = "error", [ACTION_DELAY] = "delay",
};

#define FAILPOINT_LABEL(name, label) label,
static const char *const labels[FAILPOINT_COUNT] = {FAILPOINT_LIST(FAILPOINT_LABEL)};
#undef FAILPOINT_LABEL

static struct {
    enum action action;
    unsigned at; /* the hit that acts; hits count from 1 */
    atomic_uint hits;
} plans[FAILPOINT_COUNT];

static int64_t delay_ms = DELAY_MS;
static pthread_once_t once = PTHREAD_ONCE_INIT;

const char *failpoint_label(enum failpoint point)
{
    return labels[point];
}

static size_t find(const char *const *names, size_t count, const char *name, size_t size)
{
    size_t index = 0;
    while (index < count &&
           (strlen(names[index]) != size || memcmp(names[index], name, size) != 0))
        index++;
    MUST(index < count);
    return index;
}

static void plan(const char *word, size_t size)
{
    size_t label_size = strcspn(word, "=");
    size_t action_end = strcspn(word, "@");
    MUST(label_size < action_end && action_end < size);
    size_t point = find(labels, FAILPOINT_COUNT, word, label_size);
    unsigned number = 0;
    for (size_t i = action_end + 1; i < size; i++) {
        MUST(word[i] >= '0' && word[i] <= '9');
        number = 10 * number + (unsigned)(word[i] - '0');
    }
    MUST(number > 0);
    plans[point].at = number;
    plans[point].action =
        (enum action)find(actions, sizeof actions / sizeof *actions,
                          word + label_size + 1, action_end - label_size - 1);
}

static void read_delay(void)
{
    const char *text = getenv("FAILPOINT_DELAY_MS");
    MUST(text == NULL ||
         (parse_int64(text, strlen(text), &delay_ms) && delay_ms <= DELAY_MAX_MS));
}

static void read_plans(void)
{
    const char *text = getenv("FAILPOINTS");
    read_delay();
    while (text != NULL && *text != '\0') {
        size_t size = strcspn(text, " ");
        if (size > 0)
            plan(text, size);
        text += size + (text[size] == ' ');
    }
}

static bool act(enum failpoint point)
{
    enum action action = plans[point].action;
    log_event(LOG_WARNING, "failpoint", labels[point], LOG_T("action", actions[action]));
    if (action == ACTION_KILL)
        raise(SIGKILL);
    if (action == ACTION_STOP)
        kill(getpid(), SIGSTOP);
    if (action == ACTION_DELAY)
        clock_sleep_ms(delay_ms);
    return action == ACTION_ERROR;
}

bool failpoint_hit(enum failpoint point)
{
    pthread_once(&once, read_plans);
    if (plans[point].action == ACTION_NONE)
        return false;
    return atomic_fetch_add(&plans[point].hits, 1) + 1 == plans[point].at && act(point);
}

#endif
