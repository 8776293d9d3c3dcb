/*
 * A program that says where Python finds things: a virtual environment, and a
 * folder in front of sys.path.
 *
 *     cc -o venv_host venv_host.c $(pkg-config --cflags --libs libwsgi)
 *     python3 -m venv venv && venv/bin/pip install flask
 *     ./venv_host [module:callable [address [venv [folder]]]]
 *
 * <wsgi/python.h> includes Python.h, whose folder is among the --cflags; the
 * program calls nothing of Python, so it is not linked with it.
 */
#include <wsgi/python.h>

#include <signal.h>
#include <stdio.h>

static wsgi_server *server;

static void
stop(int signal_number)
{
    (void)signal_number;
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
}

static int
start_python(const char *venv, const char *folder)
{
    char error[1024];
    const char *path[] = { folder, NULL };
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;

    config.venv = venv;
    config.path = path;
    int status = wsgi_python_init(&config, error, sizeof(error));
    if (status < 0)
        fprintf(stderr, "venv_host: %s\n", error);
    return status;
}

int
main(int argc, char **argv)
{
    const char *app = argc > 1 ? argv[1] : "flaskapp:app";
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:8888";
    const char *venv = argc > 3 ? argv[3] : "venv";
    const char *folder = argc > 4 ? argv[4] : "apps";

    if (start_python(venv, folder) < 0)
        return 1;
    server = wsgi_server_new();
    int status = wsgi_server_set_app(server, app);
    if (status == WSGI_OK)
        status = wsgi_server_bind(server, address);
    if (status == WSGI_OK)
        status = wsgi_server_load(server);
    if (status == WSGI_OK) {
        signal(SIGTERM, stop);
        signal(SIGINT, stop);
        printf("listening on http://%s/\n", wsgi_server_address(server, 0));
        fflush(stdout);
        status = wsgi_server_serve(server);
    }
    if (status < 0)
        fprintf(stderr, "venv_host: %s\n", wsgi_server_error(server));
    wsgi_server_free(server);
    wsgi_python_fini();
    return status < 0;
}
