/*
 * A program that embeds Python already and has the callable in its hands.
 *
 * It calls Python itself, so it is linked with Python too: python3-embed.
 *
 *     cc -o host_python host_python.c $(pkg-config --cflags --libs libwsgi python3-embed)
 *     ./host_python [address]
 */
#include <wsgi/python.h>

#include <signal.h>
#include <stdio.h>

static const char source[] =
    "def app(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [b'Hello from the host\\n']\n";

static wsgi_server *server;

static void
stop(int signal_number)
{
    (void)signal_number;
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
}

static int
start_python(void)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    /* Signals are this program's. */
    config.install_signal_handlers = 0;
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? -1 : 0;
}

/* New reference; NULL with an exception set. */
static PyObject *
make_app(void)
{
    PyObject *module = PyImport_AddModule("__main__"); /* Borrowed. */
    if (!module || PyRun_SimpleString(source) < 0)
        return NULL;
    return PyObject_GetAttrString(module, "app");
}

int
main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:8888";

    if (start_python() < 0)
        return 1;
    /* From here on this thread holds the GIL; serve() gives it back while it
     * waits, and returns with it held. */
    PyObject *app = make_app();
    if (!app) {
        PyErr_Print();
        return 1;
    }
    server = wsgi_server_new();
    int status = wsgi_server_set_app_object(server, app);
    Py_DECREF(app); /* the server has a reference of its own */
    if (status == WSGI_OK)
        status = wsgi_server_bind(server, address);
    if (status == WSGI_OK) {
        signal(SIGTERM, stop);
        signal(SIGINT, stop);
        printf("listening on http://%s/\n", wsgi_server_address(server, 0));
        fflush(stdout);
        status = wsgi_server_serve(server);
    }
    if (status < 0)
        fprintf(stderr, "host_python: %s\n", wsgi_server_error(server));
    wsgi_server_free(server);
    return Py_FinalizeEx() < 0 || status < 0;
}
