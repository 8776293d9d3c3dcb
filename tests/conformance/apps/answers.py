"""Responses of every form, right and wrong: one for each path.

close() of an iterable is noted as "close"; what an application learns about
the server as "seen".
"""

import io
import os
import sys
import time

from record import note, note_call, probe

FILE = os.environ["CONFORMANCE_FILE"]
GO = os.environ["CONFORMANCE_RECORD"] + ".go"
BLOCK = bytes(range(256)) * 256
TYPE = ("Content-Type", "text/plain")

handlers = {}


def path(function):
    handlers["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


def value(name, status="200 OK", headers=(TYPE,), body=(b"hello",)):
    """An answer that is only a value."""

    def handler(environ, start_response):
        start_response(status, list(headers) if type(headers) is tuple else headers)
        return list(body) if type(body) is tuple else body

    handlers["/" + name] = handler


def length(n):
    return ("Content-Length", str(n))


class Blocks:
    """An iterable whose close() is noted; it fails where a block is an
    exception."""

    def __init__(self, environ, blocks):
        self.environ, self.blocks = environ, blocks

    def __iter__(self):
        for block in self.blocks:
            if isinstance(block, BaseException):
                raise block
            yield block

    def close(self):
        note(self.environ, "close")


def counted(name, blocks, status="200 OK", headers=()):
    def handler(environ, start_response):
        start_response(status, [TYPE, *headers])
        return Blocks(environ, blocks)

    handlers["/" + name] = handler


# ---- Bodies ----------------------------------------------------------------

value("list")
value("list-of-many", body=[b"a", b"", b"bc", b"def"])
handlers["/tuple"] = lambda e, s: (s("200 OK", [TYPE]), (b"he", b"llo"))[1]
value("empty-list", body=[])
value("list-of-empty", body=[b"", b""])
value("with-length", headers=(TYPE, length(5)))
value("large", body=[BLOCK * 80])
value("no-type", headers=(), body=[b"hello"])


@path
def generator(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b"abc"
    yield b""
    yield b"def"


@path
def generator_with_length(environ, start_response):
    start_response("200 OK", [TYPE, length(6)])
    yield b"abc"
    yield b"def"


@path
def empty_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    return
    yield


@path
def large_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    for _ in range(80):
        yield BLOCK


@path
def many_small(environ, start_response):
    start_response("200 OK", [TYPE])
    for i in range(2000):
        yield b"%04d" % i


@path
def chunk_like(environ, start_response):
    """Blocks that look like framing."""
    start_response("200 OK", [TYPE])
    yield b"0\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Sized(Blocks):
    def __len__(self):
        return len(self.blocks)


@path
def sized(environ, start_response):
    start_response("200 OK", [TYPE])
    return Sized(environ, [b"hello"])


@path
def getitem(environ, start_response):
    """The old protocol of iteration."""

    class Old:
        def __getitem__(self, i):
            return [b"he", b"llo"][i]

    start_response("200 OK", [TYPE])
    return Old()


@path
def instance(environ, start_response):
    """An iterator that is its own iterable."""

    class Once:
        left = [b"he", b"llo"]

        def __iter__(self):
            self.left = list(self.left)
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

    start_response("200 OK", [TYPE])
    return Once()


@path
def text_status(environ, start_response):
    start_response("299 Some Odd  Reason", [TYPE, ("X-CaSe", "Kept"), ("X-Empty", "")])
    return [b"hello"]


value("no-reason", status="299 ")
value("cookies", headers=(TYPE, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))
value("latin-1", headers=(TYPE, ("X-Latin", "caf\xe9")))
value("own-date", headers=(TYPE, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
                           ("Server", "mine")))  # fmt: skip
value("own-date-odd-case", headers=(TYPE, ("dATE", "Thu, 01 Jan 1970 00:00:00 GMT")))

# ---- No body ---------------------------------------------------------------

for _status in ("204 No Content", "304 Not Modified", "205 Reset Content"):
    _code = _status[:3]
    value(f"empty-{_code}", _status, (), [])
    counted(f"wrong-{_code}", [b"no body here"], _status)
    counted(f"wrong-{_code}-with-length", [b"no body here"], _status, [length(12)])
value("304-with-length", "304 Not Modified", (length(1234),), [])

# ---- Lengths ---------------------------------------------------------------

counted("too-long", [b"abc", b"defghi"], headers=[length(5)])
counted("too-long-block", [b"abcdefghi"], headers=[length(5)])
counted("too-short", [b"abc"], headers=[length(5)])
counted("length-0-with-body", [b"abc"], headers=[length(0)])
counted("two-lengths", [b"abc"], headers=[length(3), length(5)])
counted("word-length", [b"abc"], headers=[("Content-Length", "abc")])
counted("negative-length", [b"abc"], headers=[("Content-Length", "-3")])


@path
def write_too_long(environ, start_response):
    write = start_response("200 OK", [TYPE, length(5)])
    try:
        write(b"abc")
        write(b"defghi")
    except Exception:
        note(environ, "seen", text="write() raised")
        raise
    return []


# ---- close() ---------------------------------------------------------------

counted("closed", [b"hello"])
counted("closed-empty", [])
counted("closed-after-failure", [RuntimeError("the secret")])
counted("closed-after-late-failure", [b"data", RuntimeError("the secret")])
counted("closed-after-str", ["text"])


@path
def closed_endless(environ, start_response):
    start_response("200 OK", [TYPE])
    return Blocks(environ, (BLOCK for _ in range(2000)))


@path
def closed_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    try:
        yield b"hello"
    finally:
        note(environ, "close")


class BadClose(Blocks):
    def close(self):
        super().close()
        raise RuntimeError("the secret")


@path
def close_fails(environ, start_response):
    start_response("200 OK", [TYPE, length(5)])
    return BadClose(environ, [b"hello"])


# ---- start_response, write -------------------------------------------------


@path
def late(environ, start_response):
    """start_response in the first step of the iteration."""

    def blocks():
        start_response("201 Created", [TYPE])
        yield b"late"

    return blocks()


@path
def empty_blocks_first(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b""
    yield b""
    yield b"late"


@path
def write(environ, start_response):
    write = start_response("200 OK", [TYPE])
    write(b"abc")
    write(b"def")
    return []


@path
def write_then_list(environ, start_response):
    write = start_response("200 OK", [TYPE])
    write(b"abc")
    write(b"")
    return [b"def", b"ghi"]


@path
def write_with_length(environ, start_response):
    write = start_response("200 OK", [TYPE, length(6)])
    write(b"abc")
    return [b"def"]


@path
def write_large(environ, start_response):
    write = start_response("200 OK", [TYPE])
    for _ in range(80):
        write(BLOCK)
    return []


@path
def write_from_generator(environ, start_response):
    write = start_response("200 OK", [TYPE])
    write(b"abc")
    yield b"def"


@path
def returns_write(environ, start_response):
    result = start_response("200 OK", [TYPE])
    return [b"callable" if callable(result) else repr(result).encode()]


def failure():
    try:
        raise RuntimeError("the secret")
    except RuntimeError:
        return sys.exc_info()


@path
def replaced(environ, start_response):
    start_response("200 OK", [TYPE, ("X-First", "1")])
    start_response("503 Sorry", [TYPE, ("X-Second", "1")], failure())
    return [b"sorry"]


@path
def replaced_after_empty_block(environ, start_response):
    start_response("200 OK", [TYPE, ("X-First", "1")])
    yield b""
    start_response("503 Sorry", [TYPE, ("X-Second", "1")], failure())
    yield b"sorry"


@path
def replaced_length(environ, start_response):
    """The length of the first head is gone with it."""
    start_response("200 OK", [TYPE, length(1)])
    start_response("503 Sorry", [TYPE], failure())
    return [b"sorry"]


@path
def exc_info_first(environ, start_response):
    start_response("500 Mine", [TYPE], failure())
    return [b"sorry"]


@path
def exc_info_none(environ, start_response):
    start_response("200 OK", [TYPE], None)
    return [b"hello"]


@path
def too_late_to_replace(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b"first "
    try:
        start_response("503 Sorry", [TYPE], failure())
    except RuntimeError as error:
        yield b"raised " + str(error).encode()


@path
def too_late_after_write(environ, start_response):
    write = start_response("200 OK", [TYPE])
    write(b"first ")
    try:
        start_response("503 Sorry", [TYPE], failure())
    except RuntimeError as error:
        write(b"raised " + str(error).encode())
    return []


@path
def twice(environ, start_response):
    start_response("200 OK", [TYPE])
    start_response("200 OK", [TYPE])
    return [b"x"]


@path
def twice_caught(environ, start_response):
    start_response("200 OK", [TYPE])
    try:
        start_response("200 OK", [TYPE])
    except Exception:
        note(environ, "seen", text="start_response raised")
    return [b"x"]


@path
def headers_changed_later(environ, start_response):
    """The list is the server's once it was given away; the application may
    not know."""
    headers = [TYPE]
    start_response("200 OK", headers)
    headers.append(("X-Evil", "1"))
    return [b"hello"]


# ---- Streaming -------------------------------------------------------------


def wait_for_go(environ):
    """Until the suite says that the client has what was given so far."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if os.path.exists(GO):
            os.unlink(GO)
            note(environ, "seen", text="go")
            return
        time.sleep(0.005)


@path
def streamed(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b"first "
    wait_for_go(environ)
    yield b"second"


@path
def streamed_with_length(environ, start_response):
    start_response("200 OK", [TYPE, length(12)])
    yield b"first "
    wait_for_go(environ)
    yield b"second"


@path
def streamed_by_write(environ, start_response):
    write = start_response("200 OK", [TYPE])
    write(b"first ")
    wait_for_go(environ)
    return [b"second"]


# ---- Failures --------------------------------------------------------------

for _kind in (RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError):

    def _before(environ, start_response, kind=_kind):
        raise kind("the secret")

    def _started(environ, start_response, kind=_kind):
        start_response("200 OK", [TYPE])
        raise kind("the secret")

    def _later(environ, start_response, kind=_kind):
        start_response("200 OK", [TYPE])
        yield b"data"
        raise kind("the secret")

    def _counted(environ, start_response, kind=_kind):
        start_response("200 OK", [TYPE, length(9)])
        yield b"data"
        raise kind("the secret")

    handlers[f"/{_kind.__name__}-before"] = _before
    handlers[f"/{_kind.__name__}-started"] = _started
    handlers[f"/{_kind.__name__}-later"] = _later
    handlers[f"/{_kind.__name__}-with-length"] = _counted

value("str-block", body=["text"])
value("str-body", body="text")
value("bytes-body", body=b"text")
value("int-block", body=[1])
value("none-block", body=[None])
value("none-body", body=None)
value("int-status", status=200)
value("bytes-status", status=b"200 OK")
value("word-status", status="OK")
value("two-digits", status="20 OK")
value("four-digits", status="2000 OK")
value("interim-status", status="100 Continue")
value("switching", status="101 Switching Protocols")
value("status-crlf", status="200 OK\r\nX-Evil: 1")
value("status-lf", status="200 OK\nX-Evil: 1")
value("status-cr", status="200 OK\rX-Evil: 1")
value("status-nul", status="200 O\0K")
value("status-not-latin-1", status="200 \u20ac")
value("dict-headers", headers={"A": "b"})
value("none-headers", headers=None)
value("header-of-three", headers=[("A", "b", "c")])
value("int-value", headers=[TYPE, ("X-Int", 5)])
value("bytes-value", headers=[TYPE, ("X-Bytes", b"5")])
value("bytes-name", headers=[TYPE, (b"X-Bytes", "5")])
value("value-crlf", headers=[TYPE, ("X-Bad", "a\r\nX-Evil: 1")])
value("value-lf", headers=[TYPE, ("X-Bad", "a\nX-Evil: 1")])
value("value-cr", headers=[TYPE, ("X-Bad", "a\rX-Evil: 1")])
value("value-crlf-crlf", headers=[TYPE, ("X-Bad", "a\r\n\r\nevil")])
value("value-fold", headers=[TYPE, ("X-Bad", "a\r\n b")])
value("value-nul", headers=[TYPE, ("X-Bad", "a\0b")])
value("value-not-latin-1", headers=[TYPE, ("X-Bad", "\u20ac")])
value("value-crlf-in-unicode", headers=[TYPE, ("X-Bad", "a\u560d\u560aX-Evil: 1")])
value("name-crlf", headers=[TYPE, ("X-Bad: a\r\nX-Evil", "1")])
value("name-colon", headers=[TYPE, ("X-Bad:", "1")])
value("name-space", headers=[TYPE, ("X Bad", "1")])
value("name-empty", headers=[TYPE, ("", "1")])
for _name, _value in (
    ("Connection", "close"), ("Keep-Alive", "timeout=5"), ("Transfer-Encoding", "chunked"),
    ("Upgrade", "x"), ("TE", "trailers"), ("Trailer", "X"), ("Proxy-Authenticate", "Basic"),
):  # fmt: skip
    value("hop-" + _name.lower(), headers=[TYPE, (_name, _value)])


@path
def no_start_response(environ, start_response):
    return [b"x"]


@path
def no_start_response_no_body(environ, start_response):
    return []


@path
def str_later(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b"data"
    yield "text"


@path
def str_to_write(environ, start_response):
    start_response("200 OK", [TYPE])("text")
    return []


# ---- Files -----------------------------------------------------------------


class Wrapper:
    """For servers without wsgi.file_wrapper, as PEP 3333 has it."""

    def __init__(self, file, size=8192):
        self.file, self.size = file, size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self):
        return iter(lambda: self.file.read(self.size), b"")


class Noting:
    """A file whose close() is noted."""

    def __init__(self, environ, file):
        self._environ, self._file = environ, file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def close(self):
        note(self._environ, "close")
        self._file.close()


class Bare:
    """What PEP 3333 asks of a file: read(), and nothing else."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size):
        return self.data.read(min(size, 5))


def wrapped(environ, file, *size):
    return environ.get("wsgi.file_wrapper", Wrapper)(file, *size)


def opened(offset=0, **options):
    file = open(FILE, "rb", **options)
    file.seek(offset)
    return file


def served(name, make, *size, headers=()):
    def handler(environ, start_response):
        start_response("200 OK", [TYPE, *headers])
        return wrapped(environ, make(environ), *size)

    handlers["/" + name] = handler


def after_reading(environ):
    file = opened()
    file.read(10)
    return file


def through_pipe(environ):
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    return open(reading, "rb")


served("file", lambda e: Noting(e, opened()))
served("file-with-size", lambda e: opened(), 100)
served("file-unbuffered", lambda e: opened(buffering=0))
served("file-from-the-middle", lambda e: opened(1000))
served("file-after-reading", after_reading)
served("file-at-its-end", lambda e: opened(os.path.getsize(FILE)))
served("file-range", lambda e: opened(1000), headers=[length(100)])
served("file-in-memory", lambda e: io.BytesIO(b"in memory"))
served("file-in-memory-from-the-middle", lambda e: after_three(io.BytesIO(b"in memory")))
served("file-bare", lambda e: Bare(b"a file that is nothing but read()"))
served("file-pipe", through_pipe)


def after_three(file):
    file.read(3)
    return file


@path
def file_in_application(environ, start_response):
    """As an iterable that the application goes through itself."""
    wrapper = environ.get("wsgi.file_wrapper", Wrapper)
    start_response("200 OK", [TYPE])
    return [b"".join(wrapper(io.BytesIO(b"in memory"), 4))]


@path
def file_behind_middleware(environ, start_response):
    """A wrapped file inside another iterable is only that."""
    start_response("200 OK", [TYPE])
    return (block.upper() for block in wrapped(environ, io.BytesIO(b"in memory")))


def app(environ, start_response):
    name = environ["PATH_INFO"]
    if name == "/probe":
        return probe(start_response)
    note_call(environ)
    return handlers[name](environ, start_response)
