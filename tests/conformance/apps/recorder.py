"""Notes each request that it gets, and answers with what it got.

    /echo       the body
    /environ    environ as JSON; values that are no strings by their type
    /ignore     does not read the body
    /some       reads one byte of it
    others      "METHOD path"
"""

import json

from record import note, note_call, probe


def read_all(stream):
    return b"".join(iter(lambda: stream.read(65536), b""))


def shown(environ):
    plain = (str, bool, int)
    found = {k: v for k, v in environ.items() if isinstance(v, plain)}
    found["wsgi.version"] = list(environ.get("wsgi.version", ()))
    return json.dumps(found).encode()


def app(environ, start_response):
    path = environ.get("PATH_INFO")
    if path == "/probe":
        return probe(start_response)
    note_call(environ)
    body = b""
    if path == "/some":
        environ["wsgi.input"].read(1)
    elif path != "/ignore":
        body = read_all(environ["wsgi.input"])
        note(environ, "body", body=body[:200].decode("latin-1"))
    if path == "/environ":
        body = shown(environ)
    elif path != "/echo":
        body = f"{environ['REQUEST_METHOD']} {path}".encode("latin-1")
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    # What servers do with a body at HEAD is for rows of their own.
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
