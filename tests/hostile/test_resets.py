"""Clients that crash, or vanish, wherever they are."""

import select

import pytest
from harness import request
from watch import HERE, MIB, all_closed, at_rest, is_well

HEAD = b"POST /length HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TIMES = 20


def read_some(client):
    """Until the response streams."""
    client.more()


def read_answer(client):
    client.response()


def read_continue(client):
    assert client.response().status == 100


def read_refusal(client):
    """The server lingers now: it has said all, and waits for the client."""
    assert client.response().status == 400
    assert client.rest() == b""


def nothing(client):
    pass


# Where the client is: what it sent, and what it read before it leaves.
STATES = {
    "accepted": (b"", nothing),
    "first byte": (b"G", nothing),
    "head": (HEAD, nothing),
    "head is complete": (HEAD + b"Content-Length: 9\r\n\r\n", nothing),
    "100 is out": (
        HEAD + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        read_continue,
    ),
    "body": (HEAD + b"Content-Length: 9\r\n\r\n12345", nothing),
    "body in a file": (
        HEAD + b"Content-Length: 999999\r\n\r\n" + bytes(700_000),
        nothing,
    ),
    "chunk size": (CHUNKED + b"5", nothing),
    "chunk": (CHUNKED + b"5\r\n123", nothing),
    "trailer": (CHUNKED + b"5\r\n12345\r\n0\r\nX: y", nothing),
    "request is complete": (request(), nothing),
    "between requests": (request(), read_answer),
    "second head": (request() + HEAD, read_answer),
    "pipelined": (request(path="/number?1") * 200, nothing),
    "pipelined after a stream": (request(path="/generator") * 3, read_some),
    "generator": (request(path="/generator"), nothing),
    "generator streams": (request(path="/generator"), read_some),
    "list": (request(path="/list"), read_some),
    "file": (request(path="/file"), nothing),
    "file streams": (request(path="/file"), read_some),
    "linger": (b"nonsense\r\n\r\n", read_refusal),
    "refused": (b"nonsense\r\n\r\n", nothing),
}


def start(serve, tmp_path, *options):
    path = tmp_path / "big"
    with open(path, "wb") as file:
        file.truncate(16 * MIB)
    server = serve("app:app", *options, cwd=HERE, env={"HOSTILE_FILE": str(path)})
    return server


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_client_leaves(serve, tmp_path, leave):
    """In every state, often enough for each order of events on two sides."""
    server = start(serve, tmp_path)
    base = at_rest(server)
    for name, (data, read) in STATES.items():
        for _ in range(TIMES):
            with server.connect(receive_buffer=4096) as client:
                client.send(data)
                read(client)
                getattr(client, leave)()
        try:
            is_well(server, base)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
    # How many were called at all is a matter of who was faster.
    all_closed(server)


def test_clients_leave_while_queued(serve, tmp_path):
    """Their requests lie in the kernel while the application is at work."""
    server = start(serve, tmp_path)
    base = at_rest(server)
    for path in ["/", "/generator", "/list", "/file"]:
        with server.connect() as busy:
            busy.send(request(path="/busy?0.2"))
            crowd = [server.connect(receive_buffer=4096) for _ in range(50)]
            for client in crowd:
                client.send(request(path=path))
            for client in crowd:
                client.reset()
            assert busy.response().body == b"hello"
        is_well(server, base)
    all_closed(server)


def test_clients_vanish(serve, tmp_path):
    """No FIN, no RST: they say nothing any more, and read nothing."""
    limits = ["header", "body", "write"]
    options = [f"--{name}-timeout=1" for name in limits] + ["--keep-alive=1"]
    server = start(serve, tmp_path, *options)
    base, crowd = at_rest(server), []
    try:
        for data, read in STATES.values():
            client = server.connect(receive_buffer=4096)
            client.send(data)
            read(client)
            crowd.append(client)
        assert server.ask().body == b"hello"
        # They are still there, as far as the server can know.
        is_well(server, base)
    finally:
        for client in crowd:
            client.close()
    all_closed(server)


def test_reset_under_the_ordinary(serve, tmp_path):
    """One connection is served while others around it crash."""
    server = start(serve, tmp_path)
    base = at_rest(server)
    with server.connect() as client:
        for data, _ in STATES.values():
            crowd = [server.connect(receive_buffer=4096) for _ in range(10)]
            for other in crowd:
                other.send(data)
            assert client.ask().body == b"hello"
            for other in crowd:
                other.reset()
            assert client.ask().body == b"hello"
        assert not select.select([client.sock], [], [], 0)[0]
    is_well(server, base)
    all_closed(server)
