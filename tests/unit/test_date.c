#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "http/date.h"

Test(date, known)
{
    static const struct {
        int64_t when;
        const char *text;
    } cases[] = {
        { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
        { -1, "Wed, 31 Dec 1969 23:59:59 GMT" },
        { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" }, /* RFC 9110 5.6.7 */
        { 951782399, "Mon, 28 Feb 2000 23:59:59 GMT" },
        { 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
        { 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
        { 2147483647, "Tue, 19 Jan 2038 03:14:07 GMT" },
        { 2147483648, "Tue, 19 Jan 2038 03:14:08 GMT" },
        { 4107542399, "Sun, 28 Feb 2100 23:59:59 GMT" },
        { 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
        { 13574563200, "Tue, 29 Feb 2400 00:00:00 GMT" },
        { -62135596800, "Mon, 01 Jan 0001 00:00:00 GMT" },
        { -62167219200, "Sat, 01 Jan 0000 00:00:00 GMT" },
        { -62167219201, "Sat, 01 Jan 0000 00:00:00 GMT" },
        { INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT" },
        { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
        { 253402300800, "Fri, 31 Dec 9999 23:59:59 GMT" },
        { INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[WSGI__DATE_LEN + 1];
        wsgi__http_date((time_t)cases[i].when, out);
        cr_expect_str_eq(out, cases[i].text, "%lld: %s, not %s",
                         (long long)cases[i].when, out, cases[i].text);
    }
}

/* Without strftime, whose names follow the locale. */
static void
expected_date(time_t when, char *out, size_t size)
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed",
                                        "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr",
                                          "May", "Jun", "Jul", "Aug",
                                          "Sep", "Oct", "Nov", "Dec" };
    struct tm tm;
    gmtime_r(&when, &tm);
    snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d GMT",
             days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void
sweep(int64_t from, int64_t to, int64_t step)
{
    for (int64_t when = from; when <= to; when += step) {
        char out[WSGI__DATE_LEN + 1], expected[128];
        wsgi__http_date((time_t)when, out);
        expected_date((time_t)when, expected, sizeof(expected));
        cr_assert_str_eq(out, expected, "%lld: %s, not %s", (long long)when,
                         out, expected);
    }
}

Test(date, every_day_of_400_years)
{
    /* An odd second of each day, so that the clock is swept as well. */
    sweep(-5000000000, -5000000000 + 146097 * 86400LL + 86400, 86400 + 61);
}

Test(date, all_years)
{
    sweep(-62167219200, 253402300799, 86400 * 29 + 12345);
}

Test(date, every_second_of_a_day)
{
    sweep(1709164800 - 10, 1709164800 + 86400 + 10, 1);
}

Test(date, is_made_once_a_second)
{
    wsgi__date date = { 0 };
    char fresh[WSGI__DATE_LEN + 1];
    const time_t times[] = { 0, 1, 1, 0, 86400, -1 };

    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        wsgi__http_date(times[i], fresh);
        wsgi__span text = wsgi__date_at(&date, times[i]);
        cr_expect(wsgi__span_eq(text, wsgi__span_of(fresh)), "%s for %lld",
                  date.text, (long long)times[i]);
    }
    date.text[0] = 'x';
    cr_expect_eq(*wsgi__date_at(&date, -1).ptr, 'x', "not made again");
}
