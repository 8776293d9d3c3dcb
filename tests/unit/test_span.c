#include <criterion/criterion.h>

#include "base/span.h"

Test(span, of_text)
{
    cr_expect_eq(wsgi__span_of(NULL).len, 0);
    cr_expect_not_null(wsgi__span_of(NULL).ptr);
    cr_expect_eq(wsgi__span_of("").len, 0);
    cr_expect_eq(wsgi__span_of("abc").len, 3);
    cr_expect_eq(WSGI__SPAN("a\0b").len, 3);
}

Test(span, eq)
{
    static const struct {
        wsgi__span a, b;
        bool equal;
    } cases[] = {
        { { "", 0 }, { "", 0 }, true },
        { { NULL, 0 }, { "", 0 }, true },
        { { "abc", 3 }, { "abc", 3 }, true },
        { { "abc", 3 }, { "abd", 3 }, false },
        { { "abc", 3 }, { "abc", 2 }, false },
        { { "a\0b", 3 }, { "a\0c", 3 }, false },
        { { "abX", 2 }, { "abY", 2 }, true },
        { { "abc", 3 }, { "ABC", 3 }, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(wsgi__span_eq(cases[i].a, cases[i].b), cases[i].equal,
                     "case %zu", i);
}

/* Every byte: the locale's letters, '@', '[' and the like keep their case. */
Test(span, ascii_lower)
{
    for (int c = -128; c < 128; c++) {
        char lower = wsgi__ascii_lower((char)c);
        if (c >= 'A' && c <= 'Z')
            cr_expect_eq(lower, c + 32, "byte %d", c);
        else
            cr_expect_eq(lower, (char)c, "byte %d", c);
    }
}

Test(span, is_nocase)
{
    static const struct {
        const char *text, *lower;
        bool equal;
    } cases[] = {
        { "", "", true },
        { "Content-Length", "content-length", true },
        { "CONTENT-LENGTH", "content-length", true },
        { "content-lengt", "content-length", false },
        { "content-length ", "content-length", false },
        /* '@' and '`', '[' and '{' differ in the bit that makes lower case. */
        { "a@", "a`", false },
        { "a[", "a{", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(wsgi__span_is_nocase(wsgi__span_of(cases[i].text),
                                          wsgi__span_of(cases[i].lower)),
                     cases[i].equal, "%s", cases[i].text);
}

Test(span, trim)
{
    static const struct {
        const char *text, *trimmed;
    } cases[] = {
        { "", "" },
        { " ", "" },
        { "\t \t", "" },
        { "a", "a" },
        { " a", "a" },
        { "a\t", "a" },
        { " \ta b\t ", "a b" },
        /* Only what RFC 9110 calls OWS. */
        { "\r\na\v\f", "\r\na\v\f" },
        { "\xa0"
          "a",
          "\xa0"
          "a" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect(wsgi__span_eq(wsgi__span_trim(wsgi__span_of(cases[i].text)),
                                wsgi__span_of(cases[i].trimmed)),
                  "case %zu", i);
}
