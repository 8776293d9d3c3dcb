#include <criterion/criterion.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/body.h"

/* ---- System calls that fail ---------------------------------------------
 *
 * These stand in front of the C library's for this program.  Zero-filled, they
 * pass everything on. */

static struct {
    ssize_t disk;      /* bytes that go on the disk, -1: no end */
    size_t at_most;    /* bytes per call, 0: no limit */
    int interruptions; /* calls that EINTR ends first */
    int read_error;    /* errno of every pread */
    int tmpfile_error; /* errno of open() with O_TMPFILE */
    int named;         /* calls of mkostemp */
    char where[64];    /* of the last one, as given */
} sys = { .disk = -1 };

static bool
interrupted(void)
{
    if (sys.interruptions == 0)
        return false;
    sys.interruptions--;
    errno = EINTR;
    return true;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pwrite");

    if (interrupted())
        return -1;
    if (sys.at_most && len > sys.at_most)
        len = sys.at_most;
    if (sys.disk == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (sys.disk > 0 && len > (size_t)sys.disk)
        len = (size_t)sys.disk;
    if (sys.disk > 0)
        sys.disk -= (ssize_t)len;
    return real(fd, data, len, at);
}

ssize_t
pread(int fd, void *into, size_t len, off_t at)
{
    ssize_t (*real)(int, void *, size_t, off_t) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pread");

    if (interrupted())
        return -1;
    if (sys.read_error) {
        errno = sys.read_error;
        return -1;
    }
    if (sys.at_most && len > sys.at_most)
        len = sys.at_most;
    return real(fd, into, len, at);
}

int
open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "open");
    bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT || nameless ? va_arg(args, mode_t) : 0;
    va_end(args);

    if (nameless && sys.tmpfile_error) {
        errno = sys.tmpfile_error;
        return -1;
    }
    return real(path, flags, mode);
}

int
mkostemp(char *pattern, int flags)
{
    int (*real)(char *, int) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "mkostemp");
    sys.named++;
    snprintf(sys.where, sizeof(sys.where), "%s", pattern);
    return real(pattern, flags);
}

/* ---- Helpers ------------------------------------------------------------ */

static char
byte_at(int64_t i)
{
    return (char)((i * 7 + i / 251) & 0xff);
}

static char pattern[300 * 1024];

static void
make_pattern(void)
{
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = byte_at((int64_t)i);
}

static bool
holds_pattern(const wsgi__body *body, size_t len)
{
    static char read[sizeof(pattern) + 1];
    return body->len == (int64_t)len &&
           wsgi__body_read(body, 0, read, sizeof(read)) == (ssize_t)len &&
           memcmp(read, pattern, len) == 0;
}

static int
open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- Content ------------------------------------------------------------ */

Test(body, content_however_it_is_cut, .init = make_pattern)
{
    static const struct {
        size_t in_memory, piece, total;
        bool in_file;
    } cases[] = {
        { 0, 1, 0, false },
        { 0, 1, 1, true },
        { 0, 4096, 100000, true },
        { 10, 1, 9, false },
        { 10, 1, 10, false },
        { 10, 10, 10, false },
        { 10, 1, 11, true },
        { 10, 11, 11, true },
        { 10, 7, 21, true },
        { 65536, 1000, 65000, false },
        { 65536, 4096, 65536, false },
        { 65536, 4096, 65537, true },
        { 65536, 300000, 300000, true },
        { SIZE_MAX, 65536, 300000, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi__body body;
        wsgi__body_init(&body, cases[i].in_memory);
        for (size_t at = 0; at < cases[i].total; at += cases[i].piece) {
            size_t rest = cases[i].total - at;
            size_t len = rest < cases[i].piece ? rest : cases[i].piece;
            cr_assert_eq(wsgi__body_append(&body, pattern + at, len), WSGI_OK,
                         "case %zu at %zu", i, at);
        }
        cr_expect_eq(wsgi__body_in_file(&body), cases[i].in_file, "case %zu",
                     i);
        cr_expect_eq(wsgi__body_span(&body).len,
                     cases[i].in_file ? 0 : cases[i].total, "case %zu", i);
        cr_expect(holds_pattern(&body, cases[i].total), "case %zu", i);
        wsgi__body_free(&body);
    }
}

Test(body, read_anywhere, .init = make_pattern)
{
    static const struct {
        int64_t at;
        size_t len;
        ssize_t got;
    } cases[] = {
        { 0, 0, 0 },           { 0, 1, 1 },      { 0, 1000, 1000 },
        { 0, 1001, 1000 },     { 1, 1000, 999 }, { 500, 100, 100 },
        { 999, 1, 1 },         { 999, 2, 1 },    { 1000, 0, 0 },
        { 1000, 1, 0 },        { 1001, 1, 0 },   { INT64_MAX, 1, 0 },
        { 990, SIZE_MAX, 10 },
    };
    /* In memory and in a file. */
    for (size_t in_memory = 0; in_memory <= 1000; in_memory += 1000) {
        wsgi__body body;
        wsgi__body_init(&body, in_memory);
        cr_assert_eq(wsgi__body_append(&body, pattern, 1000), WSGI_OK);
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            char into[1001];
            memset(into, '#', sizeof(into));
            ssize_t got =
                wsgi__body_read(&body, cases[i].at, into, cases[i].len);
            cr_expect_eq(got, cases[i].got, "%zu in memory, case %zu: %zd",
                         in_memory, i, got);
            if (got > 0)
                cr_expect_eq(memcmp(into, pattern + cases[i].at, (size_t)got),
                             0, "%zu in memory, case %zu", in_memory, i);
            cr_expect_eq(into[got], '#', "%zu in memory, case %zu", in_memory,
                         i);
        }
        wsgi__body_free(&body);
    }
}

Test(body, nothing_allocated_before_the_first_byte)
{
    wsgi__body body;
    wsgi__mem_fail_nth(1);
    wsgi__body_init(&body, 100);
    cr_expect_eq(wsgi__body_append(&body, NULL, 0), WSGI_OK);
    cr_expect_eq(wsgi__mem_count(), 0);
    cr_expect_eq(body.len, 0);
    wsgi__body_reset(&body);
    wsgi__body_free(&body);
    wsgi__body_free(&body);
}

/* What is promised is not taken at once, and what comes is not moved often. */
Test(body, memory_of_what_is_expected, .init = make_pattern)
{
    static const struct {
        int64_t expected;
        size_t in_memory, first, cap; /* after the first bytes */
    } cases[] = {
        { -1, 1 << 20, 1, 256 },          { 50, 1 << 20, 1, 256 },
        { 60000, 1 << 20, 1, 60000 },     { 60000, 100, 1, 100 },
        { 70000, 1 << 20, 1, 65536 },     { 1 << 20, 1 << 20, 20000, 80000 },
        { 90000, 1 << 20, 65000, 90000 }, { INT64_MAX, 1 << 20, 1, 65536 },
        { 10, 1 << 20, 300, 300 }, /* more than was said */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi__body body;
        wsgi__body_init(&body, cases[i].in_memory);
        wsgi__body_expect(&body, cases[i].expected);
        cr_expect_eq(body.mem.cap, 0, "case %zu", i);
        wsgi__body_append(&body, pattern, cases[i].first);
        cr_expect_eq(body.mem.cap, cases[i].cap, "case %zu: %zu", i,
                     body.mem.cap);
        wsgi__body_reset(&body);
        cr_expect_eq(body.expected, -1, "case %zu", i);
        if (cases[i].expected >= 0)
            cr_expect_eq(body.mem.cap, 0, "case %zu: %zu", i, body.mem.cap);
        wsgi__body_free(&body);
    }
}

Test(body, less_memory_than_expected_will_do, .init = make_pattern)
{
    wsgi__body body;
    wsgi__body_init(&body, 1 << 20);
    wsgi__body_expect(&body, 60000);
    wsgi__mem_fail_nth(1);
    cr_expect_eq(wsgi__body_append(&body, pattern, 100), WSGI_OK);
    wsgi__mem_fail_nth(0);
    cr_expect(holds_pattern(&body, 100));
    wsgi__body_free(&body);
}

Test(body, reset_empties_and_keeps_little, .init = make_pattern)
{
    static const struct {
        size_t in_memory, len;
        bool keeps;
    } cases[] = {
        { 100, 100, true }, { 65536, 65536, true }, { 100000, 100000, false },
        { 10, 100, false }, { 0, 100000, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi__body body;
        wsgi__body_init(&body, cases[i].in_memory);
        int before = open_descriptors();
        for (int round = 0; round < 3; round++) {
            cr_assert_eq(wsgi__body_append(&body, pattern, cases[i].len), 0);
            cr_expect(holds_pattern(&body, cases[i].len), "case %zu", i);
            wsgi__body_reset(&body);
            cr_expect_eq(body.len, 0, "case %zu", i);
            cr_expect_eq(wsgi__body_read(&body, 0, &(char){ 0 }, 1), 0);
            cr_expect_not(wsgi__body_in_file(&body), "case %zu", i);
            cr_expect_eq(open_descriptors(), before, "case %zu", i);
            cr_expect_eq(body.mem.cap > 0, cases[i].keeps, "case %zu", i);
            cr_expect_leq(body.mem.cap, 65536, "case %zu", i);
        }
        wsgi__body_free(&body);
    }
}

/* ---- The file ----------------------------------------------------------- */

/* A folder of this test alone, as $TMPDIR. */
static char folder[64];

static void
make_folder(void)
{
    make_pattern();
    strcpy(folder, "/tmp/test_body-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("TMPDIR", folder, 1);
}

/* Fails unless nothing is left in it. */
static void
drop_folder(void)
{
    cr_expect_eq(rmdir(folder), 0, "%s", strerror(errno));
}

static void
expect_private_file(const char *how)
{
    wsgi__body body;
    struct stat st, dir;

    wsgi__body_init(&body, 10);
    cr_assert_eq(wsgi__body_append(&body, pattern, 5000), WSGI_OK, "%s", how);
    cr_assert(wsgi__body_in_file(&body));
    cr_assert_eq(fstat(body.fd, &st), 0);
    cr_assert_eq(stat(folder, &dir), 0);
    cr_expect_eq(st.st_dev, dir.st_dev, "%s: not in $TMPDIR", how);
    cr_expect_eq(st.st_nlink, 0, "%s: it has a name", how);
    cr_expect_eq(st.st_mode & 0777, 0600, "%s", how);
    cr_expect_eq(st.st_size, 5000, "%s", how);
    cr_expect(fcntl(body.fd, F_GETFD) & FD_CLOEXEC, "%s", how);
    cr_expect(holds_pattern(&body, 5000), "%s", how);
    wsgi__body_free(&body);
}

Test(body, file_has_no_name_and_is_private, .init = make_folder,
     .fini = drop_folder)
{
    expect_private_file("as it comes");
}

Test(body, file_where_there_is_no_o_tmpfile, .init = make_folder,
     .fini = drop_folder)
{
    static const int errors[] = { EOPNOTSUPP, EISDIR };
    for (int i = 0; i < 2; i++) {
        sys.tmpfile_error = errors[i];
        expect_private_file(strerror(errors[i]));
        cr_expect_eq(sys.named, i + 1);
        cr_expect_eq(strncmp(sys.where, folder, strlen(folder)), 0, "%s",
                     sys.where);
    }
    /* Any other error is not for a second try. */
    wsgi__body body;
    wsgi__body_init(&body, 0);
    sys.tmpfile_error = EMFILE;
    cr_expect_eq(wsgi__body_append(&body, pattern, 1), WSGI_ERR_SYSTEM);
    cr_expect_eq(errno, EMFILE);
    cr_expect_eq(sys.named, 2);
    wsgi__body_free(&body);
}

Test(body, tmpdir_unset_or_empty_is_tmp, .init = make_pattern)
{
    struct stat st, tmp;
    cr_assert_eq(stat("/tmp", &tmp), 0);
    for (int empty = 0; empty < 2; empty++) {
        wsgi__body body;
        unsetenv("TMPDIR");
        if (empty)
            setenv("TMPDIR", "", 1);
        wsgi__body_init(&body, 0);
        cr_assert_eq(wsgi__body_append(&body, pattern, 100), WSGI_OK);
        cr_assert_eq(fstat(body.fd, &st), 0);
        cr_expect_eq(st.st_dev, tmp.st_dev);
        wsgi__body_free(&body);
    }
}

Test(body, tmpdir_that_cannot_be_used, .init = make_pattern)
{
    static const struct {
        const char *dir;
        int error;
    } cases[] = {
        { "/nonexistent/folder", ENOENT },
        { "/dev/null", ENOTDIR },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi__body body;
        setenv("TMPDIR", cases[i].dir, 1);
        wsgi__body_init(&body, 50);
        cr_assert_eq(wsgi__body_append(&body, pattern, 50), WSGI_OK);
        int before = open_descriptors();
        errno = 0;
        cr_expect_eq(wsgi__body_append(&body, pattern + 50, 1),
                     WSGI_ERR_SYSTEM, "%s", cases[i].dir);
        cr_expect_eq(errno, cases[i].error, "%s: %s", cases[i].dir,
                     strerror(errno));
        cr_expect(holds_pattern(&body, 50), "%s", cases[i].dir);
        cr_expect_not(wsgi__body_in_file(&body));
        cr_expect_eq(open_descriptors(), before);
        wsgi__body_free(&body);
    }
}

/* ---- Short writes, interruptions, a full disk --------------------------- */

Test(body, short_and_interrupted_calls, .init = make_pattern)
{
    wsgi__body body;
    wsgi__body_init(&body, 100);
    sys.at_most = 7;
    for (size_t at = 0; at < 3000; at += 60) {
        sys.interruptions = 3;
        cr_assert_eq(wsgi__body_append(&body, pattern + at, 60), WSGI_OK);
    }
    sys.interruptions = 3;
    cr_expect(holds_pattern(&body, 3000));
    cr_expect_eq(sys.interruptions, 0);
    wsgi__body_free(&body);
}

/* The disk is full after any number of bytes: an append that fails leaves the
 * content as it was, and one that comes when there is room again goes on. */
Test(body, full_disk_at_each_byte, .init = make_pattern)
{
    for (ssize_t disk = 0; disk < 40; disk++) {
        wsgi__body body;
        int before = open_descriptors();
        size_t done = 0;
        sys.disk = disk;
        wsgi__body_init(&body, 10);
        int status;
        while ((status = wsgi__body_append(&body, pattern + done, 6)) == 0)
            done += 6;
        cr_expect_eq(status, WSGI_ERR_SYSTEM, "disk of %zd", disk);
        cr_expect_eq(errno, ENOSPC, "disk of %zd", disk);
        /* 6 bytes in memory, then whole pieces of 6 up to the disk's size. */
        size_t fits = disk < 12 ? 6 : (size_t)disk / 6 * 6;
        cr_expect_eq(done, fits, "disk of %zd: %zu", disk, done);
        cr_expect_eq(wsgi__body_in_file(&body), disk >= 12);
        cr_expect_eq(open_descriptors(), before + (disk >= 12));
        cr_expect(holds_pattern(&body, done), "disk of %zd", disk);
        sys.disk = -1;
        cr_expect_eq(wsgi__body_append(&body, pattern + done, 3), WSGI_OK);
        cr_expect_eq(wsgi__body_append(&body, pattern + done + 3, 9), WSGI_OK);
        cr_expect(holds_pattern(&body, done + 12), "disk of %zd", disk);
        wsgi__body_free(&body);
        cr_expect_eq(open_descriptors(), before);
    }
}

/* The kernel's own refusal, with its short write at the limit. */
Test(body, file_size_limit, .init = make_pattern)
{
    struct rlimit limit = { .rlim_cur = 1000, .rlim_max = RLIM_INFINITY };
    getrlimit(RLIMIT_FSIZE, &limit);
    rlim_t usual = limit.rlim_cur;
    wsgi__body body;

    wsgi__body_init(&body, 100);
    cr_assert_eq(wsgi__body_append(&body, pattern, 900), WSGI_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = 1000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int status = wsgi__body_append(&body, pattern + 900, 200);
    int error = errno;
    limit.rlim_cur = usual;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);

    cr_expect_eq(status, WSGI_ERR_SYSTEM);
    cr_expect_eq(error, EFBIG);
    cr_expect(holds_pattern(&body, 900));
    cr_expect_eq(wsgi__body_append(&body, pattern + 900, 200), WSGI_OK);
    cr_expect(holds_pattern(&body, 1100));
    wsgi__body_free(&body);
}

/* A disk with no room at all. */
Test(body, dev_full, .init = make_pattern)
{
    wsgi__body body;
    wsgi__body_init(&body, 0);
    cr_assert_eq(wsgi__body_append(&body, pattern, 10), WSGI_OK);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (full < 0)
        cr_skip("no /dev/full");
    int kept = dup(body.fd);
    cr_assert_eq(dup2(full, body.fd), body.fd);
    cr_expect_eq(wsgi__body_append(&body, pattern + 10, 10), WSGI_ERR_SYSTEM);
    cr_expect_eq(errno, ENOSPC);
    cr_assert_eq(dup2(kept, body.fd), body.fd);
    close(full);
    close(kept);
    cr_expect(holds_pattern(&body, 10));
    wsgi__body_free(&body);
}

Test(body, read_errors, .init = make_pattern)
{
    char into[100];
    wsgi__body body;
    wsgi__body_init(&body, 0);
    cr_assert_eq(wsgi__body_append(&body, pattern, 100), WSGI_OK);

    sys.read_error = EIO;
    cr_expect_eq(wsgi__body_read(&body, 0, into, 100), -1);
    cr_expect_eq(errno, EIO);
    sys.read_error = 0;

    /* A file that lost bytes is no shorter body. */
    cr_assert_eq(ftruncate(body.fd, 60), 0);
    cr_expect_eq(wsgi__body_read(&body, 0, into, 60), 60);
    errno = 0;
    cr_expect_eq(wsgi__body_read(&body, 0, into, 61), -1);
    cr_expect_eq(errno, EIO);
    cr_expect_eq(wsgi__body_read(&body, 60, into, 40), -1);
    wsgi__body_free(&body);
}

/* ---- Bounds ------------------------------------------------------------- */

Test(body, more_than_a_length_can_say, .init = make_pattern)
{
    wsgi__body body;
    wsgi__body_init(&body, 0);
    cr_assert_eq(wsgi__body_append(&body, pattern, 1), WSGI_OK);
    body.len = INT64_MAX - 5; /* as if that much had come */
    errno = 0;
    cr_expect_eq(wsgi__body_append(&body, pattern, 6), WSGI_ERR_SYSTEM);
    cr_expect_eq(errno, EFBIG);
    cr_expect_eq(body.len, INT64_MAX - 5);
    wsgi__body_free(&body);
}

/* A file system puts its own end before that. */
Test(body, past_four_gigabytes, .init = make_pattern)
{
    char into[10];
    wsgi__body body;
    wsgi__body_init(&body, 0);
    cr_assert_eq(wsgi__body_append(&body, pattern, 1), WSGI_OK);
    body.len = 5LL << 30; /* a hole */
    cr_assert_eq(wsgi__body_append(&body, pattern, 10), WSGI_OK);
    cr_expect_eq(body.len, (5LL << 30) + 10);
    cr_expect_eq(wsgi__body_read(&body, (5LL << 30) + 2, into, 10), 8);
    cr_expect_eq(memcmp(into, pattern + 2, 8), 0);
    cr_expect_eq(wsgi__body_read(&body, 4LL << 30, into, 1), 1);
    cr_expect_eq(into[0], 0);
    wsgi__body_free(&body);
}

Test(body, out_of_memory_at_each_allocation, .init = make_pattern)
{
    unsetenv("TMPDIR");
    sys.tmpfile_error = EOPNOTSUPP; /* the way that allocates */
    for (long nth = 1;; nth++) {
        wsgi__body body;
        size_t done = 0;
        bool failed = false;
        wsgi__body_init(&body, 2000);
        wsgi__mem_fail_nth(nth);
        while (done < 3000) {
            int status = wsgi__body_append(&body, pattern + done, 100);
            if (status == WSGI_OK) {
                done += 100;
                continue;
            }
            cr_expect(status == WSGI_ERR_NOMEM ||
                          (status == WSGI_ERR_SYSTEM && errno == ENOMEM),
                      "allocation %ld: %d", nth, status);
            cr_expect(holds_pattern(&body, done), "allocation %ld", nth);
            cr_assert_not(failed, "allocation %ld fails twice", nth);
            failed = true;
        }
        wsgi__mem_fail_nth(0);
        cr_expect(holds_pattern(&body, 3000), "allocation %ld", nth);
        wsgi__body_free(&body);
        if (!failed) {
            cr_expect_gt(nth, 4, "the sweep saw too little");
            break;
        }
    }
}
