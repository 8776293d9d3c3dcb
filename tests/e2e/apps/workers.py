"""A worker that is made to hang, to die or to grow.

    /pid      the process that serves
    /hang     stops all its threads, in a signal handler that does not return
    /sleep    does not come back, whatever is raised in it
    /abort    ends as a crash does
    /exit     ends with exit code 7
    /grow     keeps 64 MiB more
    /orphan   leaves a process behind that ends at once
    /zombies  how many such processes nobody has waited for
    /stop-all TERM to the first process
    /environ  wsgi.multiprocess
"""

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

kept = []


def hang():
    # PyDLL keeps the GIL.  This thread is the last.
    libc = ctypes.PyDLL(None)
    libc.signal(signal.SIGURG, ctypes.cast(libc.pause, ctypes.c_void_p))
    here = threading.get_native_id()
    for thread in sorted(map(int, os.listdir("/proc/self/task")), key=here.__eq__):
        libc.tgkill(os.getpid(), thread, signal.SIGURG)


def sleep():
    # Exceptions wait until it returns.
    time.sleep(600)


def orphan():
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)


def zombies():
    states = [
        stat.read_text().rpartition(")")[2].split()[0]
        for stat in Path("/proc").glob("[0-9]*/stat")
    ]
    return str(states.count("Z"))


ACTIONS = {
    "/hang": hang,
    "/sleep": sleep,
    "/abort": os.abort,
    "/exit": lambda: os._exit(7),
    "/grow": lambda: kept.append(bytearray(os.urandom(1024)) * 65536),
    "/orphan": orphan,
    "/zombies": zombies,
    "/stop-all": lambda: os.kill(1, signal.SIGTERM),
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    result = ACTIONS.get(path, lambda: None)()
    if path == "/environ":
        result = str(environ["wsgi.multiprocess"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(result or str(os.getpid())).encode()]
