/* Which page a request to the health path gets. */
#include <criterion/criterion.h>

#include "server/health.h"

static wsgi__request
request(const char *method, const char *path)
{
    return (wsgi__request){ .method = wsgi__span_of(method),
                            .parts.path = wsgi__span_of(path) };
}

/* 0: it is the application's. */
static int
code_of(wsgi__health *health, const char *method, const char *path)
{
    wsgi__request req = request(method, path);
    wsgi__page page;
    return health->pages.find(&health->pages, &req, &page) ? page.code : 0;
}

Test(health, answers_its_own_paths_alone)
{
    static const struct {
        const char *path;
        int ready, stopping;
    } rows[] = {
        { "/health", 200, 503 },
        { "/health/live", 200, 200 },
        { "/health/", 0, 0 },
        { "/healthy", 0, 0 },
        { "/health/live/", 0, 0 },
        { "/healt", 0, 0 },
        { "/", 0, 0 },
        { "/a/health", 0, 0 },
        { "/health/ready", 0, 0 },
        { "*", 0, 0 },
        { "/health%2flive", 0, 0 },
        { "/HEALTH", 0, 0 },
    };
    wsgi__health health;
    wsgi__health_init(&health, WSGI__SPAN("/health"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        health.ready = true;
        cr_expect_eq(code_of(&health, "GET", rows[i].path), rows[i].ready,
                     "%s", rows[i].path);
        health.ready = false;
        cr_expect_eq(code_of(&health, "GET", rows[i].path), rows[i].stopping,
                     "%s", rows[i].path);
    }
}

Test(health, has_no_page_without_a_path)
{
    wsgi__health health;
    wsgi__health_init(&health, WSGI__SPAN(""));
    cr_expect_eq(code_of(&health, "GET", "/"), 0);
    cr_expect_eq(code_of(&health, "GET", "/live"), 0);
}

Test(health, is_read_and_nothing_else)
{
    wsgi__health health;
    wsgi__request post = request("POST", "/health");
    wsgi__page page;

    wsgi__health_init(&health, WSGI__SPAN("/health"));
    cr_expect_eq(code_of(&health, "HEAD", "/health"), 200);
    cr_expect_eq(code_of(&health, "DELETE", "/health/live"), 405);
    cr_expect_eq(code_of(&health, "POST", "/"), 0);
    cr_assert(health.pages.find(&health.pages, &post, &page));
    cr_expect(wsgi__span_eq(page.allow, WSGI__SPAN("GET, HEAD")));
}
