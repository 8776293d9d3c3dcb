"""The limit of open files."""

import pytest
from harness import WSGID
from machine import APPS, is_served, needs


def limited(n_files):
    prlimit = ["prlimit", f"--nofile={n_files}:{n_files}"]
    needs(*prlimit, "true")
    return [*prlimit, WSGID]


def test_more_clients_than_files(serve):
    """They wait for each other; none is turned away."""
    server = serve("machine:app", cwd=APPS, command=limited(100))
    clients = [server.connect() for _ in range(150)]
    for client in clients:
        # Closed by whoever has its answer: that makes room for the next.
        client.send(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        assert client.response().body == b"hello"
        client.close()
    server.wait_log("worker-connections is 1000, but the limit of open files")
    assert is_served(server, "plain")


@pytest.mark.parametrize("n_files", [16, 64, 100])
def test_idle_connections_give_up_their_descriptors(serve, n_files):
    """The application has taken all others."""
    server = serve("machine:app", cwd=APPS, command=limited(n_files))
    with server.connect() as first, server.connect() as second:
        assert int(first.ask(path="/hog").body) > 0
        with server.connect() as late:
            assert late.ask(path="/plain").body == b"hello"
            assert first.rest() == b""
        assert second.ask(path="/free").body == b"freed"
    assert is_served(server, "plain")


def test_without_idle_connections_clients_are_turned_away(serve):
    server = serve("machine:app", cwd=APPS, command=limited(64))
    with server.connect() as first, server.connect() as second:
        assert int(first.ask(path="/hog").body) > 0
        # Known to be under way: it has answered 100.
        first.send(
            b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert first.response().status == 100
        with server.connect() as late:
            sorry = late.response()
            assert sorry.status == 503 and sorry.get("Retry-After")
        server.wait_log("cannot accept connections: Too many open files")
        assert second.ask(path="/free").body == b"freed"
        first.send(b"body")
        assert first.response().body == b"hello"
    assert is_served(server, "plain")
