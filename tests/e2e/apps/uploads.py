"""Reads request bodies in every way that PEP 3333 gives.

    /hash?how     SHA-256 and length of the body, read as `how` says
    /calls        the query is a JSON list of calls on wsgi.input, such as
                  [["read", 5], ["readline"]]; answers their results in JSON
"""

import hashlib
import json
from urllib.parse import unquote


def by_sized_reads(stream, length):
    yield from iter(lambda: stream.read(65536), b"")


def by_small_reads(stream, length):
    yield from iter(lambda: stream.read(7001), b"")


def by_one_read(stream, length):
    yield stream.read()


def by_content_length(stream, length):
    """As CGI programs do: not a byte further."""
    while length > 0:
        block = stream.read(min(length, 10000))
        length -= len(block)
        yield block


def by_readline(stream, length):
    yield from iter(stream.readline, b"")


def by_sized_readline(stream, length):
    yield from iter(lambda: stream.readline(100), b"")


def by_readlines(stream, length):
    yield from stream.readlines()


def by_sized_readlines(stream, length):
    while lines := stream.readlines(50000):
        yield from lines


def by_iteration(stream, length):
    yield from stream


WAYS = {
    name[3:]: way for name, way in list(globals().items()) if name.startswith("by_")
}


def hash_of(environ):
    way = WAYS[environ["QUERY_STRING"]]
    digest, total = hashlib.sha256(), 0
    length = int(environ.get("CONTENT_LENGTH") or 0)
    for block in way(environ["wsgi.input"], length):
        digest.update(block)
        total += len(block)
    return [digest.hexdigest(), total, length]


def result_of(stream, method, *arguments):
    if method == "list":
        result = list(stream)
    else:
        result = getattr(stream, method)(*arguments)
    if isinstance(result, list):
        return [item.decode("latin-1") for item in result]
    return result.decode("latin-1")


def results_of(environ):
    calls = json.loads(unquote(environ["QUERY_STRING"]))
    return [result_of(environ["wsgi.input"], *call) for call in calls]


def app(environ, start_response):
    work = {"/hash": hash_of, "/calls": results_of}[environ["PATH_INFO"]]
    answer = json.dumps(work(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


def ignores(environ, start_response):
    """Answers without reading."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ignored"]
