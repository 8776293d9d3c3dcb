"""What a row of the tables is, and the words that rows are written in.

A row sends bytes to a server and says what must come back.  It may say so up
to three times, and each is scored by itself:

    must      an RFC's MUST, a rule of PEP 3333, or what security demands
    should    an RFC's SHOULD, a "should" of PEP 3333
    ours      where the standards leave a choice, the strict one of libwsgi

Whatever a row says besides, these hold in every row: no request to /evil or
/smuggled ever reaches the application (the first is always malformed, the
second is always inside a body), no header value reaches it with CR, LF or NUL
inside, wsgiref.validate finds nothing, each answer is well-formed, and the
server survives.
"""

import json
from dataclasses import dataclass, field, replace

KINDS = ("must", "should", "ours")

# Steps of a conversation, besides bytes to send.
AWAIT = "await an answer"
FIN = "shut down the sending side"
ARRIVED = "wait until the server has read it all"
GO = "tell the application that the client has it"


@dataclass(frozen=True)
class Until:
    """Receive until the mark is there."""

    mark: bytes


@dataclass(frozen=True)
class Leave:
    """The client goes when it has received so many bytes."""

    length: int



# How the bytes are cut.
EVERY_BYTE = "once at every byte"
ALONE = "each byte alone"

# What becomes of the connection.
OPEN = "open"
CLOSED = "closed"
IN_STEP = "open and in step, or closed"


@dataclass(frozen=True)
class Answer:
    """One response.  `body` may be a function that returns what is wrong;
    `headers` maps names to a value, a list of values, None (must be absent), a
    function, or True (must be there)."""

    status: tuple
    body: object = None
    headers: dict = field(default_factory=dict)
    complete: object = True

    def fault(self, res):
        if res.status not in self.status:
            return f"status {res.status}, not {'/'.join(map(str, self.status))}"
        if self.complete is not None and res.complete != self.complete:
            return "the body is complete" if res.complete else "the body is cut short"
        if callable(self.body):
            wrong = self.body(res.body)
            if wrong:
                return wrong
        elif self.body is not None and res.body != self.body:
            return f"body {res.body[:200]!r}, not {self.body[:200]!r}"
        for name, wanted in self.headers.items():
            found = res.all(name)
            if callable(wanted):
                good = len(found) == 1 and wanted(found[0])
            elif wanted is True:
                good = len(found) == 1
            elif isinstance(wanted, list):
                good = found == wanted
            else:
                good = found == ([] if wanted is None else [wanted])
            if not good:
                return f"{name}: {found}"
        return None


@dataclass(frozen=True)
class Want:
    """The answers in order, and the connection behind them.

    `called` False: the application is never called.  `events` is a function
    that is given what the application noted and returns what is wrong.
    `prefix`: the server may close after any of the answers.  `dropped`: it
    may also close without an answer.
    """

    answers: tuple
    then: str = IN_STEP
    called: object = None
    events: object = None
    prefix: bool = False
    dropped: bool = False

    @property
    def options(self):
        return (self,)

    def __or__(self, other):
        return OneOf(self.options + other.options)

    def but(self, **changes):
        return replace(self, **changes)


@dataclass(frozen=True)
class OneOf:
    options: tuple

    def __or__(self, other):
        return OneOf(self.options + other.options)


@dataclass
class Row:
    id: str
    section: str
    send: tuple
    why: str
    wants: dict
    app: str = "recorder:app"
    methods: tuple = ("GET",)
    cut: object = None
    area: str = ""


def row(id, section, send, why, must=None, should=None, ours=None, **more):
    """A row; `send` is bytes, or a sequence of bytes and steps."""
    if isinstance(send, bytes):
        send = (send,)
    wants = {}
    for kind, want in zip(KINDS, (must, should, ours)):
        # What a weaker word only repeats is not scored again.
        if want and want not in wants.values():
            wants[kind] = want
    assert wants, id
    return Row(id, section, tuple(send), why, wants, **more)


def table(area, *rows):
    for each in rows:
        each.area = area
    assert len({each.id for each in rows}) == len(rows), f"{area}: an id comes twice"
    return list(rows)


# ---- What comes back -------------------------------------------------------


def serve(body=None, status=200, then=IN_STEP, headers=None, **more):
    """Answered by the application."""
    return Want((Answer((status,), body, headers or {}),), then, **more)


def serve_all(*bodies, then=IN_STEP, **more):
    """Several requests, answered in order."""
    return Want(tuple(Answer((200,), body) for body in bodies), then, **more)


def refuse(*status):
    """Refused, the application not called, the connection closed."""
    return Want((Answer(status),), CLOSED, called=False)


def reject(*status):
    """Refused, the application not called with it; the connection may go on
    with the next request, as the end of this one is certain."""
    return Want((Answer(status),), None)


def broken():
    """The application never takes it for a complete body.  It may have been
    called already, where the server passes bodies on as they come."""
    errors = tuple(range(400, 418)) + (431, 500, 501, 502, 503)
    return Want((Answer(errors, complete=None),), CLOSED, events=no_body, dropped=True)


def waiting():
    """Not answered: the server waits for the rest of a body that is so long."""
    return Want((), "silent", events=no_body)


def dropped():
    """Closed without an answer, or with an error; the application not called."""
    return Want((Answer((400, 408)),), CLOSED, called=False, dropped=True)


# ---- What the application noted --------------------------------------------


def no_body(events):
    bodies = [e for e in events if e["event"] == "body"]
    return f"the application read to the end: {bodies}" if bodies else None


def count(event, n):
    """So many events of that name."""

    def wrong(events):
        found = sum(e["event"] == event for e in events)
        return None if found == n else f"{event} {found} times, not {n}"

    return wrong


def both(*checks):
    def wrong(events):
        return next(filter(None, (check(events) for check in checks)), None)

    return wrong


def variables(**expected):
    """A body check: the environ as JSON has these values.  None: missing."""

    def wrong(body):
        try:
            environ = json.loads(body)
        except ValueError:
            return f"no environ, but {body[:200]!r}"
        for key, value in expected.items():
            key = key.replace("__", ".")
            found = environ.get(key)
            try:
                good = value(found) if callable(value) else found == value
            except (AttributeError, TypeError):
                # Missing, where the row takes a string for granted.
                good = False
            if not good:
                return f"{key} is {found!r}, not {value!r}"
        return None

    return wrong


# ---- What is sent ----------------------------------------------------------


def head(*lines, line=b"GET /ok HTTP/1.1", host=b"Host: localhost"):
    """A head of these lines; Host is added behind the request line."""
    lines = [line, *([host] if host else []), *lines]
    return b"".join(each + b"\r\n" for each in lines) + b"\r\n"


def evil(*lines, **more):
    """As head(), of a request that no application may see."""
    return head(*lines, **{"line": b"POST /evil HTTP/1.1", **more})


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(body, *lines, path=b"/echo"):
    """A request with its Content-Length."""
    length = b"Content-Length: %d" % len(body)
    return head(length, *lines, line=b"POST " + path + b" HTTP/1.1") + body


def chunked(body, *lines, path=b"/echo"):
    """A chunked request; the body is given in its coding."""
    te = b"Transfer-Encoding: chunked"
    return head(te, *lines, line=b"POST " + path + b" HTTP/1.1") + body


def coding(*blocks):
    """These blocks in the chunked coding."""
    return b"".join(b"%x\r\n%s\r\n" % (len(b), b) for b in blocks) + b"0\r\n\r\n"
