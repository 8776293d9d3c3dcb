#include "server/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <wsgi/python.h>

#include "base/mem.h"
#include "python/importer.h"
#include "python/traceback.h"

/* An error text has room for a traceback. */
#define LONGEST_ERROR ((size_t)256 * 1024)

#define MOST_LISTENERS 64

/* ---- Errors ------------------------------------------------------------- */

int
wsgi__server_fail(wsgi_server *server, int status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    wsgi__buf_reset(&server->error);
    wsgi__buf_puts(&server->error, text);
    return status;
}

/* Every public call on a server starts with this: what went wrong in an
 * earlier call is no longer of interest. */
static int
enter_call(wsgi_server *server)
{
    if (!server)
        return WSGI_ERR_NOMEM;
    wsgi__buf_reset(&server->error);
    return WSGI_OK;
}

int
wsgi__server_enter_config(wsgi_server *server)
{
    int status = enter_call(server);
    if (status == WSGI_OK && server->phase != WSGI__SERVER_NEW)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the server has been started: configure it "
                                 "before");
    return status;
}

const char *
wsgi_server_error(const wsgi_server *server)
{
    if (!server)
        return wsgi_strerror(WSGI_ERR_NOMEM);
    /* The text is part of what the server owns, not of its state. */
    return wsgi__buf_str((wsgi__buf *)&server->error);
}

/* ---- Lifecycle ---------------------------------------------------------- */

wsgi_server *
wsgi_server_new(void)
{
    wsgi_server *server = wsgi__mem_zero(1, sizeof(*server));
    if (!server)
        return NULL;
    wsgi__options_init(&server->options);
    wsgi__buf_init(&server->error, LONGEST_ERROR);
    server->log.level = WSGI_LOG_INFO;
    server->reserve_fd = -1;
    server->score = &server->own_score;
    return server;
}

static void
drop_app(wsgi_server *server)
{
    if (!server->app && !server->app_object)
        return;
    if (Py_IsInitialized()) {
        wsgi__gil_enter(&server->gil);
        if (server->app)
            wsgi__app_free(server->app);
        Py_XDECREF(server->app_object);
        wsgi__gil_leave(&server->gil);
        wsgi__gil_forget(&server->gil);
    }
    server->app = NULL;
    server->app_object = NULL;
}

static void
close_listeners(wsgi_server *server)
{
    bool ours = server->bound_by == getpid();
    for (size_t i = 0; i < server->n_listeners; i++)
        wsgi__listener_free(server->listeners[i], ours);
    wsgi__mem_free(server->listeners);
    server->listeners = NULL;
    server->n_listeners = 0;
}

void
wsgi_server_free(wsgi_server *server)
{
    if (!server)
        return;
    wsgi__monitors_close(&server->monitors);
    if (!wsgi__server_close(server)) {
        close_listeners(server);
        return; /* the rest is in use for ever: in calls that do not end */
    }
    atomic_store(&server->wake, NULL);
    if (server->loop)
        wsgi__loop_free(server->loop);
    drop_app(server);
    close_listeners(server);
    wsgi__mem_free(server->app_spec);
    wsgi__options_free(&server->options);
    wsgi__buf_free(&server->error);
    wsgi__mem_free(server);
}

/* ---- Configuration ------------------------------------------------------ */

int
wsgi_server_set_int(wsgi_server *server, wsgi_option option, int64_t value)
{
    int status = wsgi__server_enter_config(server);
    return status < 0 ? status
                      : wsgi__options_set_int(&server->options, (int)option,
                                              value, &server->error);
}

int
wsgi_server_set_str(wsgi_server *server, wsgi_option option, const char *value)
{
    int status = wsgi__server_enter_config(server);
    return status < 0 ? status
                      : wsgi__options_set_str(&server->options, (int)option,
                                              value, &server->error);
}

int
wsgi_server_set_text(wsgi_server *server, const char *name, const char *value)
{
    int status = wsgi__server_enter_config(server);
    return status < 0 ? status
                      : wsgi__options_set_text(&server->options, name, value,
                                               &server->error);
}

void
wsgi_server_set_log(wsgi_server *server, wsgi_log_level level, wsgi_log_cb cb,
                    void *user)
{
    if (server)
        server->log = (wsgi__log){ .level = level, .cb = cb, .user = user };
}

void
wsgi_server_set_access_log(wsgi_server *server, wsgi_access_cb cb, void *user)
{
    if (!server)
        return;
    server->access = cb;
    server->access_user = user;
}

void
wsgi_server_set_trace(wsgi_server *server, wsgi_trace_cb cb, void *user)
{
    if (!server)
        return;
    server->trace = cb;
    server->trace_user = user;
}

void
wsgi_server_set_stuck(wsgi_server *server, wsgi_stuck_cb cb, void *user)
{
    if (!server)
        return;
    server->stuck = cb;
    server->stuck_user = user;
}

/* ---- Addresses ---------------------------------------------------------- */

static wsgi__listener_options
listener_options(const wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    return (wsgi__listener_options){
        .backlog = (int)wsgi__options_int(options, WSGI_OPT_BACKLOG),
        .reuse_port = wsgi__options_int(options, WSGI_OPT_REUSE_PORT) != 0,
        .socket_mode =
            (mode_t)wsgi__options_int(options, WSGI_OPT_SOCKET_MODE),
    };
}

/* Room for one more listener. */
static int
reserve_listener(wsgi_server *server)
{
    if (server->n_listeners >= MOST_LISTENERS)
        return wsgi__server_fail(server, WSGI_ERR_INVALID,
                                 "a server listens on at most %d addresses",
                                 MOST_LISTENERS);
    wsgi__listener **grown = wsgi__mem_resize(
        server->listeners, (server->n_listeners + 1) * sizeof(*grown));
    if (!grown)
        return wsgi__server_fail(server, WSGI_ERR_NOMEM, "out of memory");
    server->listeners = grown;
    return WSGI_OK;
}

static int
add_listener(wsgi_server *server, int status, wsgi__listener *listener)
{
    if (status < 0)
        return status;
    server->listeners[server->n_listeners++] = listener;
    server->bound_by = getpid();
    return WSGI_OK;
}

int
wsgi_server_bind(wsgi_server *server, const char *text)
{
    wsgi__address address;
    wsgi__listener *listener = NULL;

    int status = wsgi__server_enter_config(server);
    if (status == WSGI_OK)
        status =
            wsgi__address_parse(text ? text : "", &address, &server->error);
    if (status == WSGI_OK)
        status = reserve_listener(server);
    if (status < 0)
        return status;
    wsgi__listener_options options = listener_options(server);
    status =
        wsgi__listener_open(&address, &options, &listener, &server->error);
    return add_listener(server, status, listener);
}

int
wsgi_server_bind_fd(wsgi_server *server, int fd)
{
    wsgi__listener *listener = NULL;

    int status = wsgi__server_enter_config(server);
    if (status == WSGI_OK)
        status = reserve_listener(server);
    if (status < 0)
        return status;
    wsgi__listener_options options = listener_options(server);
    status = wsgi__listener_adopt(fd, &options, &listener, &server->error);
    return add_listener(server, status, listener);
}

const char *
wsgi_server_address(const wsgi_server *server, size_t index)
{
    if (!server || index >= server->n_listeners)
        return NULL;
    return server->listeners[index]->text;
}

int
wsgi_server_socket(const wsgi_server *server, size_t index)
{
    if (!server || index >= server->n_listeners)
        return -1;
    return server->listeners[index]->io.fd;
}

void
wsgi_server_close_sockets(wsgi_server *server)
{
    for (size_t i = 0; server && i < server->n_listeners; i++)
        wsgi__listener_close(server->listeners[i], false);
}

void
wsgi_server_leave_sockets(wsgi_server *server)
{
    if (server)
        server->bound_by = 0;
}

int
wsgi_server_own_socket(wsgi_server *server, size_t index)
{
    if (!server)
        return WSGI_ERR_NOMEM;
    if (index >= server->n_listeners)
        return wsgi__server_fail(server, WSGI_ERR_INVALID,
                                 "there is no such socket");
    if (wsgi__listener_own(server->listeners[index]) < 0)
        return wsgi__server_fail(server, WSGI_ERR_NOMEM, "out of memory");
    return WSGI_OK;
}

/* ---- The application ---------------------------------------------------- */

int
wsgi_server_set_app(wsgi_server *server, const char *spec)
{
    int status = wsgi__server_enter_config(server);
    if (status < 0)
        return status;
    if (!spec || !*spec)
        return wsgi__server_fail(server, WSGI_ERR_INVALID,
                                 "Provide a WSGI application object as "
                                 "module:callable");
    char *copy = wsgi__mem_strdup(spec);
    if (!copy)
        return wsgi__server_fail(server, WSGI_ERR_NOMEM, "out of memory");
    drop_app(server);
    wsgi__mem_free(server->app_spec);
    server->app_spec = copy;
    return WSGI_OK;
}

/* The thread states that serve are the main interpreter's, where objects of
 * another one must not be used. */
static int
check_interpreter(wsgi_server *server)
{
    if (!wsgi__gil_held())
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the calling thread does not hold the GIL");
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return WSGI_OK;
    return wsgi__server_fail(server, WSGI_ERR_STATE,
                             "the calling thread is in a sub-interpreter: "
                             "applications are served from the main one");
}

int
wsgi_server_set_app_object(wsgi_server *server, PyObject *app)
{
    int status = wsgi__server_enter_config(server);
    if (status == WSGI_OK)
        status = check_interpreter(server);
    if (status < 0)
        return status;
    if (!app || !PyCallable_Check(app))
        return wsgi__server_fail(server, WSGI_ERR_APP_TYPE,
                                 "the application is not callable: it is %s",
                                 app ? Py_TYPE(app)->tp_name : "NULL");
    Py_INCREF(app);
    drop_app(server);
    wsgi__mem_free(server->app_spec);
    server->app_spec = NULL;
    server->app_object = app;
    return WSGI_OK;
}

/* GIL held. */
static int
make_app(wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    const wsgi__app_settings settings = {
        .multithread = wsgi__options_int(options, WSGI_OPT_THREADS) > 1,
        .multiprocess = wsgi__options_int(options, WSGI_OPT_MULTIPROCESS) != 0,
        .software = wsgi__options_str(options, WSGI_OPT_SERVER_HEADER),
        .log = &server->log,
    };
    server->app = wsgi__app_new(server->app_object, &settings);
    if (server->app)
        return WSGI_OK;
    wsgi__traceback_take(&server->error);
    return WSGI_ERR_NOMEM;
}

int
wsgi__server_make_app(wsgi_server *server)
{
    wsgi__gil_enter(&server->gil);
    int status = make_app(server);
    wsgi__gil_leave(&server->gil);
    return status;
}

/* GIL held. */
static int
load_app(wsgi_server *server)
{
    bool factory = wsgi__options_int(&server->options, WSGI_OPT_FACTORY) != 0;
    return wsgi__importer_load(server->app_spec, factory, &server->app_object,
                               &server->error);
}

static int
start_python(wsgi_server *server)
{
    char text[1024] = "";
    int status = wsgi_python_init(NULL, text, sizeof(text));
    return status < 0 ? wsgi__server_fail(server, status, "%s", text) : status;
}

int
wsgi_server_load(wsgi_server *server)
{
    int status = enter_call(server);
    if (status < 0 || server->app_object)
        return status;
    if (!server->app_spec)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "no application: call wsgi_server_set_app() "
                                 "before");
    if (!Py_IsInitialized())
        status = start_python(server);
    if (status < 0)
        return status;
    wsgi__gil_enter(&server->gil);
    status = check_interpreter(server);
    if (status == WSGI_OK)
        status = load_app(server);
    wsgi__gil_leave(&server->gil);
    return status;
}
