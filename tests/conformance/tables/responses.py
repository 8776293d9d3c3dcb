"""What an application answers, on the wire: RFC 9110 sections 6 to 9 and 15,
RFC 9112 section 6, and PEP 3333 on Content-Length."""

import re

from rows import (
    CLOSED, GO, OPEN, Answer, Until, Want, count, head, row, serve, table,
)  # fmt: skip

BLOCK = bytes(range(256)) * 256
DATE = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT"
OWN_DATE = "Thu, 01 Jan 1970 00:00:00 GMT"
SERVER_ERROR = (500, 502, 503)

# path: body
BODIES = {
    "list": b"hello", "list-of-many": b"abcdef", "tuple": b"hello", "empty-list": b"",
    "list-of-empty": b"", "with-length": b"hello", "generator": b"abcdef",
    "generator-with-length": b"abcdef", "empty-generator": b"", "large": BLOCK * 80,
    "large-generator": BLOCK * 80,
    "many-small": b"".join(b"%04d" % i for i in range(2000)),
    "chunk-like": b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "sized": b"hello", "getitem": b"hello", "instance": b"hello", "no-type": b"hello",
}  # fmt: skip
KNOWN = ("list", "list-of-many", "tuple", "empty-list", "list-of-empty", "with-length", "large")


def get(path, *lines, method=b"GET", version=b"1.1"):
    return head(*lines, line=method + b" /" + path.encode() + b" HTTP/" + version)


def answer(id, section, path, why, must=None, should=None, ours=None, method="GET", **more):
    return row(id, section, get(path, method=method.encode()), why, must, should, ours,
               app="answers:app", methods=(method,), **more)  # fmt: skip


def one(*status, body=None, then=OPEN, complete=True, events=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Want((Answer(status, body, headers, complete),), then, events=events)


def in_step(want):
    return want.but(then="open and in step, or closed")


def kept(id, section, path, why, want, method="GET"):
    """In step by every server, and kept alive where it should be."""
    return answer(id, section, path, why, must=in_step(want), ours=want, method=method)


def no_body(code):
    nothing = {"Content-Length": None, "Transfer-Encoding": None}
    if code != 204:
        nothing = {"Transfer-Encoding": None}
    if code == 205:
        nothing = {}
    why = f"{code} has no body, whatever the application gives"
    wants = Want((Answer((code,), b"", nothing),), OPEN)
    return [kept(f"{code}-{name}", "9110 6.4.1", f"{name}-{code}{more}", why, wants)
            for name, more in (("empty", ""), ("wrong", ""))] + [
        kept(f"{code}-wrong-with-length", "9110 6.4.1", f"wrong-{code}-with-length", why,
             Want((Answer((code,), b"", nothing),), OPEN))]  # fmt: skip


def hop(name):
    """What only the server may decide."""
    return answer(f"hop-{name}", "3333 Other HTTP Features", f"hop-{name}",
                  "hop-by-hop headers are the server's: a server should raise",
                  should=one(*SERVER_ERROR, then=None))  # fmt: skip


def injected(id, path, why="nothing from a header may become another line"):
    clean = one(400, *SERVER_ERROR, then=None, X_Evil=None).but(dropped=True)
    sent = Want((Answer((200,), b"hello", {"X-Evil": None}),))
    return answer(id, "CVE-2018-1000164", path, why, must=clean | sent,
                  ours=one(500, then=CLOSED, X_Evil=None))  # fmt: skip


def bad(id, path, section, why):
    return answer(id, section, path, why, ours=one(500, then=CLOSED))


ROWS = table(
    "responses",
    *(kept(f"body-{path}", "3333 Handling the Content-Length", path, "whole, and in step",
           one(200, body=body)) for path, body in BODIES.items()),
    *(answer(f"length-of-{path}", "3333 Handling the Content-Length", path,
             "the length of a whole body is known",
             ours=one(200, Content_Length=str(len(BODIES[path]))))
      for path in KNOWN),
    *(row(f"1.0-{path}", "9112 6.1", get(path, version=b"1.0"),
          "chunked MUST NOT be sent to HTTP/1.0", app="answers:app",
          must=serve(body, then=CLOSED, headers={"Transfer-Encoding": None}))
      for path, body in BODIES.items()),
    *(row(f"1.0-keep-alive-{path}", "9112 9.3", get(path, b"Connection: keep-alive", version=b"1.0"),
          "without a length only the end of the connection ends a body", app="answers:app",
          must=serve(BODIES[path], headers={"Transfer-Encoding": None}))
      for path in ("list", "generator", "with-length")),
    *(kept(f"head-{path}", "9110 9.3.2", path, "HEAD MUST NOT have a body",
           one(200, body=b""), method="HEAD") for path in BODIES),
    *(answer(f"head-length-{path}", "9110 9.3.2", path, "the head SHOULD be that of GET",
             should=in_step(one(200, Content_Length=str(len(BODIES[path])))), method="HEAD")
      for path in ("with-length", "generator-with-length")),
    *no_body(204), *no_body(304), *no_body(205),
    answer("304-keeps-its-length", "9110 8.6", "304-with-length",
           "it may tell the length of what was not sent", must=in_step(one(304, body=b"")),
           ours=one(304, Content_Length="1234")),
    answer("204-has-no-length", "9110 8.6", "wrong-204-with-length",
           "Content-Length MUST NOT be sent with 204",
           must=in_step(one(204, Content_Length=None, Transfer_Encoding=None))),
    answer("interim-status", "9110 15.2", "interim-status",
           "100 is no final answer", ours=one(500, then=CLOSED)),
    answer("switching-protocols", "9110 7.8", "switching",
           "101 ends HTTP; an application cannot", ours=one(500, then=CLOSED)),
    # -- Head
    answer("status-and-names-kept", "3333 start_response", "text-status",
           "passed on as they are", must=in_step(one(299, X_CaSe="Kept", X_Empty=""))),
    answer("no-reason", "9112 4", "no-reason", "an empty reason is valid", must=in_step(one(299))),
    answer("repeated-headers", "9110 5.3", "cookies", "both, in order",
           must=in_step(one(200, body=b"hello", Set_Cookie=["a=1", "b=2"]))),
    answer("latin-1", "3333 Unicode", "latin-1", "a header is latin-1",
           must=in_step(one(200, X_Latin="caf\xe9"))),
    answer("date", "9110 6.6.1", "list", "an origin server with a clock MUST send Date",
           must=in_step(one(200, Date=lambda v: re.fullmatch(DATE, v)))),
    answer("own-date", "9110 6.6.1", "own-date", "once, and the application's",
           must=in_step(one(200, Date=lambda v: True)), ours=one(200, Date=OWN_DATE, Server="mine")),
    answer("own-date-odd-case", "9110 6.6.1", "own-date-odd-case", "names have no case",
           must=in_step(one(200, Date=lambda v: True)), ours=one(200, Date=OWN_DATE)),
    # -- Lengths that are not true
    answer("too-long", "3333 Handling the Content-Length", "too-long",
           "what is too much would be taken for the next response",
           must=in_step(one(200, body=b"abcde")) | one(*SERVER_ERROR, then=None),
           ours=in_step(one(200, body=b"abcde", events=count("close", 1)))),
    answer("too-long-block", "3333 Handling the Content-Length", "too-long-block",
           "what is too much would be taken for the next response",
           must=in_step(one(200, body=b"abcde")) | one(*SERVER_ERROR, then=None)),
    answer("write-too-long", "3333 Handling the Content-Length", "write-too-long",
           "what is too much would be taken for the next response",
           must=in_step(one(200, body=b"abcde", complete=None))
           | one(200, body=b"abc", complete=False, then=CLOSED) | one(*SERVER_ERROR, then=None)),
    answer("length-0-with-body", "3333 Handling the Content-Length", "length-0-with-body",
           "what is too much would be taken for the next response",
           must=in_step(one(200, body=b"")) | one(*SERVER_ERROR, then=None)),
    answer("too-short", "3333 Handling the Content-Length", "too-short",
           "the client MUST see that something is missing",
           must=one(200, body=b"abc", complete=False, then=CLOSED) | one(*SERVER_ERROR, then=None)),
    answer("two-lengths", "9110 8.6", "two-lengths", "a length that differs MUST NOT be sent",
           must=in_step(one(200, body=b"abc")) | one(*SERVER_ERROR, then=None),
           ours=one(500, then=CLOSED)),
    answer("word-length", "9110 8.6", "word-length", "1*DIGIT",
           must=in_step(one(200, Content_Length=lambda v: v.isdigit()))
           | in_step(one(200, Content_Length=None)) | one(*SERVER_ERROR, then=None),
           ours=one(500, then=CLOSED)),
    answer("negative-length", "9110 8.6", "negative-length", "1*DIGIT",
           must=in_step(one(200, Content_Length=lambda v: v.isdigit()))
           | in_step(one(200, Content_Length=None)) | one(*SERVER_ERROR, then=None),
           ours=one(500, then=CLOSED)),
    # -- Headers that would be more than one
    injected("status-crlf", "status-crlf"),
    injected("status-lf", "status-lf"),
    injected("status-cr", "status-cr"),
    injected("value-crlf", "value-crlf"),
    injected("value-lf", "value-lf"),
    injected("value-cr", "value-cr"),
    injected("value-crlf-crlf", "value-crlf-crlf"),
    injected("value-fold", "value-fold"),
    injected("value-nul", "value-nul"),
    injected("value-crlf-in-unicode", "value-crlf-in-unicode",
             "the low bytes of U+560D and U+560A are CR and LF"),
    injected("name-crlf", "name-crlf"),
    injected("status-nul", "status-nul"),
    answer("name-colon", "9110 5.1", "name-colon", "a name is a token",
           should=one(*SERVER_ERROR, then=None), ours=one(500, then=CLOSED)),
    answer("name-space", "9110 5.1", "name-space", "a name is a token",
           should=one(*SERVER_ERROR, then=None), ours=one(500, then=CLOSED)),
    answer("name-empty", "9110 5.1", "name-empty", "a name is a token",
           should=one(*SERVER_ERROR, then=None), ours=one(500, then=CLOSED)),
    answer("value-not-latin-1", "3333 Unicode", "value-not-latin-1",
           "there is no byte for it", must=one(400, *SERVER_ERROR, then=None).but(dropped=True),
           ours=one(500, then=CLOSED)),
    answer("status-not-latin-1", "3333 Unicode", "status-not-latin-1",
           "there is no byte for it", must=one(400, *SERVER_ERROR, then=None).but(dropped=True),
           ours=one(500, then=CLOSED)),
    *map(hop, ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer",
               "proxy-authenticate")),
    # -- Streaming
    *(row(path, "3333 Buffering and Streaming",
          (get(path), Until(b"first "), GO),
          "a block is on its way before the next is asked for", app="answers:app",
          must=Want((Answer((200,), b"first second"),), "open and in step, or closed",
                    events=count("seen", 1)))
      for path in ("streamed", "streamed-with-length", "streamed-by-write")),
)  # fmt: skip
