"""Responses of every form that PEP 3333 allows: one for each path.

A handler is called as an application is.  E2E_FILE names the file that is
served.
"""

import io
import os
import sys

FILE = os.environ["E2E_FILE"]
BLOCK = bytes(range(256)) * 1024
TYPE = ("Content-Type", "application/octet-stream")

# How often close() of the iterable was called, by query string.
closed = {}

handlers = {}


def path(function):
    handlers["/" + function.__name__.rstrip("_").replace("_", "-")] = function
    return function


def length(n):
    return ("Content-Length", str(n))


class Blocks:
    """An iterable that is neither a list nor a generator."""

    def __init__(self, blocks, closing=None):
        self.blocks = blocks
        self.closing = closing

    def __iter__(self):
        return iter(self.blocks)

    def close(self):
        if self.closing is not None:
            closed[self.closing] = closed.get(self.closing, 0) + 1


class SizedBlocks(Blocks):
    def __len__(self):
        return len(self.blocks)


# ---- Bodies ----------------------------------------------------------------


@path
def list_(environ, start_response):
    start_response("200 OK", [TYPE])
    return [b"hello"]


@path
def list_of_many(environ, start_response):
    start_response("200 OK", [TYPE])
    return [b"a", b"", b"bc", b"def"]


@path
def tuple_(environ, start_response):
    start_response("200 OK", [TYPE])
    return (b"he", b"llo")


@path
def empty_list(environ, start_response):
    start_response("200 OK", [TYPE])
    return []


@path
def list_of_empty(environ, start_response):
    start_response("200 OK", [TYPE])
    return [b"", b""]


@path
def generator(environ, start_response):
    start_response("200 OK", [TYPE])
    return (block for block in (b"a", b"", b"bc", b"def"))


@path
def empty_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    return iter(())


@path
def generator_with_length(environ, start_response):
    start_response("200 OK", [TYPE, length(6)])
    return (block for block in (b"a", b"", b"bc", b"def"))


@path
def iterable(environ, start_response):
    start_response("200 OK", [TYPE])
    return Blocks([b"abc", b"def"])


@path
def sized_iterable(environ, start_response):
    """PEP 3333, "Handling the Content-Length Header": len() is 1."""
    start_response("200 OK", [TYPE])
    return SizedBlocks([b"abcdef"])


@path
def late(environ, start_response):
    """start_response() may wait for the first block."""
    start_response("201 Created", [TYPE])
    yield b"late"


@path
def empty_blocks_first(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b""
    yield b""
    yield b"late"


@path
def large(environ, start_response):
    start_response("200 OK", [TYPE])
    return [BLOCK, BLOCK]


@path
def large_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    return (BLOCK for _ in range(20))


# ---- write() ---------------------------------------------------------------


@path
def write(environ, start_response):
    put = start_response("200 OK", [TYPE])
    put(b"abc")
    put(b"def")
    return []


@path
def write_then_list(environ, start_response):
    put = start_response("200 OK", [TYPE])
    put(b"abc")
    return [b"def", b"ghi"]


@path
def write_with_length(environ, start_response):
    put = start_response("200 OK", [TYPE, length(9)])
    put(b"abc")
    put(b"def")
    return [b"ghi"]


@path
def write_large(environ, start_response):
    put = start_response("200 OK", [TYPE])
    for _ in range(20):
        put(BLOCK)
    return []


# ---- exc_info --------------------------------------------------------------


def failure():
    try:
        raise ValueError("a failure of the application")
    except ValueError:
        return sys.exc_info()


@path
def replaced(environ, start_response):
    start_response("200 OK", [TYPE, ("X-First", "1")])
    start_response("503 Sorry", [TYPE, ("X-Second", "1")], failure())
    return [b"sorry"]


@path
def replaced_after_empty_block(environ, start_response):
    """Empty blocks do not send the head."""
    start_response("200 OK", [TYPE, ("X-First", "1")])
    yield b""
    start_response("503 Sorry", [TYPE, ("X-Second", "1")], failure())
    yield b"sorry"


@path
def too_late_to_replace(environ, start_response):
    """The head is out: start_response() must raise what it was given."""
    start_response("200 OK", [TYPE])
    yield b"first "
    try:
        start_response("503 Sorry", [TYPE], failure())
    except ValueError as error:
        yield b"raised " + str(error).encode()


# ---- Files -----------------------------------------------------------------


class Reader:
    """Has read() and close(), and nothing else."""

    def __init__(self):
        self.left = 3

    def read(self, size):
        self.left -= 1
        return b"%d" % self.left * min(size, 5) if self.left >= 0 else b""

    def close(self):
        pass


def wrap(environ, file, *size):
    return environ["wsgi.file_wrapper"](file, *size)


@path
def file(environ, start_response):
    start_response("200 OK", [TYPE])
    return wrap(environ, open(FILE, "rb"))


@path
def file_unbuffered(environ, start_response):
    start_response("200 OK", [TYPE])
    return wrap(environ, open(FILE, "rb", buffering=0), 8192)


@path
def file_with_length(environ, start_response):
    start_response("200 OK", [TYPE, length(os.path.getsize(FILE))])
    return wrap(environ, open(FILE, "rb"), 4096)


@path
def file_from_the_middle(environ, start_response):
    source = open(FILE, "rb")
    source.seek(1000)
    start_response("200 OK", [TYPE])
    return wrap(environ, source)


@path
def file_after_reading(environ, start_response):
    """Python's buffer is ahead of the file descriptor."""
    source = open(FILE, "rb")
    source.read(10)
    start_response("200 OK", [TYPE])
    return wrap(environ, source)


@path
def file_at_its_end(environ, start_response):
    source = open(FILE, "rb")
    source.seek(0, 2)
    start_response("200 OK", [TYPE])
    return wrap(environ, source)


@path
def file_range(environ, start_response):
    """As an application answers "Range: bytes=1000-1099"."""
    source = open(FILE, "rb")
    source.seek(1000)
    start_response(
        "206 Partial Content",
        [TYPE, length(100), ("Content-Range", f"bytes 1000-1099/{os.path.getsize(FILE)}")],
    )
    return wrap(environ, source)


@path
def file_in_memory(environ, start_response):
    source = io.BytesIO(BLOCK)
    source.seek(1000)
    start_response("200 OK", [TYPE])
    return wrap(environ, source, 1000)


@path
def file_like(environ, start_response):
    start_response("200 OK", [TYPE])
    return wrap(environ, Reader())


@path
def file_pipe(environ, start_response):
    """A descriptor that no offset and no sendfile can be used with."""
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start_response("200 OK", [TYPE])
    return wrap(environ, os.fdopen(reader, "rb"))


# ---- Heads -----------------------------------------------------------------


@path
def headers(environ, start_response):
    start_response(
        "299 Some Odd  Reason",
        [
            TYPE,
            ("X-CaSe", "kept"),
            ("X-Latin", "caf\xe9"),
            ("X-Empty", ""),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ],
    )
    return [b""]


@path
def own_date(environ, start_response):
    start_response(
        "200 OK",
        [TYPE, ("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("SERVER", "mine")],
    )
    return [b"x"]


@path
def no_content(environ, start_response):
    """The body is a mistake, and must not reach the next response."""
    start_response("204 No Content", [])
    return [b"HTTP/1.1 200 OK\r\n\r\n"]


@path
def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return [b"HTTP/1.1 200 OK\r\n\r\n"]


@path
def not_modified_generator(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    yield b"HTTP/1.1 200 OK\r\n\r\n"


# ---- close() ---------------------------------------------------------------


@path
def count(environ, start_response):
    """An iterable that counts its close(), under the name in the query."""
    name = environ["QUERY_STRING"]
    blocks = {
        "empty": [],
        "blocks": [b"a", b"b"],
        "endless": iter(lambda: b"x" * 65536, None),
        "fails": (1 // 0 for _ in range(1)),
        "fails-later": (b"a" if i else 1 // i for i in (1, 0)),
        "no-content": [b"a"],
        "str": ["a"],
        "too-long": [b"abc", b"def", b"ghi"],
        "too-short": [b"a"],
    }[name.partition("-at-")[0]]
    status = "204 No Content" if name == "no-content" else "200 OK"
    fields = [length(5)] if name.startswith("too-") else []
    start_response(status, fields if name == "no-content" else [TYPE, *fields])
    return Blocks(blocks, name)


@path
def count_file(environ, start_response):
    """The same for the file in a file_wrapper."""
    name = environ["QUERY_STRING"]

    class File(io.FileIO):
        def close(self):
            if not self.closed:
                closed[name] = closed.get(name, 0) + 1
            super().close()

    start_response("200 OK", [TYPE])
    return wrap(environ, File(FILE, "rb"))


@path
def closes(environ, start_response):
    """How often close() was called under the name in the query."""
    start_response("200 OK", [TYPE])
    return [b"%d" % closed.get(environ["QUERY_STRING"], 0)]


def app(environ, start_response):
    return handlers[environ["PATH_INFO"]](environ, start_response)
