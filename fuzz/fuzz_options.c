/*
 * Options as text: a value is in its range and says the same when it is
 * written as a plain number, a refusal changes nothing and is a sentence for a
 * user, whatever bytes the text has.
 *
 * Input: lines "name=value", set one after the other.
 */
#include <inttypes.h>

#include "base/options.h"
#include "fuzz.h"

static char *
string_of(wsgi__span text)
{
    char *string = malloc(text.len + 1);
    if (!string)
        abort();
    if (text.len)
        memcpy(string, text.ptr, text.len);
    string[text.len] = '\0';
    return string;
}

/* The value in the unit that the table counts in. */
static void
check_plain(const wsgi_option_info *option, int64_t value)
{
    char text[64];
    int64_t again = -1;

    FUZZ_CHECK(value >= option->min && value <= option->max, "%s is %" PRId64,
               option->name, value);
    if (option->kind == WSGI_KIND_MODE)
        snprintf(text, sizeof(text), "%" PRIo64, (uint64_t)value);
    else
        snprintf(text, sizeof(text), "%" PRId64 "%s", value,
                 option->kind == WSGI_KIND_DURATION ? "ms" : "");
    FUZZ_CHECK(wsgi_option_parse(option, text, &again, NULL, 0) == WSGI_OK &&
                   again == value,
               "%s: %s is read as %" PRId64, option->name, text, again);
}

static void
check_accepted(const wsgi__options *options, const wsgi_option_info *option,
               const char *value)
{
    FUZZ_CHECK(option, "an option that is not there");
    if (option->kind == WSGI_KIND_STRING)
        FUZZ_CHECK(
            strcmp(wsgi__options_str(options, (wsgi_option)option->number),
                   value) == 0,
            "%s", option->name);
    else
        check_plain(option,
                    wsgi__options_int(options, (wsgi_option)option->number));
}

/* Any room for the message is enough. */
static void
check_room(const wsgi_option_info *option, const char *value)
{
    for (size_t size = 0; size < 300; size = size * 3 + 1) {
        char *room = malloc(size ? size : 1);
        if (!room)
            abort();
        int status = wsgi_option_parse(option, value, NULL, room, size);
        FUZZ_CHECK(status == WSGI_ERR_INVALID, "%d", status);
        FUZZ_CHECK(size == 0 || memchr(room, '\0', size), "no end in %zu",
                   size);
        free(room);
    }
}

static void
check_refused(const wsgi__options *options, const wsgi__options *before,
              const wsgi_option_info *option, const char *value,
              wsgi__span error)
{
    FUZZ_CHECK(memcmp(options, before, sizeof(*options)) == 0,
               "changed by a refusal");
    fuzz_check_sentence(error);
    if (option)
        check_room(option, value);
}

static void
set(wsgi__options *options, const char *name, const char *value)
{
    const wsgi_option_info *option = wsgi_option_find(name);
    const wsgi__options before = *options;
    wsgi__buf error;

    wsgi__buf_init(&error, 4096);
    int status = wsgi__options_set_text(options, name, value, &error);
    if (status == WSGI_OK)
        check_accepted(options, option, value);
    else
        check_refused(options, &before, option, value, wsgi__buf_span(&error));
    wsgi__buf_free(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi__span input = fuzz_input(data, size), line;
    wsgi__options options;

    wsgi__options_init(&options);
    while (fuzz_line(&input, &line)) {
        const char *equals = line.len ? memchr(line.ptr, '=', line.len) : NULL;
        size_t len = equals ? (size_t)(equals - line.ptr) : line.len;
        char *name = string_of((wsgi__span){ line.ptr, len });
        size_t behind = len + (equals != NULL);
        char *value =
            string_of((wsgi__span){ line.ptr + behind, line.len - behind });
        set(&options, name, value);
        free(name);
        free(value);
    }
    wsgi__options_free(&options);
    return 0;
}
