/* next_step_test.c: walks every cell of the table with rules that are written down here a
 * second time, and checks that docs/next-step.md shows the table as it is. To renew that:
 * run this test with DOCS_WRITE=1 and copy what it prints. */
#include "consumer/core/next_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static bool is_posting(enum progress progress)
{
    return progress == PROGRESS_MANY || progress == PROGRESS_SINGLE ||
           progress == PROGRESS_POISON;
}

static bool is_about_kafka(enum progress progress)
{
    return progress == PROGRESS_ANSWERING || progress == PROGRESS_SETTLING;
}

static enum step when_refused(enum progress progress, bool stopping)
{
    switch (progress) {
    case PROGRESS_MANY:
        return STEP_HALVE;
    case PROGRESS_SINGLE:
        return STEP_POISON;
    case PROGRESS_ANSWERING:
        return STEP_SETTLE;
    case PROGRESS_SETTLING:
        return stopping ? STEP_LEAVE : STEP_TRY_AGAIN;
    case PROGRESS_CLAIMING:
    case PROGRESS_POISON:
    case PROGRESS_COUNT:
        break;
    }
    return STEP_END;
}

static enum step expected(enum progress progress, enum port_status status, bool stopping)
{
    if (status == PORT_FATAL)
        return STEP_END;
    if (status == PORT_REFUSED)
        return when_refused(progress, stopping);
    if (status == PORT_FENCED && is_about_kafka(progress))
        return stopping ? STEP_LEAVE : STEP_YIELD;
    if (progress == PROGRESS_ANSWERING)
        return status == PORT_OK ? STEP_GO_ON : STEP_SETTLE;
    if (status == PORT_OK && progress != PROGRESS_SETTLING)
        return STEP_GO_ON;
    if (stopping)
        return STEP_LEAVE;
    if (status == PORT_OK || (status == PORT_FENCED && is_posting(progress)))
        return STEP_START_OVER;
    return STEP_TRY_AGAIN;
}

static void every_cell(void)
{
    for (enum progress progress = 0; progress < PROGRESS_COUNT; progress++)
        for (enum port_status status = 0; status < PORT_STATUS_COUNT; status++)
            for (int stopping = 0; stopping <= 1; stopping++) {
                test_case(progress_name(progress));
                CHECK_INT(next_step(progress, status, stopping),
                          expected(progress, status, stopping));
            }
}

/* --- what the page shows --- */

static void print_cells(FILE *out)
{
    fputs("| work in hand | the port said | next step | when stopping "
          "|\n|---|---|---|---|\n",
          out);
    for (enum progress progress = 0; progress < PROGRESS_COUNT; progress++)
        for (enum port_status status = 0; status < PORT_STATUS_COUNT; status++)
            fprintf(out, "| %s | %s | %s | %s |\n", progress_name(progress),
                    port_status_name(status),
                    step_name(next_step(progress, status, false)),
                    step_name(next_step(progress, status, true)));
}

static void print_steps(FILE *out)
{
    fputs("\n| step | what is done |\n|---|---|\n", out);
    for (enum step step = 0; step < STEP_COUNT; step++)
        fprintf(out, "| %s | %s |\n", step_name(step), step_sentence(step));
}

enum when { ALWAYS, RUNNING, STOPPING, WHEN_COUNT };

/* Where both columns say the same, one edge says it. */
static bool is_edge(enum progress progress, enum port_status status, enum step step,
                    enum when when)
{
    bool running = next_step(progress, status, false) == step;
    bool stopping = next_step(progress, status, true) == step;
    if (when == ALWAYS)
        return running && stopping;
    return when == RUNNING ? running && !stopping : stopping && !running;
}

static void print_edge(FILE *out, enum progress progress, enum step step, enum when when)
{
    static const char *const whens[WHEN_COUNT] = {
        [ALWAYS] = "", [RUNNING] = " (running)", [STOPPING] = " (stopping)"};
    bool any = false;
    for (enum port_status status = 0; status < PORT_STATUS_COUNT; status++) {
        if (!is_edge(progress, status, step, when))
            continue;
        if (any)
            fputs(", ", out);
        else
            fprintf(out, "    %s --> step%d : ", progress_name(progress), (int)step);
        fputs(port_status_name(status), out);
        any = true;
    }
    if (any)
        fprintf(out, "%s\n", whens[when]);
}

static void print_diagram(FILE *out)
{
    fputs("\n```mermaid\nstateDiagram-v2\n    direction LR\n", out);
    for (enum step step = 0; step < STEP_COUNT; step++)
        fprintf(out, "    state \"%s\" as step%d\n", step_name(step), (int)step);
    for (enum progress progress = 0; progress < PROGRESS_COUNT; progress++)
        for (enum step step = 0; step < STEP_COUNT; step++)
            for (enum when when = 0; when < WHEN_COUNT; when++)
                print_edge(out, progress, step, when);
    fputs("```\n", out);
}

static void the_page(void)
{
    char *shown = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&shown, &size);
    print_cells(memory);
    print_steps(memory);
    print_diagram(memory);
    fclose(memory);
    if (getenv("DOCS_WRITE") != NULL)
        fputs(shown, stdout);
    test_case("docs/next-step.md");
    char page[32768] = "";
    FILE *file = fopen(TEST_SOURCE "/docs/next-step.md", "r");
    CHECK(file != NULL);
    if (file != NULL) {
        CHECK(fread(page, 1, sizeof page - 1, file) > 0);
        fclose(file);
    }
    const char *found = strstr(page, shown);
    CHECK(found != NULL && strlen(found) == size); /* and nothing behind it */
    free(shown);
}

int main(void)
{
    every_cell();
    the_page();
    return test_end();
}
