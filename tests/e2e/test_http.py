"""HTTP/1.1 on the wire: framing, order, limits, times, and refusals."""

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


def test_close_among_other_options(server):
    with server.connect() as client:
        res = client.ask(headers=[("Connection", "foo, Close ,bar")])
        assert res.get("Connection") == "close"
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
    server = serve("lifecycle:app", env={"E2E_GATE": gate})
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


def test_pipelining_ends_with_close(server):
    last = request(path="/last", headers=[("Connection", "close")])
    data = server.raw(request(path="/a") + last + request(path="/after"))
    found, left = responses(data, ["GET", "GET"])
    assert [res.body for res in found] == [b"GET /a", b"GET /last"]
    assert left == b""
    assert "/after" not in seen(server)


def test_pipelined_answers_before_an_error(server):
    data = server.raw(request(path="/a") + b"GET / HTTP/1.1\r\n\r\n")
    (good, bad), left = responses(data, ["GET", "GET"])
    assert good.body == b"GET /a"
    assert is_error_page(bad, 400) and left == b""


def test_every_byte_on_its_own(server):
    whole = request("POST", "/echo", body=b"hello") + request(
        "POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(b"ab", b"c")
    )
    with server.connect() as client:
        for i in range(len(whole)):
            client.send(whole[i : i + 1])
        assert client.response().body == b"hello"
        assert client.response().body == b"abc"


def test_half_closed_client_gets_its_answer(server):
    data = server.raw(request("POST", "/echo", body=b"abc"), half_close=True)
    (res,), left = responses(data)
    assert res.body == b"abc" and left == b""


# ---- HTTP/1.0 --------------------------------------------------------------


def test_http_1_0_closes(server):
    with server.connect() as client:
        assert client.ask(path="/x", version="1.0").body == b"GET /x"
        assert client.rest() == b""


def test_http_1_0_needs_no_host(server):
    (res,), _ = responses(server.raw(b"GET /x HTTP/1.0\r\n\r\n"))
    assert res.body == b"GET /x"


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


ODD_BUT_GOOD = {
    "leading-empty-lines": (b"\r\n\r\n" + request(path="/x"), b"GET /x"),
    "http-1.2": (request(path="/x", version="1.2"), b"GET /x"),
    "unknown-method": (request("BREW", "/x"), b"BREW /x"),
    "lower-case-method": (request("get", "/x"), b"get /x"),
    "strange-method": (request("M-SEARCH", "/x"), b"M-SEARCH /x"),
    "patch-with-body": (request("PATCH", "/echo", body=b"ab"), b"ab"),
    "get-with-body": (request("GET", "/echo", body=b"ab"), b"ab"),
    "absolute-form": (request(path="http://other/x?y=1"), b"GET /x"),
    "absolute-form-without-path": (request(path="http://other"), b"GET /"),
    "empty-host": (request(path="/x", headers=[("Host", "")]), b"GET /x"),
    "host-with-port": (request(path="/x", headers=[("Host", "[::1]:80")]), b"GET /x"),
    "no-blank-after-colon": (b"GET /x HTTP/1.1\r\nHost:a\r\nB:c\r\n\r\n", b"GET /x"),
    "blanks-around-value": (
        b"GET /x HTTP/1.1\r\nHost: \t a \t\r\nB:\t \r\n\r\n", b"GET /x"),
    "8-bit-value": (request(path="/x", headers=[("A", "\xe9\xff")]), b"GET /x"),
    "percent-without-hex": (request(path="/%zz"), b"GET /%zz"),
    "websocket-upgrade": (
        request(path="/x", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]), b"GET /x"),
    "h2c-upgrade": (
        request(path="/x", headers=[("Connection", "Upgrade, HTTP2-Settings"),
                ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]), b"GET /x"),
    "upgrade-with-body": (
        request("POST", "/echo", [("Connection", "upgrade"), ("Upgrade", "x")], b"ab"),
        b"ab"),
    "chunked-empty": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")], chunked()), b""),
    "chunked-case": (
        request("POST", "/echo", [("Transfer-Encoding", "Chunked")], chunked(b"ab")),
        b"ab"),
    "chunk-size-with-zeros": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                b"0002\r\nab\r\n000\r\n\r\n"), b"ab"),
    "chunk-size-in-both-cases": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2),
    "chunk-extensions-are-dropped": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                b'2;a;b=c;d="e f"\r\nab\r\n0;z\r\n\r\n'), b"ab"),
    "trailers-are-dropped": (
        request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                b"2\r\nab\r\n0\r\nX-Trailer: 1\r\nContent-Length: 9\r\n\r\n"), b"ab"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_BUT_GOOD)
def test_odd_but_good(server, case):
    """Served, and the connection stays in step."""
    asked, expected = ODD_BUT_GOOD[case]
    with server.connect() as client:
        client.send(asked + request(path="/next"))
        first = client.response()
        assert (first.status, first.body) == (200, expected)
        assert client.response().body == b"GET /next"


def test_options_asterisk(plain):
    """Plain: PATH_INFO is "*" then, which the validator does not know."""
    with plain.connect() as client:
        assert client.ask("OPTIONS", "*").body == b"OPTIONS *"
        assert client.ask().body == b"GET /"


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


HUGE = b"9" * 30
LONG = b"x" * 20000

# name: (status or statuses, the bytes up to where the request might end)
MALFORMED = {
    # Line ends and blanks
    "lf-in-request-line": (400, b"GET /evil HTTP/1.1\nHost: a\r\n\r\n"),
    "lf-after-header": (400, b"GET /evil HTTP/1.1\r\nHost: a\nB: c\r\n\r\n"),
    "lf-everywhere": (400, b"GET /evil HTTP/1.1\nHost: a\n\n"),
    "lf-ends-head": (400, b"GET /evil HTTP/1.1\r\nHost: a\r\n\n"),
    "cr-in-request-line": (400, line(b"GET /evil\rHTTP/1.1")),
    "cr-as-line-end": (400, b"GET /evil HTTP/1.1\rHost: a\r\r"),
    "cr-in-value": (400, head(b"A: b\rc")),
    "cr-cr-lf": (400, head(b"A: b\r")),
    "fold-with-space": (400, head(b"A: b", b" c")),
    "fold-with-tab": (400, head(b"A: b", b"\tc")),
    "space-before-colon": (400, head(b"A : b")),
    "tab-before-colon": (400, head(b"A\t: b")),
    "space-in-name": (400, head(b"A B: c")),
    "blank-on-first-header": (400, head(host=b" Host: a\r\n")),
    "tab-on-first-header": (400, head(host=b"\tHost: a\r\n")),
    "no-colon": (400, head(b"Abc")),
    "empty-name": (400, head(b": b")),
    "at-in-name": (400, head(b"A@B: c")),
    "8-bit-in-name": (400, head(b"A\xe9: c")),
    "nul-in-name": (400, head(b"A\0: c")),
    "nul-in-value": (400, head(b"A: b\0c")),
    "control-in-value": (400, head(b"A: b\x01c")),
    "escape-in-value": (400, head(b"A: \x1b[31m")),
    "delete-in-value": (400, head(b"A: b\x7f")),
    "vt-around-value": (400, head(b"A: \x0bb")),
    "ff-around-value": (400, head(b"A: b\x0c")),
    "nbsp-around-chunked": ((400, 501), coded(b"\xa0chunked")),
    "vt-around-chunked": (400, coded(b"\x0bchunked")),
    # Request line
    "two-spaces-before-target": (400, line(b"GET  /evil HTTP/1.1")),
    "two-spaces-after-target": (400, line(b"GET /evil  HTTP/1.1")),
    "space-at-end": (400, line(b"GET /evil HTTP/1.1 ")),
    "space-at-start": (400, line(b" GET /evil HTTP/1.1")),
    "tabs": (400, line(b"GET\t/evil\tHTTP/1.1")),
    "8-bit-target": (400, line(b"GET /evil\xc3\xa9 HTTP/1.1")),
    "control-in-target": (400, line(b"GET /ev\x01il HTTP/1.1")),
    "delete-in-target": (400, line(b"GET /evil\x7f HTTP/1.1")),
    "space-in-target": (400, line(b"GET /ev il HTTP/1.1")),
    "fragment": (400, line(b"GET /evil#x HTTP/1.1")),
    "target-without-slash": (400, line(b"GET evil HTTP/1.1")),
    "asterisk-with-get": (400, line(b"GET * HTTP/1.1")),
    "decoded-nul": (400, line(b"GET /evil%00 HTTP/1.1")),
    "method-with-at": (400, line(b"G@T /evil HTTP/1.1")),
    "8-bit-method": (400, line(b"G\xe9T /evil HTTP/1.1")),
    "no-method": (400, line(b"/evil HTTP/1.1")),
    "authority-with-blank": (400, line(b"GET http://a b/evil HTTP/1.1")),
    "authority-with-user": (400, line(b"GET http://u@a/evil HTTP/1.1")),
    "tls-hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "http2-preface": ((400, 505), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "connect": ((400, 501), line(b"CONNECT a:443 HTTP/1.1")),
    # Version
    "http-2.0": (505, line(b"GET /evil HTTP/2.0")),
    "http-3.0": (505, line(b"GET /evil HTTP/3.0")),
    "http-0.9": ((400, 505), line(b"GET /evil HTTP/0.9")),
    "no-version": (400, line(b"GET /evil")),
    "version-of-one-digit": (400, line(b"GET /evil HTTP/1")),
    "version-with-letter": (400, line(b"GET /evil HTTP/1.1x")),
    "version-of-two-digits": ((400, 505), line(b"GET /evil HTTP/11.1")),
    "lower-case-version": (400, line(b"GET /evil http/1.1")),
    "another-protocol": (400, line(b"GET /evil ICY/1.1")),
    # Host
    "no-host": (400, head(host=b"")),
    "two-hosts": (400, head(b"Host: a")),
    "two-other-hosts": (400, head(b"Host: b")),
    "host-with-blank": (400, hosted(b"a b")),
    "host-with-slash": (400, hosted(b"a/b")),
    "host-with-user": (400, hosted(b"u@a")),
    "host-list": (400, hosted(b"a, b")),
    "host-open-bracket": (400, hosted(b"[::1")),
    "host-port-not-a-number": (400, hosted(b"a:b")),
    # Transfer-Encoding
    "chunked-on-1.0": (400, coded(b"chunked", b"1.0")),
    "chunked-and-length": (
        400, head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n"),
    "length-and-chunked": (
        400, head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "chunked-in-two-headers": (
        400, head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")
        + b"0\r\n\r\n"),
    "chunked-and-identity": (
        (400, 501), head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")
        + b"0\r\n\r\n"),
    "chunked-twice": ((400, 501), coded(b"chunked, chunked")),
    "gzip-chunked": ((400, 501), coded(b"gzip, chunked")),
    "chunked-gzip": ((400, 501), coded(b"chunked, gzip")),
    "gzip": ((400, 501), coded(b"gzip")),
    "identity": ((400, 501), coded(b"identity")),
    "xchunked": ((400, 501), coded(b"xchunked")),
    "chunked-with-parameter": ((400, 501), coded(b"chunked;q=1")),
    "chunked-with-comma": ((400, 501), coded(b"chunked,")),
    "quoted-chunked": ((400, 501), coded(b'"chunked"')),
    "empty-coding": ((400, 501), coded(b"")),
    # Content-Length
    "length-twice": (400, head(b"Content-Length: 3", b"Content-Length: 3") + b"abc"),
    "two-lengths": (400, head(b"Content-Length: 3", b"Content-Length: 0") + b"abc"),
    "length-list": (400, sized(b"3, 3")),
    "length-plus": (400, sized(b"+3")),
    "length-minus": (400, sized(b"-3")),
    "length-hex": (400, sized(b"0x3")),
    "length-underscore": (400, sized(b"1_0")),
    "length-blank": (400, sized(b"3 3")),
    "length-fraction": (400, sized(b"3.0")),
    "length-empty": (400, sized(b"")),
    "length-overflow": ((400, 413), sized(HUGE)),
    "length-wraps-to-3": ((400, 413), sized(b"18446744073709551619")),
    # Chunks
    "chunk-size-letter": (400, chunks(b"g\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-empty": (400, chunks(b"\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-plus": (400, chunks(b"+3\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-minus": (400, chunks(b"-3\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-hex": (400, chunks(b"0x3\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-underscore": (400, chunks(b"0_3\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-blank-before": (400, chunks(b" 3\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-blank-after": (400, chunks(b"3 \r\nabc\r\n0\r\n\r\n")),
    "chunk-size-overflow": (
        (400, 413), chunks(b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-wraps-to-3": (
        (400, 413), chunks(b"10000000000000003\r\nabc\r\n0\r\n\r\n")),
    "chunk-size-negative": (
        (400, 413), chunks(b"FFFFFFFFFFFFFFFD\r\nabc\r\n0\r\n\r\n")),
    "chunk-without-crlf": (400, chunks(b"3\r\nabc0\r\n\r\n")),
    "chunk-longer-than-size": (400, chunks(b"3\r\nabcd\r\n0\r\n\r\n")),
    "chunk-size-lf": (400, chunks(b"3\nabc\r\n0\r\n\r\n")),
    "chunk-data-lf": (400, chunks(b"3\r\nabc\n0\r\n\r\n")),
    "chunk-size-cr": (400, chunks(b"3\rabc\r\n0\r\n\r\n")),
    "last-chunk-lf": (400, chunks(b"3\r\nabc\r\n0\n\n")),
    "chunk-extension-lf": (400, chunks(b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
    "chunk-extension-control": (400, chunks(b"3;a\x01\r\nabc\r\n0\r\n\r\n")),
    "chunk-extension-too-long": (
        400, chunks(b"3;" + LONG + b"\r\nabc\r\n0\r\n\r\n")),
    "chunk-extensions-too-many": (
        400, chunks(b"1;xxxxxxxxx\r\na\r\n" * 2000 + b"0\r\n\r\n")),
    "trailer-without-colon": (400, chunks(b"0\r\nabc\r\n\r\n")),
    "trailer-fold": (400, chunks(b"0\r\nA: b\r\n c\r\n\r\n")),
    "trailers-too-long": ((400, 431), chunks(b"0\r\nA: " + LONG + b"\r\n\r\n")),
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


CUT_SHORT = {
    "head": b"GET /cut HTTP/1.1\r\nHost: a\r\n",
    "request-line": b"GET /cut HTT",
    "body": head(b"Content-Length: 10", line=b"POST /cut HTTP/1.1") + b"abc",
    "chunk": chunks(b"a\r\nabc").replace(b"/evil", b"/cut"),
    "chunks": chunks(b"3\r\nabc\r\n").replace(b"/evil", b"/cut"),
    "trailers": chunks(b"3\r\nabc\r\n0\r\n").replace(b"/evil", b"/cut"),
}


@pytest.mark.parametrize("case", CUT_SHORT)
def test_cut_short(plain, case):
    """The client leaves in the middle: no application, no success."""
    data = plain.raw(CUT_SHORT[case], half_close=True)
    assert data == b"" or data.startswith(b"HTTP/1.1 400 "), data
    assert "/cut" not in seen(plain)


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
