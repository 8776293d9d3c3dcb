#include <criterion/criterion.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "base/options.h"
#include "http/parser.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static wsgi__options options;
static wsgi__buf error;

static void
setup(void)
{
    wsgi__options_init(&options);
    wsgi__buf_init(&error, 1024);
}

static void
teardown(void)
{
    wsgi__options_free(&options);
    wsgi__buf_free(&error);
}

TestSuite(options, .init = setup, .fini = teardown);

static bool
says(const char *part)
{
    return strstr(wsgi__buf_str(&error), part) != NULL;
}

/* ---- The table ---------------------------------------------------------- */

/* What <wsgi/wsgi.h> promises in [brackets]. */
static const struct {
    wsgi_option number;
    const char *name;
    int64_t value;
} ints[] = {
    { WSGI_OPT_THREADS, "threads", 4 },
    { WSGI_OPT_TIMEOUT, "timeout", 30000 },
    { WSGI_OPT_SLOW_REQUEST, "slow-request", 0 },
    { WSGI_OPT_QUEUE_SIZE, "queue-size", 0 },
    { WSGI_OPT_QUEUE_TIMEOUT, "queue-timeout", 30000 },
    { WSGI_OPT_BACKLOG, "backlog", 2048 },
    { WSGI_OPT_WORKER_CONNECTIONS, "worker-connections", 1000 },
    { WSGI_OPT_HEADER_TIMEOUT, "header-timeout", 15000 },
    { WSGI_OPT_BODY_TIMEOUT, "body-timeout", 30000 },
    { WSGI_OPT_WRITE_TIMEOUT, "write-timeout", 60000 },
    { WSGI_OPT_KEEP_ALIVE, "keep-alive", 75000 },
    { WSGI_OPT_GRACEFUL_TIMEOUT, "graceful-timeout", 30000 },
    { WSGI_OPT_LIMIT_REQUEST_LINE, "limit-request-line", 8190 },
    { WSGI_OPT_LIMIT_REQUEST_FIELDS, "limit-request-fields", 100 },
    { WSGI_OPT_LIMIT_REQUEST_FIELD_SIZE, "limit-request-field-size", 8190 },
    { WSGI_OPT_LIMIT_REQUEST_BODY, "limit-request-body", 1073741824 },
    { WSGI_OPT_BODY_SPOOL_SIZE, "body-spool-size", 524288 },
    { WSGI_OPT_OUTPUT_HIGH_WATER, "output-high-water", 262144 },
    { WSGI_OPT_MULTIPROCESS, "multiprocess", 0 },
    { WSGI_OPT_SENDFILE, "sendfile", 1 },
    { WSGI_OPT_SOCKET_MODE, "socket-mode", 0666 },
    { WSGI_OPT_REUSE_PORT, "reuse-port", 0 },
    { WSGI_OPT_FACTORY, "factory", 0 },
    { WSGI_OPT_MIN_BODY_RATE, "min-body-rate", 240 },
    { WSGI_OPT_MAX_REQUESTS, "max-requests", 0 },
    { WSGI_OPT_MAX_REQUESTS_JITTER, "max-requests-jitter", 0 },
    { WSGI_OPT_MAX_LIFETIME, "max-lifetime", 0 },
    { WSGI_OPT_MAX_MEMORY, "max-memory", 0 },
    { WSGI_OPT_DRAIN_DELAY, "drain-delay", 0 },
};

static const struct {
    wsgi_option number;
    const char *name, *value;
} strings[] = {
    { WSGI_OPT_ROOT_PATH, "root-path", "" },
    { WSGI_OPT_SERVER_HEADER, "server-header", "libwsgi" },
    { WSGI_OPT_HEALTH_PATH, "health-path", "" },
};

Test(options, defaults_are_those_of_the_header)
{
    for (size_t i = 0; i < LENGTH(ints); i++)
        cr_expect_eq(wsgi__options_int(&options, ints[i].number),
                     ints[i].value, "%s", ints[i].name);
    for (size_t i = 0; i < LENGTH(strings); i++)
        cr_expect_str_eq(wsgi__options_str(&options, strings[i].number),
                         strings[i].value, "%s", strings[i].name);
}

Test(options, names_and_numbers_belong_together)
{
    size_t n = 0;

    for (size_t i = 0; i < LENGTH(ints); i++) {
        const wsgi_option_info *row = wsgi_option_find(ints[i].name);
        cr_assert_not_null(row, "%s", ints[i].name);
        cr_expect_eq(row->number, (int)ints[i].number, "%s", row->name);
        cr_expect_neq(row->kind, WSGI_KIND_STRING, "%s", row->name);
    }
    for (size_t i = 0; i < LENGTH(strings); i++) {
        const wsgi_option_info *row = wsgi_option_find(strings[i].name);
        cr_assert_not_null(row, "%s", strings[i].name);
        cr_expect_eq(row->number, (int)strings[i].number, "%s", row->name);
        cr_expect_eq(row->kind, WSGI_KIND_STRING, "%s", row->name);
    }
    for (const wsgi_option_info *o = NULL; (o = wsgi_option_next(o));)
        n++;
    cr_expect_eq(n, LENGTH(ints) + LENGTH(strings));
}

Test(options, rows_are_complete)
{
    for (const wsgi_option_info *o = NULL; (o = wsgi_option_next(o));) {
        char text[256] = "";
        int64_t value = 0;

        cr_expect_eq(o->size, sizeof(*o), "%s", o->name);
        cr_expect_eq(wsgi_option_find(o->name), o, "%s is unique", o->name);
        cr_expect(o->group[0] && !strchr(o->group, ' '), "%s", o->name);
        cr_expect_eq(o->argument[0] == '\0', o->kind == WSGI_KIND_BOOL, "%s",
                     o->name);
        cr_expect(o->help[0] && o->help[strlen(o->help) - 1] != '.', "%s",
                  o->name);
        cr_expect_not_null(o->aliases, "%s", o->name);
        cr_expect_leq(strlen(o->name), 40, "%s", o->name);
        cr_expect_eq(
            wsgi_option_parse(o, o->initial, &value, text, sizeof(text)),
            WSGI_OK, "%s", text);
        if (o->kind == WSGI_KIND_STRING)
            cr_expect(o->number >= WSGI__FIRST_STRING &&
                          o->number < WSGI__FIRST_STRING + WSGI__N_STRINGS,
                      "%s", o->name);
        else
            cr_expect(o->number > 0 && o->number < WSGI__N_INTS, "%s",
                      o->name);
    }
}

/* One heading per group: rows of a group stand together. */
Test(options, groups_are_not_scattered)
{
    for (const wsgi_option_info *o = NULL; (o = wsgi_option_next(o));) {
        bool left = false;
        for (const wsgi_option_info *p = o; (p = wsgi_option_next(p));) {
            bool same = strcmp(p->group, o->group) == 0;
            cr_expect(!(left && same), "%s after %s", p->name, o->name);
            left = left || !same;
        }
    }
}

Test(options, a_head_may_be_no_longer_than_the_parser_takes)
{
    cr_expect_eq(wsgi_option_find("limit-request-line")->max,
                 WSGI__PARSER_MAX_HEAD);
    cr_expect_eq(wsgi_option_find("limit-request-field-size")->max,
                 WSGI__PARSER_MAX_HEAD);
    cr_expect_eq(wsgi_option_find("limit-request-fields")->max,
                 WSGI__PARSER_MAX_FIELDS);
}

Test(options, find)
{
    static const struct {
        const char *name, *option;
    } cases[] = {
        { "keep-alive", "keep-alive" },
        { "keepalive", "keep-alive" },
        { "keepalive-timeout", "keep-alive" },
        { "script-name", "root-path" },
        { "limit-request-field_size", "limit-request-field-size" },
        { "keepalive keepalive-timeout", NULL },
        { "keep", NULL },
        { "keep-alive ", NULL },
        { "Keep-Alive", NULL },
        { "", NULL },
        { NULL, NULL },
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const wsgi_option_info *found = wsgi_option_find(cases[i].name);
        cr_expect_str_eq(found ? found->name : "none",
                         cases[i].option ? cases[i].option : "none", "%s",
                         cases[i].name);
    }
}

/* ---- Values as text ----------------------------------------------------- */

#define REFUSED INT64_MIN

static const struct {
    const char *name, *text;
    int64_t value;
} texts[] = {
    { "backlog", "1", 1 },
    { "backlog", "0010", 10 },
    { "backlog", "65535", 65535 },
    { "backlog", "65536", REFUSED },
    { "backlog", "0", REFUSED },
    { "backlog", "1.0", REFUSED },
    { "backlog", "1k", REFUSED },
    { "backlog", "1s", REFUSED },
    { "backlog", "0x10", REFUSED },
    { "backlog", "99999999999999999999", REFUSED },

    { "keep-alive", "0", 0 },
    { "keep-alive", "5", 5000 },
    { "keep-alive", "30s", 30000 },
    { "keep-alive", "500ms", 500 },
    { "keep-alive", "500MS", 500 },
    { "keep-alive", "2m", 120000 },
    { "keep-alive", "1h", 3600000 },
    { "keep-alive", "24h", 86400000 },
    { "keep-alive", "1.5", 1500 },
    { "keep-alive", "1.5h", 5400000 },
    { "keep-alive", "0.001", 1 },
    { "keep-alive", "0.25m", 15000 },
    { "keep-alive", "24.001h", REFUSED },
    { "keep-alive", "86400001ms", REFUSED },
    { "keep-alive", "0.0001", REFUSED },
    { "keep-alive", "0.5ms", REFUSED },
    { "keep-alive", "1.", REFUSED },
    { "keep-alive", ".5", REFUSED },
    { "keep-alive", "1.5.5", REFUSED },
    { "keep-alive", "1e3", REFUSED },
    { "keep-alive", "5x", REFUSED },
    { "keep-alive", "5 s", REFUSED },
    { "keep-alive", "5s ", REFUSED },
    { "keep-alive", " 5s", REFUSED },
    { "keep-alive", "5s5", REFUSED },
    { "keep-alive", "5sec", REFUSED },
    { "keep-alive", "1k", REFUSED },
    { "keep-alive", "s", REFUSED },
    { "keep-alive", "", REFUSED },
    { "keep-alive", "-5", REFUSED },
    { "keep-alive", "+5", REFUSED },
    { "keep-alive", "inf", REFUSED },
    { "keep-alive", "9223372036854775807", REFUSED },
    { "keep-alive", "9223372036854775808", REFUSED },
    { "keep-alive", "9223372036854775807h", REFUSED },
    /* 2^64 / 1000 and a bit: a product that wraps around to a small one. */
    { "keep-alive", "18446744073709552", REFUSED },

    { "limit-request-body", "0", 0 },
    { "limit-request-body", "512", 512 },
    { "limit-request-body", "8k", 8192 },
    { "limit-request-body", "8K", 8192 },
    { "limit-request-body", "8KiB", 8192 },
    { "limit-request-body", "16M", 16777216 },
    { "limit-request-body", "16m", 16777216 },
    { "limit-request-body", "1G", 1073741824 },
    { "limit-request-body", "1.5G", 1610612736 },
    { "limit-request-body", "0.5k", 512 },
    { "limit-request-body", "1024T", INT64_C(1) << 50 },
    { "limit-request-body", "1024.125T", REFUSED },
    { "limit-request-body", "1125899906842625", REFUSED },
    { "limit-request-body", "0.1k", REFUSED },
    { "limit-request-body", "1.5", REFUSED },
    { "limit-request-body", "8kk", REFUSED },
    { "limit-request-body", "8s", REFUSED },
    { "limit-request-body", "8Ki", REFUSED },
    { "limit-request-body", "-1", REFUSED },
    { "limit-request-body", "9223372036854775807T", REFUSED },
    { "limit-request-body", "16777216T", REFUSED },

    { "sendfile", "yes", 1 },
    { "sendfile", "no", 0 },
    { "sendfile", "on", 1 },
    { "sendfile", "off", 0 },
    { "sendfile", "true", 1 },
    { "sendfile", "false", 0 },
    { "sendfile", "1", 1 },
    { "sendfile", "0", 0 },
    { "sendfile", "YES", 1 },
    { "sendfile", "False", 0 },
    { "sendfile", "y", REFUSED },
    { "sendfile", "yess", REFUSED },
    { "sendfile", "2", REFUSED },
    { "sendfile", "01", REFUSED },
    { "sendfile", "", REFUSED },

    { "socket-mode", "0660", 0660 },
    { "socket-mode", "660", 0660 },
    { "socket-mode", "0", 0 },
    { "socket-mode", "777", 0777 },
    { "socket-mode", "1777", REFUSED },
    { "socket-mode", "068", REFUSED },
    { "socket-mode", "0x1ff", REFUSED },
    { "socket-mode", "u=rw", REFUSED },
    { "socket-mode", "", REFUSED },
    { "socket-mode", "-660", REFUSED },
    { "socket-mode", "7777777777777777777777777", REFUSED },
};

Test(options, text)
{
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const wsgi_option_info *row = wsgi_option_find(texts[i].name);
        int64_t before = options.ints[row->number];
        int status = wsgi__options_set_text(&options, texts[i].name,
                                            texts[i].text, &error);
        if (texts[i].value == REFUSED) {
            cr_expect_eq(status, WSGI_ERR_INVALID, "%s %s", texts[i].name,
                         texts[i].text);
            cr_expect_eq(options.ints[row->number], before, "%s %s",
                         texts[i].name, texts[i].text);
        } else {
            cr_expect_eq(status, WSGI_OK, "%s %s: %s", texts[i].name,
                         texts[i].text, wsgi__buf_str(&error));
            cr_expect_eq(options.ints[row->number], texts[i].value, "%s %s",
                         texts[i].name, texts[i].text);
        }
    }
}

static const struct {
    const char *name, *text;
    bool good;
} string_texts[] = {
    { "root-path", "", true },
    { "root-path", "/app", true },
    { "root-path", "/a/b c", true },
    { "script-name", "/caf\xc3\xa9", true },
    { "root-path", "app", false },
    { "root-path", "/", false },
    { "root-path", "/app/", false },
    { "root-path", "/a\nb", false },
    { "root-path", "/a\x7f", false },
    { "server-header", "", true },
    { "server-header", "nginx/1.0 (x)", true },
    { "server-header", "a\r\nSet-Cookie: b", false },
    { "server-header", "a\x01", false },
    { "server-header", "a\tb", false },
    { "server-header", "a\x7f", false },
    { "health-path", "", true },
    { "health-path", "/health", true },
    { "health-path", "/-/a%20b", true },
    { "health-path", "health", false },
    { "health-path", "/", false },
    { "health-path", "/health/", false },
    { "health-path", "/a b", false },
    { "health-path", "/a?b", false },
    { "health-path", "/a#b", false },
    { "health-path", "/caf\xc3\xa9", false },
};

Test(options, strings)
{
    for (size_t i = 0; i < LENGTH(string_texts); i++) {
        const char *name = string_texts[i].name, *text = string_texts[i].text;
        int number = wsgi_option_find(name)->number;
        int expected = string_texts[i].good ? WSGI_OK : WSGI_ERR_INVALID;
        const char *kept = "/kept";

        cr_expect_eq(
            wsgi_option_parse(wsgi_option_find(name), text, NULL, NULL, 0),
            expected, "%s, case %zu", name, i);
        wsgi__options_set_str(&options, number, kept, &error);
        cr_expect_eq(wsgi__options_set_text(&options, name, text, &error),
                     expected, "%s, case %zu", name, i);
        cr_expect_str_eq(wsgi__options_str(&options, (wsgi_option)number),
                         string_texts[i].good ? text : kept);
    }
}

Test(options, strings_are_copied)
{
    char text[] = "/first";

    cr_expect_eq(
        wsgi__options_set_str(&options, WSGI_OPT_ROOT_PATH, text, &error),
        WSGI_OK);
    text[1] = 'F';
    cr_expect_str_eq(wsgi__options_str(&options, WSGI_OPT_ROOT_PATH),
                     "/first");
}

/* ---- Messages ----------------------------------------------------------- */

/* The whole sentence: option, value, what was expected and its range. */
static const struct {
    const char *name, *text;
    int status;
    const char *message;
} messages[] = {
    { "backlog", "many", WSGI_ERR_INVALID,
      "backlog cannot be \"many\": expected a whole number from 1 to 65535" },
    { "keepalive", "5x", WSGI_ERR_INVALID,
      "keep-alive cannot be \"5x\": expected a duration from 0 to 24h, such "
      "as "
      "30 (seconds), 1.5s, 500ms, 2m or 1h" },
    { "limit-request-line", "1M", WSGI_ERR_INVALID,
      "limit-request-line cannot be \"1M\": expected a size in bytes from 0 "
      "to "
      "256k, such as 512, 8k, 16M or 1G" },
    { "output-high-water", "0", WSGI_ERR_INVALID,
      "output-high-water cannot be \"0\": expected a size in bytes from 1 to "
      "1G, such as 512, 8k, 16M or 1G" },
    { "sendfile", "maybe", WSGI_ERR_INVALID,
      "sendfile cannot be \"maybe\": expected yes, no, on, off, true, false, "
      "1 "
      "or 0" },
    { "socket-mode", "1777", WSGI_ERR_INVALID,
      "socket-mode cannot be \"1777\": expected permissions in octal from 0 "
      "to "
      "0777, such as 0660" },
    { "root-path", "app\n", WSGI_ERR_INVALID,
      "root-path cannot be \"app\\n\": expected nothing or a path such as "
      "/app, with no / at its end and no control characters" },
    { "server-header", "a\r\nb", WSGI_ERR_INVALID,
      "server-header cannot be \"a\\r\\nb\": expected text without control "
      "characters" },
    { "health-path", "health", WSGI_ERR_INVALID,
      "health-path cannot be \"health\": expected nothing or a path such as "
      "/health, as requests have it, with no / at its end" },
    { "kep-alive", "5", WSGI_ERR_OPTION,
      "there is no option \"kep-alive\": did you mean keep-alive?" },
    { "keep_alive", "5", WSGI_ERR_OPTION,
      "there is no option \"keep_alive\": did you mean keep-alive?" },
    { "scriptname", "/x", WSGI_ERR_OPTION,
      "there is no option \"scriptname\": did you mean script-name?" },
    { "limit-request-size", "5", WSGI_ERR_OPTION,
      "there is no option \"limit-request-size\": did you mean "
      "limit-request-line?" },
    { "send-files", "yes", WSGI_ERR_OPTION,
      "there is no option \"send-files\": did you mean sendfile?" },
    { "colour", "red", WSGI_ERR_OPTION, "there is no option \"colour\"" },
    { "", "red", WSGI_ERR_OPTION, "there is no option \"\"" },
    { "x\ny", "red", WSGI_ERR_OPTION, "there is no option \"x\\ny\"" },
};

Test(options, messages)
{
    for (size_t i = 0; i < LENGTH(messages); i++) {
        cr_expect_eq(wsgi__options_set_text(&options, messages[i].name,
                                            messages[i].text, &error),
                     messages[i].status, "%s", messages[i].name);
        cr_expect_str_eq(wsgi__buf_str(&error), messages[i].message);
    }
}

Test(options, distance)
{
    static const struct {
        const char *typed, *name;
        int distance;
    } cases[] = {
        { "bind", "bind", 0 },
        { "bnid", "bind", 1 },  /* two letters swapped */
        { "bin", "bind", 1 },   /* one missing */
        { "binds", "bind", 1 }, /* one too many */
        { "bund", "bind", 1 },  /* another one */
        { "bnidx", "bind", -1 },
        { "keepalive", "keep-alive", 1 },
        { "keepalve", "keep-alive", 2 },
        { "header-timeot", "header-timeout", 1 },
        { "header", "header-timeout", 1 }, /* a beginning */
        { "he", "header-timeout", -1 },    /* too little of one */
        { "timeout", "header-timeout", -1 },
        { "pod", "pid", 1 },
        { "pod", "pie", -1 },
        { "x", "", 1 },
        { "", "", 0 },
        { "", "bind", -1 },
        { NULL, "bind", -1 },
        { "a-name-of-more-than-sixty-four-letters-which-no-option-has-"
          "anywhere",
          "a-name-of-more-than-sixty-four-letters-which-no-option-has-"
          "anywhere",
          -1 },
    };

    for (size_t i = 0; i < LENGTH(cases); i++)
        cr_expect_eq(wsgi_option_distance(cases[i].typed, cases[i].name),
                     cases[i].distance, "%s, %s", cases[i].typed,
                     cases[i].name);
}

Test(options, null_is_refused)
{
    cr_expect_eq(wsgi__options_set_text(&options, NULL, "x", &error),
                 WSGI_ERR_INVALID);
    cr_expect_eq(wsgi__options_set_text(&options, "backlog", NULL, &error),
                 WSGI_ERR_INVALID);
    cr_expect_eq(
        wsgi__options_set_str(&options, WSGI_OPT_ROOT_PATH, NULL, &error),
        WSGI_ERR_INVALID);
    cr_expect_eq(wsgi_option_parse(NULL, "x", NULL, NULL, 0),
                 WSGI_ERR_INVALID);
    cr_expect_eq(
        wsgi_option_parse(wsgi_option_next(NULL), NULL, NULL, NULL, 0),
        WSGI_ERR_INVALID);
}

Test(options, success_leaves_the_message)
{
    wsgi__buf_puts(&error, "as before");
    cr_expect_eq(wsgi__options_set_text(&options, "backlog", "5", &error),
                 WSGI_OK);
    cr_expect_str_eq(wsgi__buf_str(&error), "as before");
}

/* Names and values of any length and of every byte: bounded and escaped. */
Test(options, long_input)
{
    char text[5000], message[20];

    memset(text, '\xff', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_expect_eq(wsgi__options_set_text(&options, "backlog", text, &error),
                 WSGI_ERR_INVALID);
    cr_expect(says("backlog cannot be \"\\xff") && says("...\": expected") &&
              says("1 to 65535"));
    cr_expect_eq(wsgi__options_set_text(&options, text, "1", &error),
                 WSGI_ERR_OPTION);
    cr_expect(says("there is no option \"\\xff") && says("...\""));

    memset(message, 'm', sizeof(message));
    cr_expect_eq(wsgi_option_parse(wsgi_option_next(NULL), "x", NULL, message,
                                   sizeof(message) - 1),
                 WSGI_ERR_INVALID);
    cr_expect_str_eq(message, "backlog cannot be ");
    cr_expect_eq(message[sizeof(message) - 1], 'm');
}

/* ---- Values as numbers -------------------------------------------------- */

Test(options, set_int)
{
    for (const wsgi_option_info *o = NULL; (o = wsgi_option_next(o));) {
        const struct {
            int64_t value;
            bool good;
        } cases[] = {
            { o->min, true },      { o->max, true },     { o->min - 1, false },
            { o->max + 1, false }, { INT64_MIN, false }, { INT64_MAX, false },
        };
        if (o->kind == WSGI_KIND_STRING)
            continue;
        for (size_t i = 0; i < LENGTH(cases); i++) {
            int64_t before = options.ints[o->number];
            cr_expect_eq(wsgi__options_set_int(&options, o->number,
                                               cases[i].value, &error),
                         cases[i].good ? WSGI_OK : WSGI_ERR_INVALID,
                         "%s, case %zu", o->name, i);
            cr_expect_eq(options.ints[o->number],
                         cases[i].good ? cases[i].value : before,
                         "%s, case %zu", o->name, i);
        }
    }
}

Test(options, numbers_out_of_range)
{
    static const struct {
        wsgi_option number;
        int64_t value;
        const char *message;
    } cases[] = {
        { WSGI_OPT_BACKLOG, 0, "backlog cannot be 0: expected 1 to 65535" },
        { WSGI_OPT_KEEP_ALIVE, 86400001,
          "keep-alive cannot be 86400001: expected 0 to 86400000 "
          "milliseconds" },
        { WSGI_OPT_BODY_SPOOL_SIZE, -1,
          "body-spool-size cannot be -1: expected 0 to 1073741824 bytes" },
        { WSGI_OPT_SENDFILE, 2, "sendfile cannot be 2: expected 0 to 1" },
        { WSGI_OPT_SOCKET_MODE, 1000,
          "socket-mode cannot be 1000: expected 0 to 0777" },
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        cr_expect_eq(wsgi__options_set_int(&options, (int)cases[i].number,
                                           cases[i].value, &error),
                     WSGI_ERR_INVALID);
        cr_expect_str_eq(wsgi__buf_str(&error), cases[i].message);
    }
}

Test(options, the_wrong_kind_or_number)
{
    static const int unknown[] = { 0,   31, 32,      99,     107,
                                   108, -1, INT_MAX, INT_MIN };

    cr_expect_eq(
        wsgi__options_set_int(&options, WSGI_OPT_ROOT_PATH, 1, &error),
        WSGI_ERR_OPTION);
    cr_expect_str_eq(wsgi__buf_str(&error),
                     "root-path takes text, not a number");
    cr_expect_eq(
        wsgi__options_set_str(&options, WSGI_OPT_BACKLOG, "1", &error),
        WSGI_ERR_OPTION);
    cr_expect_str_eq(wsgi__buf_str(&error),
                     "backlog takes a number, not text");
    for (size_t i = 0; i < LENGTH(unknown); i++) {
        char part[64];
        snprintf(part, sizeof(part), "no option number %d in libwsgi ",
                 unknown[i]);
        cr_expect_eq(wsgi__options_set_int(&options, unknown[i], 1, &error),
                     WSGI_ERR_OPTION, "%d", unknown[i]);
        cr_expect(says(part), "%s", wsgi__buf_str(&error));
        cr_expect_eq(wsgi__options_set_str(&options, unknown[i], "x", &error),
                     WSGI_ERR_OPTION, "%d", unknown[i]);
    }
}

/* ---- Options of a program of its own ------------------------------------ */

Test(options, rows_of_a_program)
{
    static const wsgi_option_info threads = {
        sizeof(threads), 0,         WSGI_KIND_INT, "threads", "", "running",
        "NUMBER",        "Threads", "4",           1,         64
    };
    static const wsgi_option_info chdir_to = { sizeof(chdir_to),
                                               0,
                                               WSGI_KIND_STRING,
                                               "chdir",
                                               "",
                                               "application",
                                               "PATH",
                                               "Folder",
                                               "",
                                               0,
                                               0 };
    int64_t value = 7;
    char message[128] = "";

    cr_expect_eq(
        wsgi_option_parse(&threads, "64", &value, message, sizeof(message)),
        WSGI_OK);
    cr_expect_eq(value, 64);
    cr_expect_eq(
        wsgi_option_parse(&threads, "65", &value, message, sizeof(message)),
        WSGI_ERR_INVALID);
    cr_expect_eq(value, 64);
    cr_expect_str_eq(
        message,
        "threads cannot be \"65\": expected a whole number from 1 to 64");
    cr_expect_eq(wsgi_option_parse(&chdir_to, "any\ntext", &value, message,
                                   sizeof(message)),
                 WSGI_OK);
    cr_expect_eq(value, 64);
}

/* ---- Out of memory ------------------------------------------------------ */

/* Each call with each allocation failing in turn: the status is right, the
 * value as before, nothing leaks. */
Test(options, out_of_memory)
{
    static const struct {
        const char *name, *value;
        int status;
    } cases[] = {
        { "root-path", "/new", WSGI_OK },
        { "root-path", "bad", WSGI_ERR_INVALID },
        { "backlog", "5", WSGI_OK },
        { "backlog", "x", WSGI_ERR_INVALID },
        { "back-log", "5", WSGI_ERR_OPTION },
    };
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (long nth = 1; nth <= 3; nth++) {
            setup();
            wsgi__options_set_text(&options, "root-path", "/old", &error);
            wsgi__mem_fail_nth(nth);
            int status = wsgi__options_set_text(&options, cases[i].name,
                                                cases[i].value, &error);
            bool failed = nth <= wsgi__mem_count();
            wsgi__mem_fail_nth(0);

            bool copies = i == 0;
            cr_expect_eq(
                status, failed && copies ? WSGI_ERR_NOMEM : cases[i].status,
                "%s %s, allocation %ld", cases[i].name, cases[i].value, nth);
            cr_expect_str_eq(wsgi__options_str(&options, WSGI_OPT_ROOT_PATH),
                             copies && !failed ? "/new" : "/old");
            if (status == WSGI_ERR_NOMEM)
                cr_expect_str_eq(wsgi__buf_str(&error), "out of memory");
            teardown();
        }
}

Test(options, defaults_need_no_memory)
{
    wsgi__options fresh;

    wsgi__mem_fail_nth(LONG_MAX);
    wsgi__options_init(&fresh);
    cr_expect_eq(wsgi__mem_count(), 0);
    wsgi__mem_fail_nth(0);
    wsgi__options_free(&fresh);
    wsgi__options_free(&fresh);
}
