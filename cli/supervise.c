#include "supervise.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "boot.h"
#include "interp.h"
#include "reload.h"
#include "serving.h"
#include "upgrade.h"

/* A worker closes what does not finish by itself; only if it fails to is it
 * killed. */
#define MERCY_MS 2000

#define HEARTBEAT_MS 30000
#define RELOAD_MS 600000

/* ---- Events ------------------------------------------------------------- */

static void
announce(program *self)
{
    program_greet(self);
    self->served = true;
    upgrade_own_sockets(self);
    detach_ready(&self->terminal);
    notify_ready(&self->manager);
}

static void
tell_status(program *self)
{
    wsgi_worker_info info = WSGI_WORKER_INFO_INIT;
    unsigned n_ready = 0;
    char line[64];

    for (size_t i = 0; wsgi_supervisor_worker(self->supervisor, i, &info) >= 0;
         i++)
        n_ready += info.state == WSGI_WORKER_READY;
    snprintf(line, sizeof(line), "workers ready: %u of %lld", n_ready,
             (long long)wsgi_supervisor_get_int(self->supervisor,
                                                WSGI_SUPERVISOR_WORKERS));
    notify_status(&self->manager, line);
}

/* The workers have copies, which they close when they have emptied the queue,
 * and with a drain delay accept for a while yet: the files stay as long. */
static void
stop(program *self)
{
    self->stopping = true;
    if (!upgrade_is_paired(self))
        notify_stopping(&self->manager);
    wsgi_server_close_sockets(self->server);
}

/* The access log is for workers to write, but a renamed file that somebody has
 * open keeps its room on the disk. */
static void
reopen_logs(program *self)
{
    (void)logfile_reopen(&self->errors.file);
    (void)logfile_reopen(&self->access.file);
}

static void
on_event(void *user, wsgi_supervisor_event event)
{
    program *self = user;

    switch (event) {
    case WSGI_SUPERVISOR_READY:
        announce(self);
        break;
    case WSGI_SUPERVISOR_RELOADING:
        if (!upgrade_has_successor(self))
            notify_reloading(&self->manager);
        reopen_logs(self);
        break;
    case WSGI_SUPERVISOR_REOPEN:
        reopen_logs(self);
        break;
    case WSGI_SUPERVISOR_RELOADED:
    case WSGI_SUPERVISOR_RELOAD_FAILED:
        if (!upgrade_has_successor(self))
            notify_ready(&self->manager);
        break;
    case WSGI_SUPERVISOR_STOPPING:
        stop(self);
        break;
    case WSGI_SUPERVISOR_UPGRADE:
        upgrade_start(self);
        break;
    case WSGI_SUPERVISOR_BEFORE_FORK:
        interp_before_fork();
        break;
    case WSGI_SUPERVISOR_AFTER_FORK:
        interp_after_fork(false);
        break;
    case WSGI_SUPERVISOR_TICK:
        /* Also with a successor, which may still be importing. */
        notify_alive(&self->manager);
        upgrade_check(self);
        break;
    case WSGI_SUPERVISOR_CHANGED:
        upgrade_check(self);
        if (!upgrade_has_successor(self))
            tell_status(self);
        break;
    }
}

/* ---- Before the workers ------------------------------------------------- */

/* In the parent: every worker then has it, without importing it once more. */
static int
preload(program *self)
{
    char names[PROGRAM_MESSAGE];
    text threads;

    if (!self->options.preload)
        return DONE;
    int code = serving_load(self);
    if (code)
        return code;
    text_init(&threads, names, sizeof(names));
    interp_freeze(&threads);
    if (threads.len)
        errorlog_printf(&self->errors, WSGI_LOG_WARNING,
                        "--preload: the application has started threads (%s), "
                        "which the workers do not have: start them after the "
                        "fork, or do without --preload",
                        names);
    return DONE;
}

static int64_t
longest_drain(const program *self)
{
    int64_t grace = args_number(&self->options, "graceful-timeout");

    int64_t delay = args_number(&self->options, "drain-delay");

    return grace ? delay + grace + MERCY_MS : 0;
}

/* Who has no limit for requests wants none for what they do to the loop. */
static int64_t
longest_silence(const program *self)
{
    int64_t given = self->options.heartbeat_timeout;
    int64_t timeout = args_number(&self->options, "timeout");

    if (given >= 0)
        return given;
    return timeout && timeout < HEARTBEAT_MS ? HEARTBEAT_MS : timeout;
}

/* Under --reload, what cannot be imported waits to be mended. */
static int64_t
longest_reload(const program *self)
{
    return self->options.reload ? 0 : RELOAD_MS;
}

static int
configure(program *self)
{
    const struct {
        wsgi_supervisor_option option;
        int64_t value;
    } settings[] = {
        { WSGI_SUPERVISOR_WORKERS, self->workers },
        { WSGI_SUPERVISOR_GRACEFUL_TIMEOUT, longest_drain(self) },
        { WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT, longest_silence(self) },
        { WSGI_SUPERVISOR_RELOAD_TIMEOUT, longest_reload(self) },
        { WSGI_SUPERVISOR_PRELOADED, self->options.preload },
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        if (wsgi_supervisor_set_int(self->supervisor, settings[i].option,
                                    settings[i].value) < 0)
            return program_fail(self, CANNOT_BOOT,
                                wsgi_supervisor_error(self->supervisor));
    wsgi_supervisor_set_log(self->supervisor, self->errors.level,
                            errorlog_write, &self->errors);
    wsgi_supervisor_set_event(self->supervisor, on_event, self);
    return DONE;
}

static int
share_explained(program *self)
{
    void *memory = mmap(NULL, sizeof(*self->explained), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return program_fail(self, CANNOT_BOOT, "out of memory");
    self->explained = memory;
    return DONE;
}

/* A worker that could not start has said why, once for all; the application may
 * have ended it with the same code. */
static int
boot_failure(program *self)
{
    int status = wsgi_supervisor_boot_status(self->supervisor);

    if (atomic_load(self->explained) &&
        (status == WRONG_USAGE || status == CANNOT_BOOT ||
         status == CANNOT_IMPORT))
        return status;
    return program_fail(self, CANNOT_BOOT,
                        wsgi_supervisor_error(self->supervisor));
}

int
supervise(program *self)
{
    self->supervisor = wsgi_supervisor_new();
    if (!self->supervisor)
        return program_fail(self, CANNOT_BOOT, "out of memory");
    int code = share_explained(self);
    if (code == DONE)
        code = configure(self);
    if (code == DONE)
        code = boot_bind_monitors(self);
    if (code == DONE)
        code = reload_begin(self);
    if (code == DONE)
        code = boot_change_identity(self);
    if (code == DONE)
        code = preload(self);
    if (code)
        return code;
    int status =
        wsgi_supervisor_run(self->supervisor, serving_as_worker, self);
    /* Of what --preload has imported the workers have made use.  Here a thread
     * of it that does not end would be waited for. */
    self->python = false;
    if (upgrade_is_paired(self))
        wsgi_server_leave_sockets(self->server);
    if (status == WSGI_ERR_WORKER)
        return boot_failure(self);
    if (status < 0)
        return program_fail(self, CANNOT_BOOT,
                            wsgi_supervisor_error(self->supervisor));
    return DONE;
}
