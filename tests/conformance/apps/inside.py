"""PEP 3333 seen from inside: an application that checks what it is given.

Each function is one check, named by the path; it answers "ok" or what is
wrong.  `app` runs under wsgiref.validate as well, whose complaints are noted
as violations.
"""

import io
import sys
import traceback
from wsgiref.validate import validator

from record import note, note_call, probe

checks = {}
kept = []


def check(function):
    checks["/" + function.__name__.replace("_", "-")] = function
    return function


BODY = b"line one\nline two\n\nlast without end"
LINES = [b"line one\n", b"line two\n", b"\n", b"last without end"]


def equal(found, wanted):
    assert found == wanted, f"{found!r}, not {wanted!r}"


# ---- environ ----


@check
def environ_is_a_dict(environ):
    equal(type(environ), dict)


@check
def environ_can_be_changed(environ):
    environ["mine"] = "x"
    del environ["REQUEST_METHOD"]
    equal(environ.pop("mine"), "x")
    environ["REQUEST_METHOD"] = "GET"


@check
def environ_is_not_shared(environ):
    assert "left.behind" not in environ, "a value of another request"
    environ["left.behind"] = "x"
    environ["HTTP_LEFT"] = "x"


@check
def environ_stays(environ):
    """What was kept of a request is not overwritten by the next."""
    copy = dict(environ)
    for old, its_copy in kept:
        # Objects of a request may end with it; its strings may not.
        for key, value in its_copy.items():
            if isinstance(value, str):
                equal(old[key], value)
    kept.append((environ, copy))


@check
def required_keys(environ):
    for key in (
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME", "SERVER_PORT",
        "SERVER_PROTOCOL", "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors",
        "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once",
    ):  # fmt: skip
        assert key in environ, key


@check
def variables_are_native_strings(environ):
    for key, value in environ.items():
        equal(type(key), str)
        if "." not in key:
            assert type(value) is str, f"{key} is {type(value)}"


@check
def strings_are_latin_1(environ):
    for key, value in environ.items():
        if isinstance(value, str):
            (key + value).encode("latin-1")


@check
def version_is_a_tuple(environ):
    equal(environ["wsgi.version"], (1, 0))
    equal(type(environ["wsgi.version"]), tuple)


@check
def nothing_of_the_process(environ):
    for key in ("PATH", "HOME", "CONFORMANCE_RECORD"):
        assert key not in environ, f"{key} of the process"


# ---- wsgi.input ----


def stream(environ):
    return environ["wsgi.input"]


@check
def input_methods(environ):
    for name in ("read", "readline", "readlines", "__iter__"):
        assert hasattr(stream(environ), name), name


@check
def read_of_a_size(environ):
    equal(stream(environ).read(4), b"line")
    equal(stream(environ).read(5), b" one\n")


@check
def read_beyond_the_end(environ):
    equal(stream(environ).read(100_000), BODY)
    equal(stream(environ).read(1), b"")
    equal(stream(environ).read(100), b"")


@check
def read_of_0(environ):
    equal(stream(environ).read(0), b"")
    equal(stream(environ).read(100_000), BODY)


@check
def read_byte_by_byte(environ):
    equal(b"".join(iter(lambda: stream(environ).read(1), b"")), BODY)


@check
def read_of_minus_1(environ):
    equal(stream(environ).read(-1), BODY)


@check
def readline(environ):
    equal([stream(environ).readline() for _ in range(5)], [*LINES, b""])


@check
def readline_of_a_size(environ):
    equal(stream(environ).readline(4), b"line")
    equal(stream(environ).readline(100), b" one\n")
    equal(stream(environ).readline(9), b"line two\n")
    equal(stream(environ).readline(1), b"\n")
    equal(stream(environ).readline(100), b"last without end")
    equal(stream(environ).readline(100), b"")


@check
def readline_of_minus_1(environ):
    equal(stream(environ).readline(-1), LINES[0])


@check
def readlines(environ):
    equal(stream(environ).readlines(), LINES)


@check
def readlines_with_a_hint(environ):
    """The hint may be ignored; nothing may be lost."""
    first = stream(environ).readlines(3)
    assert first and first[0] == LINES[0], first
    equal(first + stream(environ).readlines(), LINES)


@check
def iteration(environ):
    equal(list(stream(environ)), LINES)


@check
def iteration_then_read(environ):
    equal(next(iter(stream(environ))), LINES[0])
    equal(stream(environ).read(100_000), b"".join(LINES[1:]))


@check
def mixed_reading(environ):
    equal(stream(environ).read(5), b"line ")
    equal(stream(environ).readline(), b"one\n")
    equal(stream(environ).readlines(), LINES[1:])
    equal(stream(environ).read(1), b"")


@check
def read_without_size(environ):
    equal(stream(environ).read(), BODY)
    equal(stream(environ).read(), b"")


@check
def text_io_around_input(environ):
    """What form parsers do."""
    data = io.BufferedReader(Raw(stream(environ))).read()
    equal(data, BODY)


class Raw(io.RawIOBase):
    def __init__(self, source):
        self.source = source

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self.source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@check
def empty_input(environ):
    equal(stream(environ).read(1), b"")
    equal(stream(environ).readline(), b"")
    equal(stream(environ).readlines(), [])
    equal(list(stream(environ)), [])


@check
def empty_input_without_size(environ):
    equal(stream(environ).read(), b"")


# ---- wsgi.errors ----


@check
def errors_methods(environ):
    errors = environ["wsgi.errors"]
    errors.write("a complaint of the application\n")
    errors.write("one that is not ended")
    errors.writelines(["two ", "lines\n", "at once\n"])
    errors.flush()


@check
def errors_takes_any_text(environ):
    environ["wsgi.errors"].write("\u20ac caf\xe9 \U0001f600\n")
    environ["wsgi.errors"].flush()


@check
def errors_by_print(environ):
    print("printed", 1, 2, file=environ["wsgi.errors"], flush=True)


@check
def errors_refuses_bytes(environ):
    try:
        environ["wsgi.errors"].write(b"bytes")
    except TypeError:
        return
    raise AssertionError("bytes are no text")


# ---- Truth ----


@check
def run_once_is_false(environ):
    assert not environ["wsgi.run_once"]


@check
def script_name_and_path(environ):
    name, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    assert name != "/" and (not name or name.startswith("/")), name
    assert path.startswith("/"), path


@check
def url_can_be_made_again(environ):
    """As PEP 3333 shows, URL Reconstruction."""
    from wsgiref.util import request_uri

    found = request_uri(environ)
    wanted = f"http://localhost/{environ['PATH_INFO'][1:]}"
    equal(found.partition("?")[0], wanted)


@check
def stdout_is_not_the_client(environ):
    print("to nobody", file=sys.stdout, flush=True)


def report(environ, start_response):
    function = checks[environ["PATH_INFO"]]
    try:
        function(environ)
        text = b"ok"
    except BaseException:
        lines = traceback.format_exc(limit=-1).strip().splitlines()
        text = lines[-1].encode("utf-8", "replace")
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start_response("200 OK", headers)
    return [text]


class Watched:
    """Notes what the validator complains about."""

    def __init__(self, environ, body):
        self.environ, self.body = environ, body

    def complain(self, function):
        try:
            return function()
        except AssertionError as error:
            note(self.environ, "violation", text=str(error))
            raise

    def __iter__(self):
        blocks = self.complain(lambda: iter(self.body))
        while True:
            try:
                yield self.complain(lambda: next(blocks))
            except StopIteration:
                return

    def close(self):
        self.complain(self.body.close)


def bare(environ, start_response):
    """Without the validator, whose streams want a size with every read."""
    if environ["PATH_INFO"] == "/probe":
        return probe(start_response)
    note_call(environ)
    return report(environ, start_response)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/probe":
        return probe(start_response)
    note_call(environ)
    try:
        return Watched(environ, validator(report)(environ, start_response))
    except AssertionError as error:
        note(environ, "violation", text=str(error))
        raise
