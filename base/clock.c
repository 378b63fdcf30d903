/* clock.c: see clock.h. Reads the system's clocks and formats UTC by hand, because
 * strftime depends on the locale and does not pad years. Never looks at the time zone. */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

#include "base/must.h"

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    MUST(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_unix_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_sleep_ms(int64_t duration_ms)
{
    if (duration_ms <= 0)
        return;
    /* An absolute deadline, so that interruptions do not lengthen the sleep. */
    int64_t until_us = read_us(CLOCK_MONOTONIC) + duration_ms * 1000;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static char *put_digits(char *text, int64_t value, int width, char after)
{
    for (int i = width - 1; i >= 0; i--, value /= 10)
        text[i] = (char)('0' + value % 10);
    text[width] = after;
    return text + width + 1;
}

void clock_format_ms(int64_t unix_ms, char text[CLOCK_TEXT_SIZE + 1])
{
    /* The first and the last millisecond that four digits of year can say. */
    const int64_t least = -62167219200000, most = 253402300799999;
    unix_ms = unix_ms < least ? least : unix_ms > most ? most : unix_ms;

    int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    struct tm utc;
    MUST(gmtime_r(&seconds, &utc) != NULL);

    text = put_digits(text, utc.tm_year + 1900, 4, '-');
    text = put_digits(text, utc.tm_mon + 1, 2, '-');
    text = put_digits(text, utc.tm_mday, 2, 'T');
    text = put_digits(text, utc.tm_hour, 2, ':');
    text = put_digits(text, utc.tm_min, 2, ':');
    text = put_digits(text, utc.tm_sec, 2, '.');
    text = put_digits(text, ms, 3, 'Z');
    *text = '\0';
}
