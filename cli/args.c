#include "args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "foreign.h"

#define WRONG 2

void
args_list_add(args_list *list, const char *item)
{
    list->items[list->n++] = item;
}

bool
args_read_value(const wsgi_option_info *info, const char *value,
                int64_t *number, text *error)
{
    char why[256];

    if (wsgi_option_parse(info, value, number, why, sizeof(why)) >= 0)
        return true;
    text_puts(error, "--");
    text_puts(error, why); /* it begins with the name */
    return false;
}

/* Whether name, of len bytes, is one of the words in `aliases`. */
static bool
is_alias(const char *aliases, const char *name, size_t len)
{
    while (*aliases) {
        size_t word = strcspn(aliases, " ");
        if (word == len && memcmp(aliases, name, len) == 0)
            return true;
        aliases += word;
        aliases += strspn(aliases, " ");
    }
    return false;
}

static const args_option *
find_own(const char *name)
{
    size_t len = strlen(name);
    const args_option *option = NULL;

    while ((option = args_option_next(option)))
        if (strcmp(option->info.name, name) == 0 ||
            is_alias(option->info.aliases, name, len))
            return option;
    return NULL;
}

static const args_option *
find_letter(char letter)
{
    const args_option *option = NULL;

    while ((option = args_option_next(option)))
        if (option->letter == letter)
            return option;
    return NULL;
}

/* An option that was found: one of the two tables has it. */
typedef struct found {
    const args_option *own; /* NULL: the library's */
    const wsgi_option_info *info;
} found;

static bool
find(const char *name, found *option)
{
    option->own = find_own(name);
    option->info = option->own ? &option->own->info : wsgi_option_find(name);
    return option->info != NULL;
}

static bool
apply(args *into, const found *option, const char *value, text *error)
{
    if (option->own)
        return option->own->take(into, option->own, value, error);
    if (!args_read_value(option->info, value, NULL, error))
        return false;
    args_list_add(&into->names, option->info->name);
    args_list_add(&into->values, value);
    return true;
}

/* The name that is nearest to what was typed, of those offered so far. */
typedef struct guess {
    const char *name; /* NULL: none is near */
    int distance;
} guess;

static void
offer(guess *best, const char *typed, const char *name)
{
    int distance = wsgi_option_distance(typed, name);

    if (distance >= 0 && (!best->name || distance < best->distance))
        *best = (guess){ name, distance };
}

static const char *
meant(const char *typed)
{
    const args_option *option = NULL;
    const wsgi_option_info *info = NULL;
    guess best = { NULL, 0 };

    while ((option = args_option_next(option)))
        offer(&best, typed, option->info.name);
    while ((info = wsgi_option_next(info)))
        offer(&best, typed, info->name);
    return best.name;
}

static bool
unknown(const char *name, text *error)
{
    const char *other = meant(strncmp(name, "no-", 3) == 0 ? name + 3 : name);

    const char *remedy = foreign_remedy(name);

    text_puts(error, "unknown option --");
    text_puts(error, name);
    if (remedy) {
        text_puts(error, "; ");
        text_puts(error, remedy);
    } else if (other) {
        text_puts(error, "; did you mean --");
        text_puts(error, other);
        text_puts(error, "?");
    } else {
        text_puts(error, "; wsgid --help lists what there is");
    }
    return false;
}

/* The arguments that are left to read; ends with NULL. */
typedef char *const *words;

static bool
needs_value(const wsgi_option_info *info, text *error)
{
    text_puts(error, "--");
    text_puts(error, info->name);
    text_puts(error, " needs a value: --");
    text_puts(error, info->name);
    text_puts(error, " ");
    text_puts(error, info->argument);
    return false;
}

/* "--bind --pid x" is a forgotten value; "--access-logfile -" is not. */
static bool
take_next(args *into, const found *option, words *rest, text *error)
{
    const char *value = **rest;

    if (!value || strncmp(value, "--", 2) == 0)
        return needs_value(option->info, error);
    ++*rest;
    return apply(into, option, value, error);
}

/* "--no-sendfile": off. */
static bool
read_negated(args *into, const char *name, const char *value, text *error)
{
    found option;

    if (strncmp(name, "no-", 3) != 0 || !find(name + 3, &option))
        return unknown(name, error);
    if (option.info->kind != WSGI_KIND_BOOL || value) {
        text_puts(error, "--");
        text_puts(error, name);
        text_puts(error, value ? " takes no value" : ": --");
        if (!value) {
            text_puts(error, option.info->name);
            text_puts(error, " cannot be turned off, it takes a value");
        }
        return false;
    }
    return apply(into, &option, "no", error);
}

/* word: what follows "--", as "name" or "name=value". */
static bool
read_long(args *into, const char *word, words *rest, text *error)
{
    char name[64];
    size_t len = strcspn(word, "=");
    const char *value = word[len] ? word + len + 1 : NULL;
    found option;

    if (len >= sizeof(name))
        len = sizeof(name) - 1;
    memcpy(name, word, len);
    name[len] = '\0';

    if (!find(name, &option))
        return read_negated(into, name, value, error);
    if (value)
        return apply(into, &option, value, error);
    if (option.info->kind == WSGI_KIND_BOOL)
        return apply(into, &option, "yes", error);
    return take_next(into, &option, rest, error);
}

static bool
unknown_letter(char letter, text *error)
{
    const char *remedy = foreign_remedy((char[]){ letter, '\0' });

    text_puts(error, "unknown option -");
    text_escape(error, &letter, 1);
    text_puts(error, "; ");
    text_puts(error, remedy ? remedy : "wsgid --help lists what there is");
    return false;
}

/* "-version" is more likely one dash too few than "-v -e rsion". */
static bool
is_long_name(const char *letters, text *error)
{
    char name[64];
    found option;
    int len = snprintf(name, sizeof(name), "%.*s", (int)strcspn(letters, "="),
                       letters);

    if (len < 2 || (size_t)len >= sizeof(name) || !find(name, &option))
        return false;
    text_puts(error, "unknown option -");
    text_puts(error, name);
    text_puts(error, "; did you mean --");
    text_puts(error, name);
    text_puts(error, "?");
    return true;
}

/* letters: what follows "-", as "b:8000", "b" or "v". */
static bool
read_short(args *into, const char *letters, words *rest, text *error)
{
    if (is_long_name(letters, error))
        return false;
    for (; *letters; letters++) {
        found option = { .own = find_letter(*letters) };
        if (!option.own)
            return unknown_letter(*letters, error);
        option.info = &option.own->info;
        if (option.info->kind == WSGI_KIND_BOOL) {
            if (!apply(into, &option, "yes", error))
                return false;
        } else if (letters[1]) {
            return apply(into, &option, letters + 1, error);
        } else {
            return take_next(into, &option, rest, error);
        }
    }
    return true;
}

static bool
read_app(args *into, const char *word, text *error)
{
    if (into->action == ARGS_STATUS) {
        text_puts(error, "wsgid status asks a server that runs, and takes no "
                         "application; there is \"");
        text_puts(error, word);
        text_puts(error, "\"");
        return false;
    }
    if (into->app) {
        text_puts(error, "one application is served, and there are two: \"");
        text_puts(error, into->app);
        text_puts(error, "\" and \"");
        text_puts(error, word);
        text_puts(error, "\"");
        return false;
    }
    into->app = word;
    return true;
}

static bool
read_all(args *into, char *const *argv, text *error)
{
    words rest = argv + 1;
    bool options = true;

    if (*rest && strcmp(*rest, "status") == 0) {
        into->action = ARGS_STATUS;
        rest++;
    }
    while (*rest) {
        const char *word = *rest++;
        bool good;
        if (!options || word[0] != '-' || !word[1])
            good = read_app(into, word, error);
        else if (word[1] != '-')
            good = read_short(into, word + 1, &rest, error);
        else if (word[2])
            good = read_long(into, word + 2, &rest, error);
        else
            good = !(options = false);
        if (!good)
            return false;
        if (into->action == ARGS_HELP || into->action == ARGS_VERSION)
            return true;
    }
    return true;
}

static int
check_status(const args *into, text *error)
{
    if (into->control_socket)
        return 0;
    text_puts(error, "wsgid status needs --control-socket PATH, as the server "
                     "was given it");
    return WRONG;
}

int
args_parse(args *into, int argc, char *const *argv, text *error)
{
    size_t room = (size_t)argc + 1;
    args_list *lists[] = { &into->binds, &into->env, &into->reload_files,
                           &into->names, &into->values };

    *into = (args){ .log_level = WSGI_LOG_INFO,
                    .heartbeat_timeout = -1,
                    .umask = -1 };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        lists[i]->items = calloc(room, sizeof(char *));
        if (!lists[i]->items) {
            text_puts(error, "out of memory");
            return WRONG;
        }
    }
    if (!read_all(into, argv, error))
        return WRONG;
    if (into->action == ARGS_HELP || into->action == ARGS_VERSION)
        return 0;
    if (into->action == ARGS_STATUS)
        return check_status(into, error);
    if (!into->app) {
        text_puts(error, "Provide a WSGI application object as "
                         "module:callable");
        return WRONG;
    }
    return 0;
}

int64_t
args_number(const args *from, const char *name)
{
    const wsgi_option_info *info = wsgi_option_find(name);
    const char *value = info->initial;
    int64_t number = 0;

    for (size_t i = 0; i < from->names.n; i++)
        if (strcmp(from->names.items[i], info->name) == 0)
            value = from->values.items[i];
    wsgi_option_parse(info, value, &number, NULL, 0);
    return number;
}

void
args_free(args *into)
{
    free(into->binds.items);
    free(into->env.items);
    free(into->reload_files.items);
    free(into->names.items);
    free(into->values.items);
    *into = (args){ 0 };
}
