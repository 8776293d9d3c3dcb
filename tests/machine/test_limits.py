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
def test_application_takes_all_files(serve, n_files):
    """Accepting rests, connections that are there are served, and the others
    once there are descriptors."""
    server = serve("machine:app", cwd=APPS, command=limited(n_files))
    with server.connect() as first, server.connect() as second:
        assert int(first.ask(path="/hog").body) > 0
        late = server.connect()
        late.send(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.ask(path="/plain").body == b"hello"
        server.wait_log("cannot accept a connection: Too many open files")
        assert second.ask(path="/free").body == b"freed"
        assert late.response().body == b"hello"
        late.close()
