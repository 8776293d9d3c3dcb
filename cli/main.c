/*
 * wsgid: serves a WSGI application with libwsgi.
 *
 * Thin: it reads the command line, opens what it names, tells the library and
 * serves.  Public headers only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot.h"
#include "heap.h"
#include "help.h"
#include "interp.h"
#include "program.h"
#include "reload.h"
#include "serving.h"
#include "signals.h"
#include "status.h"
#include "supervise.h"

typedef int (*step)(program *);

/* A server that runs already must not disturb a check: no address is bound. */
static const step checking[] = { boot_enter_surroundings, boot_open_logs,
                                 serving_load, NULL };

static const step alone[] = {
    boot_enter_surroundings, boot_open_logs, boot_bind, boot_bind_monitors,
    boot_change_identity,    serving_load,   NULL
};

static const step supervised[] = {
    boot_enter_surroundings, boot_open_logs, boot_bind,
    boot_take_pidfile,       supervise,      NULL
};

/* In this order; the first that does not return DONE ends it. */
static int
run_steps(program *self, const step *steps)
{
    for (; *steps; steps++) {
        int code = (*steps)(self);
        if (code)
            return code;
    }
    return DONE;
}

static int
check_app(program *self)
{
    int code = run_steps(self, checking);

    if (code == DONE)
        interp_describe(stdout, self->options.app);
    return code;
}

/* Until the application is imported, a signal to stop just ends it. */
static int
serve_alone(program *self)
{
    int code = run_steps(self, alone);

    if (code)
        return code;
    signals_watch_stop(self->server);
    code = boot_take_pidfile(self);
    return code ? code : serving_alone(self);
}

/* Python ends as the python command does: atexit callbacks run, and what was
 * printed is flushed.  A stop signal from here on ends the process. */
static void
finish(program *self)
{
    int signal = signals_forget_stop();

    if (self->supervisor)
        signal = wsgi_supervisor_stopped_by(self->supervisor);
    wsgi_server_free(self->server);
    pidfile_release(&self->pid); /* Python may wait for threads */
    if (self->python)
        interp_stop();
    if (self->served)
        program_say_stopped(self, signal);
    wsgi_supervisor_free(self->supervisor);
    signals_forget_logs();
    accesslog_free(&self->access);
    logfile_close(&self->errors.file);
    identity_free(&self->who);
    reload_end(self);
    free(self->folder);
}

static int
do_it(program *self)
{
    int code = boot_check_values(self);

    if (code)
        return code;
    if (self->options.action == ARGS_CHECK_APP)
        return check_app(self);
    code = boot_detach(self);
    if (code)
        return code;
    notify_open(&self->manager);
    if (!self->workers) /* no supervisor, no successor */
        notify_forget();
    return self->workers ? run_steps(self, supervised) : serve_alone(self);
}

static int
run(program *self)
{
    signals_unblock();
    self->errors.level = self->options.log_level;
    self->errors.file.fd = STDERR_FILENO;
    self->access.file.fd = -1;
    self->manager.fd = -1;
    self->reload.watcher.fd = -1;
    self->reload.from = self->reload.to = self->reload.timer = -1;
    self->folder = getcwd(NULL, 0);
    self->server = wsgi_server_new();
    int code = self->server ? do_it(self)
                            : program_fail(self, CANNOT_BOOT, "out of memory");
    finish(self);
    /* Stopped before it was ready is a failure for whoever waits for that. */
    if (code != DONE || self->served)
        detach_end(&self->terminal, code);
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
    case ARGS_STATUS:
        return status_print(self->options.control_socket, stdout, stderr);
    }
    return DONE;
}

int
main(int argc, char **argv)
{
    program self = { .argv = argv };
    char why[PROGRAM_MESSAGE];
    text error;

    heap_keep_free_memory();
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
