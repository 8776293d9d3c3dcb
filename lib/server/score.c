#include "server/score.h"

/* Attempts to read a text that is being written, each far longer than writing
 * takes. */
#define ATTEMPTS 100

void
wsgi__histogram_add(wsgi__histogram *histogram, uint64_t us)
{
    static const uint32_t bounds[] = WSGI__SCORE_BOUNDS;
    size_t i = 0;
    while (i < WSGI__SCORE_BUCKETS - 1 && us > (uint64_t)bounds[i] * 1000)
        i++;
    wsgi__count_add(&histogram->buckets[i], 1);
    wsgi__count_add(&histogram->sum_us, us);
}

/* Byte by byte: a reader may look meanwhile, and finds out by the version. */
static void
put_text(wsgi__score_thread *thread, const char *what, size_t len)
{
    for (size_t i = 0; i < len; i++)
        atomic_store_explicit(&thread->what[i], what[i], memory_order_relaxed);
    atomic_store_explicit(&thread->what[len], '\0', memory_order_relaxed);
}

static void
get_text(const wsgi__score_thread *thread, char what[WSGI__SCORE_TEXT])
{
    for (size_t i = 0; i < WSGI__SCORE_TEXT; i++)
        what[i] = atomic_load_explicit(&thread->what[i], memory_order_relaxed);
}

void
wsgi__score_thread_set(wsgi__score_thread *thread, wsgi__thread_phase phase,
                       uint64_t since_ns, const char *what, size_t len)
{
    if (len > WSGI__SCORE_TEXT - 1)
        len = WSGI__SCORE_TEXT - 1;
    atomic_fetch_add(&thread->version, 1);
    put_text(thread, what, len);
    atomic_store_explicit(&thread->phase, (unsigned)phase,
                          memory_order_relaxed);
    wsgi__count_set(&thread->since_ns, since_ns);
    atomic_fetch_add(&thread->version, 1);
}

void
wsgi__score_thread_what(const wsgi__score_thread *thread,
                        char what[WSGI__SCORE_TEXT])
{
    for (int i = 0; i < ATTEMPTS; i++) {
        unsigned before = atomic_load(&thread->version);
        get_text(thread, what);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && atomic_load(&thread->version) == before) {
            what[WSGI__SCORE_TEXT - 1] = '\0';
            return;
        }
    }
    what[0] = '\0';
}
