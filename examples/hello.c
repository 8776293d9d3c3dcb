/*
 * The smallest server: one application, one address, until SIGTERM.
 *
 *     cc -o hello hello.c $(pkg-config --cflags --libs libwsgi)
 *     PYTHONPATH=apps ./hello [module:callable [address]]
 *
 * Knows nothing of Python: libwsgi initialises it.  A library does not put the
 * current directory on sys.path; PYTHONPATH says where the module is, or
 * wsgi_python_init(), see venv_host.c.
 */
#include <signal.h>
#include <stdio.h>

#include <wsgi/wsgi.h>

static wsgi_server *server;

/* wsgi_server_stop() is one of the few functions that may be called here. */
static void
stop(int signal_number)
{
    (void)signal_number;
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
}

int
main(int argc, char **argv)
{
    const char *app = argc > 1 ? argv[1] : "wsgiapp:app";
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:8888";

    server = wsgi_server_new();
    if (wsgi_server_set_app(server, app) < 0 ||
        wsgi_server_bind(server, address) < 0 || wsgi_server_load(server) < 0)
        goto fail;

    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    printf("listening on http://%s/\n", wsgi_server_address(server, 0));
    fflush(stdout);

    if (wsgi_server_serve(server) < 0)
        goto fail;
    wsgi_server_free(server);
    return 0;

fail:
    fprintf(stderr, "hello: %s\n", wsgi_server_error(server));
    wsgi_server_free(server);
    return 1;
}
