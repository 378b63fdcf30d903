/* log_test.c: what a log line looks like, that nothing breaks it, and that it is one
 * write.
 *
 * stderr is a pipe in packet mode, so that one read returns what one write wrote. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/test.h"

enum { LINE_MOST = 4096, THREADS = 4, LINES = 200 };

static int read_end;
static char line[2 * LINE_MOST];

static void capture_stderr(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_DIRECT) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    read_end = ends[0];
}

/* The next write, without its time stamp (which is checked). "" if there was none. */
static const char *next_line(void)
{
    int flags = fcntl(read_end, F_GETFL);
    fcntl(read_end, F_SETFL, flags | O_NONBLOCK);
    ssize_t size = read(read_end, line, sizeof(line) - 1);
    fcntl(read_end, F_SETFL, flags);
    if (size <= 0)
        return "";
    line[size] = '\0';
    CHECK(size <= LINE_MOST);
    CHECK(line[size - 1] == '\n');
    const char *start = line[0] == '{' ? line + strlen("{\"time\":\"") : line;
    CHECK(start[4] == '-' && start[10] == 'T' && start[CLOCK_TEXT_SIZE - 1] == 'Z');
    return start + CLOCK_TEXT_SIZE;
}

/* CHECK_TEXT looks at its arguments more than once. */
static void check_line(const char *wanted)
{
    const char *got = next_line();
    CHECK_TEXT(got, wanted);
}

static const struct {
    const char *name;
    struct log_field fields[4];
    const char *text;
    const char *json;
} cases[] = {
    {"no fields", {{0}}, "", ""},
    {"a plain text",
     {{"topic", LOG_TEXT, "payment-commands", 0}},
     " topic=payment-commands",
     ",\"topic\":\"payment-commands\""},
    {"numbers",
     {{"offset", LOG_INT, NULL, 17}, {"least", LOG_INT, NULL, INT64_MIN}},
     " offset=17 least=-9223372036854775808",
     ",\"offset\":17,\"least\":-9223372036854775808"},
    {"an absent text is left out",
     {{"a", LOG_TEXT, NULL, 0}, {"b", LOG_BYTES, NULL, 3}, {"c", LOG_INT, NULL, 0}},
     " c=0",
     ",\"c\":0"},
    {"empty", {{"a", LOG_TEXT, "", 0}}, " a=\"\"", ",\"a\":\"\""},
    {"a space", {{"a", LOG_TEXT, "b c", 0}}, " a=\"b c\"", ",\"a\":\"b c\""},
    {"an equals sign", {{"a", LOG_TEXT, "b=c", 0}}, " a=\"b=c\"", ",\"a\":\"b=c\""},
    {"a quote", {{"a", LOG_TEXT, "b\"c", 0}}, " a=\"b\\\"c\"", ",\"a\":\"b\\\"c\""},
    {"a backslash", {{"a", LOG_TEXT, "b\\c", 0}}, " a=\"b\\\\c\"", ",\"a\":\"b\\\\c\""},
    {"a line of its own",
     {{"a", LOG_TEXT, "b\nlevel=fatal", 0}},
     " a=\"b\\nlevel=fatal\"",
     ",\"a\":\"b\\nlevel=fatal\""},
    {"an escape sequence",
     {{"a", LOG_TEXT, "\x1b[2J", 0}},
     " a=\"\\u001b[2J\"",
     ",\"a\":\"\\u001b[2J\""},
    {"DEL and C1 controls",
     {{"a", LOG_TEXT, "\x7f\xc2\x9b", 0}},
     " a=???",
     ",\"a\":\"???\""},
    {"UTF-8", {{"a", LOG_TEXT, "\xc3\xa9", 0}}, " a=\"\xc3\xa9\"", ",\"a\":\"\xc3\xa9\""},
    {"bytes have no end of their own",
     {{"a", LOG_BYTES, "bcd", 2}},
     " a=bc",
     ",\"a\":\"bc\""},
    {"bytes that are no UTF-8",
     {{"a", LOG_BYTES,
       "b\xff"
       "c",
       3}},
     " a=\"b\xef\xbf\xbd"
     "c\"",
     ",\"a\":\"b\xef\xbf\xbd"
     "c\""},
    {"no bytes", {{"a", LOG_BYTES, "x", 0}}, " a=\"\"", ",\"a\":\"\""},
};

static void test_lines(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[512];
        test_case(cases[i].name);
        CHECK(log_configure("info", "text"));
        log_fields(LOG_INFO, "event_name", "A sentence.", cases[i].fields);
        snprintf(wanted, sizeof(wanted),
                 " level=info event=event_name message=\"A sentence.\"%s\n",
                 cases[i].text);
        check_line(wanted);

        CHECK(log_configure("info", "json"));
        log_fields(LOG_INFO, "event_name", "A sentence.", cases[i].fields);
        snprintf(wanted, sizeof(wanted),
                 "\",\"level\":\"info\",\"event\":\"event_name\","
                 "\"message\":\"A sentence.\"%s}\n",
                 cases[i].json);
        check_line(wanted);
        check_line("");
    }
}

static void test_macros(void)
{
    test_case("the macros");
    CHECK(log_configure("debug", "text"));
    log_event(LOG_WARNING, "e", "S", LOG_T("t", "x"), LOG_I("i", -1),
              LOG_B("b", "yz", 1));
    check_line(" level=warning event=e message=S t=x i=-1 b=y\n");
    log_note(LOG_FATAL, "e", NULL);
    check_line(" level=fatal event=e\n");
}

static void test_levels(void)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
        test_case(names[least]);
        CHECK(log_configure(names[least], "text"));
        for (int level = LOG_DEBUG; level <= LOG_FATAL; level++) {
            log_note((enum log_level)level, "e", "S");
            CHECK(log_is_on((enum log_level)level) == (level >= least));
            CHECK((next_line()[0] != '\0') == (level >= least));
        }
    }
}

static void test_configure(void)
{
    test_case("what is not known changes nothing");
    CHECK(log_configure("error", "text"));
    CHECK(!log_configure("info", "xml"));
    CHECK(!log_configure("fatal", "json"));
    CHECK(!log_configure("INFO", "json"));
    CHECK(!log_configure("", "json"));
    CHECK(!log_is_on(LOG_WARNING));
    log_note(LOG_ERROR, "e", "S");
    check_line(" level=error event=e message=S\n");
}

/* Whether quotes are balanced and the line ends as it should. */
static bool is_whole(const char *text, bool json)
{
    bool inside = false;
    size_t size = strlen(text);
    for (size_t i = json ? 1 : 0; i < size; i++) {
        if (inside && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            inside = !inside;
    }
    return !inside && (!json || strcmp(text + size - 2, "}\n") == 0);
}

static void check_truncated(const char *format, const struct log_field *fields,
                            const char *mark)
{
    CHECK(log_configure("info", format));
    log_fields(LOG_INFO, "e", "S", fields);
    const char *text = next_line();
    CHECK(is_whole(text, format[0] == 'j'));
    CHECK(strstr(text, mark) != NULL);
}

/* Values that grow sixfold when escaped, and fields that do not all fit: the line stays
 * whole and below its limit (which next_line checks). */
static void test_truncation(void)
{
    static char large[100000];
    static const char *const fills[] = {"x", "\x01", "\"", "\xc3\xa9", "\xff", "\x80"};
    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
        for (size_t at = 0; at < sizeof(large) - 2; at += strlen(fills[i]))
            memcpy(large + at, fills[i], strlen(fills[i]));
        struct log_field fields[] = {LOG_T("a", large), LOG_I("last", 1), LOG_END};
        test_case(fills[i]);
        check_truncated("text", fields, "\xe2\x80\xa6\" last=1 truncated=true\n");
        check_truncated("json", fields,
                        "\xe2\x80\xa6\",\"last\":1,\"truncated\":true}\n");
        struct log_field many[] = {
            LOG_T("a", large), LOG_T("b", large), LOG_T("c", large), LOG_T("d", large),
            LOG_T("e", large), LOG_T("f", large), LOG_I("g", 1),     LOG_END};
        check_truncated("text", many, " truncated=true\n");
        check_truncated("json", many, ",\"truncated\":true}\n");
    }
}

/* 1024 bytes are the most that is shown of a value, and never half a character. */
static void test_cut(void)
{
    static char value[1026 + 1];
    test_case("as long as may be");
    CHECK(log_configure("info", "text"));
    memset(value, 'x', 1024);
    log_event(LOG_INFO, "e", "S", LOG_T("a", value));
    CHECK(strstr(next_line(), "truncated") == NULL);
    test_case("a character across the limit");
    value[1023] = '\xc3';
    value[1024] = '\xa9';
    log_event(LOG_INFO, "e", "S", LOG_T("a", value));
    CHECK(strstr(next_line(), "xxx\xe2\x80\xa6\" truncated=true\n") != NULL);
}

static void test_due(void)
{
    uint64_t count = 0;
    test_case("1, 2, 4, 8, …");
    for (uint64_t call = 1; call <= 1025; call++) {
        bool power = false;
        for (uint64_t two = 1; two <= 1024; two *= 2)
            power = power || two == call;
        CHECK(log_is_due(&count) == power);
    }
    CHECK_INT(count, 1025);
}

static void test_errno(void)
{
    test_case("errno survives, also where stderr is gone");
    int kept = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOENT;
    log_note(LOG_ERROR, "e", "S");
    CHECK(errno == ENOENT);
    dup2(kept, STDERR_FILENO);
    close(kept);
}

static void *write_lines(void *unused)
{
    for (int i = 0; i < LINES; i++)
        log_event(LOG_INFO, "e", "S", LOG_I("i", i), LOG_T("t", "a text with spaces"));
    return unused;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    test_case("lines of threads do not mix");
    CHECK(log_configure("info", "text"));
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_lines, NULL) == 0);
    for (int i = 0; i < THREADS * LINES; i++) {
        /* A full pipe blocks the writers, an empty one this read. */
        ssize_t size = read(read_end, line, sizeof(line) - 1);
        line[size > 0 ? size : 0] = '\0';
        CHECK(strstr(line, " t=\"a text with spaces\"\n") != NULL &&
              is_whole(line, false));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    capture_stderr();
    test_lines();
    test_macros();
    test_levels();
    test_configure();
    test_truncation();
    test_cut();
    test_due();
    test_errno();
    test_threads();
    return test_end();
}
