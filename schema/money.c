/* money.c: see money.h.
 *
 * Owns the grammar of amounts (CONTRACT §1) and the arithmetic on minor units. Reads
 * digit by digit, so that what is written is what is posted: no floating point, no
 * rounding, no locale. A result is stored only when the whole text was right. Pure; no
 * heap. */
#include "schema/money.h"

static size_t count_digits(const char *text, size_t size)
{
    size_t count = 0;
    while (count < size && text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

/* Appends the digit; false above the maximum. The sum is at most that before, so ten
 * times it is far from the end of int64. */
static bool append(int64_t *sum, int digit)
{
    *sum = *sum * 10 + digit;
    return *sum <= MONEY_MAX_MINOR;
}

static bool append_all(int64_t *sum, const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!append(sum, digits[i] - '0'))
            return false;
    return true;
}

/* The number of decimals of text[whole..], which is empty or `.` and digits; false:
 * neither of the two. */
static bool find_decimals(const char *text, size_t size, size_t whole, size_t *decimals)
{
    *decimals = 0;
    if (whole == size)
        return true;
    *decimals = size - whole - 1;
    return text[whole] == '.' && *decimals > 0 &&
           count_digits(text + whole + 1, *decimals) == *decimals;
}

bool money_parse(const char *text, size_t size, unsigned exponent, int64_t *minor)
{
    size_t whole = count_digits(text, size);
    size_t decimals;
    if (whole == 0 || (whole > 1 && text[0] == '0'))
        return false;
    if (!find_decimals(text, size, whole, &decimals) || decimals > exponent)
        return false;
    int64_t sum = 0;
    if (!append_all(&sum, text, whole) ||
        !append_all(&sum, text + size - decimals, decimals))
        return false;
    for (size_t i = decimals; i < exponent; i++)
        if (!append(&sum, 0))
            return false;
    *minor = sum;
    return true;
}

bool money_parse_not_positive(const char *text, size_t size, unsigned exponent,
                              int64_t *minor)
{
    size_t sign = size > 0 && text[0] == '-' ? 1 : 0;
    int64_t magnitude;
    if (!money_parse(text + sign, size - sign, exponent, &magnitude))
        return false;
    if (sign == 0 && magnitude > 0)
        return false;
    *minor = -magnitude;
    return true;
}

size_t money_format(int64_t minor, unsigned exponent, char text[MONEY_TEXT_MAX])
{
    char reversed[MONEY_TEXT_MAX];
    size_t count = 0;
    unsigned digits = 0;
    /* Unsigned, because -INT64_MIN is no int64. */
    uint64_t magnitude = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    do {
        if (digits > 0 && digits == exponent)
            reversed[count++] = '.';
        reversed[count++] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (++digits <= exponent || magnitude > 0);
    if (minor < 0)
        reversed[count++] = '-';
    for (size_t i = 0; i < count; i++)
        text[i] = reversed[count - 1 - i];
    text[count] = '\0';
    return count;
}

bool money_add(int64_t left, int64_t right, int64_t *sum)
{
    int64_t result; /* the builtin stores the wrapped value even when it overflows */
    if (__builtin_add_overflow(left, right, &result))
        return false;
    *sum = result;
    return true;
}

bool money_subtract(int64_t left, int64_t right, int64_t *difference)
{
    int64_t result;
    if (__builtin_sub_overflow(left, right, &result))
        return false;
    *difference = result;
    return true;
}
