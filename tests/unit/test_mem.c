#include <criterion/criterion.h>
#include <limits.h>
#include <stdint.h>

#include "base/mem.h"

Test(mem, size_0_is_no_failure)
{
    void *p = wsgi__mem_alloc(0);
    cr_expect_not_null(p);
    p = wsgi__mem_resize(p, 0);
    cr_expect_not_null(p);
    wsgi__mem_free(p);

    void *z = wsgi__mem_zero(0, 0);
    cr_expect_not_null(z);
    wsgi__mem_free(z);
    wsgi__mem_free(NULL);
}

Test(mem, zero_is_zero_and_checks_the_product)
{
    char *p = wsgi__mem_zero(3, 5);
    cr_assert_not_null(p);
    for (int i = 0; i < 15; i++)
        cr_expect_eq(p[i], 0);
    wsgi__mem_free(p);
    cr_expect_null(wsgi__mem_zero(SIZE_MAX / 2, 3));
}

Test(mem, resize_keeps_the_content)
{
    char *p = wsgi__mem_resize(NULL, 4);
    cr_assert_not_null(p);
    memcpy(p, "abc", 4);
    p = wsgi__mem_resize(p, 4096);
    cr_assert_not_null(p);
    cr_expect_str_eq(p, "abc");
    wsgi__mem_free(p);
}

Test(mem, dup)
{
    char *p = wsgi__mem_dup("a\0b", 3);
    cr_assert_not_null(p);
    cr_expect_arr_eq(p, "a\0b", 4);
    wsgi__mem_free(p);

    p = wsgi__mem_dup(NULL, 0);
    cr_assert_not_null(p);
    cr_expect_str_eq(p, "");
    wsgi__mem_free(p);

    cr_expect_null(wsgi__mem_dup("", SIZE_MAX));

    p = wsgi__mem_strdup("text");
    cr_assert_not_null(p);
    cr_expect_str_eq(p, "text");
    wsgi__mem_free(p);
}

/* The four ways to allocate, for the switch below. */
static void *
allocate(int way)
{
    switch (way) {
    case 0:
        return wsgi__mem_alloc(8);
    case 1:
        return wsgi__mem_zero(1, 8);
    case 2:
        return wsgi__mem_resize(NULL, 8);
    default:
        return wsgi__mem_strdup("8");
    }
}

Test(mem, only_the_nth_fails)
{
    for (long n = 1; n <= 4; n++) {
        wsgi__mem_fail_nth(n);
        for (int way = 0; way < 4; way++) {
            void *p = allocate(way);
            cr_expect_eq(p == NULL, way + 1 == n, "n %ld, way %d", n, way);
            wsgi__mem_free(p);
        }
        cr_expect_eq(wsgi__mem_count(), 4);
    }
    wsgi__mem_fail_nth(0);
    void *p = allocate(0);
    cr_expect_not_null(p);
    wsgi__mem_free(p);
}

Test(mem, a_failed_resize_leaves_the_old_block)
{
    char *p = wsgi__mem_strdup("kept");
    cr_assert_not_null(p);
    wsgi__mem_fail_nth(1);
    cr_expect_null(wsgi__mem_resize(p, 1000));
    wsgi__mem_fail_nth(0);
    cr_expect_str_eq(p, "kept");
    wsgi__mem_free(p);
}

Test(mem, counts_without_failing)
{
    wsgi__mem_fail_nth(LONG_MAX);
    for (int way = 0; way < 4; way++)
        wsgi__mem_free(allocate(way));
    cr_expect_eq(wsgi__mem_count(), 4);
    wsgi__mem_fail_nth(LONG_MAX);
    cr_expect_eq(wsgi__mem_count(), 0);
    wsgi__mem_fail_nth(0);
}
