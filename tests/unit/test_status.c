#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>

#include <wsgi/wsgi.h>

/* The numbers are part of the ABI. */
static const struct {
    int number, frozen;
} statuses[] = {
    { WSGI_OK, 0 },
    { WSGI_STOPPED, 1 },
    { WSGI_ERR_NOMEM, -1 },
    { WSGI_ERR_INVALID, -2 },
    { WSGI_ERR_STATE, -3 },
    { WSGI_ERR_OPTION, -4 },
    { WSGI_ERR_SYSTEM, -5 },
    { WSGI_ERR_ADDRESS, -6 },
    { WSGI_ERR_BIND, -7 },
    { WSGI_ERR_PYTHON, -8 },
    { WSGI_ERR_APP_IMPORT, -9 },
    { WSGI_ERR_APP_MISSING, -10 },
    { WSGI_ERR_APP_TYPE, -11 },
    { WSGI_ERR_WORKER, -12 },
};

#define N_STATUSES (sizeof(statuses) / sizeof(statuses[0]))

Test(status, each_has_a_number_and_a_text_of_its_own)
{
    for (size_t i = 0; i < N_STATUSES; i++) {
        const char *text = wsgi_strerror(statuses[i].number);
        cr_expect_eq(statuses[i].number, statuses[i].frozen);
        cr_expect_str_neq(text, wsgi_strerror(INT_MAX), "%d",
                          statuses[i].number);
        cr_expect_null(strchr(text, '\n'));
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(text, wsgi_strerror(statuses[j].number),
                              "%d and %d", statuses[i].number,
                              statuses[j].number);
    }
}

Test(status, unknown_numbers_have_a_text)
{
    static const int unknown[] = { 2, -13, 1000, INT_MAX, INT_MIN };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        cr_expect_str_eq(wsgi_strerror(unknown[i]), "unknown status");
}

Test(status, version)
{
    char text[32];
    uint32_t number = wsgi_version_num();

    cr_expect_eq(number, WSGI_VERSION_NUM);
    snprintf(text, sizeof(text), "%u.%u.%u", number >> 16, number >> 8 & 0xff,
             number & 0xff);
    cr_expect_str_eq(wsgi_version(), text);
}
