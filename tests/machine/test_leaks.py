"""What many requests leave behind: nothing.  100,000 with WSGI_LONG=1."""

import ctypes
import os
import time

import pytest
from harness import is_sanitized, request, wait_for
from machine import APPS, BLOCK, EXCHANGES

LONG = os.environ.get("WSGI_LONG") == "1"
KIB = 1024
# Of memory that malloc() has, and nobody: it differs from run to run.
SLACK = 512 * KIB
BATCH = 10
# What a connection has sent is remembered, of up to 512 of them: the dict that
# environ starts from.  A leak would be one for each request.
REMEMBERED = 1
PR_SET_THP_DISABLE = 41  # linux/prctl.h

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


def number_of(kind):
    """A connection for each takes longer than requests on one."""
    if LONG:
        return 100_000
    return 5_000 if kind in ("plain", "streamed") else 500


def open_files(server):
    return len(os.listdir(f"/proc/{server.worker_pid}/fd"))


def objects_of(server):
    """Of Python's, once connections that came before are gone."""
    for _ in range(3):
        objects = int(server.ask(path="/objects").body)
    return objects


@pytest.fixture
def small_pages():
    """For processes that are started now.

    Where huge pages are for everybody, the kernel puts one in the place of a
    few small ones whenever it comes by: 2 MiB that nobody asked for.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    yield
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", KINDS)
def test_leaks(serve, tmp_path, kind):
    # Each thread that comes to call has objects of its own: there is one.
    server = serve(
        "machine:app", "--threads", "1", "--body-spool-size", "128k", "--access-logfile", "/dev/null",
        cwd=APPS, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    run = KINDS[kind]
    server.ask(path="/file")  # makes a file that stays
    run(server, max(number_of(kind) // 5, 200))
    objects, resident = objects_of(server), server.resident()
    # Clients close before the server knows.
    files = min(open_files(server) for _ in range(20) if not time.sleep(0.01))
    run(server, number_of(kind))
    assert objects_of(server) - objects <= REMEMBERED
    wait_for(lambda: open_files(server) == files, f"{files} open files")
    assert list(tmp_path.iterdir()) == []
    if not is_sanitized():
        assert server.resident() - resident <= SLACK
