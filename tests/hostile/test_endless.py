"""What never ends is refused while it is small, and its connection closed."""

import pytest
from harness import TIMEOUT, request
from watch import HERE, KIB, MIB, at_rest, bounded_memory, is_well

# No more than the server drops behind a refusal: all of it can be sent before
# the answer is read, without a reset on the way.
ENOUGH = 60 * KIB

LINE = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDED = CHUNKED + b"1\r\na\r\n0\r\n"

# Name, how it begins, how it goes on, and the answer.
ENDLESS = [
    ("empty lines", b"", b"\r\n", 400),
    ("method", b"", b"G", 414),
    ("target", b"GET /", b"a", 414),
    ("query", b"GET /?", b"a=%20&", 414),
    ("absolute target", b"GET http://", b"a", 414),
    ("version", b"GET / HTTP/1.1", b"1", 400),
    ("leading blanks", b"", b" ", 400),
    ("zeros", b"", b"\0", 400),
    ("line feeds", b"", b"\n", 400),
    ("field name", LINE, b"a", 431),
    ("field value", LINE + b"a: ", b"a", 431),
    ("blanks before a value", LINE + b"a:", b" ", 431),
    ("blanks after a value", LINE + b"a: b", b" ", 431),
    ("fields", LINE, b"a: b\r\n", 431),
    ("fields of one name", LINE, b"Cookie: a=b\r\n", 431),
    ("empty fields", LINE, b"a:\r\n", 431),
    ("folded field", LINE + b"a: b", b"\r\n c", 400),
    ("length", LINE + b"Content-Length: ", b"0", 431),
    ("chunk size", CHUNKED, b"0", 400),
    ("chunk size of digits", CHUNKED, b"1", 400),
    ("chunk extension", CHUNKED + b"1;", b"a", 400),
    ("chunk extensions", CHUNKED + b"1", b";a=b", 400),
    ("chunks with extensions", CHUNKED, b"1;abc\r\na\r\n", 400),
    ("trailer name", ENDED, b"a", 400),
    ("trailer value", ENDED + b"a: ", b"a", 400),
    ("trailers", ENDED, b"a: b\r\n", 400),
    ("tiny chunks", CHUNKED, b"1\r\na\r\n", 413),
]


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("app:app", "--limit-request-body", "2k", cwd=HERE)


@pytest.fixture(scope="module")
def base(server):
    """Its descriptors when nobody is there."""
    return at_rest(server)


def endless(start, unit):
    return (start + unit * ENOUGH)[:ENOUGH]


@pytest.mark.parametrize("after", [b"", request()], ids=["first", "second"])
@pytest.mark.parametrize(
    ("start", "unit", "status"),
    [pytest.param(*row[1:], id=row[0]) for row in ENDLESS],
)
def test_is_refused(server, start, unit, status, after):
    with server.connect() as client:
        client.send(after + endless(start, unit))
        if after:
            assert client.response().body == b"hello"
        refusal = client.response()
        assert refusal.status == status
        assert refusal.get("Connection") == "close"
        assert client.rest() == b""
    assert server.ask().body == b"hello"


def send_on(client, unit):
    """For as long as the server lets the client."""
    piece = unit * (64 * KIB // len(unit))
    for _ in range(640):
        try:
            client.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return
    raise AssertionError("sending never ends")


CUT_OFF = ["empty lines", "target", "field value", "fields", "trailers", "tiny chunks"]


@pytest.mark.parametrize(
    ("start", "unit"),
    [pytest.param(*row[1:3], id=row[0]) for row in ENDLESS if row[0] in CUT_OFF],
)
def test_sender_is_cut_off(server, base, start, unit):
    """One that never looks at the answer; the kernel takes some MiB as well."""
    memory = server.resident()
    with server.connect() as client:
        client.send(start)
        send_on(client, unit)
        bounded_memory(server, memory, MIB)
    is_well(server, base)


def test_many_tiny_chunks(serve):
    """They are allowed, and what they carry is all that is kept."""
    server = serve("app:app", cwd=HERE)
    assert server.ask().body == b"hello"
    memory = server.resident()
    with server.connect() as client:
        client.send(CHUNKED + b"1\r\na\r\n" * 300_000)
        bounded_memory(server, memory, 2 * MIB)
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"300000"


@pytest.mark.parametrize("name", ["head", "body"])
def test_trickle_is_refused(serve, name):
    """A byte now and then does not keep a head alive, nor silence a body."""
    server = serve("app:app", "--header-timeout=1", "--body-timeout=1", cwd=HERE)
    starts = {"head": LINE + b"a: ", "body": CHUNKED + b"ff\r\n"}
    with server.connect() as client:
        client.send(starts[name])
        client.sock.settimeout(0.1)
        for _ in range(int(TIMEOUT / 0.1)):
            if name == "head":
                client.send(b"a")
            try:
                if client.more():
                    break
            except TimeoutError:
                pass
        client.sock.settimeout(TIMEOUT)
        assert client.response().status == 408
        assert client.rest() == b""
