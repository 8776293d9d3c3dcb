#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "net/outq.h"
#include "support/script_stream.h"

#define N(table) (sizeof(table) / sizeof(*(table)))
#define MIB (1024u * 1024u)
#define MOST (4 * MIB) /* of one call */

static void
count_release(void *owner)
{
    ++*(int *)owner;
}

/* A file in memory whose byte i is pattern(i). */
static char
pattern(size_t i)
{
    return (char)('a' + i % 23);
}

static void
fill_pattern(char *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = pattern(i);
}

static int
make_file(size_t len)
{
    int fd = memfd_create("outq", MFD_CLOEXEC);
    char *data = malloc(len + 1);

    cr_assert(fd >= 0 && data);
    fill_pattern(data, len);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    free(data);
    return fd;
}

/* Copies, lent bytes and two ranges of a file; the text they make. */
#define MIXED_TEXT "headlentbcd-tailvwab+"
static int
push_mixed(wsgi__outq *q, int file, int *releases)
{
    int status = wsgi__outq_copy(q, "he", 2);

    if (status == WSGI_OK)
        status = wsgi__outq_copy(q, "ad", 2);
    if (status == WSGI_OK)
        status = wsgi__outq_lend(q, "lent", 4, count_release, releases);
    if (status == WSGI_OK)
        status = wsgi__outq_file(q, file, 1, 3, count_release, releases);
    if (status == WSGI_OK)
        status = wsgi__outq_copy(q, "-tail", 5);
    if (status == WSGI_OK)
        status = wsgi__outq_file(q, file, 21, 4, NULL, NULL);
    if (status == WSGI_OK)
        status = wsgi__outq_copy(q, "+", 1);
    return status;
}

static void
expect_empty(const wsgi__outq *q, const char *name)
{
    cr_expect_null(q->first, "%s: owns memory", name);
    cr_expect_null(q->last, "%s", name);
    cr_expect_eq(wsgi__outq_pending(q), 0, "%s: pending", name);
}

Test(outq, writes_in_order)
{
    for (int by_sendfile = 0; by_sendfile < 2; by_sendfile++) {
        const char *name = by_sendfile ? "sendfile" : "read and write";
        int releases = 0, file = make_file(100);
        uint64_t written = 77;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        if (!by_sendfile)
            script_stream_without_sendfile(&s);
        cr_assert_eq(push_mixed(&q, file, &releases), WSGI_OK);
        cr_expect_eq(wsgi__outq_pending(&q), strlen(MIXED_TEXT));
        cr_expect_eq(releases, 0, "%s: released before it was written", name);
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        cr_expect_str_eq(script_stream_text(&s), MIXED_TEXT, "%s", name);
        cr_expect_eq(written, strlen(MIXED_TEXT), "%s", name);
        cr_expect_eq(releases, 2, "%s", name);
        cr_expect_eq(s.n_sendfiles, by_sendfile ? 2 : 0);
        /* Head and lent bytes go in one call. */
        cr_expect_eq(s.most_iov, 2, "%s: %d", name, s.most_iov);
        expect_empty(&q, name);
        script_stream_free(&s);
        close(file);
    }
}

/* The first call takes `cut` bytes, then the stream blocks once: whatever the
 * cut, the bytes are the same and everything is released once. */
Test(outq, goes_on_after_a_partial_write_at_every_byte)
{
    size_t len = strlen(MIXED_TEXT);

    for (size_t i = 0; i < 2 * (len + 1); i++) {
        size_t cut = i / 2, calls = 0;
        script_step writes[] = { SCRIPT_TAKE(cut), SCRIPT_AGAIN, SCRIPT_DONE };
        int releases = 0, file = make_file(100), status;
        uint64_t written, sum = 0;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, cut ? writes : writes + 1);
        if (i % 2)
            script_stream_without_sendfile(&s);
        cr_assert_eq(push_mixed(&q, file, &releases), WSGI_OK);
        do {
            status = wsgi__outq_write(&q, &s.stream, &written);
            sum += written;
            cr_expect_eq(wsgi__outq_pending(&q), len - sum, "cut at %zu", cut);
            cr_expect_eq(s.n_written, sum, "cut at %zu", cut);
        } while (status == WSGI__WANT_WRITE && ++calls < 10);
        cr_expect_eq(status, 0, "cut at %zu: %d", cut, status);
        cr_expect_eq(calls, 1, "cut at %zu: blocked %zu times", cut, calls);
        cr_expect_str_eq(script_stream_text(&s), MIXED_TEXT, "cut at %zu",
                         cut);
        cr_expect_eq(releases, 2, "cut at %zu", cut);
        expect_empty(&q, "cut");
        script_stream_free(&s);
        close(file);
    }
}

Test(outq, writes_byte_by_byte)
{
    for (int by_sendfile = 0; by_sendfile < 2; by_sendfile++) {
        int releases = 0, file = make_file(100);
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        if (!by_sendfile)
            script_stream_without_sendfile(&s);
        s.max_write = 1;
        cr_assert_eq(push_mixed(&q, file, &releases), WSGI_OK);
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        cr_expect_str_eq(script_stream_text(&s), MIXED_TEXT);
        cr_expect_eq(s.n_writevs + s.n_sendfiles, strlen(MIXED_TEXT));
        cr_expect_eq(releases, 2);
        script_stream_free(&s);
        close(file);
    }
}

static const struct {
    const char *name;
    script_step step;
    int result, error;
} stops[] = {
    { "would block", SCRIPT_AGAIN, WSGI__WANT_WRITE, 0 },
    { "wants to read", SCRIPT_RESULT(WSGI__WANT_READ), WSGI__WANT_READ, 0 },
    { "broken", SCRIPT_ERROR(EPIPE), WSGI__FAILED, EPIPE },
    { "a stream that takes nothing", SCRIPT_TAKE(0), WSGI__WANT_WRITE, 0 },
};

Test(outq, passes_on_why_it_stopped)
{
    for (size_t i = 0; i < N(stops); i++) {
        int releases = 0;
        script_step writes[] = { SCRIPT_TAKE(2), stops[i].step, SCRIPT_DONE };
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, writes);
        cr_assert_eq(wsgi__outq_lend(&q, "abc", 3, count_release, &releases),
                     WSGI_OK);
        errno = 0;
        int result = wsgi__outq_write(&q, &s.stream, &written);
        cr_expect_eq(result, stops[i].result, "%s: %d", stops[i].name, result);
        if (stops[i].error)
            cr_expect_eq(errno, stops[i].error, "%s", stops[i].name);
        cr_expect_eq(written, 2, "%s", stops[i].name);
        cr_expect_eq(wsgi__outq_pending(&q), 1, "%s", stops[i].name);
        cr_expect_eq(releases, 0, "%s", stops[i].name);
        wsgi__outq_free(&q);
        cr_expect_eq(releases, 1, "%s: freeing releases", stops[i].name);
        expect_empty(&q, stops[i].name);
        script_stream_free(&s);
    }
}

Test(outq, a_file_shorter_than_said_is_its_own_error)
{
    for (int by_sendfile = 0; by_sendfile < 2; by_sendfile++) {
        int releases = 0, file = make_file(10), status;
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        if (!by_sendfile)
            script_stream_without_sendfile(&s);
        wsgi__outq_file(&q, file, 4, 20, count_release, &releases);
        wsgi__outq_copy(&q, "never", 5);
        status = wsgi__outq_write(&q, &s.stream, &written);
        cr_expect_eq(status, WSGI__BAD_FILE, "%d", status);
        cr_expect_eq(written, 6);
        cr_expect_eq(wsgi__outq_pending(&q), 19);
        cr_expect_str_eq(script_stream_text(&s), "efghij");
        wsgi__outq_free(&q);
        cr_expect_eq(releases, 1);
        script_stream_free(&s);
        close(file);
    }
}

Test(outq, reads_a_file_that_the_kernel_will_not_send)
{
    static const script_step writes[] = { SCRIPT_RESULT(WSGI__BAD_FILE),
                                          SCRIPT_DONE };
    int releases = 0, file = make_file(200000);
    char *whole = malloc(200000);
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    fill_pattern(whole, 200000);
    script_stream_init(&s, NULL, writes);
    wsgi__outq_file(&q, file, 0, 200000, count_release, &releases);
    cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
    cr_expect_eq(written, 200000);
    cr_expect(script_stream_wrote(&s, whole, 200000));
    cr_expect_eq(s.n_sendfiles, 1, "it is not tried again");
    cr_expect_eq(s.n_writevs, 4);
    cr_expect_leq(s.most_bytes, 200000);
    cr_expect_eq(releases, 1);
    expect_empty(&q, "file");
    script_stream_free(&s);
    free(whole);
    close(file);
}

/* A slow reader of a file without sendfile costs one piece of memory. */
Test(outq, reads_ahead_one_bounded_piece)
{
    static const script_step writes[] = { SCRIPT_TAKE(1), SCRIPT_BLOCKED,
                                          SCRIPT_DONE };
    int file = make_file(2 * MIB);
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    script_stream_init(&s, NULL, writes);
    script_stream_without_sendfile(&s);
    wsgi__outq_file(&q, file, 0, 2 * MIB, NULL, NULL);
    wsgi__mem_fail_nth(1000000);
    for (int i = 0; i < 50; i++)
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written),
                     WSGI__WANT_WRITE);
    cr_expect_eq(wsgi__mem_count(), 1);
    wsgi__mem_fail_nth(0);
    cr_expect_eq(s.most_bytes, 64 * 1024);
    cr_expect_eq(wsgi__outq_pending(&q), 2 * MIB - 1);
    wsgi__outq_free(&q);
    script_stream_free(&s);
    close(file);
}

Test(outq, one_call_moves_at_most_four_mebibytes)
{
    char *data = malloc(10 * MIB);
    int file = make_file(10 * MIB);
    static const char *const names[] = { "lent", "file", "file read" };

    fill_pattern(data, 10 * MIB);
    for (size_t i = 0; i < N(names); i++) {
        static const uint64_t expected[] = { MOST, MOST, 10 * MIB - 2 * MOST };
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        if (i == 2)
            script_stream_without_sendfile(&s);
        if (i == 0)
            wsgi__outq_lend(&q, data, 10 * MIB, NULL, NULL);
        else
            wsgi__outq_file(&q, file, 0, 10 * MIB, NULL, NULL);
        for (size_t turn = 0; turn < N(expected); turn++) {
            int result = wsgi__outq_write(&q, &s.stream, &written);
            cr_expect_eq(result, turn < 2 ? WSGI__WANT_WRITE : 0,
                         "%s, turn %zu: %d", names[i], turn, result);
            cr_expect_eq(written, expected[turn], "%s, turn %zu: %zu",
                         names[i], turn, (size_t)written);
        }
        cr_expect(script_stream_wrote(&s, data, 10 * MIB), "%s", names[i]);
        script_stream_free(&s);
    }
    free(data);
    close(file);
}

Test(outq, exactly_that_much_is_done_in_one_call)
{
    char *data = calloc(1, MOST);
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    script_stream_init(&s, NULL, NULL);
    wsgi__outq_lend(&q, data, MOST, NULL, NULL);
    cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
    cr_expect_eq(written, MOST);
    script_stream_free(&s);
    free(data);
}

Test(outq, gathers_at_most_64_pieces)
{
    int releases = 0;
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    script_stream_init(&s, NULL, NULL);
    for (int i = 0; i < 150; i++)
        wsgi__outq_lend(&q, "x", 1, count_release, &releases);
    cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
    cr_expect_eq(s.n_writevs, 3);
    cr_expect_eq(s.most_iov, 64);
    cr_expect_eq(s.n_written, 150);
    cr_expect_eq(releases, 150);
    script_stream_free(&s);
}

/* 1 to 3000 bytes at a time, so that blocks end everywhere. */
Test(outq, copies_coalesce)
{
    enum { TOTAL = 500000 };
    char *data = malloc(TOTAL);
    fill_pattern(data, TOTAL);

    for (size_t step = 1; step < 3000; step = step * 2 + 1) {
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        for (size_t at = 0; at < TOTAL; at += step)
            wsgi__outq_copy(&q, data + at,
                            step < TOTAL - at ? step : TOTAL - at);
        cr_expect_eq(wsgi__outq_pending(&q), TOTAL, "step %zu", step);
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        cr_expect(script_stream_wrote(&s, data, TOTAL), "step %zu", step);
        cr_expect_eq(s.n_writevs, 1, "step %zu: %zu", step, s.n_writevs);
        script_stream_free(&s);
    }
    free(data);
}

Test(outq, a_small_response_is_one_allocation)
{
    char body[300] = "body";
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    script_stream_init(&s, NULL, NULL);
    wsgi__mem_fail_nth(1000);
    for (int i = 0; i < 10; i++) {
        wsgi__outq_copy(&q, "HTTP/1.1 200 OK\r\n", 17);
        wsgi__outq_copy(&q, "Date: ...\r\n\r\n", 13);
        wsgi__outq_copy(&q, body, sizeof(body));
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        expect_empty(&q, "between two responses");
    }
    cr_expect_eq(wsgi__mem_count(), 10);
    wsgi__mem_fail_nth(0);
    script_stream_free(&s);
}

Test(outq, what_is_empty_is_released_at_once)
{
    int releases = 0;
    uint64_t written;
    wsgi__outq q = { 0 };
    script_stream s;

    script_stream_init(&s, NULL, NULL);
    cr_expect_eq(wsgi__outq_copy(&q, NULL, 0), WSGI_OK);
    cr_expect_eq(wsgi__outq_lend(&q, "", 0, count_release, &releases),
                 WSGI_OK);
    cr_expect_eq(wsgi__outq_file(&q, -1, 5, 0, count_release, &releases),
                 WSGI_OK);
    cr_expect_eq(releases, 2);
    expect_empty(&q, "nothing pushed");
    cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
    cr_expect_eq(s.n_writevs, 0, "nothing to write is no call");
    script_stream_free(&s);
}

Test(outq, ranges_that_continue_each_other_are_one)
{
    wsgi__outq q = { 0 };

    cr_assert_eq(wsgi__outq_file(&q, 7, 0, 10, NULL, NULL), WSGI_OK);
    cr_assert_eq(wsgi__outq_file(&q, 7, 10, 5, NULL, NULL), WSGI_OK);
    cr_expect_eq(q.first, q.last, "continued");
    cr_assert_eq(wsgi__outq_file(&q, 7, 16, 5, NULL, NULL), WSGI_OK);
    cr_expect_neq(q.first, q.last, "a gap");
    void *second = q.last;
    cr_assert_eq(wsgi__outq_file(&q, 8, 21, 5, NULL, NULL), WSGI_OK);
    cr_expect_neq((void *)q.last, second, "another file");
    cr_expect_eq(wsgi__outq_pending(&q), 25);
    wsgi__outq_free(&q);
}

Test(outq, refuses_ranges_no_file_can_have)
{
    int releases = 0;
    wsgi__outq q = { 0 };

    cr_expect_eq(wsgi__outq_file(&q, 0, -1, 5, count_release, &releases),
                 WSGI_ERR_INVALID);
    cr_expect_eq(
        wsgi__outq_file(&q, 0, 1, INT64_MAX, count_release, &releases),
        WSGI_ERR_INVALID);
    cr_expect_eq(
        wsgi__outq_file(&q, 0, 0, UINT64_MAX, count_release, &releases),
        WSGI_ERR_INVALID);
    expect_empty(&q, "refused");
    cr_expect_eq(wsgi__outq_file(&q, 0, 0, INT64_MAX, NULL, NULL), WSGI_OK);
    cr_expect_eq(wsgi__outq_file(&q, 0, 0, INT64_MAX, NULL, NULL), WSGI_OK);
    cr_expect_eq(wsgi__outq_file(&q, 0, 0, 2, count_release, &releases),
                 WSGI_ERR_INVALID, "pending would overflow");
    cr_expect_eq(wsgi__outq_pending(&q), (uint64_t)INT64_MAX * 2);
    wsgi__outq_free(&q);
    cr_expect_eq(releases, 0, "what was refused stays the caller's");
}

Test(outq, out_of_memory_leaves_queue_and_owner_unchanged)
{
    char *large = malloc(3000);
    int file = make_file(100);

    fill_pattern(large, 3000);
    for (int kind = 0; kind < 3; kind++) {
        int releases = 0, status = WSGI_OK;
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        wsgi__outq_copy(&q, "before", 6);
        wsgi__mem_fail_nth(1);
        if (kind == 0)
            status = wsgi__outq_copy(&q, large, 3000);
        if (kind == 1)
            status = wsgi__outq_lend(&q, "x", 1, count_release, &releases);
        if (kind == 2)
            status = wsgi__outq_file(&q, file, 0, 9, count_release, &releases);
        wsgi__mem_fail_nth(0);
        cr_expect_eq(status, WSGI_ERR_NOMEM, "kind %d", kind);
        cr_expect_eq(wsgi__outq_pending(&q), 6, "kind %d", kind);
        wsgi__outq_copy(&q, "+after", 6);
        cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        cr_expect_str_eq(script_stream_text(&s), "before+after", "kind %d",
                         kind);
        cr_expect_eq(releases, 0, "kind %d", kind);
        script_stream_free(&s);
    }
    free(large);
    close(file);
}

/* Each allocation of a whole use fails once; retrying goes through. */
Test(outq, survives_every_failing_allocation)
{
    int file = make_file(100);
    size_t failures = 0;

    for (long n = 1; n < 100; n++) {
        int releases = 0, result;
        uint64_t written;
        wsgi__outq q = { 0 };
        script_stream s;

        script_stream_init(&s, NULL, NULL);
        script_stream_without_sendfile(&s);
        wsgi__mem_fail_nth(n);
        int pushed = push_mixed(&q, file, &releases);
        result = wsgi__outq_write(&q, &s.stream, &written);
        bool failed = wsgi__mem_count() >= n;
        wsgi__mem_fail_nth(0);
        if (failed && pushed == WSGI_OK) {
            cr_expect_eq(result, WSGI__FAILED, "%ld: %d", n, result);
            cr_expect_eq(errno, ENOMEM, "%ld", n);
            cr_expect_eq(wsgi__outq_write(&q, &s.stream, &written), 0);
        }
        if (pushed == WSGI_OK)
            cr_expect_str_eq(script_stream_text(&s), MIXED_TEXT, "%ld", n);
        wsgi__outq_free(&q);
        cr_expect_leq(releases, 2, "%ld", n);
        script_stream_free(&s);
        failures += failed;
        if (!failed)
            break;
    }
    /* Five segments pushed after the first copy's block, two pieces read. */
    cr_expect_eq(failures, 8, "%zu", failures);
    close(file);
}

typedef struct reader {
    int fd;
    char *into;
    size_t len;
} reader;

static void *
read_all(void *arg)
{
    reader *r = arg;
    ssize_t n;

    while ((n = read(r->fd, r->into + r->len, 64 * 1024)) > 0)
        r->len += (size_t)n;
    return NULL;
}

/* Over a real socket whose buffer is smaller than what is queued. */
Test(outq, transmits_memory_and_files_over_a_socket)
{
    enum { PART = 12 * 1024 * 1024 + 17 };
    int fds[2], file = make_file(PART), releases = 0, result, turns = 0;
    char *data = malloc(PART);
    reader r = { .into = malloc(2 * PART + 4 + 128 * 1024) };
    pthread_t thread;
    uint64_t written;
    wsgi__outq q = { 0 };
    wsgi__stream stream;

    fill_pattern(data, PART);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    wsgi__stream_plain(&stream, fds[0]);
    r.fd = fds[1];
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &r), 0);

    wsgi__outq_copy(&q, "head", 4);
    wsgi__outq_lend(&q, data, PART, count_release, &releases);
    wsgi__outq_file(&q, file, 0, PART, count_release, &releases);
    while ((result = wsgi__outq_write(&q, &stream, &written)) ==
           WSGI__WANT_WRITE) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(stream.fd, &set);
        select(stream.fd + 1, NULL, &set, NULL, NULL);
        turns++;
    }
    cr_expect_eq(result, 0, "%d", result);
    cr_expect_geq(turns, 6, "more than 24 MiB take more than 6 calls");
    cr_expect_eq(releases, 2);
    stream.ops->close(&stream);
    pthread_join(thread, NULL);
    cr_expect_eq(r.len, 2 * (size_t)PART + 4, "%zu", r.len);
    cr_expect_eq(memcmp(r.into, "head", 4), 0);
    cr_expect_eq(memcmp(r.into + 4, data, PART), 0);
    cr_expect_eq(memcmp(r.into + 4 + PART, data, PART), 0);
    close(fds[1]);
    close(file);
    free(r.into);
    free(data);
}
