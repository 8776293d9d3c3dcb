#include <criterion/criterion.h>
#include <limits.h>
#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "base/mem.h"

static bool
is(wsgi__buf *buf, const char *text)
{
    return wsgi__span_eq(wsgi__buf_span(buf), wsgi__span_of(text)) &&
           strcmp(wsgi__buf_str(buf), text) == 0;
}

Test(buf, zero_filled_is_an_empty_buffer)
{
    wsgi__buf buf = { .max = 0 };

    cr_expect_str_eq(wsgi__buf_str(&buf), "");
    cr_expect_eq(wsgi__buf_append(&buf, "x", 1), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi__buf_append(&buf, NULL, 0), WSGI_OK);
    cr_expect_eq(wsgi__buf_printf(&buf, "%s", ""), WSGI_OK);
    wsgi__buf_free(&buf);
    wsgi__buf_free(&buf);
}

Test(buf, append_puts_printf)
{
    wsgi__buf buf;
    wsgi__buf_init(&buf, 1000);

    cr_expect_eq(wsgi__buf_append(&buf, "ab", 2), WSGI_OK);
    cr_expect_eq(wsgi__buf_puts(&buf, "cd"), WSGI_OK);
    cr_expect_eq(wsgi__buf_printf(&buf, "%d-%s", 5, "e"), WSGI_OK);
    cr_expect(is(&buf, "abcd5-e"));
    wsgi__buf_reset(&buf);
    cr_expect(is(&buf, ""));
    cr_expect_gt(buf.cap, 0, "reset keeps the memory");
    wsgi__buf_free(&buf);
}

/* Each way to append, with 10 bytes. */
static int
append_10(wsgi__buf *buf, int way)
{
    switch (way) {
    case 0:
        return wsgi__buf_append(buf, "0123456789", 10);
    case 1:
        return wsgi__buf_puts(buf, "0123456789");
    case 2:
        return wsgi__buf_printf(buf, "%010d", 123456789);
    default:
        return wsgi__buf_escape(buf, WSGI__SPAN("01234\x01\n"));
    }
}

static const char *const ways[] = { "append", "puts", "printf", "escape" };

/* The ceiling is exact: what fits fits, with a NUL behind it, and one byte more
 * changes nothing. */
Test(buf, ceiling)
{
    for (int way = 0; way < 4; way++)
        for (size_t max = 0; max < 1200; max++) {
            wsgi__buf buf;
            size_t n = 0;
            wsgi__buf_init(&buf, max);

            while (append_10(&buf, way) == WSGI_OK && n <= max)
                n += way == 3 ? 11 : 10;
            size_t piece = way == 3 ? 11 : 10;
            cr_assert_eq(n, max / piece * piece, "%s, max %zu: %zu", ways[way],
                         max, n);
            cr_assert_eq(buf.len, n, "%s, max %zu", ways[way], max);
            cr_assert_leq(buf.cap, max);
            cr_assert_eq(strlen(wsgi__buf_str(&buf)), n);
            wsgi__buf_free(&buf);
        }
}

Test(buf, sizes_that_overflow)
{
    wsgi__buf buf;
    wsgi__buf_init(&buf, SIZE_MAX);

    cr_expect_eq(wsgi__buf_reserve(&buf, SIZE_MAX), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi__buf_puts(&buf, "kept"), WSGI_OK);
    cr_expect_eq(wsgi__buf_reserve(&buf, SIZE_MAX), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi__buf_reserve(&buf, SIZE_MAX - 4), WSGI_ERR_NOMEM);
    cr_expect(is(&buf, "kept"));
    wsgi__buf_free(&buf);
}

Test(buf, reserve_gives_room_and_nothing_else)
{
    wsgi__buf buf;
    wsgi__buf_init(&buf, 5000);

    cr_expect_eq(wsgi__buf_reserve(&buf, 5000), WSGI_OK);
    cr_expect_eq(buf.len, 0);
    memset(buf.data, 'x', 5000);
    buf.len = 5000;
    cr_expect_eq(wsgi__buf_reserve(&buf, 0), WSGI_OK);
    cr_expect_eq(wsgi__buf_reserve(&buf, 1), WSGI_ERR_NOMEM);
    cr_expect_eq(strlen(wsgi__buf_str(&buf)), 5000);
    wsgi__buf_free(&buf);
}

/* Doubling: a megabyte in single bytes is a dozen allocations. */
Test(buf, grows_by_doubling)
{
    wsgi__buf buf;
    wsgi__buf_init(&buf, 1 << 20);

    wsgi__mem_fail_nth(LONG_MAX);
    for (int i = 0; i < 1 << 20; i++)
        cr_assert_eq(wsgi__buf_append(&buf, "x", 1), WSGI_OK);
    cr_expect_eq(wsgi__mem_count(), 13);
    wsgi__mem_fail_nth(0);
    wsgi__buf_free(&buf);
}

Test(buf, consume)
{
    wsgi__buf buf;
    wsgi__buf_init(&buf, 100);

    wsgi__buf_consume(&buf, 0);
    wsgi__buf_puts(&buf, "abcdef");
    wsgi__buf_consume(&buf, 0);
    cr_expect(is(&buf, "abcdef"));
    wsgi__buf_consume(&buf, 4);
    cr_expect(is(&buf, "ef"));
    wsgi__buf_consume(&buf, 2);
    cr_expect(is(&buf, ""));
    wsgi__buf_free(&buf);
}

Test(buf, escapes)
{
    static const struct {
        wsgi__span bytes;
        const char *text;
    } cases[] = {
        { { "", 0 }, "" },
        { { "plain text ~", 12 }, "plain text ~" },
        { { "a\r\nb\tc", 6 }, "a\\r\\nb\\tc" },
        { { "\\n", 2 }, "\\\\n" },
        { { "\0\x01\x1f\x7f", 4 }, "\\x00\\x01\\x1f\\x7f" },
        { { "\x80\xff", 2 }, "\\x80\\xff" },
        { { "caf\xc3\xa9", 5 }, "caf\\xc3\\xa9" },
        { { "\x1b[2J", 4 }, "\\x1b[2J" },
        { { "\"'%", 3 }, "\"'%" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi__buf buf;
        wsgi__buf_init(&buf, 100);
        cr_expect_eq(wsgi__buf_escape(&buf, cases[i].bytes), WSGI_OK);
        cr_expect(is(&buf, cases[i].text), "%s: %s", cases[i].text,
                  wsgi__buf_str(&buf));
        wsgi__buf_free(&buf);
    }
}

/* No byte comes out as a control character, and no two alike. */
Test(buf, every_byte_escapes_to_printable_ascii)
{
    char seen[256][WSGI__ESCAPED_MAX + 1] = { { 0 } };

    for (int c = 0; c < 256; c++) {
        size_t len = wsgi__escape_byte(seen[c], (unsigned char)c);
        cr_expect_eq(strlen(seen[c]), len, "byte %d", c);
        for (size_t i = 0; i < len; i++)
            cr_expect(seen[c][i] >= 0x20 && seen[c][i] < 0x7f, "byte %d", c);
        for (int other = 0; other < c; other++)
            cr_expect_str_neq(seen[c], seen[other]);
    }
}

Test(buf, quote)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        { "", "\"\"" },
        { "5x", "\"5x\"" },
        { "a\nb", "\"a\\nb\"" },
        { "\xff", "\"\\xff\"" },
        { "0123456789abc", "\"0123456789abc\"" },
        { "0123456789abcd", "\"0123456789...\"" },
        { "\xff\xff\xff\xff", "\"\\xff\\xff...\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[17] = "untouched-------";
        wsgi__quote(out, 16, cases[i].text);
        cr_expect_str_eq(out, cases[i].quoted);
        cr_expect_eq(out[16], '\0');
    }
    for (size_t size = 16; size < 200; size++) {
        char out[200], text[300];
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        wsgi__quote(out, size, text);
        cr_expect_lt(strlen(out), size);
        cr_expect_str_eq(out + strlen(out) - 4, "...\"");
    }
}

/* Every allocation fails once: the buffer is as before, nothing leaks. */
Test(buf, out_of_memory)
{
    for (int way = 0; way < 4; way++)
        for (long nth = 1; nth < 20; nth++) {
            wsgi__buf buf;
            size_t before = 0;
            int status = WSGI_OK;

            wsgi__buf_init(&buf, 4096);
            wsgi__mem_fail_nth(nth);
            while (buf.len < 3000 && status == WSGI_OK) {
                before = buf.len;
                status = append_10(&buf, way);
            }
            long asked = wsgi__mem_count();
            wsgi__mem_fail_nth(0);
            cr_assert_eq(status, nth <= asked ? WSGI_ERR_NOMEM : WSGI_OK,
                         "%s, allocation %ld of %ld", ways[way], nth, asked);
            if (status < 0)
                cr_assert_eq(buf.len, before, "%s, allocation %ld", ways[way],
                             nth);
            cr_assert_eq(strlen(wsgi__buf_str(&buf)), buf.len);
            cr_assert_eq(append_10(&buf, way), WSGI_OK, "works again");
            wsgi__buf_free(&buf);
        }
}
