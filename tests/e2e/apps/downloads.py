"""Large responses.

    /stream?N    N MiB from a generator, made as they are asked for
    /file        the file that E2E_FILE names, through wsgi.file_wrapper
    /written?N   N MiB by write(), and how many copies of a block were held at
                 once, in a call that lasts so long that it has a thread
    /produced    how many blocks the generators gave in all
    others       "hello"
"""

import os
import sys
import time

MIB = 1024 * 1024
BLOCK = bytes(range(256)) * 256
TYPE = ("Content-Type", "application/octet-stream")
produced = 0


def blocks(n):
    """Block i begins with its number, so that no two are equal."""
    global produced
    for i in range(n):
        produced += 1
        yield i.to_bytes(8, "big") + BLOCK[8:]


def written(write, n):
    """All blocks are one object: who holds some of them counts there."""
    free = sys.getrefcount(BLOCK)
    held = 0
    time.sleep(0.05)
    for _ in range(n // len(BLOCK)):
        write(BLOCK)
        held = max(held, sys.getrefcount(BLOCK) - free)
    return [b"%d" % held]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    write = start_response("200 OK", [TYPE])
    if path == "/written":
        return written(write, int(environ["QUERY_STRING"]) * MIB)
    if path == "/stream":
        return blocks(int(environ["QUERY_STRING"]) * MIB // len(BLOCK))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(os.environ["E2E_FILE"], "rb"))
    if path == "/produced":
        return [b"%d" % produced]
    return [b"hello"]
