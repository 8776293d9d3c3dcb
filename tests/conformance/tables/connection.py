"""Connections: persistence, pipelining, ends: RFC 9112 section 9."""

from rows import (
    ALONE, AWAIT, CLOSED, FIN, IN_STEP, NEXT, OPEN, SMUGGLED, Answer, Want, broken, chunked, coding,
    dropped, evil, head, post, refuse, reject, row, serve, serve_all, table,
)  # fmt: skip

ORDER = "pipelined requests MUST be answered in order"
CUT = "an incomplete request is none; its application must not run"
# What every server refuses.
BAD = b"Content-Length: abc"
AFTER = "nothing is read behind an error: one answer, then the end"


def get(path, *lines, version=b"1.1"):
    return head(*lines, line=b"GET " + path + b" HTTP/" + version)


def pipeline(id, data, *bodies, methods=("GET",), why=ORDER):
    """All answered in order; or, by the standard, the first ones and then the
    connection closed."""
    want = serve_all(*bodies)
    return row(id, "9112 9.3.2", data, why, must=want.but(prefix=True), should=want.but(then=OPEN),
               methods=methods)  # fmt: skip


def behind(id, bad, status=(400,)):
    """A good request, a bad one, and one that must not be read."""
    want = Want((Answer((200,), b"GET /first"), Answer(status)), CLOSED)
    return row(id, "9112 9.6", get(b"/first") + bad + NEXT.replace(b"next", b"smuggled"), AFTER,
               ours=want)  # fmt: skip


def cut(id, data, **wants):
    return row(id, "9112 8", (data, FIN), CUT, **(wants or {"must": dropped()}))


def upgrade(id, *lines):
    return row(id, "9110 7.8", (get(b"/ok", *lines), AWAIT, NEXT),
               "an upgrade that is not wanted is ignored",
               must=serve_all(b"GET /ok", b"GET /next").but(prefix=True),
               ours=serve_all(b"GET /ok", b"GET /next", then=OPEN))  # fmt: skip


ROWS = table(
    "connection",
    # -- Persistence
    row("close", "9112 9.6", get(b"/ok", b"Connection: close") + NEXT,
        "close MUST be obeyed: nothing behind it is answered",
        must=serve(b"GET /ok", then=CLOSED)),
    row("close-is-said", "9112 9.6", get(b"/ok", b"Connection: close"),
        "the server SHOULD say so", should=serve(
            b"GET /ok", then=CLOSED, headers={"Connection": lambda v: v.lower() == "close"})),
    row("close-in-list", "9110 7.6.1", get(b"/ok", b"Connection: foo, Close ,bar") + NEXT,
        "a list without case", must=serve(b"GET /ok", then=CLOSED)),
    row("close-in-second-field", "9110 5.3",
        get(b"/ok", b"Connection: foo", b"Connection: close") + NEXT,
        "two fields are one list", must=serve(b"GET /ok", then=CLOSED)),
    row("close-and-keep-alive", "9112 9.3", get(b"/ok", b"Connection: keep-alive, close") + NEXT,
        "close wins", must=serve(b"GET /ok", then=CLOSED)),
    row("closer-is-not-close", "9110 7.6.1", get(b"/ok", b"Connection: closer"),
        "a whole word", should=serve(b"GET /ok", then=OPEN)),
    row("persistent", "9112 9.3", (get(b"/a"), get(b"/b") + get(b"/c")),
        "servers SHOULD keep connections",
        should=serve_all(b"GET /a", b"GET /b", b"GET /c", then=OPEN)),
    row("1.0-closes", "9112 9.3", get(b"/ok", version=b"1.0"), "no keep-alive, so the end",
        must=serve(b"GET /ok", then=CLOSED)),
    row("1.0-close", "9112 9.3", get(b"/ok", b"Connection: close", version=b"1.0"),
        "no keep-alive, so the end", must=serve(b"GET /ok", then=CLOSED)),
    row("1.0-keep-alive", "9112 9.3", get(b"/ok", b"Connection: keep-alive", version=b"1.0"),
        "may be kept, but then it MUST be said",
        must=serve(b"GET /ok", then=CLOSED)
        | serve(b"GET /ok", headers={"Connection": lambda v: v.lower() == "keep-alive"}, then=OPEN),
        ours=serve(b"GET /ok", headers={"Connection": lambda v: v.lower() == "keep-alive"},
                   then=OPEN)),
    row("1.0-pipeline-closes", "9112 9.3", get(b"/ok", version=b"1.0") + NEXT,
        "nothing is answered behind the last", must=serve(b"GET /ok", then=CLOSED)),
    # -- Pipelining
    pipeline("two", get(b"/a") + get(b"/b"), b"GET /a", b"GET /b"),
    pipeline("sixteen", b"".join(get(b"/%d" % i) for i in range(16)),
             *(b"GET /%d" % i for i in range(16))),
    pipeline("bodies-of-length", post(b"abc") + post(SMUGGLED) + get(b"/a"), b"abc", SMUGGLED,
             b"GET /a"),
    pipeline("bodies-in-chunks", chunked(coding(b"abc")) + chunked(coding(SMUGGLED)) + get(b"/a"),
             b"abc", SMUGGLED, b"GET /a"),
    pipeline("head-between", get(b"/a") + head(line=b"HEAD /b HTTP/1.1") + get(b"/c"), b"GET /a",
             b"", b"GET /c", methods=("GET", "HEAD", "GET")),
    pipeline("unread-body-between", post(SMUGGLED, path=b"/ignore") + get(b"/a"), b"POST /ignore",
             b"GET /a", why="an unread body MUST be read or the connection closed"),
    pipeline("empty-line-between", post(b"abc") + b"\r\n" + get(b"/a"), b"abc", b"GET /a",
             why="old clients send a CRLF behind a body; it SHOULD be ignored"),
    pipeline("mixed-versions", get(b"/a") + get(b"/b", b"Connection: keep-alive", version=b"1.0"),
             b"GET /a", b"GET /b"),
    row("close-ends-a-pipeline", "9112 9.6",
        get(b"/a") + get(b"/b", b"Connection: close") + NEXT,
        "nothing is answered behind the last",
        must=serve_all(b"GET /a", b"GET /b", then=CLOSED).but(prefix=True)),
    # -- Behind an error
    behind("error-no-host", b"GET /evil HTTP/1.1\r\n\r\n"),
    behind("error-lf", b"GET /evil HTTP/1.1\nHost: a\n\n"),
    behind("error-length", evil(b"Content-Length: x")),
    behind("error-two-lengths", evil(b"Content-Length: 0", b"Content-Length: 0")),
    behind("error-coding", evil(b"Transfer-Encoding: xchunked"), (400, 501)),
    behind("error-coding-and-length", evil(b"Transfer-Encoding: chunked", b"Content-Length: 0")
           + coding()),
    behind("error-field", evil(b"A : b")),
    behind("error-target", evil(line=b"GET /evil#a HTTP/1.1")),
    behind("error-version", evil(line=b"GET /evil HTTP/2.0"), (505,)),
    behind("error-chunk", chunked(b"x\r\n")),
    behind("error-expectation", evil(b"Expect: 200-ok", b"Content-Length: 0"), (417,)),
    row("error-alone", "9112 9.6", evil(b"A : b") + SMUGGLED * 50, AFTER, ours=refuse(400)),
    row("error-with-much-behind", "9112 9.6", evil(BAD) + b"x" * 60000,
        "the answer MUST arrive: no reset while the client still sends",
        should=refuse(400)),
    row("error-says-close", "9112 9.6", evil(BAD), "an error that closes SHOULD say so",
        should=Want((Answer((400,), headers={
            "Connection": lambda v: v.lower() == "close"}),), CLOSED)),
    row("error-has-date", "9110 6.6.1", evil(BAD),
        "an origin server with a clock MUST send Date; in 5xx it may do without",
        must=Want((Answer((400,), headers={"Date": True}),), None)),
    row("error-reflects-nothing", "", head(b"<script>alert(1)</script>",
        line=b"GET /<script>alert(1)</script> HTTP/1.1"),
        "what was refused is not repeated to a browser",
        ours=Want((Answer((400,), lambda b: "reflected" if b"<script" in b else None),), CLOSED)),
    # -- Cut short
    cut("nothing", b"", must=Want((), CLOSED)),
    cut("cut-in-method", b"GE"),
    cut("cut-in-request-line", b"GET /evil HTT"),
    cut("cut-behind-request-line", b"GET /evil HTTP/1.1\r\n"),
    cut("cut-in-field", b"GET /evil HTTP/1.1\r\nHost: a\r\nA: b"),
    cut("cut-behind-fields", b"GET /evil HTTP/1.1\r\nHost: a\r\n"),
    cut("cut-in-last-line", b"GET /evil HTTP/1.1\r\nHost: a\r\n\r"),
    cut("cut-in-length-body", head(b"Content-Length: 10", line=b"POST /echo HTTP/1.1") + b"abc",
        ours=dropped()),
    cut("cut-before-length-body", head(b"Content-Length: 10", line=b"POST /echo HTTP/1.1"),
        ours=dropped()),
    cut("cut-in-chunk", chunked(b"a\r\nabc"), must=broken(), ours=dropped()),
    cut("cut-behind-chunk", chunked(b"3\r\nabc\r\n"), must=broken(), ours=dropped()),
    cut("cut-in-size", chunked(b"3\r\nabc\r\n1"), must=broken(), ours=dropped()),
    cut("cut-behind-last-size", chunked(b"3\r\nabc\r\n0\r\n"), ours=dropped()),
    cut("cut-in-trailers", chunked(b"3\r\nabc\r\n0\r\nA: b\r\n"), ours=dropped()),
    cut("cut-behind-answered", get(b"/ok") + b"GET /evil HT",
        ours=Want((Answer((200,), b"GET /ok"), Answer((400, 408))), CLOSED, prefix=True)),
    row("half-close", "9112 9.6", (post(b"abc"), FIN),
        "who is done with sending still wants the answer", ours=serve(b"abc", then=CLOSED)),
    row("half-close-pipeline", "9112 9.6", (get(b"/a") + get(b"/b"), FIN),
        "who is done with sending still wants the answers",
        ours=serve_all(b"GET /a", b"GET /b", then=CLOSED)),
    # -- Upgrades
    upgrade("upgrade-websocket", b"Connection: Upgrade", b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    upgrade("upgrade-h2c", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk"),
    row("upgrade-with-body", "9110 7.8", post(SMUGGLED, b"Connection: upgrade", b"Upgrade: x"),
        "the body is a body still", must=serve(SMUGGLED)),
    # -- Unread bodies
    row("unread", "9112 9.3", post(SMUGGLED * 3, path=b"/ignore"),
        "an unread body MUST be read or the connection closed", must=serve(b"POST /ignore")),
    row("half-read", "9112 9.3", post(SMUGGLED * 3, path=b"/some"),
        "an unread body MUST be read or the connection closed", must=serve(b"POST /some")),
    row("unread-large", "9112 9.6", post(b"x" * 300_000, path=b"/ignore"),
        "the answer arrives whole, without a reset",
        must=serve(b"POST /ignore", then=IN_STEP)),
    row("unread-by-get", "9110 9.3.1", head(b"Content-Length: %d" % len(SMUGGLED),
        line=b"GET /ignore HTTP/1.1") + SMUGGLED,
        "an unread body MUST be read or the connection closed",
        must=serve(b"GET /ignore") | reject(400, 413)),
    row("bytes-alone-pipelined", "9112 9.3.2", post(b"abc") + chunked(coding(b"d", b"e")),
        "segments mean nothing", must=serve_all(b"abc", b"de").but(prefix=True), cut=ALONE),
)  # fmt: skip
