/* Runs the registered tests, each in a process of its own. */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PASSED = 0, FAILED = 1, SKIPPED = 77 };

static tsan_test *tests, **last = &tests;
static tsan_test *suites;
static bool failed;

void
tsan_register(tsan_test *test)
{
    if (test->run) {
        *last = test;
        last = &test->next;
    } else {
        test->next = suites;
        suites = test;
    }
}

void
tsan_check(bool holds, bool fatal, const char *file, int line,
           const char *what, const char *format, ...)
{
    va_list args;

    if (holds)
        return;
    failed = true;
    fprintf(stderr, "%s:%d: %s: ", file, line, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (fatal)
        exit(FAILED);
}

void
tsan_skip(void)
{
    _exit(SKIPPED);
}

static const tsan_extra *
suite_of(const tsan_test *test)
{
    static const tsan_extra none = { 0 };
    for (const tsan_test *suite = suites; suite; suite = suite->next)
        if (strcmp(suite->suite, test->suite) == 0)
            return &suite->extra;
    return &none;
}

static void
run_here(const tsan_test *test)
{
    const tsan_extra *suite = suite_of(test);

    if (suite->init)
        suite->init();
    if (test->extra.init)
        test->extra.init();
    test->run();
    if (test->extra.fini)
        test->extra.fini();
    if (suite->fini)
        suite->fini();
    exit(failed ? FAILED : PASSED);
}

static bool
as_expected(const tsan_test *test, int status)
{
    if (test->extra.signal)
        return WIFSIGNALED(status) && WTERMSIG(status) == test->extra.signal;
    if (!WIFEXITED(status))
        return false;
    return WEXITSTATUS(status) == SKIPPED ||
           WEXITSTATUS(status) == test->extra.exit_code;
}

int
main(void)
{
    int n = 0, n_failed = 0;

    for (const tsan_test *test = tests; test; test = test->next, n++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            run_here(test);
        if (pid > 0 && waitpid(pid, &status, 0) == pid &&
            as_expected(test, status))
            continue;
        n_failed++;
        fprintf(stderr, "FAILED %s::%s (status %#x)\n", test->suite,
                test->name, (unsigned)status);
    }
    printf("%d tests, %d failed\n", n, n_failed);
    return n == 0 || n_failed != 0;
}
