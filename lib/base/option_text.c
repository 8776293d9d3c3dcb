/*
 * The values of options as users write them: text to numbers, the rules of
 * strings, and what to say when neither fits.  Pure.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/options.h"

#define KIB INT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)
#define TIB (KIB * GIB)

/* ---- Text to numbers and back ------------------------------------------- */

typedef struct unit {
    const char *suffix;
    int64_t scale;
} unit;

/* The largest first, and of equal ones what a message says first. */
static const unit duration_units[] = {
    { "h", 60 * 60 * 1000 },
    { "m", 60 * 1000 },
    { "s", 1000 },
    { "", 1000 },
    { "ms", 1 },
};

static const unit size_units[] = {
    { "T", TIB },   { "TiB", TIB }, { "G", GIB },
    { "GiB", GIB }, { "M", MIB },   { "MiB", MIB },
    { "k", KIB },   { "KiB", KIB }, { "", 1 },
};

static const unit no_units[] = { { "", 1 } };

static bool
same_nocase(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (wsgi__ascii_lower(*a) != wsgi__ascii_lower(*b))
            return false;
    return *a == *b;
}

static bool
read_digits(const char **text, int base, int64_t *value)
{
    const char *at = *text;
    int64_t sum = 0;

    for (; wsgi__is_digit(*at) && *at - '0' < base; at++) {
        int digit = *at - '0';
        if (sum > (INT64_MAX - digit) / base)
            return false;
        sum = sum * base + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *value = sum;
    return true;
}

/* The digits behind a decimal point in thousandths; at most three. */
static bool
read_thousandths(const char **text, int64_t *value)
{
    int64_t sum = 0;
    int n = 0;

    for (; wsgi__is_digit(**text); ++*text, n++) {
        if (n == 3)
            return false;
        sum = sum * 10 + (**text - '0');
    }
    if (n == 0)
        return false;
    for (; n < 3; n++)
        sum *= 10;
    *value = sum;
    return true;
}

/* "1.5h": digits, thousandths if the unit can be divided so, one of the units.
 * Only exact results: 0.0001s must not become 0, which means "no limit". */
static bool
read_scaled(const char *text, const unit *units, size_t n_units,
            int64_t *value)
{
    int64_t whole, part = 0;

    if (!read_digits(&text, 10, &whole))
        return false;
    bool has_part = *text == '.';
    if (has_part) {
        text++;
        if (!read_thousandths(&text, &part))
            return false;
    }
    for (size_t i = 0; i < n_units; i++) {
        int64_t scale = units[i].scale;
        if (!same_nocase(text, units[i].suffix))
            continue;
        if (has_part && (scale == 1 || part * scale % 1000 != 0))
            return false;
        part = part * scale / 1000;
        if (whole > (INT64_MAX - part) / scale)
            return false;
        *value = whole * scale + part;
        return true;
    }
    return false;
}

static bool
read_bool(const char *text, int64_t *value)
{
    static const struct {
        const char *word;
        int64_t value;
    } words[] = {
        { "yes", 1 },  { "no", 0 },    { "on", 1 }, { "off", 0 },
        { "true", 1 }, { "false", 0 }, { "1", 1 },  { "0", 0 },
    };

    for (size_t i = 0; i < WSGI__COUNT(words); i++)
        if (same_nocase(text, words[i].word)) {
            *value = words[i].value;
            return true;
        }
    return false;
}

static bool
read_number(wsgi_option_kind kind, const char *text, int64_t *value)
{
    switch (kind) {
    case WSGI_KIND_INT:
        return read_scaled(text, no_units, WSGI__COUNT(no_units), value);
    case WSGI_KIND_BOOL:
        return read_bool(text, value);
    case WSGI_KIND_DURATION:
        return read_scaled(text, duration_units, WSGI__COUNT(duration_units),
                           value);
    case WSGI_KIND_SIZE:
        return read_scaled(text, size_units, WSGI__COUNT(size_units), value);
    case WSGI_KIND_MODE:
        return read_digits(&text, 8, value) && *text == '\0';
    case WSGI_KIND_STRING:
        break;
    }
    return false;
}

#define NUMBER_MAX 32

/* In the largest unit that divides it: 86400000 is "24h". */
static void
write_scaled(char out[NUMBER_MAX], int64_t value, const unit *units,
             size_t n_units)
{
    size_t i = 0;
    while (i + 1 < n_units && (value == 0 || value % units[i].scale != 0))
        i++;
    snprintf(out, NUMBER_MAX, "%" PRId64 "%s", value / units[i].scale,
             value ? units[i].suffix : "");
}

static void
write_number(char out[NUMBER_MAX], wsgi_option_kind kind, int64_t value)
{
    switch (kind) {
    case WSGI_KIND_DURATION:
        write_scaled(out, value, duration_units, WSGI__COUNT(duration_units));
        return;
    case WSGI_KIND_SIZE:
        write_scaled(out, value, size_units, WSGI__COUNT(size_units));
        return;
    case WSGI_KIND_MODE:
        snprintf(out, NUMBER_MAX, "%#" PRIo64, (uint64_t)value);
        return;
    case WSGI_KIND_INT:
    case WSGI_KIND_BOOL:
    case WSGI_KIND_STRING:
        break;
    }
    snprintf(out, NUMBER_MAX, "%" PRId64, value);
}

/* ---- Rules for strings -------------------------------------------------- */

static bool
has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool
is_root_path(const char *text)
{
    if (*text == '\0')
        return true;
    return *text == '/' && text[strlen(text) - 1] != '/' && !has_control(text);
}

/* As a request has it: nothing is decoded. */
static bool
is_health_path(const char *text)
{
    if (!is_root_path(text) || strpbrk(text, " ?#"))
        return false;
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* It goes on the wire as it is. */
static bool
is_field_value(const char *text)
{
    return !has_control(text);
}

static const struct rule {
    int number;
    bool (*holds)(const char *text);
    const char *expected;
} rules[] = {
    { WSGI_OPT_ROOT_PATH, is_root_path,
      "nothing or a path such as /app, with no / at its end and no control "
      "characters" },
    { WSGI_OPT_SERVER_HEADER, is_field_value,
      "text without control characters" },
    { WSGI_OPT_HEALTH_PATH, is_health_path,
      "nothing or a path such as /health, as requests have it, with no / at "
      "its end" },
};

/* What the value of a string should be and is not, or NULL. */
static const char *
broken_rule(const wsgi_option_info *option, const char *text)
{
    for (size_t i = 0; i < WSGI__COUNT(rules); i++)
        if (rules[i].number == option->number && !rules[i].holds(text))
            return rules[i].expected;
    return NULL;
}

/* ---- Messages ----------------------------------------------------------- */

#define EXPECTED_MAX 160

static void
describe(char out[EXPECTED_MAX], const wsgi_option_info *option)
{
    char min[NUMBER_MAX], max[NUMBER_MAX];

    write_number(min, option->kind, option->min);
    write_number(max, option->kind, option->max);
    switch (option->kind) {
    case WSGI_KIND_INT:
        snprintf(out, EXPECTED_MAX, "a whole number from %s to %s", min, max);
        return;
    case WSGI_KIND_BOOL:
        snprintf(out, EXPECTED_MAX, "yes, no, on, off, true, false, 1 or 0");
        return;
    case WSGI_KIND_DURATION:
        snprintf(out, EXPECTED_MAX,
                 "a duration from %s to %s, such as 30 (seconds), 1.5s, "
                 "500ms, 2m or 1h",
                 min, max);
        return;
    case WSGI_KIND_SIZE:
        snprintf(out, EXPECTED_MAX,
                 "a size in bytes from %s to %s, such as 512, 8k, 16M or 1G",
                 min, max);
        return;
    case WSGI_KIND_MODE:
        snprintf(out, EXPECTED_MAX,
                 "permissions in octal from %s to %s, such as 0660", min, max);
        return;
    case WSGI_KIND_STRING:
        break;
    }
    snprintf(out, EXPECTED_MAX, "text");
}

static int
refuse(const wsgi_option_info *option, const char *text, const char *expected,
       char *error, size_t error_size)
{
    char quoted[WSGI__OPTION_QUOTED];

    wsgi__quote(quoted, sizeof(quoted), text);
    snprintf(error, error_size, "%s cannot be %s: expected %s", option->name,
             quoted, expected);
    return WSGI_ERR_INVALID;
}

int
wsgi_option_parse(const wsgi_option_info *option, const char *text,
                  int64_t *value, char *error, size_t error_size)
{
    char expected[EXPECTED_MAX];
    int64_t number;

    if (!option || !text) {
        snprintf(error, error_size, "an option or its value is NULL");
        return WSGI_ERR_INVALID;
    }
    if (option->kind == WSGI_KIND_STRING) {
        const char *rule = broken_rule(option, text);
        return rule ? refuse(option, text, rule, error, error_size) : WSGI_OK;
    }
    if (!read_number(option->kind, text, &number) || number < option->min ||
        number > option->max) {
        describe(expected, option);
        return refuse(option, text, expected, error, error_size);
    }
    if (value)
        *value = number;
    return WSGI_OK;
}
