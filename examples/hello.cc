/*
 * hello.c in C++17: a unique_ptr owns the server, errors are exceptions.
 *
 *     c++ -std=c++17 -o hello_cc hello.cc $(pkg-config --cflags --libs libwsgi)
 *     PYTHONPATH=apps ./hello_cc [module:callable [address]]
 */
#include <csignal>
#include <iostream>
#include <memory>
#include <stdexcept>

#include <wsgi/wsgi.h>

namespace
{

struct server_deleter {
    void
    operator()(wsgi_server *server) const noexcept
    {
        wsgi_server_free(server);
    }
};

using server_ptr = std::unique_ptr<wsgi_server, server_deleter>;

void
check(const server_ptr &server, int status)
{
    if (status < 0)
        throw std::runtime_error(wsgi_server_error(server.get()));
}

wsgi_server *running;

void
stop(int)
{
    wsgi_server_stop(running, WSGI_STOP_DRAIN);
}

} // namespace

int
main(int argc, char **argv)
try {
    server_ptr server{ wsgi_server_new() };
    check(server, wsgi_server_set_app(server.get(),
                                      argc > 1 ? argv[1] : "wsgiapp:app"));
    check(server, wsgi_server_bind(server.get(),
                                   argc > 2 ? argv[2] : "127.0.0.1:8888"));
    check(server, wsgi_server_load(server.get()));

    running = server.get();
    std::signal(SIGTERM, stop);
    std::signal(SIGINT, stop);
    std::cout << "listening on http://" << wsgi_server_address(running, 0)
              << "/" << std::endl;
    check(server, wsgi_server_serve(running));
} catch (const std::exception &error) {
    std::cerr << "hello: " << error.what() << '\n';
    return 1;
}
