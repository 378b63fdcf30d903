/* simulate.c: histories, one for each seed: the real worker code of up to three processes
 * over a simulated Kafka and a simulated Postgres, in one thread (tests/chaos/README.md).
 *
 *     simulate [--from S] [--seeds N] [--step N] [--singles | --pairs] [--unfenced]
 *              [--complete] [--trace] [--digests]
 *
 * Prints of each history that went wrong the command that repeats it, and ends with 1 if
 * there is any. With --unfenced it is the judge that is on trial: zombies have to be seen
 * (I15). With --complete it fails also if something that the mode is about never took
 * effect (tally.h): for runs of some thousands. With --digests prints of each history two
 * numbers: equal ones had the same turns at the same times, and the same books. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "base/parse.h"
#include "tests/chaos/simulation/tally.h"

enum { COMMAND_SIZE = 512 };

static enum mode mode;
static bool digests, complete;
static const char *program;
static char again[COMMAND_SIZE]; /* the command that repeats the history at hand */
static uint64_t zombies;         /* histories in which one has written, and was seen */

static void on_abort(int number)
{
    static const char text[] = "aborted: ";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, again, strlen(again));
    (void)!write(STDERR_FILENO, "\n", 1);
}

struct options {
    uint64_t from, seeds, step;
};

static _Noreturn void usage(const char *argument)
{
    fprintf(stderr, "simulate: %s: unknown, or without its number\n", argument);
    exit(2);
}

static uint64_t number(const char *text)
{
    int64_t value;
    if (!parse_int64(text, strlen(text), &value))
        usage(text);
    return (uint64_t)value;
}

static struct options read_options(int count, char **arguments)
{
    struct options options = {.from = mode == MODE_CHANCE, .step = 1};
    for (int i = 1; i < count; i++) {
        bool has_value = i + 1 < count;
        if (strcmp(arguments[i], "--from") == 0 && has_value)
            options.from = number(arguments[++i]);
        else if (strcmp(arguments[i], "--seeds") == 0 && has_value)
            options.seeds = number(arguments[++i]);
        else if (strcmp(arguments[i], "--step") == 0 && has_value)
            options.step = number(arguments[++i]);
        else if (strcmp(arguments[i], "--singles") == 0)
            mode = MODE_SINGLES;
        else if (strcmp(arguments[i], "--pairs") == 0)
            mode = MODE_PAIRS;
        else if (strcmp(arguments[i], "--trace") == 0)
            world.tracing = true;
        else if (strcmp(arguments[i], "--unfenced") == 0)
            world.unfenced = true;
        else if (strcmp(arguments[i], "--complete") == 0)
            complete = true;
        else if (strcmp(arguments[i], "--digests") == 0)
            digests = true;
        else
            usage(arguments[i]);
    }
    if (options.seeds == 0)
        options.seeds = mode == MODE_CHANCE    ? 1000
                        : mode == MODE_SINGLES ? 24 * HISTORY_PLANS
                                               : HISTORY_PLANS * HISTORY_PLANS;
    return options;
}

/* Without a fence nothing but the zombie's own commit may be what is noticed first. */
static bool is_asked_for(void)
{
    static const char zombie[] = "I15: ";
    return world.unfenced && strncmp(world.violation, zombie, sizeof zombie - 1) == 0;
}

static void note_command(uint64_t seed)
{
    static const char *const modes[] = {
        [MODE_CHANCE] = "", [MODE_SINGLES] = " --singles", [MODE_PAIRS] = " --pairs"};
    snprintf(again, sizeof again, "%s%s%s --from %llu --seeds 1", program, modes[mode],
             world.unfenced ? " --unfenced" : "", (unsigned long long)seed);
}

static void print_digest(uint64_t seed)
{
    printf("digest %llu %016llx %016llx\n", (unsigned long long)seed,
           (unsigned long long)fiber_digest(), (unsigned long long)judge_digest());
}

static bool passes(uint64_t seed)
{
    note_command(seed);
    bool holds = history(mode, seed);
    if (digests)
        print_digest(seed);
    if (holds)
        return true;
    bool asked_for = is_asked_for();
    zombies += asked_for;
    printf("%s %s: %s (%u violations)\n", asked_for ? "seen" : "FAIL", again,
           world.violation, world.violations);
    return asked_for;
}

/* What has to be true of all histories together: how many of these things are not. */
static uint64_t missing(void)
{
    uint64_t voids = complete ? tally_voids(mode) : 0;
    if (!world.unfenced || zombies > 0)
        return voids;
    printf("FAIL nothing is fenced, and no zombie was seen\n");
    return voids + 1;
}

int main(int count, char **arguments)
{
    struct options options = read_options(count, arguments);
    program = arguments[0];
    uint64_t failed = 0;
    struct sigaction action = {.sa_handler = on_abort};
    MUST(sigaction(SIGABRT, &action, NULL) == 0);
    /* Memory goes round and round: large blocks as fresh pages, small ones kept. It only
     * saves time, and the heap of the sanitizers refuses it. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    world.books = calloc(1, sizeof *world.books);
    for (uint64_t i = 0; i < options.seeds; i++) {
        failed += !passes(options.from + i * options.step);
        tally_note();
    }
    tally_print(mode);
    uint64_t voids = missing();
    printf("%llu passed, %llu failed\n", (unsigned long long)(options.seeds - failed),
           (unsigned long long)(failed + voids));
    return failed + voids > 0;
}
