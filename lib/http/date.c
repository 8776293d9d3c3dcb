#include "http/date.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define DAY 86400
#define FIRST_SECOND (-62167219200) /* 0000-01-01 00:00:00 */
#define LAST_SECOND 253402300799    /* 9999-12-31 23:59:59 */

typedef struct civil {
    int year, month, day; /* month 0 is January */
} civil;

/* Years begin in March here, so that the leap day is the last one, and are
 * counted from a year that 400 divides: the Gregorian calendar repeats after
 * 400 years. */
static civil
civil_of(int64_t days_since_epoch)
{
    /* 0000-03-01 is 719468 days before 1970-01-01; 400 years more keep the two
     * months before it positive. */
    int64_t days = days_since_epoch + 719468 + 146097;
    int rest = (int)(days % 146097);
    int century = rest / 36524 < 4 ? rest / 36524 : 3;
    rest -= century * 36524;
    int leap_cycle = rest / 1461;
    rest -= leap_cycle * 1461;
    int year = rest / 365 < 4 ? rest / 365 : 3;
    rest -= year * 365;
    /* 153 days every five months, from March on: 31 30 31 30 31. */
    int month = (5 * rest + 2) / 153;
    civil date = {
        .year = (int)(days / 146097 - 1) * 400 + century * 100 +
                leap_cycle * 4 + year + (month >= 10),
        .month = (month + 2) % 12,
        .day = rest - (153 * month + 2) / 5 + 1,
    };
    return date;
}

static char *
put_two(char *at, int n)
{
    *at++ = (char)('0' + n / 10);
    *at++ = (char)('0' + n % 10);
    return at;
}

static char *
put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

void
wsgi__http_date(time_t when, char out[WSGI__DATE_LEN + 1])
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* of the epoch */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t second = when;

    /* The format has four digits for the year. */
    if (second < FIRST_SECOND)
        second = FIRST_SECOND;
    if (second > LAST_SECOND)
        second = LAST_SECOND;
    int64_t shifted = second - FIRST_SECOND; /* division without negatives */
    int64_t day = shifted / DAY + FIRST_SECOND / DAY;
    int clock = (int)(shifted % DAY);
    civil date = civil_of(day);
    int weekday = (int)((shifted / DAY + 2) % 7);

    char *at = put_text(out, weekdays + 3 * weekday, 3);
    at = put_text(at, ", ", 2);
    at = put_two(at, date.day);
    *at++ = ' ';
    at = put_text(at, months + 3 * date.month, 3);
    *at++ = ' ';
    at = put_two(at, date.year / 100);
    at = put_two(at, date.year % 100);
    *at++ = ' ';
    at = put_two(at, clock / 3600);
    *at++ = ':';
    at = put_two(at, clock / 60 % 60);
    *at++ = ':';
    at = put_two(at, clock % 60);
    at = put_text(at, " GMT", 5);
    assert(at == out + WSGI__DATE_LEN + 1);
}

wsgi__span
wsgi__date_at(wsgi__date *date, time_t when)
{
    if (date->when != when || date->text[0] == '\0')
        wsgi__http_date(when, date->text);
    date->when = when;
    return (wsgi__span){ date->text, WSGI__DATE_LEN };
}
