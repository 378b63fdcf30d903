/* audit.c: see audit.h. Text is for a person and for grep: the name of the check first,
 * then name=value, then the sentence. Values that are no plain word are quoted as JSON
 * does, so that a damaged name cannot break a line. */
#include "consumer/audit.h"

#include <inttypes.h>
#include <string.h>

#include "base/must.h"
#include "base/text_buffer.h"

enum { VALUE_MAX = 4096, NUMBER_MAX = 24 };

struct check {
    const char *name, *sentence;
};

static const struct check checks[AUDIT_CHECK_COUNT] = {
#define X(suffix, name, sentence) [AUDIT_##suffix] = {#name, sentence},
    AUDIT_CHECKS(X)
#undef X
};

const char *audit_check_name(enum audit_check check)
{
    return checks[check].name;
}

const char *audit_check_sentence(enum audit_check check)
{
    return checks[check].sentence;
}

void audit_print_markdown(FILE *out)
{
    for (unsigned i = 0; i < AUDIT_CHECK_COUNT; i++) {
        if (i == 0)
            fputs("\n| finding in the books | what is wrong |\n|---|---|\n", out);
        if (i == AUDIT_COMMITTED_ABOVE_NEXT)
            fputs("\n| finding with `--topic` | what is wrong |\n|---|---|\n", out);
        fprintf(out, "| `%s` | %s |\n", checks[i].name, checks[i].sentence);
    }
}

/* --- values --- */

static void print_quoted(const char *bytes, size_t size)
{
    char json[VALUE_MAX];
    struct text_buffer buffer;
    text_buffer_init(&buffer, json, sizeof json);
    text_put_json_lossy(&buffer, bytes, size);
    if (buffer.overflow)
        fputs("\"(too long)\"", stdout);
    else
        fwrite(json, 1, buffer.size, stdout);
}

static bool is_word(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < 0x21 || bytes[i] > 0x7e || bytes[i] == '"')
            return false;
    return size > 0;
}

static void print_field_text(const struct audit_field *field)
{
    printf(" %s=", field->name);
    if (field->raw || is_word(field->value, field->size))
        fwrite(field->value, 1, field->size, stdout);
    else
        print_quoted(field->value, field->size);
}

static void print_field_json(const struct audit_field *field)
{
    printf(",\"%s\":", field->name);
    if (field->raw)
        fwrite(field->value, 1, field->size, stdout);
    else
        print_quoted(field->value, field->size);
}

/* --- findings --- */

void audit_report_add(struct audit_report *report, enum audit_check check, int64_t more)
{
    report->found[check] += more;
}

void audit_report_show(struct audit_report *report, enum audit_check check,
                       const struct audit_field *fields, size_t count)
{
    if (report->shown[check] >= report->limit)
        return;
    report->shown[check]++;
    printf(report->json ? "{\"finding\":\"%s\"" : "%s", checks[check].name);
    for (size_t i = 0; i < count; i++)
        if (report->json)
            print_field_json(&fields[i]);
        else
            print_field_text(&fields[i]);
    printf(report->json ? ",\"sentence\":\"%s\"}\n" : ": %s\n", checks[check].sentence);
}

static struct audit_field number_field(const char *name, int64_t number,
                                       char text[NUMBER_MAX])
{
    snprintf(text, NUMBER_MAX, "%" PRId64, number);
    return (struct audit_field){name, text, strlen(text), true};
}

void audit_report_place(struct audit_report *report, enum audit_check check,
                        int32_t partition, int64_t offset)
{
    char texts[2][NUMBER_MAX];
    const struct audit_field fields[] = {number_field("partition", partition, texts[0]),
                                         number_field("offset", offset, texts[1])};
    audit_report_add(report, check, 1);
    audit_report_show(report, check, fields, offset >= 0 ? 2 : 1);
}

/* --- the end --- */

int64_t audit_report_total(const struct audit_report *report)
{
    int64_t total = 0;
    for (unsigned i = 0; i < AUDIT_CHECK_COUNT; i++)
        total += report->found[i];
    return total;
}

static void end_json(const struct audit_report *report, const struct audit_field *counted,
                     size_t count)
{
    const char *separator = "";
    int64_t total = audit_report_total(report);
    printf("{\"right\":%s,\"findings\":%" PRId64, total == 0 ? "true" : "false", total);
    for (size_t i = 0; i < count; i++)
        print_field_json(&counted[i]);
    printf(",\"checks\":{");
    for (unsigned i = 0; i < AUDIT_CHECK_COUNT; i++) {
        if (report->found[i] == 0)
            continue;
        printf("%s\"%s\":%" PRId64, separator, checks[i].name, report->found[i]);
        separator = ",";
    }
    putchar('}');
    if (report->digest[0] != '\0')
        printf(",\"digest\":\"%s\"", report->digest);
    printf("}\n");
}

static void end_findings(const struct audit_report *report)
{
    const char *separator = ": ";
    int64_t total = audit_report_total(report);
    printf("%" PRId64 " finding%s", total, total == 1 ? "" : "s");
    for (unsigned i = 0; i < AUDIT_CHECK_COUNT; i++) {
        if (report->found[i] == 0)
            continue;
        printf("%s%s %" PRId64, separator, checks[i].name, report->found[i]);
        if (report->found[i] > report->shown[i])
            printf(" (%" PRId64 " more)", report->found[i] - report->shown[i]);
        separator = ", ";
    }
}

/* `dead_letters` is a name for programs. */
static void end_count(const char *separator, const struct audit_field *counted)
{
    printf("%s%.*s ", separator, (int)counted->size, counted->value);
    for (const char *at = counted->name; *at != '\0'; at++)
        putchar(*at == '_' ? ' ' : *at);
}

void audit_report_end(const struct audit_report *report,
                      const struct audit_field *counted, size_t count)
{
    if (report->json) {
        end_json(report, counted, count);
        return;
    }
    if (audit_report_total(report) > 0) {
        end_findings(report);
    } else {
        printf("books are right");
        for (size_t i = 0; i < count; i++)
            end_count(i == 0 ? ": " : ", ", &counted[i]);
    }
    if (report->digest[0] != '\0')
        printf("; digest %s", report->digest);
    putchar('\n');
}
