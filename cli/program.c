#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "banner.h"
#include "interp.h"
#include "path.h"
#include "signals.h"

int
program_fail(program *self, int code, const char *why)
{
    if (!self->served)
        fprintf(stderr, "wsgid: %s\n", why);
    if (self->served || self->errors.file.path)
        errorlog_write(&self->errors, WSGI_LOG_ERROR, why);
    if (self->explained)
        atomic_store(self->explained, true);
    return code;
}

int
program_fail_errno(program *self, const char *option, const char *value)
{
    char why[PROGRAM_MESSAGE];

    snprintf(why, sizeof(why), "%s \"%s\": %s%s", option, value,
             strerror(errno), path_remedy(errno));
    return program_fail(self, CANNOT_BOOT, why);
}

int
program_fail_server(program *self, int code)
{
    return program_fail(self, code, wsgi_server_error(self->server));
}

const char *
program_monitor_address(const program *self, wsgi_monitor what)
{
    return self->supervisor
               ? wsgi_supervisor_monitor_address(self->supervisor, what)
               : wsgi_server_monitor_address(self->server, what);
}

static void
greet_watchers(program *self)
{
    static const struct {
        wsgi_monitor what;
        const char *words, *path;
    } monitors[] = {
        { WSGI_MONITOR_METRICS, "Metrics at ", "/metrics" },
        { WSGI_MONITOR_CONTROL, "Control socket at ", "" },
    };

    for (size_t i = 0; i < sizeof(monitors) / sizeof(*monitors); i++) {
        const char *address = program_monitor_address(self, monitors[i].what);
        char line[PROGRAM_MESSAGE];
        text out;
        if (!address)
            continue;
        text_init(&out, line, sizeof(line));
        text_puts(&out, monitors[i].words);
        banner_url(&out, address);
        if (strncmp(address, "unix:", 5) != 0)
            text_puts(&out, monitors[i].path);
        errorlog_write(&self->errors, WSGI_LOG_INFO, line);
    }
}

void
program_greet(program *self)
{
    char line[PROGRAM_MESSAGE];
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
    greet_watchers(self);
    if (!self->errors.file.path && !self->options.daemon &&
        isatty(STDERR_FILENO))
        errorlog_write(&self->errors, WSGI_LOG_INFO, "Press Ctrl+C to stop");
}

void
program_say_stopped(program *self, int signal)
{
    errorlog_printf(&self->errors, WSGI_LOG_INFO, "Stopped%s%s",
                    signal ? " by " : "", signal ? signals_name(signal) : "");
}
