/*
 * A program with an event loop of its own: the server is one descriptor in it.
 *
 *     cc -o own_loop own_loop.c $(pkg-config --cflags --libs libwsgi)
 *     PYTHONPATH=apps ./own_loop [module:callable [address]]
 *
 * The loop here is poll(), and its other work a timer; with epoll, libuv or
 * GLib it is the same: watch wsgi_server_fd() for readability, level-triggered,
 * and call wsgi_server_dispatch() when it is.  Timeouts are inside the
 * descriptor, so the loop needs to know of its own ones only.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <wsgi/wsgi.h>

static wsgi_server *server;

static void
stop(int signal_number)
{
    (void)signal_number;
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
}

static long
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
run(void)
{
    struct pollfd watched = { .fd = wsgi_server_fd(server), .events = POLLIN };
    long next_tick = now_ms() + 1000;
    int ticks = 0, status;

    do {
        long wait = next_tick - now_ms();
        poll(&watched, 1, wait > 0 ? (int)wait : 0);
        if (now_ms() >= next_tick) {
            next_tick += 1000;
            fprintf(stderr, "tick %d\n", ++ticks);
        }
        status = wsgi_server_dispatch(server, 0);
    } while (status == WSGI_OK);
    return status;
}

int
main(int argc, char **argv)
{
    int status = WSGI_OK;

    server = wsgi_server_new();
    if (wsgi_server_set_app(server, argc > 1 ? argv[1] : "wsgiapp:app") < 0 ||
        wsgi_server_bind(server, argc > 2 ? argv[2] : "127.0.0.1:8888") < 0 ||
        wsgi_server_start(server) < 0)
        status = -1;

    if (status == WSGI_OK) {
        signal(SIGTERM, stop);
        signal(SIGINT, stop);
        printf("listening on http://%s/\n", wsgi_server_address(server, 0));
        fflush(stdout);
        status = run();
    }
    if (status < 0)
        fprintf(stderr, "own_loop: %s\n", wsgi_server_error(server));
    wsgi_server_free(server);
    return status == WSGI_STOPPED ? 0 : 1;
}
