"""Expect: RFC 9110 section 10.1.1."""

from rows import (
    AWAIT, CLOSED, OPEN, SMUGGLED, Answer, Want, coding, evil, head, refuse, row, serve, table,
)  # fmt: skip

EXPECT = b"Expect: 100-continue"
CONTINUE = Answer((100,), b"")
WAITING = "a client that waits gets 100, or its final answer"


def echo(*lines, version=b"1.1", path=b"/echo"):
    return head(*lines, line=b"POST " + path + b" HTTP/" + version)


def final(body, **more):
    return Want((Answer((200,), body),), **more)


def continued(body, **more):
    return Want((CONTINUE, Answer((200,), body)), **more)


ROWS = table(
    "expect",
    row("length", "9110 10.1.1", (echo(EXPECT, b"Content-Length: 5"), AWAIT, b"hello"), WAITING,
        must=continued(b"hello"), should=continued(b"hello", then=OPEN)),
    row("chunked", "9110 10.1.1",
        (echo(EXPECT, b"Transfer-Encoding: chunked"), AWAIT, coding(b"hello")), WAITING,
        must=continued(b"hello"), should=continued(b"hello", then=OPEN)),
    row("case", "9110 10.1.1", (echo(b"Expect: 100-Continue", b"Content-Length: 5"), AWAIT,
        b"hello"), "the value has no case", must=continued(b"hello")),
    row("interim-is-bare", "9110 15.2", (echo(EXPECT, b"Content-Length: 1"), AWAIT, b"x"),
        "an interim answer has neither body nor Content-Length", must=Want((
            Answer((100,), b"", {"Content-Length": None, "Transfer-Encoding": None}),
            Answer((200,), b"x")))),
    row("body-at-once", "9110 10.1.1", echo(EXPECT, b"Content-Length: 5") + b"hello",
        "100 may be left out when the body is there",
        must=continued(b"hello") | final(b"hello")),
    row("smuggled-at-once", "9110 10.1.1",
        echo(EXPECT, b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,
        "a body is a body, waited for or not", must=continued(SMUGGLED) | final(SMUGGLED)),
    row("twice-on-a-connection", "9110 10.1.1",
        (echo(EXPECT, b"Content-Length: 1"), AWAIT, b"a", AWAIT,
         echo(EXPECT, b"Content-Length: 1"), AWAIT, b"b"), WAITING,
        should=Want((CONTINUE, Answer((200,), b"a"), CONTINUE, Answer((200,), b"b")), OPEN)),
    row("unread", "3333 Expect", (echo(EXPECT, b"Content-Length: %d" % len(SMUGGLED),
        path=b"/ignore"), AWAIT, SMUGGLED),
        "whether 100 was sent or not, the body is no request",
        must=continued(b"POST /ignore") | final(b"POST /ignore").but(then=CLOSED)
        | final(b"POST /ignore")),
    row("without-body", "9110 10.1.1", head(EXPECT), "nothing to continue with",
        must=final(b"GET /ok") | continued(b"GET /ok"), ours=final(b"GET /ok")),
    row("empty-body", "9110 10.1.1", echo(EXPECT, b"Content-Length: 0"),
        "nothing to continue with", must=final(b"") | continued(b""), ours=final(b"")),
    row("http-1.0", "9110 10.1.1", echo(EXPECT, b"Content-Length: 5", version=b"1.0") + b"hello",
        "in HTTP/1.0 the expectation MUST be ignored", must=final(b"hello")),
    row("unknown", "9110 10.1.1", evil(b"Expect: 200-ok", b"Content-Length: 5") + b"hello",
        "what cannot be met MAY get 417", ours=refuse(417)),
    row("list-with-unknown", "9110 10.1.1",
        evil(b"Expect: 100-continue, x", b"Content-Length: 5") + b"hello",
        "what cannot be met MAY get 417", ours=refuse(417)),
    row("never-before-an-error", "9110 10.1.1",
        evil(EXPECT, b"Content-Length: 5", b"Content-Length: 6"),
        "a final answer takes the place of 100", must=refuse(400)),
    row("never-before-413", "9110 10.1.1", evil(EXPECT, b"Content-Length: 99999999999999"),
        "a final answer takes the place of 100", ours=refuse(413)),
    row("connection-in-step", "9110 10.1.1",
        (echo(EXPECT, b"Content-Length: 3"), AWAIT, b"abc", AWAIT, head(line=b"GET /ok HTTP/1.1")),
        WAITING, should=Want((CONTINUE, Answer((200,), b"abc"), Answer((200,), b"GET /ok")), OPEN),
        must=Want((CONTINUE, Answer((200,), b"abc"), Answer((200,), b"GET /ok")), prefix=True)),
    row("does-not-reach-the-application-late", "3333 Expect",
        (echo(EXPECT, b"Content-Length: 3", path=b"/environ"), AWAIT, b"abc"),
        "served as if nothing had been expected",
        must=Want((CONTINUE, Answer((200,)))) | serve()),
)  # fmt: skip
