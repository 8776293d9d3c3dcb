#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

/* What the callback was given last. */
typedef struct heard {
    int n;
    wsgi_log_level level;
    size_t len;
    char start[64];
    char last; /* the last byte */
} heard;

static void
hear(void *user, wsgi_log_level level, const char *entry)
{
    heard *h = user;
    h->n++;
    h->level = level;
    h->len = strlen(entry);
    h->last = h->len ? entry[h->len - 1] : '\0';
    snprintf(h->start, sizeof(h->start), "%s", entry);
    errno = EIO;
}

Test(log, levels)
{
    for (int allowed = WSGI_LOG_ERROR; allowed <= WSGI_LOG_DEBUG; allowed++)
        for (int level = WSGI_LOG_ERROR; level <= WSGI_LOG_DEBUG; level++) {
            heard h = { .n = 0 };
            wsgi__log log = { (wsgi_log_level)allowed, hear, &h };
            int expected = level <= allowed;

            wsgi__log_write(&log, (wsgi_log_level)level, "written");
            cr_expect_eq(h.n, expected, "%d of %d", level, allowed);
            wsgi__log_printf(&log, (wsgi_log_level)level, "%s", "printed");
            cr_expect_eq(h.n, 2 * expected, "%d of %d", level, allowed);
            if (expected) {
                cr_expect_eq(h.level, (wsgi_log_level)level);
                cr_expect_str_eq(h.start, "printed");
            }
        }
}

/* Around the size of the text on the stack, and of the longest entry. */
Test(log, lengths)
{
    static const struct {
        int len;
        size_t heard;
    } cases[] = {
        { 0, 0 },
        { 1, 1 },
        { 2047, 2047 },
        { 2048, 2048 },
        { 2049, 2049 },
        { 64 * 1024 - 1, 64 * 1024 - 1 },
        { 64 * 1024, 64 * 1024 - 1 },
        { 100 * 1024, 64 * 1024 - 1 },
    };
    heard h = { .n = 0 };
    wsgi__log log = { WSGI_LOG_INFO, hear, &h };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsgi__log_printf(&log, WSGI_LOG_INFO, "%*s", cases[i].len,
                         cases[i].len ? "x" : "");
        cr_expect_eq(h.len, cases[i].heard, "%d bytes", cases[i].len);
    }
    wsgi__log_printf(&log, WSGI_LOG_INFO, "%2999s|", "x");
    cr_expect_eq(h.last, '|', "a long entry is whole");
}

Test(log, without_memory_a_long_entry_is_cut_but_comes)
{
    heard h = { .n = 0 };
    wsgi__log log = { WSGI_LOG_INFO, hear, &h };

    wsgi__mem_fail_nth(1);
    wsgi__log_printf(&log, WSGI_LOG_INFO, "start%9000s", "x");
    wsgi__mem_fail_nth(0);
    cr_expect_eq(h.n, 1);
    cr_expect_eq(h.len, 2047);
    cr_expect_eq(strncmp(h.start, "start", 5), 0);
}

Test(log, errno_is_left_alone)
{
    heard h = { .n = 0 };
    wsgi__log log = { WSGI_LOG_INFO, hear, &h };

    errno = ENOENT;
    wsgi__log_printf(&log, WSGI_LOG_INFO, "%9000s", "x");
    cr_expect_eq(errno, ENOENT);
    wsgi__log_write(&log, WSGI_LOG_INFO, "x");
    cr_expect_eq(errno, ENOENT);
    /* The locale of tests, "C", cannot encode it: EILSEQ. */
    wsgi__log_printf(&log, WSGI_LOG_INFO, "%ls", L"\u20ac");
    cr_expect_eq(errno, ENOENT);
}

/* Puts a pipe in the place of stderr while one entry is written. */
static void
stderr_of(const wsgi__log *log, wsgi_log_level level, const char *text,
          char *out, size_t size)
{
    int ends[2], saved = dup(STDERR_FILENO);

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    wsgi__log_write(log, level, text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t len = read(ends[0], out, size - 1);
    close(ends[0]);
    out[len < 0 ? 0 : len] = '\0';
}

Test(log, the_default_is_a_stamped_line_on_stderr)
{
    static const char *const names[] = { "ERROR", "WARNING", "INFO", "DEBUG" };
    wsgi__log log = { WSGI_LOG_DEBUG, NULL, NULL };

    for (int level = WSGI_LOG_ERROR; level <= WSGI_LOG_DEBUG; level++) {
        char out[256], end[64];
        int year, month, day, h, m, s, at = 0;

        stderr_of(&log, (wsgi_log_level)level, "hello", out, sizeof(out));
        int n = sscanf(out, "[%4d-%2d-%2d %2d:%2d:%2d %*5c]%n", &year, &month,
                       &day, &h, &m, &s, &at);
        cr_expect_eq(n, 6, "%s", out);
        snprintf(end, sizeof(end), " [%ld] [%s] hello\n", (long)getpid(),
                 names[level]);
        cr_expect_str_eq(out + at, end);
    }
}

/* A closed stderr is nobody's problem but the reader's. */
Test(log, a_failing_stderr_is_ignored)
{
    wsgi__log log = { WSGI_LOG_DEBUG, NULL, NULL };
    int saved = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    errno = ENOENT;
    wsgi__log_write(&log, WSGI_LOG_ERROR, "into nothing");
    int after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    cr_expect_eq(after, ENOENT);
}
