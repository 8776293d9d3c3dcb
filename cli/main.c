/*
 * wsgid: serves a WSGI application with libwsgi.
 *
 * Thin: it reads the command line, opens what it names, tells the library and
 * serves.  Public headers only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "accesslog.h"
#include "args.h"
#include "banner.h"
#include "errorlog.h"
#include "help.h"
#include "interp.h"
#include "path.h"
#include "pidfile.h"
#include "signals.h"
#include "trace.h"

#define MESSAGE 4096

/* Exit codes. */
enum {
    DONE = 0,
    WRONG_OUTPUT = 1, /* stdout cannot be written */
    WRONG_USAGE = 2,  /* the command line is wrong */
    CANNOT_BOOT = 3,  /* an address, a file or Python is not to be had */
    CANNOT_IMPORT = 4 /* the application cannot be imported */
};

typedef struct program {
    args options;
    char *const *argv;
    wsgi_server *server;
    errorlog errors;
    accesslog access;
    pidfile pid;
    bool python; /* was started, and is to be ended */
    bool served;
} program;

/* On stderr, and in the error log too where that is a file. */
static int
fail(program *self, int code, const char *why)
{
    fprintf(stderr, "wsgid: %s\n", why);
    if (self->errors.file.path)
        errorlog_write(&self->errors, WSGI_LOG_ERROR, why);
    return code;
}

static int
fail_errno(program *self, const char *option, const char *value)
{
    char why[MESSAGE];

    snprintf(why, sizeof(why), "%s \"%s\": %s%s", option, value,
             strerror(errno), path_remedy(errno));
    return fail(self, CANNOT_BOOT, why);
}

static int
fail_server(program *self, int code)
{
    return fail(self, code, wsgi_server_error(self->server));
}

/* The library's message begins with the name; here it is an option. */
static int
fail_value(program *self, const char *name)
{
    const char *error = wsgi_server_error(self->server);
    bool named = strncmp(error, name, strlen(name)) == 0;
    char why[MESSAGE];

    snprintf(why, sizeof(why), "%s%s", named ? "--" : "", error);
    return fail(self, WRONG_USAGE, why);
}

/* What is wrong with the words themselves is said before anything is opened
 * or changed. */
static int
check_values(program *self)
{
    const args *options = &self->options;
    const char *format = options->access_logformat;
    char why[MESSAGE];
    text error;

    for (size_t i = 0; i < options->names.n; i++)
        if (wsgi_server_set_text(self->server, options->names.items[i],
                                 options->values.items[i]) < 0)
            return fail_value(self, options->names.items[i]);
    if (wsgi_server_set_app(self->server, options->app) < 0)
        return fail_server(self, WRONG_USAGE);

    text_init(&error, why, sizeof(why));
    text_puts(&error, "--access-logformat: ");
    if (!accesslog_compile(&self->access, format ? format : ACCESSLOG_DEFAULT,
                           &error))
        return fail(self, WRONG_USAGE, why);
    return DONE;
}

/* --env and --chdir.  Every relative name that comes after is meant from the
 * new directory. */
static int
enter_surroundings(program *self)
{
    const args_list *env = &self->options.env;

    for (size_t i = 0; i < env->n; i++) {
        char *name = strndup(env->items[i], strcspn(env->items[i], "="));
        bool set =
            name && setenv(name, strchr(env->items[i], '=') + 1, 1) == 0;
        free(name);
        if (!set)
            return fail_errno(self, "--env", env->items[i]);
    }
    if (self->options.chdir && chdir(self->options.chdir) < 0)
        return fail_errno(self, "--chdir", self->options.chdir);
    return DONE;
}

static int
open_logs(program *self)
{
    const args *options = &self->options;
    const char *errors = options->error_logfile;
    const char *access = options->access_logfile;

    if (errors && !logfile_open(&self->errors.file, errors, STDERR_FILENO))
        return fail_errno(self, "--error-logfile", errors);
    if (access && !logfile_open(&self->access.file, access, STDOUT_FILENO))
        return fail_errno(self, "--access-logfile", access);
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
    char why[MESSAGE];

    if (status >= 0)
        return DONE;
    snprintf(why, sizeof(why), "%s%s", origin,
             wsgi_server_error(self->server));
    return fail(self,
                status == WSGI_ERR_INVALID || status == WSGI_ERR_ADDRESS
                    ? WRONG_USAGE
                    : CANNOT_BOOT,
                why);
}

/* Platforms that set PORT look from outside. */
static int
bind_default(program *self)
{
    const char *port = getenv("PORT");
    char address[64], why[MESSAGE];

    if (!port || !*port)
        return bind_one(self, "127.0.0.1:8888", "");
    if (strlen(port) > 5 || port[strspn(port, "0123456789")]) {
        snprintf(why, sizeof(why),
                 "PORT is \"%.80s\" in the environment: set it to a number "
                 "from 0 to 65535, or unset it",
                 port);
        return fail(self, WRONG_USAGE, why);
    }
    snprintf(address, sizeof(address), "0.0.0.0:%s", port);
    return bind_one(self, address, "PORT in the environment: ");
}

/* Before the import, which may take long: a taken port is said at once. */
static int
bind_all(program *self)
{
    const args_list *binds = &self->options.binds;

    for (size_t i = 0; i < binds->n; i++) {
        int code = bind_one(self, binds->items[i], "--bind ");
        if (code)
            return code;
    }
    return binds->n ? DONE : bind_default(self);
}

static int
load(program *self)
{
    char why[MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    if (!interp_start(&self->options, self->argv, &error))
        return fail(self, CANNOT_BOOT, why);
    self->python = true;
    int status = wsgi_server_load(self->server);
    if (status == WSGI_ERR_INVALID)
        return fail_server(self, WRONG_USAGE);
    if (status == WSGI_ERR_NOMEM || status == WSGI_ERR_PYTHON)
        return fail_server(self, CANNOT_BOOT);
    return status < 0 ? fail_server(self, CANNOT_IMPORT) : DONE;
}

static int
take_pidfile(program *self)
{
    char why[MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    if (self->options.pid &&
        !pidfile_take(&self->pid, self->options.pid, &error))
        return fail(self, CANNOT_BOOT, why);
    return DONE;
}

/* One line that says what is served, and where. */
static void
greet(program *self)
{
    char line[MESSAGE];
    const char *address;
    text out;

    text_init(&out, line, sizeof(line));
    text_puts(&out, "Serving ");
    text_puts(&out, self->options.app);
    for (size_t i = 0; (address = wsgi_server_address(self->server, i)); i++) {
        text_puts(&out, i ? ", " : " at ");
        banner_url(&out, address);
    }
    errorlog_printf(&self->errors, WSGI_LOG_INFO,
                    "%s with wsgid %s, Python %s (pid %ld)", line,
                    WSGI_VERSION, interp_version(), (long)getpid());
    if (!self->errors.file.path && isatty(STDERR_FILENO))
        errorlog_write(&self->errors, WSGI_LOG_INFO, "Press Ctrl+C to stop");
}

static void
say_stopped(program *self, int signal)
{
    errorlog_printf(&self->errors, WSGI_LOG_INFO, "Stopped%s%s",
                    signal ? " by " : "", signal ? signals_name(signal) : "");
}

/* A call of the application keeps serve() from returning: the process ends
 * without it, and without Python's own end. */
static void
end_stuck(void *user)
{
    program *self = user;
    int signal = signals_forget_stop();

    pidfile_release(&self->pid);
    say_stopped(self, signal);
    fflush(stdout);
    _exit(DONE);
}

static int
serve(program *self)
{
    self->served = true;
    greet(self);
    wsgi_server_set_stuck(self->server, end_stuck, self);
    if (wsgi_server_serve(self->server) < 0)
        return fail_server(self, CANNOT_BOOT);
    return DONE;
}

/* In this order; the first that does not return DONE ends it. */
static int
run_steps(program *self)
{
    typedef int (*step)(program *);
    static const step steps[] = { check_values, enter_surroundings,
                                  open_logs,    bind_all,
                                  load,         NULL };
    bool checking = self->options.action == ARGS_CHECK_APP;

    for (const step *next = steps; *next; next++) {
        /* A server that runs already must not disturb a check. */
        if (checking && *next == bind_all)
            continue;
        int code = (*next)(self);
        if (code)
            return code;
    }
    if (checking) {
        interp_describe(stdout, self->options.app);
        return DONE;
    }
    signals_watch_stop(self->server);
    int code = take_pidfile(self);
    return code ? code : serve(self);
}

/* Python ends as the python command does: atexit callbacks run, and what was
 * printed is flushed.  A stop signal from here on ends the process. */
static void
finish(program *self)
{
    int signal = signals_forget_stop();

    wsgi_server_free(self->server);
    if (self->python)
        interp_stop();
    pidfile_release(&self->pid);
    if (self->served)
        say_stopped(self, signal);
    signals_forget_logs();
    accesslog_free(&self->access);
    logfile_close(&self->errors.file);
}

static int
run(program *self)
{
    self->errors.level = self->options.log_level;
    self->errors.file.fd = STDERR_FILENO;
    self->access.file.fd = -1;
    self->server = wsgi_server_new();
    int code = self->server ? run_steps(self)
                            : fail(self, CANNOT_BOOT, "out of memory");
    finish(self);
    return code;
}

static int
act(program *self)
{
    switch (self->options.action) {
    case ARGS_HELP:
        help_print(stdout);
        break;
    case ARGS_VERSION:
        printf("wsgid %s (libwsgi %s, Python %s)\n", WSGI_VERSION,
               wsgi_version(), interp_version());
        break;
    case ARGS_SERVE:
    case ARGS_CHECK_APP:
        return run(self);
    }
    return DONE;
}

int
main(int argc, char **argv)
{
    program self = { .argv = argv };
    char why[MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    int code = args_parse(&self.options, argc, argv, &error);
    if (code)
        fprintf(stderr, "wsgid: %s\n%s", why, HELP_USAGE);
    else
        code = act(&self);
    args_free(&self.options);
    if (fflush(stdout) != 0 && code == DONE)
        code = WRONG_OUTPUT;
    return code;
}
