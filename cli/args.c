#include "args.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "foreign.h"

#include <wsgi/supervisor.h>

#define WRONG 2

#define MOST_WORKERS 256u
#define SHORTEST_HEARTBEAT_MS 3000
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static void *
field_of(args *into, const args_option *option)
{
    return (char *)into + option->field;
}

static bool
take_string(args *into, const args_option *option, const char *value,
            text *error)
{
    (void)error;
    *(const char **)field_of(into, option) = value;
    return true;
}

/* There is room for as many items as there are arguments. */
static void
list_add(args_list *list, const char *item)
{
    list->items[list->n++] = item;
}

static bool
take_item(args *into, const args_option *option, const char *value,
          text *error)
{
    (void)error;
    list_add(field_of(into, option), value);
    return true;
}

static bool
take_env(args *into, const args_option *option, const char *value, text *error)
{
    if (strchr(value, '=') && value[0] != '=')
        return take_item(into, option, value, error);
    text_puts(error, "--env needs NAME=VALUE, not \"");
    text_puts(error, value);
    text_puts(error, "\"");
    return false;
}

/* The path of a Unix socket, also as --bind has it.  A name without a file has no
 * permissions: everybody on the machine could read what is asked for. */
static bool
take_control(args *into, const args_option *option, const char *value,
             text *error)
{
    const char *path = strncmp(value, "unix:", 5) == 0 ? value + 5 : value;

    if (*path && *path != '@')
        return take_string(into, option, path, error);
    text_puts(error, "--control-socket is the path of a file, which only its "
                     "owner may use, not \"");
    text_puts(error, value);
    text_puts(error, "\"");
    return false;
}

static bool
take_level(args *into, const args_option *option, const char *value,
           text *error)
{
    static const struct {
        const char *name;
        wsgi_log_level level;
    } levels[] = {
        { "debug", WSGI_LOG_DEBUG },     { "info", WSGI_LOG_INFO },
        { "warning", WSGI_LOG_WARNING }, { "error", WSGI_LOG_ERROR },
        { "critical", WSGI_LOG_ERROR },
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        if (strcasecmp(value, levels[i].name) == 0) {
            *(wsgi_log_level *)field_of(into, option) = levels[i].level;
            return true;
        }
    }
    text_puts(error, "--log-level is debug, info, warning, error or critical, "
                     "not \"");
    text_puts(error, value);
    text_puts(error, "\"");
    return false;
}

static bool
is_yes(const args_option *option, const char *value, bool *yes, text *error)
{
    char why[128];
    int64_t number;

    if (wsgi_option_parse(&option->info, value, &number, why, sizeof(why)) <
        0) {
        /* It begins with the name. */
        text_puts(error, "--");
        text_puts(error, why);
        return false;
    }
    *yes = number != 0;
    return true;
}

static bool
take_bool(args *into, const args_option *option, const char *value,
          text *error)
{
    return is_yes(option, value, field_of(into, option), error);
}

bool
args_read_workers(const char *value, unsigned *workers)
{
    char *end;

    if (strcmp(value, "auto") == 0) {
        unsigned cpus = wsgi_supervisor_cpus();
        *workers = cpus < MOST_WORKERS ? cpus : MOST_WORKERS;
        return true;
    }
    unsigned long number = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || number > MOST_WORKERS)
        return false;
    *workers = (unsigned)number;
    return true;
}

static bool
take_workers(args *into, const args_option *option, const char *value,
             text *error)
{
    unsigned workers;

    if (args_read_workers(value, &workers))
        return take_string(into, option, value, error);
    text_puts(error, "--workers is a number from 0 to 256, or auto, not \"");
    text_puts(error, value);
    text_puts(error, "\"");
    return false;
}

static bool
take_number(args *into, const args_option *option, const char *value,
            text *error)
{
    char why[128];

    if (wsgi_option_parse(&option->info, value, field_of(into, option), why,
                          sizeof(why)) >= 0)
        return true;
    /* It begins with the name. */
    text_puts(error, "--");
    text_puts(error, why);
    return false;
}

/* Each worker gives a sign every second, later on a machine that is busy. */
static bool
take_heartbeat(args *into, const args_option *option, const char *value,
               text *error)
{
    if (!take_number(into, option, value, error))
        return false;
    if (into->heartbeat_timeout == 0 ||
        into->heartbeat_timeout >= SHORTEST_HEARTBEAT_MS)
        return true;
    text_puts(error, "--heartbeat-timeout is 3 seconds or more, or 0 for "
                     "never, not \"");
    text_puts(error, value);
    text_puts(error, "\": workers give a sign every second");
    return false;
}

static bool
take_check_app(args *into, const args_option *option, const char *value,
               text *error)
{
    bool yes;

    if (!is_yes(option, value, &yes, error))
        return false;
    into->action = yes ? ARGS_CHECK_APP : ARGS_SERVE;
    return true;
}

static bool
take_help(args *into, const args_option *option, const char *value,
          text *error)
{
    (void)option, (void)value, (void)error;
    into->action = ARGS_HELP;
    return true;
}

static bool
take_version(args *into, const args_option *option, const char *value,
             text *error)
{
    (void)option, (void)value, (void)error;
    into->action = ARGS_VERSION;
    return true;
}

#define STRING(name_, aliases_, group_, argument_, initial_, help_)           \
    .info = { .size = sizeof(wsgi_option_info),                               \
              .kind = WSGI_KIND_STRING,                                       \
              .name = (name_),                                                \
              .aliases = (aliases_),                                          \
              .group = (group_),                                              \
              .argument = (argument_),                                        \
              .help = (help_),                                                \
              .initial = (initial_) }
#define SWITCH(name_, group_, help_)                                          \
    .info = { .size = sizeof(wsgi_option_info),                               \
              .kind = WSGI_KIND_BOOL,                                         \
              .name = (name_),                                                \
              .aliases = "",                                                  \
              .group = (group_),                                              \
              .argument = "",                                                 \
              .help = (help_),                                                \
              .initial = "",                                                  \
              .max = 1 }
#define DURATION(name_, group_, initial_, help_)                              \
    .info = { .size = sizeof(wsgi_option_info),                               \
              .kind = WSGI_KIND_DURATION,                                     \
              .name = (name_),                                                \
              .aliases = "",                                                  \
              .group = (group_),                                              \
              .argument = "SECONDS",                                          \
              .help = (help_),                                                \
              .initial = (initial_),                                          \
              .max = DAY_MS }
#define MODE(name_, group_, help_)                                            \
    .info = { .size = sizeof(wsgi_option_info),                               \
              .kind = WSGI_KIND_MODE,                                         \
              .name = (name_),                                                \
              .aliases = "",                                                  \
              .group = (group_),                                              \
              .argument = "MODE",                                             \
              .help = (help_),                                                \
              .initial = "",                                                  \
              .max = 0777 }
#define INTO(take_, member) .take = (take_), .field = offsetof(args, member)

static const args_option own[] = {
    { STRING("bind", "listen", "listening", "ADDRESS", "127.0.0.1:8888",
             "Address to listen on: host:port, :port (all interfaces), "
             "[v6]:port, unix:PATH, unix:@NAME or fd://N; may be given "
             "several times; where PORT is set in the environment, the "
             "default is 0.0.0.0:$PORT"),
      .letter = 'b', INTO(take_item, binds) },
    { STRING("workers", "", "running", "NUMBER", "1",
             "Processes that serve, or auto for as many as there are CPUs to "
             "use; 0 serves in this process, without a supervisor; where "
             "WEB_CONCURRENCY is set in the environment, that is the default"),
      .letter = 'w', INTO(take_workers, workers) },
    { SWITCH("preload", "running",
             "Import the application before the workers are forked, so that "
             "they share its memory; to load new code, restart"),
      INTO(take_bool, preload) },
    { DURATION("heartbeat-timeout", "time", "30",
               "Time after which a worker whose loop gives no sign of life is "
               "killed and replaced; 3 or more, or 0 for never"),
      INTO(take_heartbeat, heartbeat_timeout) },
    { STRING("chdir", "", "application", "DIR", "",
             "Change to this directory before anything is opened or imported"),
      INTO(take_string, chdir) },
    { STRING("pythonpath", "", "application", "DIRS", "",
             "Directories put on sys.path before the current one, separated "
             "by commas or colons"),
      INTO(take_string, pythonpath) },
    { STRING("venv", "", "application", "DIR", "$VIRTUAL_ENV",
             "Virtual environment to import from"),
      INTO(take_string, venv) },
    { STRING("env", "", "application", "NAME=VALUE", "",
             "Set an environment variable before Python starts; may be given "
             "several times"),
      .letter = 'e', INTO(take_env, env) },
    { SWITCH(
          "reload", "application",
          "Start new workers when a Python file of the application changes, "
          "also one that cannot be imported; for development"),
      INTO(take_bool, reload) },
    { STRING("reload-extra-file", "", "application", "FILE", "",
             "With --reload, watch this file too; may be given several times"),
      INTO(take_item, reload_files) },
    { STRING("access-logfile", "", "logs", "FILE", "",
             "Write a line for each request to this file; - is stdout"),
      INTO(take_string, access_logfile) },
    { STRING("access-logformat", "", "logs", "FORMAT", "combined",
             "Form of that line, in gunicorn's atoms: see the manual, "
             "wsgid(1)"),
      INTO(take_string, access_logformat) },
    { STRING("error-logfile", "log-file", "logs", "FILE", "-",
             "Write messages to this file; - is stderr"),
      INTO(take_string, error_logfile) },
    { STRING("log-level", "", "logs", "LEVEL", "info",
             "Write messages from this level on: debug, info, warning, error "
             "or critical"),
      INTO(take_level, log_level) },
    { SWITCH("trace", "logs",
             "Show requests and responses on stderr, as curl -v does"),
      INTO(take_bool, trace) },
    { SWITCH("daemon", "operations",
             "Serve in the background: return when the first worker is ready, "
             "or has failed"),
      .letter = 'D', INTO(take_bool, daemon) },
    { STRING("pid", "", "operations", "FILE", "",
             "Write the process id to this file while serving"),
      .letter = 'p', INTO(take_string, pid) },
    { STRING("user", "", "operations", "USER", "",
             "Serve as this user, by name or number, once addresses and files "
             "are open"),
      .letter = 'u', INTO(take_string, user) },
    { STRING("group", "", "operations", "GROUP", "",
             "Serve as this group, by name or number; without it as that of "
             "the user"),
      .letter = 'g', INTO(take_string, group) },
    { MODE("umask", "operations",
           "Permissions that new files do not get, in octal"),
      .letter = 'm', INTO(take_number, umask) },
    { STRING("name", "", "operations", "NAME", "wsgid",
             "Name of the processes, of which ps and top show 15 letters"),
      .letter = 'n', INTO(take_string, name) },
    { STRING("metrics-bind", "", "operations", "ADDRESS", "",
             "Address at which /metrics has numbers for Prometheus and "
             "/health tells whether a worker is ready"),
      INTO(take_string, metrics_bind) },
    { STRING("control-socket", "", "operations", "PATH", "",
             "Unix socket for wsgid status, which shows what each thread is "
             "doing"),
      INTO(take_control, control_socket) },
    { SWITCH("check-app", "operations",
             "Import the application, say what was found, and exit"),
      .take = take_check_app },
    { SWITCH("version", "operations", "Show the versions and exit"),
      .letter = 'v', .take = take_version },
    { SWITCH("help", "operations", "Show this help and exit"), .letter = 'h',
      .take = take_help },
};

const args_option *
args_option_next(const args_option *previous)
{
    const args_option *next = previous ? previous + 1 : own;

    return next < own + sizeof(own) / sizeof(*own) ? next : NULL;
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
    list_add(&into->names, option->info->name);
    list_add(&into->values, value);
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
