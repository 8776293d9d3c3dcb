"""Answers with what was asked, and remembers it.

    /seen      the requests so far, as JSON; not one of them itself
    /echo      the body of the request
    /stream    three blocks whose total length is not known beforehand
    others     "METHOD path", or only that much of it as a number in the query
"""

import json

seen = []


def read_all(stream):
    """The validator wants a size with every read()."""
    return b"".join(iter(lambda: stream.read(65536), b""))


def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = read_all(environ["wsgi.input"])
    if path == "/seen":
        answer = [json.dumps(seen).encode()]
    else:
        seen.append(path)
        if path == "/echo":
            answer = [body]
        elif path == "/stream":
            answer = (block for block in (b"one ", b"two ", b"three"))
        else:
            answer = [f"{environ['REQUEST_METHOD']} {path}".encode("latin-1")]
    start_response("200 OK", [("Content-Type", "text/plain; charset=latin-1")])
    return answer
