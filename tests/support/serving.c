/* Python.h wants to come first. */
#include <wsgi/python.h>

#include "support/serving.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/python.h"

#define LONGEST 65535

static void
quiet(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    (void)level;
    (void)entry;
}

wsgi_server *
serving_new(const char *source)
{
    PyObject *module = python_module("served", source);
    PyObject *app = python_get(module, "app");
    wsgi_server *server = wsgi_server_new();
    cr_assert_not_null(server);
    wsgi_server_set_log(server, WSGI_LOG_ERROR, quiet, NULL);
    cr_assert_eq(wsgi_server_set_app_object(server, app), WSGI_OK, "%s",
                 wsgi_server_error(server));
    Py_DECREF(app);
    Py_DECREF(module);
    cr_assert_eq(wsgi_server_bind(server, "127.0.0.1:0"), WSGI_OK, "%s",
                 wsgi_server_error(server));
    return server;
}

int
serving_connect(const wsgi_server *server)
{
    const char *address = wsgi_server_address(server, 0);
    struct sockaddr_in sa = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

char *
serving_read(int fd)
{
    char *text = calloc(1, LONGEST + 1);
    size_t len = 0;
    cr_assert_not_null(text);
    for (ssize_t n;
         len < LONGEST && (n = read(fd, text + len, LONGEST - len)) > 0;)
        len += (size_t)n;
    close(fd);
    return text;
}

char *
serving_ask(const wsgi_server *server, const char *target)
{
    int fd = serving_connect(server);
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            target);
    return serving_read(fd);
}
