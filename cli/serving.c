#include "serving.h"

#include <stdio.h>
#include <unistd.h>

#include "interp.h"
#include "reload.h"
#include "signals.h"

int
serving_load(program *self)
{
    char why[PROGRAM_MESSAGE];
    text error;

    text_init(&error, why, sizeof(why));
    reload_name_files(self);
    if (!interp_start(&self->options, self->argv, &error))
        return program_fail(self, CANNOT_BOOT, why);
    self->python = true;
    int status = wsgi_server_load(self->server);
    if (status == WSGI_ERR_INVALID)
        return program_fail_server(self, WRONG_USAGE);
    if (status == WSGI_ERR_NOMEM || status == WSGI_ERR_PYTHON)
        return program_fail_server(self, CANNOT_BOOT);
    return status < 0 ? program_fail_server(self, CANNOT_IMPORT) : DONE;
}

/* A call of the application keeps serve() from returning: the process ends
 * without it, and without Python's own end. */
static void
end_stuck_worker(void *user)
{
    (void)user;
    fflush(stdout);
    _exit(DONE);
}

static void
end_stuck(void *user)
{
    program *self = user;
    int signal = signals_forget_stop();

    pidfile_release(&self->pid);
    program_say_stopped(self, signal);
    end_stuck_worker(NULL);
}

static int
serve(program *self, wsgi_stuck_cb stuck)
{
    interp_watch_crashes(self->errors.file.fd);
    wsgi_server_set_stuck(self->server, stuck, self);
    if (wsgi_server_serve(self->server) < 0)
        return program_fail_server(self, CANNOT_BOOT);
    return DONE;
}

int
serving_alone(program *self)
{
    program_greet(self);
    self->served = true;
    if (self->manager.watchdog_us > 0)
        errorlog_write(&self->errors, WSGI_LOG_WARNING,
                       "the service manager waits for signs of life "
                       "(WatchdogSec=), which the supervisor gives: do not "
                       "set --workers 0");
    detach_ready(&self->terminal);
    notify_ready(&self->manager);
    int code = serve(self, end_stuck);
    notify_stopping(&self->manager);
    return code;
}

/* The access log may have been renamed since the supervisor opened it. */
static void
take_logs(program *self)
{
    bool access = self->options.access_logfile != NULL;

    if (access)
        (void)logfile_reopen(&self->access.file);
    signals_watch_logs_of_worker(&self->errors,
                                 access ? &self->access.file : NULL);
}

/* Python ends as the python command does: atexit callbacks run, and what was
 * printed is flushed. */
int
serving_as_worker(wsgi_worker *worker, void *user)
{
    program *self = user;

    interp_after_fork(true);
    notify_forget();
    take_logs(self);
    int code = DONE;
    if (wsgi_server_set_worker(self->server, worker) < 0)
        code = program_fail_server(self, CANNOT_BOOT);
    if (code == DONE && !self->python)
        code = serving_load(self);
    detach_worker(&self->terminal);
    if (code == CANNOT_IMPORT && self->options.reload)
        reload_await_change(self, worker);
    if (code == DONE)
        code = serve(self, end_stuck_worker);
    wsgi_server_free(self->server);
    if (self->python)
        interp_stop();
    return code;
}
