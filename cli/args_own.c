/* wsgid's own options, and how each takes its value. */
#include "args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <wsgi/supervisor.h>

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

static bool
take_item(args *into, const args_option *option, const char *value,
          text *error)
{
    (void)error;
    args_list_add(field_of(into, option), value);
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
    int64_t number;

    if (!args_read_value(&option->info, value, &number, error))
        return false;
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
    return args_read_value(&option->info, value, field_of(into, option),
                           error);
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

#define INFO(kind_, name_, aliases_, group_, argument_, initial_, help_,      \
             max_)                                                            \
    .info = { .size = sizeof(wsgi_option_info),                               \
              .kind = (kind_),                                                \
              .name = (name_),                                                \
              .aliases = (aliases_),                                          \
              .group = (group_),                                              \
              .argument = (argument_),                                        \
              .help = (help_),                                                \
              .initial = (initial_),                                          \
              .max = (max_) }
#define STRING(name_, aliases_, group_, argument_, initial_, help_)           \
    INFO(WSGI_KIND_STRING, name_, aliases_, group_, argument_, initial_,      \
         help_, 0)
#define SWITCH(name_, group_, help_)                                          \
    INFO(WSGI_KIND_BOOL, name_, "", group_, "", "", help_, 1)
#define DURATION(name_, group_, initial_, help_)                              \
    INFO(WSGI_KIND_DURATION, name_, "", group_, "SECONDS", initial_, help_,   \
         DAY_MS)
#define MODE(name_, group_, help_)                                            \
    INFO(WSGI_KIND_MODE, name_, "", group_, "MODE", "", help_, 0777)
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
