"""The reference programs answer rightly, however the bytes come."""

import socket
import subprocess
import time
from contextlib import contextmanager

import pytest
from conftest import BENCH, BUILD
from wire import Client, chunked, environment, free_port, request


@contextmanager
def floor(number, argument):
    """A client of a running floor."""
    port = free_port()
    command = [BUILD / "bench" / f"floor{number}", str(port), str(argument)]
    with subprocess.Popen(command, cwd=BENCH / "apps", env=environment()) as process:
        try:
            yield Client(connected(port, process))
        finally:
            assert process.poll() is None
            process.terminate()


def connected(port, process):
    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 30)
        except OSError:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)


def test_floor0_answers_with_the_file(tmp_path):
    (tmp_path / "body").write_bytes(b"a body")
    with floor(0, tmp_path / "body") as client:
        for n in (1, 2, 100):
            client.send(request(headers=[("X", "y" * n)]) * n)
            assert [client.response().body for _ in range(n)] == [b"a body"] * n
        for byte in request():
            client.send(bytes([byte]))
        assert client.response().body == b"a body"


POST = request("POST", body=b"x" * 100)
CHUNKED = request("POST", "/", [("Transfer-Encoding", "chunked")], chunked(b"x" * 30, b"y" * 70))


@pytest.mark.parametrize("text", [POST, CHUNKED], ids=["length", "chunked"])
def test_floor1_reads_bodies(text):
    with floor(1, "plain:upload") as client:
        for cut in range(1, len(text), 7):
            client.send(text[:cut])
            time.sleep(0.001)
            client.send(text[cut:])
            assert client.response().body == b"100"
        client.send(text * 5 + request())
        bodies = [client.response().body for _ in range(6)]
        assert bodies == [b"100"] * 5 + [b"0"]


def test_floor1_makes_an_environ(tmp_path):
    (tmp_path / "told.py").write_text(
        "from wsgiref.validate import validator\n"
        "def plain(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    told = {k: v for k, v in environ.items() if isinstance(v, str)}\n"
        "    return [repr(told).encode()]\n"
        "app = validator(plain)\n"
    )
    import ast

    port = free_port()
    command = [BUILD / "bench" / "floor1", str(port), "told:app"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment()) as process:
        client = Client(connected(port, process))
        headers = [("Content-Type", "a/b"), ("X-Two", "1"), ("x-two", "2"), ("Cookie", "a=b")]
        client.send(request("PUT", "/a%20b%2fc?d=%20", headers, b"body"))
        told = ast.literal_eval(client.response().body.decode())
        process.terminate()
    wanted = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "d=%20",
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "4",
        "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=b",
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": str(port),
    }
    assert {key: told.get(key) for key in wanted} == wanted


def test_floor1_does_not_wait_for_half_a_request():
    with floor(1, "plain:hello") as client:
        for cut in range(1, len(request())):
            client.send(request() * 3 + request()[:cut])
            assert [client.response().body for _ in range(3)] == [b"Hello, world!\n"] * 3
            client.send(request()[cut:])
            assert client.response().body == b"Hello, world!\n"


def test_floor1_closes_when_it_is_asked_to():
    with floor(1, "plain:hello") as client:
        client.send(request(headers=[("Connection", "close")]))
        answer = client.response()
        assert answer.get("Connection") == "close"
        assert client.rest() == b""
