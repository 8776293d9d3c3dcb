"""What applications get wrong: one mistake for each path.

The secret is in exceptions only; no client may see it.
"""

SECRET = "the secret of the application"
TYPE = ("Content-Type", "text/plain")

handlers = {}


def path(function):
    handlers["/" + function.__name__.replace("_", "-")] = function
    return function


def answers(name, status="200 OK", headers=(TYPE,), body=(b"x",)):
    """A mistake that is only a value."""

    def handler(environ, start_response):
        start_response(status, list(headers) if type(headers) is tuple else headers)
        return body

    handlers["/" + name] = handler


answers("good", body=[b"good"])

# ---- The body ----

answers("str-block", body=["text"])
answers("str-body", body="text")
answers("bytes-body", body=b"text")
answers("int-block", body=[1])
answers("none-block", body=[None])
answers("none-body", body=None)
answers("int-body", body=7)
answers("dict-block", body=[{}])


@path
def str_from_generator(environ, start_response):
    start_response("200 OK", [TYPE])
    yield "text"


@path
def str_after_data(environ, start_response):
    start_response("200 OK", [TYPE])
    yield b"data"
    yield "text"


@path
def str_to_write(environ, start_response):
    start_response("200 OK", [TYPE])("text")
    return []


# ---- The status ----

answers("int-status", status=200)
answers("bytes-status", status=b"200 OK")
answers("none-status", status=None)
answers("word-status", status="OK")
answers("status-behind-word", status="OK 200")
answers("two-digits", status="20 OK")
answers("four-digits", status="2000 OK")
answers("status-with-crlf", status="200 OK\r\nX-Evil: 1")
answers("status-with-lf", status="200 OK\nX-Evil: 1")
answers("status-with-nul", status="200 O\0K")
answers("status-not-latin-1", status="200 \u20ac")
answers("interim-status", status="100 Continue")

# ---- Headers ----

answers("dict-headers", headers={"Content-Type": "text/plain"})
answers("none-headers", headers=None)
answers("header-of-three", headers=[("A", "b", "c")])
answers("header-as-text", headers=["A: b"])
answers("header-as-list", headers=[["A", "b"]])
answers("int-value", headers=[TYPE, ("Content-Length", 1)])
answers("bytes-value", headers=[TYPE, ("X-Bytes", b"b")])
answers("bytes-name", headers=[TYPE, (b"X-Bytes", "b")])
answers("none-value", headers=[TYPE, ("X-None", None)])
answers("crlf-in-value", headers=[TYPE, ("X-Bad", "a\r\nX-Evil: 1")])
answers("lf-in-value", headers=[TYPE, ("X-Bad", "a\nX-Evil: 1")])
answers("cr-in-value", headers=[TYPE, ("X-Bad", "a\rX-Evil: 1")])
answers("nul-in-value", headers=[TYPE, ("X-Bad", "a\0b")])
answers("crlf-in-name", headers=[TYPE, ("X-Bad\r\nX-Evil", "1")])
answers("blank-in-name", headers=[TYPE, ("X Bad", "1")])
answers("colon-in-name", headers=[TYPE, ("X-Bad:", "1")])
answers("empty-name", headers=[TYPE, ("", "1")])
answers("value-not-latin-1", headers=[TYPE, ("X-Euro", "\u20ac")])
answers("hop-connection", headers=[TYPE, ("Connection", "close")])
answers("hop-keep-alive", headers=[TYPE, ("Keep-Alive", "timeout=5")])
answers("hop-transfer-encoding", headers=[TYPE, ("Transfer-Encoding", "chunked")])
answers("hop-upgrade", headers=[TYPE, ("Upgrade", "x")])
answers("word-length", headers=[TYPE, ("Content-Length", "many")])
answers("negative-length", headers=[TYPE, ("Content-Length", "-1")])
answers("two-lengths", headers=[TYPE, ("Content-Length", "1"), ("Content-Length", "2")])

# ---- start_response() ----


@path
def no_start_response(environ, start_response):
    return [b"x"]


@path
def no_start_response_in_generator(environ, start_response):
    yield b"x"


@path
def no_start_response_and_no_body(environ, start_response):
    return []


@path
def second_start_response(environ, start_response):
    start_response("200 OK", [TYPE])
    start_response("500 Oops", [TYPE])
    return [b"x"]


@path
def status_only(environ, start_response):
    start_response("200 OK")
    return [b"x"]


@path
def coroutine(environ, start_response):
    async def answer():
        return [b"x"]

    return answer()


# ---- Exceptions ----


class Strange(BaseException):
    """Not an Exception."""


RAISED = {
    "exception": RuntimeError,
    "system-exit": SystemExit,
    "keyboard-interrupt": KeyboardInterrupt,
    "generator-exit": GeneratorExit,
    "base-exception": Strange,
    "memory-error": MemoryError,
    "recursion": RecursionError,
}


def raises(name, kind):
    def before(environ, start_response):
        raise kind(SECRET)

    def after_start_response(environ, start_response):
        start_response("200 OK", [TYPE])
        raise kind(SECRET)

    def in_first_block(environ, start_response):
        start_response("200 OK", [TYPE])
        raise kind(SECRET)
        yield

    def after_data(environ, start_response):
        start_response("200 OK", [TYPE])
        yield b"data"
        raise kind(SECRET)

    def after_data_with_length(environ, start_response):
        start_response("200 OK", [TYPE, ("Content-Length", "10")])
        yield b"data"
        raise kind(SECRET)

    class Closing:
        def __iter__(self):
            return iter([b"good"])

        def close(self):
            raise kind(SECRET)

    def in_close(environ, start_response):
        start_response("200 OK", [TYPE, ("Content-Length", "4")])
        return Closing()

    for function in (
        before, after_start_response, in_first_block,
        after_data, after_data_with_length, in_close,
    ):  # fmt: skip
        handlers[f"/{name}-{function.__name__.replace('_', '-')}"] = function


for _name, _kind in RAISED.items():
    raises(_name, _kind)


@path
def wrong_signature(environ):
    return [b"x"]


def app(environ, start_response):
    return handlers[environ["PATH_INFO"]](environ, start_response)
