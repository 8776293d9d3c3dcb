"""HTTP/1.1 on the wire: order, limits, times, refusals; the rows of the RFCs are
in tests/conformance."""

import json
import os
import re
import select
import time

import pytest
from harness import chunked, request, responses

LIMITS = [
    "--limit-request-line", "200",
    "--limit-request-fields", "10",
    "--limit-request-field-size", "300",
    "--limit-request-body", "1000",
]  # fmt: skip


@pytest.fixture(
    scope="module", params=[False, True], ids=["plain", "validated"]
)
def server(request, serve_module):
    return serve_module("echo:app", validate=request.param)


@pytest.fixture(scope="module")
def plain(serve_module):
    """For requests that the application never sees, or the validator would
    not have."""
    return serve_module("echo:app")


@pytest.fixture(scope="module")
def limited(serve_module):
    return serve_module("echo:app", *LIMITS)


def seen(server):
    """The paths that the application was called with."""
    return json.loads(server.ask(path="/seen").body)


def is_error_page(res, status):
    """What every answer of the server itself looks like."""
    assert res.status == status
    assert res.get("Connection") == "close"
    assert res.get("Content-Type").startswith("text/plain")
    assert res.get("Content-Length") == str(len(res.body))
    assert res.get("Date") and res.get("Server")
    assert res.body.startswith(b"%d " % status) and res.body.endswith(b"\n")
    return True


# ---- Connections -----------------------------------------------------------


def test_keep_alive(server):
    with server.connect() as client:
        for i in range(10):
            res = client.ask(path=f"/{i}")
            assert res.body == b"GET /%d" % i
            assert res.get("Connection") in (None, "keep-alive")


def test_close_is_honoured(server):
    with server.connect() as client:
        res = client.ask(headers=[("Connection", "close")])
        assert res.body == b"GET /" and res.get("Connection") == "close"
        assert client.rest() == b""


def test_pipelining(server):
    """Bodies of both framings between the requests; answers in order."""
    asked, expected = b"", []
    for i in range(16):
        text = b"body %d\r\n\r\nGET /smuggled HTTP/1.1\r\n" % i
        if i % 4 == 0:
            asked += request(path=f"/{i}")
            expected.append(b"GET /%d" % i)
        elif i % 4 == 1:
            asked += request("POST", "/echo", body=text)
            expected.append(text)
        elif i % 4 == 2:
            asked += request(
                "POST", "/echo", [("Transfer-Encoding", "chunked")],
                chunked(text[:7], text[7:]),
            )  # fmt: skip
            expected.append(text)
        else:
            asked += request(path="/stream")
            expected.append(b"one two three")
    with server.connect() as client:
        client.send(asked)
        assert [client.response().body for _ in expected] == expected
        assert client.ask(path="/next").body == b"GET /next"


@pytest.mark.parametrize("pipelined", [False, True])
def test_an_answer_does_not_wait_for_the_next_call(serve, tmp_path, pipelined):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    server = serve("lifecycle:app", "--threads", 1, env={"E2E_GATE": gate})
    asked = request(path="/gate")
    with server.connect() as first, server.connect() as other:
        first.send(asked)
        # Opens when the application has: what is sent now is there, all of
        # it, before the next call.
        with open(gate, "wb"):
            first.send(asked)
            (first if pipelined else other).send(asked)
        assert first.response().body == b"through the gate: "
        with open(gate, "wb"):
            time.sleep(0.05)  # short calls may share a turn
        ready, _, _ = select.select([first.sock, other.sock], [], [], 10)
        # The other call stands before the gate.
        with open(gate, "wb"):
            pass
        assert ready, "no answer before the next call is over"
        assert first.response().body == b"through the gate: "
        last = first if pipelined else other
        assert last.response().body == b"through the gate: "


def test_pipelined_answers_before_an_error(server):
    data = server.raw(request(path="/a") + b"GET / HTTP/1.1\r\n\r\n")
    (good, bad), left = responses(data, ["GET", "GET"])
    assert good.body == b"GET /a"
    assert is_error_page(bad, 400) and left == b""


# ---- HTTP/1.0 --------------------------------------------------------------


def test_http_1_0_closes(server):
    with server.connect() as client:
        assert client.ask(path="/x", version="1.0").body == b"GET /x"
        assert client.rest() == b""


def test_http_1_0_keep_alive(plain):
    """Plain: under the validator the length of a list is hidden."""
    with plain.connect() as client:
        for _ in range(3):
            res = client.ask(
                headers=[("Connection", "Keep-Alive")], version="1.0"
            )
            assert res.body == b"GET /"
            assert res.get("Connection").lower() == "keep-alive"


def test_unknown_length_is_chunked_on_1_1(server):
    with server.connect() as client:
        for _ in range(2):
            res = client.ask(path="/stream")
            assert res.chunked and res.body == b"one two three"


@pytest.mark.parametrize("wish", ["keep-alive", "close"])
def test_unknown_length_ends_with_the_connection_on_1_0(server, wish):
    with server.connect() as client:
        client.send(request(path="/stream", headers=[("Connection", wish)], version="1.0"))
        res = client.response()
        assert not res.chunked and res.get("Content-Length") is None
        assert res.body == b"one two three"


# ---- Requests of every form ------------------------------------------------


def test_head(server):
    with server.connect() as client:
        for path in ("/echo", "/stream"):
            client.send(request("HEAD", path) + request("GET", path))
            head, get = client.response("HEAD"), client.response()
            assert head.status == get.status == 200
            length = get.get("Content-Length")
            assert head.get("Content-Length") in (None, length)


def test_chunked_request(server):
    blocks = [b"x", b"\r\n0\r\n\r\n", bytes(range(256)) * 100, b"end"]
    with server.connect() as client:
        for _ in range(2):
            res = client.ask(
                "POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(*blocks)
            )
            assert res.body == b"".join(blocks)


# ---- Expect ----------------------------------------------------------------


@pytest.mark.parametrize(
    "framing, body",
    [
        (("Content-Length", "5"), b"hello"),
        (("Transfer-Encoding", "chunked"), chunked(b"hello")),
    ],
    ids=["length", "chunked"],
)
def test_continue(server, framing, body):
    headers = [("Expect", "100-continue"), framing]
    with server.connect() as client:
        for _ in range(2):
            client.send(request("POST", "/echo", headers))
            interim = client.response()
            assert interim.status == 100 and interim.headers == []
            client.send(body)
            res = client.response()
            assert (res.status, res.body) == (200, b"hello")


NO_CONTINUE = {
    "without-body": request(path="/x", headers=[("Expect", "100-continue")]),
    "empty-body": request(
        "POST", "/x", [("Expect", "100-continue"), ("Content-Length", "0")]
    ),
    "http-1.0": request(
        "POST", "/x", [("Expect", "100-continue")], b"hello", version="1.0"
    ),
}


@pytest.mark.parametrize("case", NO_CONTINUE)
def test_no_continue(server, case):
    with server.connect() as client:
        client.send(NO_CONTINUE[case])
        res = client.response()
        assert res.status == 200 and res.body.endswith(b" /x")


def test_unknown_expectation(server):
    asked = request("POST", "/never", [("Expect", "200-ok")], b"hello")
    (res,), left = responses(server.raw(asked))
    assert is_error_page(res, 417) and left == b""
    assert "/never" not in seen(server)


def test_no_continue_before_413(limited):
    headers = [("Expect", "100-continue"), ("Content-Length", "1001")]
    (res,), left = responses(limited.raw(request("POST", "/never", headers)))
    assert is_error_page(res, 413) and left == b""
    assert "/never" not in seen(limited)


# ---- Refused ---------------------------------------------------------------


def head(*lines, line=b"POST /evil HTTP/1.1", host=b"Host: a\r\n"):
    return line + b"\r\n" + host + b"".join(x + b"\r\n" for x in lines) + b"\r\n"


def line(text):
    return head(line=text)


def coded(value, version=b"1.1"):
    return (
        head(b"Transfer-Encoding: " + value, line=b"POST /evil HTTP/" + version)
        + b"0\r\n\r\n"
    )


def sized(value):
    return head(b"Content-Length: " + value) + b"abc"


def hosted(value):
    return head(host=b"Host: " + value + b"\r\n")


def chunks(body):
    return head(b"Transfer-Encoding: chunked") + body


# What the page and the log of a refusal look like, once for each part of the
# parser.  All that is refused is in tests/conformance.
MALFORMED = {
    "line-end": (400, b"GET /evil HTTP/1.1\nHost: a\r\n\r\n"),
    "target": (400, line(b"GET /evil\x1b[31m HTTP/1.1")),
    "version": (505, line(b"GET /evil HTTP/2.0")),
    "method": (501, line(b"CONNECT a:443 HTTP/1.1")),
    "field": (400, head(b"A: \x1b[31m")),
    "8-bit-name": (400, head(b"A\xe9: c")),
    "host": (400, hosted(b"a/b")),
    "coding": (501, coded(b"xchunked")),
    "length": (400, sized(b"+3")),
    "chunk": (400, chunks(b"g\r\nabc\r\n0\r\n\r\n")),
    "extension": (400, chunks(b"3;a\x01\r\nabc\r\n0\r\n\r\n")),
    "trailer": (400, chunks(b"0\r\nA: b\r\n c\r\n\r\n")),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(plain, case):
    """One error page, then the end: what follows is never a request."""
    status, data = MALFORMED[case]
    smuggled = request(path=f"/smuggled/{case}")
    log = len(plain.log())
    (res,), left = responses(plain.raw(data + smuggled))
    assert res.status in (status if isinstance(status, tuple) else (status,))
    assert is_error_page(res, res.status)
    assert left == b""
    called = seen(plain)
    assert "/evil" not in called and f"/smuggled/{case}" not in called
    assert not re.search(r"[^\n\t\x20-\x7e]", plain.log()[log:])


def test_error_is_logged_with_its_reason(plain):
    start = len(plain.log())
    plain.raw(head(b"A: \x1b[31mred"))
    match = plain.wait_log(r"^.*\b400\b.*$", start)
    assert re.search(r"control|value|header", match[0], re.IGNORECASE), match[0]


# ---- Limits ----------------------------------------------------------------

OVER = {
    "request-line": (414, request(path="/" + "x" * 200)),
    "query": (414, request(path="/?" + "x" * 200)),
    "endless-request-line": (414, b"GET /" + b"x" * 5000),
    "field": (431, request(headers=[("A", "b" * 301)])),
    "field-name": (431, request(headers=[("A" * 301, "b")])),
    "endless-field": (431, b"GET / HTTP/1.1\r\nHost: a\r\nB: " + b"x" * 5000),
    "fields": (431, request(headers=[(f"A{i}", "b") for i in range(10)])),
    "length": (413, request("POST", "/never", [("Content-Length", "1001")])),
    "huge-length": (413, request("POST", "/never", [("Content-Length", "9" * 18)])),
    "chunked-total": (
        413, request("POST", "/never", [("Transfer-Encoding", "chunked")],
                     chunked(*[b"x" * 100] * 11))),
    "chunk-size": (
        413, request("POST", "/never", [("Transfer-Encoding", "chunked")], b"3e9\r\n")),
}  # fmt: skip


@pytest.mark.parametrize("case", OVER)
def test_over_the_limit(limited, case):
    """Answered before the rest arrives: none of these is complete."""
    status, data = OVER[case]
    (res,), left = responses(limited.raw(data))
    assert is_error_page(res, status) and left == b""
    assert "/never" not in seen(limited)


WITHIN = {
    "request-line": (request(path="/" + "x" * 180), 185),
    "field": (request(headers=[("A", "b" * 290)]), 5),
    "fields": (request(headers=[(f"A{i}", "b") for i in range(9)]), 5),
    "length": (request("POST", "/echo", body=b"x" * 1000), 1000),
    "chunked": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                chunked(*[b"x" * 100] * 10)), 1000),
}  # fmt: skip


@pytest.mark.parametrize("case", WITHIN)
def test_within_the_limit(limited, case):
    data, length = WITHIN[case]
    with limited.connect() as client:
        client.send(data)
        res = client.response()
        assert (res.status, len(res.body)) == (200, length)


def test_413_for_a_body_that_is_sent_nevertheless(limited):
    """The page arrives although the client goes on sending: no reset."""
    data = request("POST", "/never", body=b"x" * 60000)
    (res,), left = responses(limited.raw(data))
    assert is_error_page(res, 413) and left == b""


# ---- Time ------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, data",
    [
        ("--header-timeout", b"GET / HTTP/1.1\r\nHost: a\r\n"),
        ("--header-timeout", b"G"),
        ("--body-timeout", request("POST", "/never", [("Content-Length", "9")]) + b"a"),
        (
            "--body-timeout",
            request("POST", "/never", [("Transfer-Encoding", "chunked")]) + b"3\r\na",
        ),
    ],
    ids=["head", "first-byte", "body", "chunked"],
)
def test_slow_request(serve, option, data):
    server = serve("echo:app", option, "1")
    started = time.monotonic()
    (res,), left = responses(server.raw(data))
    assert time.monotonic() - started > 0.9
    assert is_error_page(res, 408) and left == b""
    assert seen(server) == []


def test_header_timeout_is_for_the_whole_head(serve):
    """A byte now and then does not prolong it."""
    server = serve("echo:app", "--header-timeout", "1")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.sock.settimeout(0.2)
        for _ in range(100):
            try:
                client.send(b"A: b\r\n")
                if client.more():
                    break
            except TimeoutError:
                pass
        client.sock.settimeout(10)
        assert client.response().status == 408


def test_keep_alive_ends_silently(serve):
    server = serve("echo:app", "--keep-alive", "1")
    with server.connect() as client:
        client.ask()
        client.ask()
        started = time.monotonic()
        assert client.rest() == b""
        assert time.monotonic() - started > 0.9


def test_keep_alive_0_closes_each(serve):
    server = serve("echo:app", "--keep-alive", "0")
    for version in ("1.1", "1.0"):
        with server.connect() as client:
            res = client.ask(headers=[("Connection", "keep-alive")], version=version)
            assert res.body == b"GET /" and res.get("Connection") == "close"
            assert client.rest() == b""


def test_durations_have_units(serve):
    server = serve("echo:app", "--header-timeout", "300ms")
    (res,), _ = responses(server.raw(b"GET /"))
    assert res.status == 408
