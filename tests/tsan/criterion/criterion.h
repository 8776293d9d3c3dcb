/*
 * Criterion's interface, as far as the tests use it, for ThreadSanitizer.
 *
 * Criterion maps an arena at a fixed address for the process of each test, and
 * ThreadSanitizer has its shadow memory there: Criterion ends with "Could not
 * initialize inheritable arena".  Under the preset tsan this header stands in
 * front of the real one; each test runs in a forked process here too.
 */
#ifndef WSGI_TSAN_CRITERION_H
#define WSGI_TSAN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tsan_extra {
    void (*init)(void), (*fini)(void);
    bool disabled;
    int signal, exit_code;
    double timeout;
    const char *description;
} tsan_extra;

typedef struct tsan_test {
    const char *suite, *name;
    void (*run)(void); /* NULL: a suite */
    tsan_extra extra;
    struct tsan_test *next;
} tsan_test;

void tsan_register(tsan_test *test);
void tsan_check(bool holds, bool fatal, const char *file, int line,
                const char *what, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void tsan_skip(void) __attribute__((noreturn));

#define TSAN_REGISTER(id, suite_, name_, run_, ...)                           \
    __attribute__((constructor)) static void id(void)                         \
    {                                                                         \
        static tsan_test test = { .suite = #suite_,                           \
                                  .name = name_,                              \
                                  .run = run_,                                \
                                  .extra = { __VA_ARGS__ } };                 \
        tsan_register(&test);                                                 \
    }
#define Test(suite, name, ...)                                                \
    static void suite##_##name##_run(void);                                   \
    TSAN_REGISTER(suite##_##name##_register, suite, #name,                    \
                  suite##_##name##_run, __VA_ARGS__)                          \
    static void suite##_##name##_run(void)
/* Ends in something that takes the semicolon. */
#define TestSuite(suite, ...)                                                 \
    TSAN_REGISTER(suite##_register, suite, "", NULL, __VA_ARGS__)             \
    struct suite##_registered

#define TSAN_CHECK(fatal, condition, ...)                                     \
    tsan_check((condition), fatal, __FILE__, __LINE__, #condition,            \
               "" __VA_ARGS__)

#define cr_assert(c, ...) TSAN_CHECK(true, !!(c), __VA_ARGS__)
#define cr_expect(c, ...) TSAN_CHECK(false, !!(c), __VA_ARGS__)
#define cr_assert_not(c, ...) TSAN_CHECK(true, !(c), __VA_ARGS__)
#define cr_expect_not(c, ...) TSAN_CHECK(false, !(c), __VA_ARGS__)
#define cr_assert_null(p, ...) TSAN_CHECK(true, (p) == NULL, __VA_ARGS__)
#define cr_expect_null(p, ...) TSAN_CHECK(false, (p) == NULL, __VA_ARGS__)
#define cr_assert_not_null(p, ...) TSAN_CHECK(true, (p) != NULL, __VA_ARGS__)
#define cr_expect_not_null(p, ...) TSAN_CHECK(false, (p) != NULL, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) TSAN_CHECK(true, (a) == (b), __VA_ARGS__)
#define cr_expect_eq(a, b, ...) TSAN_CHECK(false, (a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...) TSAN_CHECK(true, (a) != (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...) TSAN_CHECK(false, (a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...) TSAN_CHECK(true, (a) < (b), __VA_ARGS__)
#define cr_expect_lt(a, b, ...) TSAN_CHECK(false, (a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...) TSAN_CHECK(true, (a) <= (b), __VA_ARGS__)
#define cr_expect_leq(a, b, ...) TSAN_CHECK(false, (a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...) TSAN_CHECK(true, (a) > (b), __VA_ARGS__)
#define cr_expect_gt(a, b, ...) TSAN_CHECK(false, (a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...) TSAN_CHECK(true, (a) >= (b), __VA_ARGS__)
#define cr_expect_geq(a, b, ...) TSAN_CHECK(false, (a) >= (b), __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)                                           \
    TSAN_CHECK(true, strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                           \
    TSAN_CHECK(false, strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...)                                          \
    TSAN_CHECK(false, strcmp((a), (b)) != 0, __VA_ARGS__)
#define cr_expect_str_empty(a, ...)                                           \
    TSAN_CHECK(false, *(a) == '\0', __VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...)                                     \
    TSAN_CHECK(false, memcmp((a), (b), (size)) == 0, __VA_ARGS__)
#define cr_skip_test(...) tsan_skip()
#define cr_skip(...) tsan_skip()

#endif
