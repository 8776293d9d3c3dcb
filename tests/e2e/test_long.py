"""Gigabytes, ten thousand connections, and patience: WSGI_LONG=1."""

import hashlib
import json
import resource
import subprocess
import sys
import threading
import time

import pytest
from harness import HERE, is_sanitized, request, wait_for

MIB = 1024 * 1024
GIB = 1024 * MIB
N_IDLE = 10_000

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(is_sanitized(), reason="memory is the sanitizer's"),
]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_of_1_gib(serve, framing):
    server = serve("uploads:app")
    block = bytes(range(256)) * 4096
    sha = hashlib.sha256()
    with server.connect() as client:
        if framing == "length":
            headers = [("Content-Length", str(GIB))]
            piece = block
        else:
            headers = [("Transfer-Encoding", "chunked")]
            piece = b"%x\r\n%s\r\n" % (len(block), block)
        client.send(request("POST", "/hash?sized_reads", headers))
        for _ in range(GIB // len(block)):
            sha.update(block)
            client.send(piece)
        if framing == "chunked":
            client.send(b"0\r\n\r\n")
        digest, total, length = json.loads(client.response().body)
    assert (digest, total, length) == (sha.hexdigest(), GIB, GIB)
    assert server.peak_resident() < 64 * MIB


@pytest.fixture
def sparse(tmp_path):
    """A file of 1 GiB that takes no room."""
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(GIB)
        file.seek(GIB // 2)
        file.write(b"the middle")
    return path


@pytest.mark.parametrize("path", ["/stream?1024", "/file"])
def test_download_of_1_gib(serve, sparse, path):
    server = serve("downloads:app", env={"E2E_FILE": str(sparse)})
    got, expected = hashlib.sha256(), hashlib.sha256()
    with server.connect() as client:
        client.send(request(path=path, version="1.0"))
        client.head()
        got.update(client.pending)
        while data := client.sock.recv(MIB):
            got.update(data)
    if path == "/file":
        with open(sparse, "rb") as file:
            while data := file.read(MIB):
                expected.update(data)
    else:
        block = bytes(range(256)) * 256
        for i in range(GIB // len(block)):
            expected.update(i.to_bytes(8, "big") + block[8:])
    assert got.hexdigest() == expected.hexdigest()
    assert server.peak_resident() < 64 * MIB


def test_10000_idle_connections(serve):
    """Kept alive after a request, at no more than 2 KiB each."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < N_IDLE + 500:
        pytest.skip("too few files allowed: see ulimit -Hn")
    server = serve(
        "echo:app", "--worker-connections", "12000", "--keep-alive", "10m"
    )
    # Buffers that come with the first requests are not the connections'.
    for _ in range(100):
        server.ask(path="/seen")
    before = server.private()
    crowd = subprocess.Popen(
        [sys.executable, HERE / "crowd.py", str(server.port), str(N_IDLE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        # Its only line comes when all are there.
        assert crowd.stdout.readline() == f"{N_IDLE}\n"
        per_connection = (server.private() - before) / N_IDLE
        assert server.ask(path="/seen").status == 200
        assert per_connection <= 2048
    finally:
        crowd.communicate(timeout=60)
    assert server.ask(path="/seen").status == 200


def test_reader_of_a_byte_a_second(serve):
    """It holds 100 MiB up, and nobody else."""
    server = serve("downloads:app", env={"E2E_FILE": "/dev/null"})
    done = threading.Event()

    def read(client):
        while not done.wait(1):
            client.sock.recv(1)

    with server.connect(receive_buffer=4096) as slow:
        slow.send(request(path="/stream?100"))
        slow.head()
        reader = threading.Thread(target=read, args=[slow])
        reader.start()
        try:
            answered, end = 0, time.monotonic() + 20
            with server.connect() as client:
                while time.monotonic() < end:
                    assert client.ask(path="/hello").body == b"hello"
                    answered += 1
        finally:
            done.set()
            reader.join()
        # A server that waits for the slow one answers one a second at most.
        assert answered > 200
        assert server.peak_resident() < 64 * MIB
    wait_for(lambda: server.ask(path="/hello").body == b"hello", "an answer")
