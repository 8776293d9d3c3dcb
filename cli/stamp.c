#include "stamp.h"

#include <stdatomic.h>
#include <stdlib.h>

#define DAY 86400
#define QUARTER 900

typedef struct parts {
    unsigned year, month, day, hour, minute, second;
} parts;

static atomic_int known_offset;
static atomic_llong known_quarter;

int
stamp_offset(time_t now)
{
    struct tm local;

    if (atomic_exchange(&known_quarter, now / QUARTER) != now / QUARTER &&
        localtime_r(&now, &local))
        atomic_store(&known_offset, (int)local.tm_gmtoff);
    return atomic_load(&known_offset);
}

int
stamp_offset_known(void)
{
    return atomic_load(&known_offset);
}

/* Days since 1970-01-01 to a date of the Gregorian calendar.  Years are counted
 * from March, so that the leap day is the last of its year. */
static void
split_days(long long days, parts *at)
{
    long long since_0000 = days + 719468; /* 0000-03-01 */
    long long era = since_0000 / 146097;  /* 400 years */
    unsigned day = (unsigned)(since_0000 % 146097);
    unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    unsigned yday = day - (365 * year + year / 4 - year / 100);
    unsigned march = (5 * yday + 2) / 153; /* months since March */

    at->day = yday - (153 * march + 2) / 5 + 1;
    at->month = march < 10 ? march + 3 : march - 9;
    at->year = year + (unsigned)era * 400 + (at->month <= 2);
}

/* A clock before 1970 is shown as 1970. */
static parts
split(time_t now, int offset)
{
    parts at;
    long long local = (long long)now + offset;
    unsigned second;

    if (local < 0)
        local = 0;
    split_days(local / DAY, &at);
    second = (unsigned)(local % DAY);
    at.hour = second / 3600;
    at.minute = second / 60 % 60;
    at.second = second % 60;
    return at;
}

static void
put_clock(text *out, const parts *at, int offset)
{
    unsigned east = (unsigned)abs(offset) / 60;

    text_number(out, at->hour, 2);
    text_put(out, ":", 1);
    text_number(out, at->minute, 2);
    text_put(out, ":", 1);
    text_number(out, at->second, 2);
    text_puts(out, offset < 0 ? " -" : " +");
    text_number(out, east / 60, 2);
    text_number(out, east % 60, 2);
}

void
stamp_put(text *out, time_t now, int offset)
{
    parts at = split(now, offset);

    text_number(out, at.year, 4);
    text_put(out, "-", 1);
    text_number(out, at.month, 2);
    text_put(out, "-", 1);
    text_number(out, at.day, 2);
    text_put(out, " ", 1);
    put_clock(out, &at, offset);
}

void
stamp_put_clf(text *out, time_t now, int offset)
{
    /* In English whatever the locale says: programs read it. */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    parts at = split(now, offset);

    text_put(out, "[", 1);
    text_number(out, at.day, 2);
    text_put(out, "/", 1);
    text_put(out, months + (at.month - 1) * 3, 3);
    text_put(out, "/", 1);
    text_number(out, at.year, 4);
    text_put(out, ":", 1);
    put_clock(out, &at, offset);
    text_put(out, "]", 1);
}
