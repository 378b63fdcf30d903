/* parse.c: see parse.h. The grammar of RFC 3339 §5.6 is walked by a cursor that remembers
 * whether it ever met something else, so that each rule is one line. */
#include "base/parse.h"

bool parse_int64(const char *text, size_t size, int64_t *value)
{
    int64_t sum = 0;
    if (size == 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        int64_t digit = text[i] - '0';
        if (sum > (INT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

struct cursor {
    const char *at, *end;
    bool failed;
};

static char peek(const struct cursor *cursor)
{
    if (cursor->at == cursor->end)
        return '\0';
    return *cursor->at;
}

static void expect(struct cursor *cursor, const char *one_of)
{
    char found = peek(cursor);
    for (; *one_of != '\0'; one_of++) {
        if (found == *one_of) {
            cursor->at++;
            return;
        }
    }
    cursor->failed = true;
}

/* Exactly `width` digits, least to most. */
static int64_t take_number(struct cursor *cursor, size_t width, int64_t least,
                           int64_t most)
{
    int64_t value = 0;
    if ((size_t)(cursor->end - cursor->at) < width ||
        !parse_int64(cursor->at, width, &value) || value < least || value > most) {
        cursor->failed = true;
        return least;
    }
    cursor->at += width;
    return value;
}

/* The milliseconds of an optional fraction; digits beyond the third are cut. */
static int64_t take_fraction_ms(struct cursor *cursor)
{
    int64_t ms = 0, unit = 100;
    if (peek(cursor) != '.')
        return 0;
    cursor->at++;
    if (peek(cursor) < '0' || peek(cursor) > '9')
        cursor->failed = true;
    for (; peek(cursor) >= '0' && peek(cursor) <= '9'; cursor->at++, unit /= 10)
        ms += unit * (*cursor->at - '0');
    return ms;
}

/* `Z` or ±hh:mm, in seconds east of UTC. */
static int64_t take_zone(struct cursor *cursor)
{
    char sign = peek(cursor);
    if (sign != '+' && sign != '-') {
        expect(cursor, "Zz");
        return 0;
    }
    cursor->at++;
    int64_t hours = take_number(cursor, 2, 0, 23);
    expect(cursor, ":");
    int64_t minutes = take_number(cursor, 2, 0, 59);
    return (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

static bool is_leap_year(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap_year(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, year 0 to 9999. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    /* Leap days before this year, counted from year 1; year 0 is a leap year itself. */
    int64_t before = year - 1;
    int64_t days =
        year * 365 + (year > 0 ? before / 4 - before / 100 + before / 400 + 1 : 0);
    for (int64_t i = 1; i < month; i++)
        days += days_in_month(year, i);
    return days + day - 1 - 719528; /* the days from 0000-01-01 to 1970-01-01 */
}

static int64_t take_date(struct cursor *cursor)
{
    int64_t year = take_number(cursor, 4, 0, 9999);
    expect(cursor, "-");
    int64_t month = take_number(cursor, 2, 1, 12);
    expect(cursor, "-");
    int64_t day = take_number(cursor, 2, 1, days_in_month(year, month));
    return days_from_date(year, month, day);
}

static int64_t take_time_of_day(struct cursor *cursor)
{
    int64_t hour = take_number(cursor, 2, 0, 23);
    expect(cursor, ":");
    int64_t minute = take_number(cursor, 2, 0, 59);
    expect(cursor, ":");
    return hour * 3600 + minute * 60 + take_number(cursor, 2, 0, 59);
}

bool parse_rfc3339(const char *text, size_t size, int64_t *unix_ms)
{
    struct cursor cursor = {.at = text, .end = text + size};
    int64_t seconds = take_date(&cursor) * 86400;
    expect(&cursor, "Tt ");
    seconds += take_time_of_day(&cursor);
    int64_t ms = take_fraction_ms(&cursor);
    seconds -= take_zone(&cursor);
    if (cursor.failed || cursor.at != cursor.end)
        return false;
    *unix_ms = seconds * 1000 + ms;
    return true;
}

bool parse_time(const char *text, size_t size, int64_t *unix_ms)
{
    int64_t found;
    if (!parse_int64(text, size, &found) && !parse_rfc3339(text, size, &found))
        return false;
    if (found < 0)
        return false;
    *unix_ms = found;
    return true;
}
