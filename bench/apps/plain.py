"""One application for each thing that a server can be slow at."""

import os
import threading
import time

HELLO = b"Hello, world!\n"
KIB_10 = b"0123456789abcde\n" * 640
MIB_1 = b"0123456789abcde\n" * 65536
BLOCK = b"0123456789abcde\n" * 256
COPY = 65536


def answer(start_response, body, kind="text/plain"):
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [HELLO]


def ten_kib(environ, start_response):
    return answer(start_response, KIB_10)


def one_mib(environ, start_response):
    return answer(start_response, MIB_1)


def stream(environ, start_response):
    """16 blocks of 4 KiB whose sum nobody tells."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(16):
        yield BLOCK


def digest_for(environ):
    """To be made of what comes, where it is asked for."""
    if environ["QUERY_STRING"] != "digest":
        return None
    import hashlib  # and OpenSSL's 2 MiB with it, which hello has no use for

    return hashlib.sha256()


def received(environ, body):
    """What of a body is worth an answer: its length, or its digest when it is asked for."""
    digest = digest_for(environ)
    if not digest:
        return b"%d" % len(body)
    digest.update(body)
    return digest.hexdigest().encode()


def upload(environ, start_response):
    """The whole body at once; without a length it ends with the input."""
    length = environ.get("CONTENT_LENGTH")
    source = environ["wsgi.input"]
    body = source.read(int(length)) if length else source.read()
    return answer(start_response, received(environ, body))


def form(environ, start_response):
    """A large upload in pieces, as those who parse forms read it."""
    left = int(environ["CONTENT_LENGTH"])
    source = environ["wsgi.input"]
    digest = digest_for(environ)
    first = last = b""
    while left > 0 and (piece := source.read(min(left, COPY))):
        left -= len(piece)
        first = first or piece
        last = piece
        if digest:
            digest.update(piece)
    boundary = first.partition(b"\r\n")[0]
    sound = left == 0 and last.endswith(b"\r\n" + boundary + b"--\r\n")
    told = digest.hexdigest().encode() if digest else b"form"
    return answer(start_response, told if sound else b"cut off")


def file(environ, start_response):
    """The file that BENCH_FILE names."""
    path = os.environ["BENCH_FILE"]
    size = os.path.getsize(path)
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    start_response("200 OK", headers)
    source = open(path, "rb")
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(source, COPY) if wrapper else iter(lambda: source.read(COPY), b"")


def sleeping(environ, start_response):
    """Waits 20 ms, as for a database."""
    time.sleep(0.020)
    return hello(environ, start_response)


def one_slow(environ, start_response):
    """/slow takes 200 ms, everything else none."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.200)
    return hello(environ, start_response)


def spin():
    while True:
        pass


spinner = threading.Thread(target=spin, daemon=True)
starting = threading.Lock()


def beside(environ, start_response):
    """A thread of the application computes without end.  It is started by the first request, since
    some servers fork behind the import."""
    if spinner.ident is None:
        with starting:
            if spinner.ident is None:
                spinner.start()
    return hello(environ, start_response)
