"""Processes that an application forks: one way to leave for each path.

The child leaves as the path says; the parent waits for it and answers with the
status that it ended with.
"""

import multiprocessing
import os
import sys
import time

TEXT = ("Content-Type", "text/plain")
LONGEST = 5

leave = {}


def path(function):
    leave["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


@path
def os_exit(start_response):
    os._exit(7)


@path
def sys_exit(start_response):
    sys.exit(7)


@path
def sys_exit_without_status(start_response):
    sys.exit()


@path
def sys_exit_with_text(start_response):
    sys.exit("nothing to do")


@path
def raise_(start_response):
    raise ValueError("in the child")


@path
def return_(start_response):
    start_response("200 OK", [TEXT])
    return [b"from the child"]


@path
def write(start_response):
    try:
        start_response("200 OK", [TEXT])(b"from the child")
    except RuntimeError:
        os._exit(7)


@path
def print_(start_response):
    print("printed by the child")
    sys.exit(7)


def status_of(pid):
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return b"%d" % os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return b"it stayed"


class LeavesInClose:
    """The child leaves when its iterable is closed."""

    def __init__(self):
        self.pid = None

    def __iter__(self):
        return iter([b"parent"])

    def close(self):
        self.pid = os.fork()
        if self.pid:
            print("closed:", status_of(self.pid).decode(), file=sys.stderr)


def leave_in_block(start_response):
    start_response("200 OK", [TEXT])
    yield b"status "
    pid = os.fork()
    yield status_of(pid) if pid else b"from the child"


def terminated(start_response):
    """The way of multiprocessing to stop a child is SIGTERM."""
    child = multiprocessing.Process(target=time.sleep, args=(LONGEST * 2,))
    child.start()
    child.terminate()
    child.join(LONGEST)
    status = child.exitcode
    child.kill()
    start_response("200 OK", [TEXT])
    return [str(status).encode()]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/pid":
        start_response("200 OK", [TEXT])
        return [b"%d" % os.getpid()]
    if path == "/wait":
        time.sleep(0.05)
        start_response("200 OK", [TEXT])
        return [b"waited"]
    if path == "/terminate":
        return terminated(start_response)
    if path == "/in-block":
        return leave_in_block(start_response)
    if path == "/in-close":
        start_response("200 OK", [TEXT])
        return LeavesInClose()
    pid = os.fork()
    if pid == 0:
        return leave[path](start_response)
    start_response("200 OK", [TEXT])
    return [status_of(pid)]
