"""System calls that fail, one by one and again and again: strace makes them.

What the kernel means as "again" must not be noticed by a client.  Of what is an
error a client gets its answer, a refusal or a close, and the server goes on.
"""

import os
import re

import pytest
from harness import WSGID, wait_for
from machine import APPS, EXCHANGES, is_served, is_served_or_refused, needs

SPOOL = ("--body-spool-size", "64k")

# What must be served in spite of it.
AGAIN = [
    ("accept4", "EINTR"), ("accept4", "EAGAIN"), ("accept4", "ECONNABORTED"),
    ("accept4", "ENOBUFS"), ("accept4", "ENOMEM"),
    ("accept4", "EPROTO"),
    ("recvfrom", "EINTR"), ("recvfrom", "EAGAIN"),
    ("sendmsg", "EINTR"), ("sendmsg", "EAGAIN"),
    ("sendfile", "EINTR"), ("sendfile", "EAGAIN"), ("sendfile", "EINVAL"),
    ("sendfile", "EIO"), ("sendfile", "ENOSYS"),
    ("epoll_wait", "EINTR"),
    ("pwrite64", "EINTR"), ("pread64", "EINTR"),
]  # fmt: skip
# What costs one client its answer.
FAULTS = [
    ("recvfrom", "ECONNRESET"), ("recvfrom", "ENOBUFS"), ("recvfrom", "ENOMEM"),
    ("recvfrom", "ETIMEDOUT"),
    ("sendmsg", "ECONNRESET"), ("sendmsg", "EPIPE"), ("sendmsg", "ENOBUFS"),
    ("sendmsg", "ENOMEM"),
    ("sendfile", "ECONNRESET"), ("sendfile", "ENOBUFS"), ("sendfile", "ENOMEM"),
    ("epoll_ctl", "ENOMEM"), ("epoll_ctl", "ENOSPC"),
    ("pwrite64", "ENOSPC"), ("pwrite64", "EDQUOT"), ("pwrite64", "EIO"),
    ("pread64", "EIO"),
]  # fmt: skip

# How many of them the start of a worker makes, which are left alone: each
# process, and each thread, counts for itself.
AT_START = {"epoll_ctl": 5, "pread64": 2}
# The n-th after those, and from the n-th on each so many-th.
LONG = os.environ.get("WSGI_LONG") == "1"
TIMES = [(n, 0) for n in range(1, 9)] + [(1, 2), (2, 3)] if LONG else [(1, 4)]
# As many as reach the eighth of the rarest call, which several threads share.
ROUNDS = [*EXCHANGES] * (16 if LONG else 2)


def times(call, first, step):
    first += AT_START.get(call, 0)
    return f"{first}+{step}" if step else f"{first}"


class Strace:
    """wsgid with a call failing at those times."""

    def __init__(self, folder, call, errno, when):
        self.trace = folder / "trace"
        # -D: wsgid is the process that was started, strace its descendant.
        strace = ["strace", "-D", "-f", "-qq", "-e", f"trace={call}"]
        needs(*strace, "-o", "/dev/null", "true")
        inject = f"inject={call}:error={errno}:when={when}"
        self.command = [*strace, "-o", str(self.trace), "-e", inject, WSGID]

    def injected(self):
        return self.trace.read_text().count("(INJECTED)")


@pytest.fixture
def failing(serve, tmp_path):
    """A server with a failing call, that failed at the end of the test."""
    made = []

    def start(call, errno, when):
        made.append(Strace(tmp_path, call, errno, when))
        return serve(
            "machine:app", *SPOOL, cwd=APPS, command=made[0].command,
            env={"TMPDIR": str(tmp_path)},
        )  # fmt: skip

    yield start
    assert all(strace.injected() for strace in made), "the call never failed"


def ids(table):
    return ["-".join(row) for row in table]


@pytest.mark.parametrize("first, step", TIMES)
@pytest.mark.parametrize("call, errno", AGAIN, ids=ids(AGAIN))
def test_again(failing, call, errno, first, step):
    server = failing(call, errno, times(call, first, step))
    for name in ROUNDS:
        assert is_served(server, name), f"{name}: {server.log()}"


@pytest.mark.parametrize("first, step", TIMES)
@pytest.mark.parametrize("call, errno", FAULTS, ids=ids(FAULTS))
def test_fault(failing, call, errno, first, step):
    server = failing(call, errno, times(call, first, step))
    for name in ROUNDS:
        assert is_served_or_refused(server, name), f"{name}: {server.log()}"


@pytest.mark.parametrize("errno", ["ENOMEM", "ENOSPC"])
def test_listener_that_cannot_be_watched(failing, errno):
    """The sixth is for a connection, after which accepting rests; the
    eighth is to watch the listener again.  It is tried until it can; each
    thread that takes the loop meets it once."""
    server = failing("epoll_ctl", errno, "6..8+2")
    assert not is_served(server, "plain")
    for name in EXCHANGES:
        wait_for(lambda name=name: is_served(server, name), name)
    assert re.search("cannot accept connections: .*; trying again", server.log())


def test_first_fork_that_fails(failing):
    """There is no worker to go on with: it is said, and the end.  Later ones are
    tried again (tests/server/test_supervisor.c)."""
    with pytest.raises(AssertionError, match="wsgid: cannot fork a worker: Resource"):
        failing("clone", "EAGAIN", "1")
