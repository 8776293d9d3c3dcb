"""What many requests leave behind: nothing.  100,000 with WSGI_LONG=1."""

import os

import pytest
from harness import is_sanitized, request
from machine import APPS, BLOCK, EXCHANGES

N_REQUESTS = 100_000 if os.environ.get("WSGI_LONG") == "1" else 5_000
KIB = 1024
# Of memory that malloc() has, and nobody: it differs from run to run.
SLACK = 512 * KIB
BATCH = 10

UPLOAD = request("POST", "/upload", body=BLOCK)


def kept(data):
    """On one connection, some of them pipelined."""

    def run(server, n):
        with server.connect() as client:
            for _ in range(n // BATCH):
                client.send(data * BATCH)
                for _ in range(BATCH):
                    assert client.response().status == 200

    return run


def spooled(server, n):
    for _ in range(n // BATCH):
        with server.connect() as client:
            for name in ("upload", "chunked"):
                client.send(EXCHANGES[name][0])
                assert client.response().body == EXCHANGES[name][1]


def failing(path, status):
    def run(server, n):
        for _ in range(n):
            with server.connect() as client:
                client.send(request(path=path))
                assert client.head().status == status

    return run


def refused(server, n):
    for _ in range(n):
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
            assert client.response().status == 400


def disconnected(server, n):
    """In the head, in the body, and while the answer is sent."""
    stages = [
        b"GET /pla", UPLOAD[:-1000], request(path="/stream"), request(path="/file"),
        request(path="/write"),
    ]  # fmt: skip
    for i in range(n):
        client = server.connect(receive_buffer=4096)
        client.send(stages[i % len(stages)])
        client.reset()


KINDS = {
    "plain": kept(request(path="/plain")),
    "streamed": kept(request(path="/tokens")),
    "uploaded": kept(UPLOAD),
    "spooled": spooled,
    "file": kept(request(path="/small-file")),
    "write": kept(request(path="/tokens-by-write")),
    "failing": failing("/fails", 500),
    "failing-later": failing("/fails-later", 200),
    "refused": refused,
    "disconnected": disconnected,
}
# Connections take longer than requests.
N_OF = {name: N_REQUESTS // (1 if name in ("plain", "streamed") else 10) for name in KINDS}


def state(server):
    """Once nothing is under way: objects of Python, open files, memory."""
    objects = int(server.ask(path="/objects").body)
    files = len(os.listdir(f"/proc/{server.pid}/fd"))
    return objects, files, server.resident()


@pytest.mark.parametrize("kind", KINDS)
def test_leaks(serve, tmp_path, kind):
    server = serve(
        "machine:app", "--body-spool-size", "128k", "--access-logfile", "/dev/null",
        cwd=APPS, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    run = KINDS[kind]
    run(server, max(N_OF[kind] // 5, 200))
    objects, files, resident = settled(server)
    run(server, N_OF[kind])
    after = settled(server)
    assert after[:2] == (objects, files)
    assert list(tmp_path.iterdir()) == []
    if not is_sanitized():
        assert after[2] - resident <= SLACK


def settled(server):
    """Connections that were reset are gone when those that came later are
    answered."""
    for _ in range(3):
        found = state(server)
    return found
