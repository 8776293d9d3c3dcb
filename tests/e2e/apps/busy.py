"""Calls that last, each in its own way, and what they leave to be asked for.

    /hello       at once
    /wait        until somebody asks for /open
    /open        lets all go that wait
    /sleep?S     in time.sleep()
    /spin?S      in Python code
    /hold?S      in C, keeping the GIL
    /drip?S      a block, then S seconds, then another
    /stubborn?S  sleeps, and does not listen to exceptions
    /big         16 MiB from a generator, on one thread
    /facts       JSON: calls by path, the most at once, wsgi.multithread
    /compute     a thread computes from now on, for ever
"""

import ctypes
import json
import threading
import time
from collections import Counter

lock = threading.Lock()
calls, inside, most = Counter(), 0, 0
gate = threading.Event()


def text(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain")])
    return [body]


def wait_at_the_gate():
    assert gate.wait(30)


def sleep_a_little(seconds):
    time.sleep(seconds)


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hold(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def be_stubborn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            pass


def compute():
    while True:
        sum(range(1000))


def drip(seconds):
    yield b"first\n"
    time.sleep(seconds)
    yield b"second\n"


def big():
    home = threading.get_ident()
    for _ in range(256):
        assert threading.get_ident() == home
        yield b"x" * 65536


BUSY = {"/sleep": sleep_a_little, "/spin": spin, "/hold": hold, "/stubborn": be_stubborn}


def answer(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path in BUSY or path == "/wait":
        print("in", path, file=environ["wsgi.errors"])
    if path in BUSY:
        BUSY[path](float(query))
    elif path == "/wait":
        wait_at_the_gate()
    elif path == "/open":
        gate.set()
    elif path == "/compute":
        threading.Thread(target=compute, daemon=True).start()
    elif path in ("/drip", "/big"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return drip(float(query)) if path == "/drip" else big()
    elif path == "/facts":
        facts = {"calls": calls, "most": most, "multithread": environ["wsgi.multithread"]}
        return text(start_response, json.dumps(facts).encode())
    return text(start_response, path[1:].encode())


def app(environ, start_response):
    global inside, most
    with lock:
        calls[environ["PATH_INFO"]] += 1
        inside += 1
        most = max(most, inside)
    try:
        return answer(environ, start_response)
    finally:
        with lock:
            inside -= 1


# ---- Flask, whose streams look at the request ------------------------------


def flask_app():
    from flask import Flask, request, stream_with_context

    site = Flask(__name__)

    @site.route("/stream/<name>")
    def stream(name):
        def blocks():
            for _ in range(256):
                assert request.path == f"/stream/{name}", request.path
                yield name * 65536

        return stream_with_context(blocks()), 200, {"X-Name": name}

    return site
