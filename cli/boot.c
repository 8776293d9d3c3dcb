#include "boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"
#include "signals.h"
#include "trace.h"
#include "upgrade.h"

/* Platforms that set WEB_CONCURRENCY know how much memory there is. */
static int
choose_workers(program *self)
{
    const char *asked = self->options.workers;
    const char *given = getenv("WEB_CONCURRENCY");
    char why[PROGRAM_MESSAGE];

    self->workers = 1;
    if (!asked)
        asked = given && *given ? given : "1";
    if (args_read_workers(asked, &self->workers))
        return DONE;
    snprintf(why, sizeof(why),
             "WEB_CONCURRENCY is \"%.80s\" in the environment: set it to a "
             "number from 0 to 256 or to auto, or unset it",
             asked);
    return program_fail(self, WRONG_USAGE, why);
}

/* Before what the user has said about it, which then counts. */
static int
set_multiprocess(program *self)
{
    if (wsgi_server_set_int(self->server, WSGI_OPT_MULTIPROCESS,
                            self->workers > 1) < 0)
        return program_fail_server(self, CANNOT_BOOT);
    return DONE;
}

static int
check_reload(program *self)
{
    if (self->options.reload && self->workers == 0)
        return program_fail(self, WRONG_USAGE,
                            "--reload starts new workers, and --workers 0 has "
                            "none: leave one of the two out");
    if (self->options.reload && self->options.preload)
        return program_fail(self, WRONG_USAGE,
                            "--reload imports the application anew in each "
                            "worker, and --preload once for all: leave one of "
                            "the two out");
    return DONE;
}

static int
check_identity(program *self)
{
    const args *options = &self->options;
    char why[PROGRAM_MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    if (options->action != ARGS_SERVE ||
        identity_find(&self->who, options->user, options->group, &error))
        return DONE;
    return program_fail(self, WRONG_USAGE, why);
}

int
boot_check_values(program *self)
{
    const args *options = &self->options;
    const char *format = options->access_logformat;
    char why[PROGRAM_MESSAGE];
    text error;

    int code = choose_workers(self);
    if (code == DONE)
        code = set_multiprocess(self);
    if (code)
        return code;
    for (size_t i = 0; i < options->names.n; i++)
        if (wsgi_server_set_text(self->server, options->names.items[i],
                                 options->values.items[i]) < 0)
            return program_fail_server(self, CANNOT_BOOT);
    if (wsgi_server_set_app(self->server, options->app) < 0)
        return program_fail_server(self, WRONG_USAGE);

    text_init(&error, why, sizeof(why));
    text_puts(&error, "--access-logformat: ");
    if (!accesslog_compile(&self->access, format ? format : ACCESSLOG_DEFAULT,
                           &error))
        return program_fail(self, WRONG_USAGE, why);
    code = check_reload(self);
    return code ? code : check_identity(self);
}

int
boot_detach(program *self)
{
    if (!self->options.daemon || upgrade_is_successor() ||
        detach_begin(&self->terminal))
        return DONE;
    return program_fail_errno(self, "--daemon", "fork");
}

/* Every relative name that comes after is meant from the
 * new directory. */
int
boot_enter_surroundings(program *self)
{
    const args_list *env = &self->options.env;

    for (size_t i = 0; i < env->n; i++) {
        char *name = strndup(env->items[i], strcspn(env->items[i], "="));
        bool set =
            name && setenv(name, strchr(env->items[i], '=') + 1, 1) == 0;
        free(name);
        if (!set)
            return program_fail_errno(self, "--env", env->items[i]);
    }
    if (self->options.chdir && chdir(self->options.chdir) < 0)
        return program_fail_errno(self, "--chdir", self->options.chdir);
    if (self->options.umask >= 0)
        umask((mode_t)self->options.umask);
    if (self->options.name)
        prctl(PR_SET_NAME, self->options.name);
    return DONE;
}

int
boot_open_logs(program *self)
{
    const args *options = &self->options;
    const char *errors = options->error_logfile;
    const char *access = options->access_logfile;

    if (errors && !logfile_open(&self->errors.file, errors, STDERR_FILENO))
        return program_fail_errno(self, "--error-logfile", errors);
    if (access && !logfile_open(&self->access.file, access, STDOUT_FILENO))
        return program_fail_errno(self, "--access-logfile", access);
    errorlog_hear(&self->errors, &self->errors.file);
    errorlog_hear(&self->errors, &self->access.file);
    if (options->action == ARGS_SERVE)
        signals_watch_logs(&self->errors, access ? &self->access.file : NULL);
    wsgi_server_set_log(self->server, self->errors.level, errorlog_write,
                        &self->errors);
    if (access)
        wsgi_server_set_access_log(self->server, accesslog_write,
                                   &self->access);
    if (options->trace)
        wsgi_server_set_trace(self->server, trace_write, stderr);
    return DONE;
}

/* `origin` says where the address comes from. */
static int
bind_one(program *self, const char *address, const char *origin)
{
    int status = wsgi_server_bind(self->server, address);
    char why[PROGRAM_MESSAGE];

    if (status >= 0)
        return DONE;
    snprintf(why, sizeof(why), "%s%s", origin,
             wsgi_server_error(self->server));
    return program_fail(
        self,
        status == WSGI_ERR_INVALID || status == WSGI_ERR_ADDRESS ? WRONG_USAGE
                                                                 : CANNOT_BOOT,
        why);
}

/* Platforms that set PORT look from outside. */
static int
bind_default(program *self)
{
    const char *port = getenv("PORT");
    char address[64], why[PROGRAM_MESSAGE];

    if (!port || !*port)
        return bind_one(self, "127.0.0.1:8888", "");
    if (strlen(port) > 5 || port[strspn(port, "0123456789")]) {
        snprintf(why, sizeof(why),
                 "PORT is \"%.80s\" in the environment: set it to a number "
                 "from 0 to 65535, or unset it",
                 port);
        return program_fail(self, WRONG_USAGE, why);
    }
    snprintf(address, sizeof(address), "0.0.0.0:%s", port);
    return bind_one(self, address, "PORT in the environment: ");
}

/* What a service manager has opened; 0 when it has not. */
static int
bind_passed(program *self, int *n)
{
    char why[PROGRAM_MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    *n = notify_sockets(&error);
    if (*n < 0)
        return program_fail(self, WRONG_USAGE, why);
    for (int i = 0; i < *n; i++) {
        snprintf(why, sizeof(why), "fd://%d", NOTIFY_FIRST_FD + i);
        int code = bind_one(self, why, "LISTEN_FDS in the environment: ");
        if (code)
            return code;
    }
    return DONE;
}

int
boot_bind(program *self)
{
    const args_list *binds = &self->options.binds;
    int n_passed = 0;

    if (upgrade_is_successor())
        return upgrade_take_sockets(self);
    for (size_t i = 0; i < binds->n; i++) {
        int code = bind_one(self, binds->items[i], "--bind ");
        if (code)
            return code;
    }
    if (binds->n)
        return DONE;
    int code = bind_passed(self, &n_passed);
    return code || n_passed ? code : bind_default(self);
}

static int
bind_monitor(program *self, wsgi_monitor what, const char *address,
             const char *option)
{
    wsgi_supervisor *supervisor = self->supervisor;
    char why[PROGRAM_MESSAGE];
    int status = supervisor
                     ? wsgi_supervisor_bind_monitor(supervisor, what, address)
                     : wsgi_server_bind_monitor(self->server, what, address);

    if (status >= 0)
        return DONE;
    snprintf(why, sizeof(why), "%s %s", option,
             supervisor ? wsgi_supervisor_error(supervisor)
                        : wsgi_server_error(self->server));
    return program_fail(
        self, status == WSGI_ERR_ADDRESS ? WRONG_USAGE : CANNOT_BOOT, why);
}

int
boot_bind_monitors(program *self)
{
    const char *metrics = self->options.metrics_bind;
    const char *control = self->options.control_socket;
    char address[PROGRAM_MESSAGE];
    int code = DONE;

    if (metrics)
        code = bind_monitor(self, WSGI_MONITOR_METRICS, metrics,
                            "--metrics-bind");
    if (code || !control)
        return code;
    snprintf(address, sizeof(address), "unix:%s", control);
    return bind_monitor(self, WSGI_MONITOR_CONTROL, address,
                        "--control-socket");
}

int
boot_take_pidfile(program *self)
{
    char why[PROGRAM_MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    if (self->options.pid && !self->pid.path &&
        !pidfile_take(&self->pid, self->options.pid, &error))
        return program_fail(self, CANNOT_BOOT, why);
    return DONE;
}

/* The file of a Unix socket, or NULL. */
static const char *
socket_file(const char *address)
{
    return address && strncmp(address, "unix:/", 6) == 0 ? address + 5 : NULL;
}

static bool
give_file(program *self, const char *path)
{
    return !path || identity_give(&self->who, path);
}

/* What is opened again, or removed at the end. */
static bool
give_files(program *self)
{
    const logfile *logs[] = { &self->errors.file, &self->access.file };
    const char *address;

    for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++)
        if (logs[i]->path && !identity_give_open(&self->who, logs[i]->fd))
            return false;
    for (size_t i = 0; (address = wsgi_server_address(self->server, i)); i++)
        if (!give_file(self, socket_file(address)))
            return false;
    address = program_monitor_address(self, WSGI_MONITOR_CONTROL);
    return give_file(self, socket_file(address)) &&
           give_file(self, self->pid.path);
}

int
boot_change_identity(program *self)
{
    char why[PROGRAM_MESSAGE];
    text error;

    if (!self->who.wanted)
        return DONE;
    int code = boot_take_pidfile(self);
    if (code)
        return code;
    if (!give_files(self))
        return program_fail_errno(self, "--user", "chown");
    text_init(&error, why, sizeof(why));
    if (!identity_take(&self->who, &error))
        return program_fail(self, CANNOT_BOOT, why);
    return DONE;
}
