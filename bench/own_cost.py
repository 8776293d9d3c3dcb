#!/usr/bin/python3
"""What an application costs by itself: called in a loop, with no server around it.

    own_cost.py module:callable REQUEST [--seconds S]    prints µs of processor time for a call
    own_cost.py module:callable REQUEST --answer         prints status, a line end, and the body

REQUEST is a file with one request as it goes over the wire; the module is looked for in the current
directory.  The environ is made once and copied for each call, as a server of no cost would do.
"""

import argparse
import importlib
import io
import sys
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

WARM_UP = 50
LOOP = 20


def dechunked(body):
    plain = []
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return b"".join(plain)
        plain.append(body[:length])
        body = body[length + 2 :]


def environ_of(request):
    """As PEP 3333 wants it, of one request; and the request's body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, protocol = line.split(" ")
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": protocol,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for field in fields:
        name, _, value = field.partition(":")
        key = name.upper().replace("-", "_")
        environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value.strip()
    if environ.get("HTTP_TRANSFER_ENCODING") == "chunked":
        body = dechunked(body)
    return environ, body


def call(app, environ, body):
    """Status and blocks of one answer."""
    given = []

    def start_response(status, headers, exc_info=None):
        given[:] = [status, headers]
        return lambda data: None

    environ = environ.copy()
    environ["wsgi.input"] = io.BytesIO(body)
    result = app(environ, start_response)
    blocks = list(result)
    if hasattr(result, "close"):
        result.close()
    return given[0], blocks


def cost(app, environ, body, seconds):
    """Seconds of processor time for a call."""
    for _ in range(WARM_UP):
        call(app, environ, body)
    calls = 0
    start, end = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(LOOP):
            call(app, environ, body)
        calls += LOOP
    return (time.process_time() - start) / calls


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("app")
    parser.add_argument("request")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--answer", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, "")
    module, _, name = options.app.partition(":")
    app = getattr(importlib.import_module(module), name)
    environ, body = environ_of(Path(options.request).read_bytes())
    if options.answer:
        status, blocks = call(app, environ, body)
        sys.stdout.buffer.write(status.encode() + b"\n" + b"".join(blocks))
    else:
        print(f"{cost(app, environ, body, options.seconds) * 1e6:.3f}")


main()
