"""Large responses, and clients that take their time over them."""

import hashlib
import random
import threading

import pytest
from harness import curl, is_sanitized, request, wait_for

MIB = 1024 * 1024
BLOCK = bytes(range(256)) * 256


def stream_digest(n_mib):
    sha = hashlib.sha256()
    for i in range(n_mib * MIB // len(BLOCK)):
        sha.update(i.to_bytes(8, "big") + BLOCK[8:])
    return sha.hexdigest()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A file of 50 MiB, and a bit: no multiple of anything."""
    path = tmp_path_factory.mktemp("download") / "content"
    block = random.Random(1).randbytes(MIB)
    with open(path, "wb") as file:
        for i in range(50):
            file.write(i.to_bytes(8, "big") + block[8:])
        file.write(b"a bit")
    return path


@pytest.fixture(
    scope="module", params=[False, True], ids=["plain", "validated"]
)
def server(request, serve_module, content):
    return serve_module(
        "downloads:app", validate=request.param, env={"E2E_FILE": str(content)}
    )


def digest_of(client, length):
    """Of so many bytes, without keeping them."""
    sha = hashlib.sha256(client.pending)
    length -= len(client.pending)
    client.pending = b""
    while length > 0:
        data = client.sock.recv(min(length, MIB))
        assert data, f"{length} bytes are missing"
        sha.update(data)
        length -= len(data)
    return sha.hexdigest()


def test_stream(server, http):
    with http.get(server.base_url + "/stream?50", stream=True) as answer:
        sha = hashlib.sha256()
        for block in answer.iter_content(MIB):
            sha.update(block)
    assert sha.hexdigest() == stream_digest(50)


def test_stream_by_curl_1_0(server):
    data = curl("--http1.0", server.base_url + "/stream?50")
    assert hashlib.sha256(data).hexdigest() == stream_digest(50)


def test_file(server, content, http):
    with http.get(server.base_url + "/file", stream=True) as answer:
        sha = hashlib.sha256()
        for block in answer.iter_content(MIB):
            sha.update(block)
    assert sha.hexdigest() == hashlib.sha256(content.read_bytes()).hexdigest()


def test_file_has_its_length(serve, content):
    server = serve("downloads:app", env={"E2E_FILE": str(content)})
    with server.connect() as client:
        client.send(request(path="/file") + request(path="/after"))
        head = client.head()
        size = content.stat().st_size
        assert head.get("Content-Length") == str(size)
        expected = hashlib.sha256(content.read_bytes()).hexdigest()
        assert digest_of(client, size) == expected
        assert client.response().body == b"hello"


@pytest.mark.parametrize("path", ["/stream?100", "/file"])
def test_slow_reader_disturbs_nobody(server, path):
    """It reads a byte now and then; 50 others are answered meanwhile."""
    with server.connect(receive_buffer=4096) as slow:
        slow.send(request(path=path))
        assert slow.sock.recv(1) == b"H"
        enough, taken = threading.Event(), []

        def read_slowly():
            while not enough.wait(0.05):
                taken.append(slow.sock.recv(1))

        reader = threading.Thread(target=read_slowly)
        reader.start()
        try:
            for _ in range(50):
                assert server.ask(path="/hello").body == b"hello"
            # Each of the two had its turn.
            wait_for(lambda: len(taken) >= 3, "three bytes")
            assert server.ask(path="/hello").body == b"hello"
        finally:
            enough.set()
            reader.join()
        assert b"H" + b"".join(taken) == b"HTTP/1.1 200 OK"[: len(taken) + 1]


def test_slow_reader_holds_the_application_back(serve, content):
    """What is not read is not produced, and not kept in memory."""
    server = serve("downloads:app", env={"E2E_FILE": str(content)})

    def produced():
        return int(server.ask(path="/produced").body)

    with server.connect(receive_buffer=4096) as slow:
        slow.send(request(path="/stream?20"))
        head = slow.head()
        wait_for(produced, "the first block")
        # Sockets take a few MiB of the 20, which are 320 blocks.
        for _ in range(20):
            assert produced() < 160
        if not is_sanitized():
            assert server.peak_resident() < 64 * MIB
        # Nothing is lost by having waited.
        body = slow.body_of(head).body
        assert hashlib.sha256(body).hexdigest() == stream_digest(20)


def test_blocks_that_were_written_are_given_back(server):
    """While the call lasts, whoever sends them has no business with Python."""
    body = server.ask(path="/written?100").body
    held = int(body[100 * MIB :])
    # On their way there may be 256 KiB, and what waits for the client, 1 MiB.
    assert held < 100


@pytest.mark.parametrize("path", ["/stream?50", "/file"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_leaves_in_the_middle(server, path, how):
    start = len(server.log())
    client = server.connect()
    client.send(request(path=path))
    client.take(3 * MIB)
    getattr(client, how)()
    assert server.ask(path="/hello").body == b"hello"
    assert "Traceback" not in server.log()[start:]


def test_many_downloads_at_once(server, content):
    expected = hashlib.sha256(content.read_bytes()).hexdigest()
    found = []

    def load():
        with server.connect() as client:
            client.send(request(path="/file", version="1.0"))
            client.head()
            sha = hashlib.sha256(client.pending)
            while data := client.sock.recv(MIB):
                sha.update(data)
            found.append(sha.hexdigest())

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
