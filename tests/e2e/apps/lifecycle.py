"""Responses that a test holds up, and what a process knows of itself.

    /gate     waits until the named pipe E2E_GATE was opened, and read to its
              end; then answers
    /stream   8 MiB from a generator
    /process  pid, directory, sys.path, some of os.environ
"""

import json
import os
import sys

TEXT = ("Content-Type", "text/plain")


def process():
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "path": sys.path,
        "prefix": sys.prefix,
        "argv": sys.argv,
        "version": list(sys.version_info[:2]),
        "environ": {k: v for k, v in os.environ.items() if k.startswith("E2E_")},
    }


def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [TEXT, ("X-Answer", 'a "quoted" one')])
    if path == "/gate":
        with open(os.environ["E2E_GATE"], "rb") as gate:
            return [b"through the gate: " + gate.read()]
    if path == "/stream":
        return (b"x" * 65536 for _ in range(128))
    if path == "/process":
        return [json.dumps(process()).encode()]
    return [b"hello"]


def make():
    return app


def make_nothing():
    return None


def make_badly():
    raise RuntimeError("the factory is closed")


class Namespace:
    app = staticmethod(app)
    make = staticmethod(make)


not_callable = "a text"
application = app
