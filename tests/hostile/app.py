"""What hostile clients ask for.

    /generator   16 MiB, block by block, made as they are asked for
    /list        16 MiB in a list
    /file        the file that HOSTILE_FILE names, through wsgi.file_wrapper
    /closed      [iterables given, close() calls, those beyond the first]
    /length      how long the request's body was
    /number?N    1 KiB that begin with N and a blank
    /busy?S      keeps the server for S seconds
    others       "hello"
"""

import json
import os
import time

BLOCK = bytes(64 * 1024)
N_BLOCKS = 256
opened = closed = closed_again = 0


class Blocks:
    """Counts its ends."""

    def __init__(self):
        global opened
        opened += 1
        self.left = N_BLOCKS
        self.is_closed = False

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return bytes(len(BLOCK))

    def close(self):
        global closed, closed_again
        closed += 1
        closed_again += self.is_closed
        self.is_closed = True


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if path == "/generator":
        return Blocks()
    if path == "/list":
        return [BLOCK] * N_BLOCKS
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(os.environ["HOSTILE_FILE"], "rb"))
    if path == "/closed":
        return [json.dumps([opened, closed, closed_again]).encode()]
    if path == "/length":
        return [b"%d" % len(environ["wsgi.input"].read())]
    if path == "/number":
        return [query.encode().ljust(1024)]
    if path == "/busy":
        time.sleep(float(query))
    return [b"hello"]
