#include <criterion/criterion.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/request.h"

static void
add(wsgi__request *req, const char *name, const char *value)
{
    cr_assert_eq(
        wsgi__request_add(req, wsgi__span_of(name), wsgi__span_of(value)),
        WSGI_OK);
}

Test(request, starts_without_memory)
{
    wsgi__request req;
    wsgi__mem_fail_nth(1000);
    wsgi__request_init(&req, 100);
    cr_expect_eq(wsgi__mem_count(), 0);
    cr_expect_eq(req.content_length, -1);
    cr_expect_eq(req.head.max, 100);
    cr_expect_not(wsgi__request_has_body(&req));
    wsgi__request_free(&req);
    wsgi__mem_fail_nth(0);
}

Test(request, finds_the_first_header_in_any_case)
{
    wsgi__request req;
    wsgi__request_init(&req, 100);
    add(&req, "X-A", "1");
    add(&req, "x-a", "2");
    add(&req, "X-Ab", "3");
    const wsgi__header *found = wsgi__request_header(&req, WSGI__SPAN("x-a"));
    cr_assert_not_null(found);
    cr_expect(wsgi__span_eq(found->value, WSGI__SPAN("1")));
    cr_expect(
        wsgi__span_eq(wsgi__request_header(&req, WSGI__SPAN("x-ab"))->value,
                      WSGI__SPAN("3")));
    cr_expect_null(wsgi__request_header(&req, WSGI__SPAN("x-abc")));
    wsgi__request_free(&req);
}

Test(request, keeps_many_headers_in_order)
{
    wsgi__request req;
    static const char text[100];
    wsgi__request_init(&req, 100);
    for (size_t i = 0; i < sizeof text; i++)
        cr_assert_eq(wsgi__request_add(&req, WSGI__SPAN("n"),
                                       (wsgi__span){ &text[i], 1 }),
                     WSGI_OK);
    cr_assert_eq(req.n_headers, sizeof text);
    for (size_t i = 0; i < sizeof text; i++)
        cr_expect_eq(req.headers[i].value.ptr, &text[i], "header %zu", i);
    wsgi__request_free(&req);
}

Test(request, reset_keeps_usual_memory)
{
    wsgi__request req;
    wsgi__request_init(&req, 1 << 20);
    cr_assert_eq(wsgi__buf_reserve(&req.head, 16 * 1024), WSGI_OK);
    add(&req, "a", "b");
    req.chunked = req.keep_alive = req.expect_continue = true;
    req.content_length = 7;
    req.host = req.method = WSGI__SPAN("x");
    wsgi__request_reset(&req);

    cr_expect_eq(req.head.cap, 16 * 1024);
    cr_expect_eq(req.head.max, 1 << 20);
    cr_expect_eq(req.head.len, 0);
    cr_expect_eq(req.n_headers, 0);
    cr_expect_gt(req.cap_headers, 0);
    cr_expect_eq(req.content_length, -1);
    cr_expect_not(req.chunked || req.keep_alive || req.expect_continue);
    cr_expect_eq(req.host.len + req.method.len, 0);
    wsgi__request_free(&req);
}

Test(request, reset_gives_unusual_memory_back)
{
    wsgi__request req;
    wsgi__request_init(&req, 1 << 20);
    cr_assert_eq(wsgi__buf_reserve(&req.head, 16 * 1024 + 1), WSGI_OK);
    for (int i = 0; i < 600; i++)
        add(&req, "a", "b");
    wsgi__request_reset(&req);
    cr_expect_null(req.head.data);
    cr_expect_null(req.headers);
    cr_expect_eq(req.cap_headers, 0);
    add(&req, "a", "b");
    wsgi__request_free(&req);
}

Test(request, out_of_memory_changes_nothing)
{
    wsgi__request req;
    wsgi__request_init(&req, 100);
    wsgi__mem_fail_nth(1);
    cr_expect_eq(wsgi__request_add(&req, WSGI__SPAN("a"), WSGI__SPAN("b")),
                 WSGI_ERR_NOMEM);
    wsgi__mem_fail_nth(0);
    cr_expect_eq(req.n_headers, 0);
    add(&req, "a", "b");
    cr_expect_eq(req.n_headers, 1);
    wsgi__request_free(&req);
}

Test(request, knows_a_body_and_a_head_request)
{
    static const struct {
        bool chunked;
        int64_t length;
        bool has_body;
    } cases[] = {
        { false, -1, false },
        { false, 0, false },
        { false, 1, true },
        { true, -1, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wsgi__request req = { .chunked = cases[i].chunked,
                              .content_length = cases[i].length };
        cr_expect_eq(wsgi__request_has_body(&req), cases[i].has_body,
                     "case %zu", i);
    }
    wsgi__request req = { .method = WSGI__SPAN("HEAD") };
    cr_expect(wsgi__request_is_head(&req));
    req.method = WSGI__SPAN("head"); /* methods have a case */
    cr_expect_not(wsgi__request_is_head(&req));
}
