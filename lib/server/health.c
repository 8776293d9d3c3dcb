#include "server/health.h"

#include "base/macros.h"

static const wsgi__span below = WSGI__SPAN_INIT("/live");

typedef enum question { NO_QUESTION, IS_READY, IS_LIVE } question;

static question
asked(wsgi__span path, wsgi__span health)
{
    size_t len = health.len;
    if (len == 0 || path.len < len || memcmp(path.ptr, health.ptr, len) != 0)
        return NO_QUESTION;
    wsgi__span rest = { path.ptr + len, path.len - len };
    if (rest.len == 0)
        return IS_READY;
    return wsgi__span_eq(rest, below) ? IS_LIVE : NO_QUESTION;
}

static bool
find(wsgi__pages *pages, const wsgi__request *req, wsgi__page *page)
{
    const wsgi__health *health = WSGI__OWNER(pages, wsgi__health, pages);
    question what = asked(req->parts.path, health->path);

    if (what == NO_QUESTION)
        return false;
    if (!wsgi__page_allows(req, page))
        return true;
    if (what == IS_LIVE)
        *page = WSGI__PAGE_TEXT(200, "200 OK", "live\n");
    else if (health->ready)
        *page = WSGI__PAGE_TEXT(200, "200 OK", "ready\n");
    else
        *page = WSGI__PAGE_TEXT(503, "503 Service Unavailable", "stopping\n");
    return true;
}

void
wsgi__health_init(wsgi__health *health, wsgi__span path)
{
    *health =
        (wsgi__health){ .pages.find = find, .path = path, .ready = true };
}
