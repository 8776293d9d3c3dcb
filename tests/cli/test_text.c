/* Text of a fixed size, and the time as logs have it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "banner.h"
#include "stamp.h"
#include "text.h"

Test(text, escapes_what_could_forge_a_line)
{
    static const struct {
        const char *raw;
        size_t len;
        const char *escaped;
    } cases[] = {
        { "plain /x?y=z", 12, "plain /x?y=z" },
        { "a\r\nb\tc", 6, "a\\r\\nb\\tc" },
        { "say \"hi\"", 8, "say \\\"hi\\\"" },
        { "back\\slash", 10, "back\\\\slash" },
        { "\0\x01\x1b[31m", 7, "\\x00\\x01\\x1b[31m" },
        { "\x7f\x80\xc3\xbc\xff", 5, "\\x7f\\x80\\xc3\\xbc\\xff" },
        { "~ ", 2, "~ " },
        { "", 0, "" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char memory[64];
        text out;
        text_init(&out, memory, sizeof(memory));
        text_escape(&out, cases[i].raw, cases[i].len);
        cr_expect_str_eq(memory, cases[i].escaped, "case %zu: %s", i, memory);
    }
}

Test(text, never_writes_past_its_size_nor_half_an_escape)
{
    for (size_t size = 1; size < 16; size++) {
        char memory[32];
        text out;
        memset(memory, '#', sizeof(memory));
        text_init(&out, memory, size);
        for (int i = 0; i < 4; i++)
            text_escape(&out, "\n\x01", 2);
        cr_expect_eq(memory[size], '#', "size %zu", size);
        cr_expect_eq(strlen(memory), out.len, "size %zu", size);
        cr_expect_lt(out.len, size, "size %zu", size);
        /* \n and \x01 alternate: 2 + 4 bytes. */
        cr_expect(out.len % 6 == 0 || out.len % 6 == 2, "size %zu: %s", size,
                  memory);
        cr_expect(out.cut, "size %zu", size);
    }
}

Test(text, keeps_what_fits_exactly)
{
    char memory[4];
    text out;

    text_init(&out, memory, sizeof(memory));
    text_puts(&out, "abc");
    cr_expect_not(out.cut);
    text_puts(&out, "");
    cr_expect_not(out.cut);
    text_puts(&out, "d");
    cr_expect(out.cut);
    cr_expect_str_eq(memory, "abc");
}

Test(text, drops_all_that_follows_a_cut)
{
    char memory[6];
    text out;

    text_init(&out, memory, sizeof(memory));
    text_puts(&out, "abc");
    text_puts(&out, "long");
    text_puts(&out, "d");
    cr_expect_str_eq(memory, "abc");
}

Test(text, numbers)
{
    static const struct {
        uint64_t number;
        size_t width;
        const char *text;
    } cases[] = {
        { 0, 1, "0" },       { 7, 2, "07" },
        { 123, 2, "123" },   { UINT64_MAX, 1, "18446744073709551615" },
        { 42, 6, "000042" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char memory[64];
        text out;
        text_init(&out, memory, sizeof(memory));
        text_number(&out, cases[i].number, cases[i].width);
        cr_expect_str_eq(memory, cases[i].text);
    }
}

/* strftime() in UTC is the judge; offsets are added to the time by hand. */
Test(stamp, agrees_with_the_c_library)
{
    static const time_t times[] = {
        0,          951782399, /* 2000-02-28 23:59:59 */
        951782400,             /* a leap day */
        951868800,  1709164800, 1735689599,
        1735689600, 1795377893, /* 2026-11-22 20:04:53 */
        4107542399,             /* the end of February 2100: no leap year */
        4107542400, 32503680000 /* the year 3000 */
    };
    static const int offsets[] = { 0, 3600, 19800, -12600, -43200 };

    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        for (size_t j = 0; j < sizeof(offsets) / sizeof(*offsets); j++) {
            char expected[64], zone[16], memory[64];
            time_t shifted = times[i] + offsets[j];
            int minutes = offsets[j] / 60;
            struct tm tm;
            text out;

            if (shifted < 0)
                continue;
            gmtime_r(&shifted, &tm);
            snprintf(zone, sizeof(zone), " %c%02d%02d",
                     minutes < 0 ? '-' : '+', abs(minutes) / 60,
                     abs(minutes) % 60);

            strftime(expected, sizeof(expected), "%Y-%m-%d %H:%M:%S", &tm);
            strcat(expected, zone);
            text_init(&out, memory, sizeof(memory));
            stamp_put(&out, times[i], offsets[j]);
            cr_expect_str_eq(memory, expected, "%s, not %s", memory, expected);

            strftime(expected, sizeof(expected), "[%d/%b/%Y:%H:%M:%S", &tm);
            strcat(expected, zone);
            strcat(expected, "]");
            text_init(&out, memory, sizeof(memory));
            stamp_put_clf(&out, times[i], offsets[j]);
            cr_expect_str_eq(memory, expected, "%s, not %s", memory, expected);
        }
    }
}

Test(stamp, a_clock_before_1970_is_shown_as_1970)
{
    char memory[64];
    text out;

    text_init(&out, memory, sizeof(memory));
    stamp_put(&out, -5, 0);
    cr_expect_str_eq(memory, "1970-01-01 00:00:00 +0000");
}

Test(stamp, follows_summer_time)
{
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    cr_expect_eq(stamp_offset(1768500000), 3600, "January");
    cr_expect_eq(stamp_offset_known(), 3600);
    cr_expect_eq(stamp_offset(1784200000), 7200, "July");
    cr_expect_eq(stamp_offset_known(), 7200);
}

Test(banner, urls)
{
    static const struct {
        const char *address, *url;
    } cases[] = {
        { "127.0.0.1:8888", "http://127.0.0.1:8888" },
        { "[::1]:80", "http://[::1]:80" },
        { "0.0.0.0:8000",
          "http://0.0.0.0:8000 (here: http://localhost:8000)" },
        { "[::]:8000", "http://[::]:8000 (here: http://localhost:8000)" },
        { "10.0.0.0:80", "http://10.0.0.0:80" },
        { "unix:/run/app.sock", "unix:/run/app.sock" },
        { "unix:@app", "unix:@app" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char memory[128];
        text out;
        text_init(&out, memory, sizeof(memory));
        banner_url(&out, cases[i].address);
        cr_expect_str_eq(memory, cases[i].url);
    }
}
