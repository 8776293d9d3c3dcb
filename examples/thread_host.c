/*
 * A program that does its own work and serves from a thread beside it.
 *
 *     cc -pthread -o thread_host thread_host.c $(pkg-config --cflags --libs libwsgi)
 *     PYTHONPATH=apps ./thread_host [module:callable [address]]
 *
 * The server belongs to the thread once that runs; wsgi_server_stop() alone may
 * be called from the others.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

static void *
serve(void *server)
{
    static int status;
    status = wsgi_server_serve(server);
    /* Wakes the main thread, whatever the reason was. */
    kill(getpid(), SIGTERM);
    return &status;
}

/* Here: waiting to be told to end.  Elsewhere: a window, a game, a meter. */
static void
do_own_work(const sigset_t *signals)
{
    int received;
    sigwait(signals, &received);
}

int
main(int argc, char **argv)
{
    wsgi_server *server = wsgi_server_new();
    pthread_t thread;
    sigset_t signals;
    void *result;

    if (wsgi_server_set_app(server, argc > 1 ? argv[1] : "wsgiapp:app") < 0 ||
        wsgi_server_bind(server, argc > 2 ? argv[2] : "127.0.0.1:8888") < 0 ||
        wsgi_server_load(server) < 0) {
        fprintf(stderr, "thread_host: %s\n", wsgi_server_error(server));
        wsgi_server_free(server);
        return 1;
    }
    /* Blocked before there are threads, so that each inherits it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    printf("listening on http://%s/\n", wsgi_server_address(server, 0));
    fflush(stdout);
    if (pthread_create(&thread, NULL, serve, server) != 0)
        return 1;
    do_own_work(&signals);
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
    pthread_join(thread, &result);

    int status = *(int *)result;
    if (status < 0)
        fprintf(stderr, "thread_host: %s\n", wsgi_server_error(server));
    wsgi_server_free(server);
    return status < 0;
}
