"""One path for each way through the server.

    /plain, /stream, /write, /file   blocks, in each way to give them
    /tokens, /tokens-by-write, /small-file   the same with little in them
    /upload     the length of the body
    /fails      raises; /fails-later after its first block
    /objects    how many objects the garbage collector knows
    /calls      how often the application was called with another path
    /hog        opens files until no more are allowed; /free closes them
"""

import atexit
import gc
import os
import signal

BLOCK = bytes(range(256)) * 256
calls = 0
hogged = []
served = None


def start(start_response):
    return start_response("200 OK", [("Content-Type", "application/octet-stream")])


def plain(environ, start_response):
    start(start_response)
    return [b"hello"]


def stream(environ, start_response):
    start(start_response)
    return (BLOCK for _ in range(4))


def tokens(environ, start_response):
    start(start_response)
    return (b"token" for _ in range(4))


def tokens_by_write(environ, start_response):
    put = start(start_response)
    for _ in range(4):
        put(b"token")
    return []


def small_file(environ, start_response):
    start(start_response)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def write(environ, start_response):
    put = start(start_response)
    for _ in range(4):
        put(BLOCK)
    return []


def file(environ, start_response):
    """A file that takes no room on a disk."""
    global served
    if served is None:
        served = os.memfd_create("served")
        os.write(served, BLOCK * 4)
    source = open(os.dup(served), "rb", buffering=0)
    source.seek(0)
    start(start_response)
    return environ["wsgi.file_wrapper"](source)


def upload(environ, start_response):
    length = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
    start(start_response)
    return [b"%d" % length]


def fails(environ, start_response):
    raise ValueError("as it should")


def fails_later(environ, start_response):
    start(start_response)
    yield b"a block"
    raise ValueError("as it should")


def objects(environ, start_response):
    start(start_response)
    gc.collect()
    return [b"%d" % len(gc.get_objects())]


def count(environ, start_response):
    start(start_response)
    return [b"%d" % calls]


def hog(environ, start_response):
    try:
        while True:
            hogged.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    start(start_response)
    return [b"%d" % len(hogged)]


def free(environ, start_response):
    while hogged:
        os.close(hogged.pop())
    start(start_response)
    return [b"freed"]


handlers = {
    "/plain": plain, "/stream": stream, "/write": write, "/file": file,
    "/tokens": tokens, "/tokens-by-write": tokens_by_write, "/small-file": small_file,
    "/upload": upload, "/fails": fails, "/fails-later": fails_later,
    "/objects": objects, "/calls": count, "/hog": hog, "/free": free,
}  # fmt: skip


def app(environ, start_response):
    global calls
    path = environ["PATH_INFO"]
    if path != "/calls":
        calls += 1
    return handlers[path](environ, start_response)


def flood(environ, start_response):
    """8 MiB by write() for /flood."""
    put = start(start_response)
    if environ["PATH_INFO"] == "/plain":
        return [b"hello"]
    for _ in range(128):
        put(BLOCK)
    return []


ticks = 0


def tick(number, frame):
    global ticks
    ticks += 1


def ticking(environ, start_response):
    """As app, with a SIGALRM every 2 ms from the first request on."""
    if signal.getsignal(signal.SIGALRM) is not tick:
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        # Python's end takes the handler away.
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    return app(environ, start_response)
