/*
 * Several processes that serve, and one that looks after them.
 *
 *     cc -o prefork prefork.c $(pkg-config --cflags --libs libwsgi)
 *     PYTHONPATH=apps ./prefork [module:callable [address [workers]]]
 *
 * SIGTERM lets them finish, SIGHUP loads new code without a gap; a worker that
 * dies is replaced.  Python runs in the workers only.
 */
#include <stdio.h>
#include <stdlib.h>

#include <wsgi/supervisor.h>
#include <wsgi/wsgi.h>

/* In the worker: the server has been bound before the fork. */
static int
work(wsgi_worker *worker, void *user)
{
    wsgi_server *server = user;

    if (wsgi_server_set_worker(server, worker) < 0 ||
        wsgi_server_serve(server) < 0) {
        fprintf(stderr, "prefork: worker %u: %s\n", wsgi_worker_number(worker),
                wsgi_server_error(server));
        return 1;
    }
    wsgi_server_free(server);
    return 0;
}

/* In the supervisor, on its thread. */
static void
on_event(void *user, wsgi_supervisor_event event)
{
    wsgi_server **server = user;

    if (event == WSGI_SUPERVISOR_READY) {
        printf("listening on http://%s/\n", wsgi_server_address(*server, 0));
        fflush(stdout);
    } else if (event == WSGI_SUPERVISOR_STOPPING) {
        /* The workers have copies of the sockets. */
        wsgi_server_free(*server);
        *server = NULL;
    }
}

int
main(int argc, char **argv)
{
    wsgi_server *server = wsgi_server_new();
    wsgi_supervisor *supervisor = wsgi_supervisor_new();
    int workers = argc > 3 ? atoi(argv[3]) : 2;
    int status = 1;

    if (wsgi_server_set_app(server, argc > 1 ? argv[1] : "wsgiapp:app") < 0 ||
        wsgi_server_set_int(server, WSGI_OPT_MULTIPROCESS, workers > 1) < 0 ||
        wsgi_server_bind(server, argc > 2 ? argv[2] : "127.0.0.1:8888") < 0) {
        fprintf(stderr, "prefork: %s\n", wsgi_server_error(server));
        goto done;
    }
    wsgi_supervisor_set_event(supervisor, on_event, &server);
    if (wsgi_supervisor_set_int(supervisor, WSGI_SUPERVISOR_WORKERS, workers) <
            0 ||
        wsgi_supervisor_run(supervisor, work, server) < 0) {
        fprintf(stderr, "prefork: %s\n", wsgi_supervisor_error(supervisor));
        goto done;
    }
    status = 0;

done:
    wsgi_supervisor_free(supervisor);
    wsgi_server_free(server);
    return status;
}
