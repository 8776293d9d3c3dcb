"""System calls that fail, one by one and again and again: strace makes them.

What the kernel means as "again" must not be noticed by a client.  Of what is an
error a client gets its answer, a refusal or a close, and the server goes on.
"""

import os
import re

import pytest
from harness import WSGID, Client, is_sanitized
from machine import APPS, EXCHANGES, is_served, is_served_or_refused, needs

SPOOL = ("--body-spool-size", "64k")

# What must be served in spite of it.
AGAIN = [
    ("accept4", "EINTR"), ("accept4", "EAGAIN"), ("accept4", "ECONNABORTED"),
    ("accept4", "EMFILE"), ("accept4", "ENOBUFS"), ("accept4", "ENOMEM"),
    ("accept4", "EPROTO"),
    ("recvfrom", "EINTR"), ("recvfrom", "EAGAIN"),
    ("sendmsg", "EINTR"), ("sendmsg", "EAGAIN"),
    ("sendfile", "EINTR"), ("sendfile", "EAGAIN"), ("sendfile", "EINVAL"),
    ("sendfile", "EIO"), ("sendfile", "ENOSYS"),
    ("epoll_wait", "EINTR"),
    ("pwrite64", "EINTR"), ("pread64", "EINTR"),
    ("shutdown", "ENOTCONN"), ("close", "EIO"),
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

LONG = os.environ.get("WSGI_LONG") == "1"
# What strace calls the first one, and then every so many-th; the server's start
# has none of these calls but two or three epoll_ctl().
TIMES = [f"{n}" for n in range(4, 12)] + ["4+2", "5+3"] if LONG else ["4+3"]


def traced(call, errno, when):
    """wsgid with that call failing at those times."""
    # -D: wsgid is the process that was started, strace its descendant.
    strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]
    needs(*strace, "true")
    return [
        *strace, "-e", f"trace={call}", "-e", f"inject={call}:error={errno}:when={when}",
        WSGID,
    ]  # fmt: skip


def start(serve, tmp_path, call, errno, when):
    return serve(
        "machine:app", *SPOOL, cwd=APPS, command=traced(call, errno, when),
        env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip


def ids(table):
    return ["-".join(row) for row in table]


@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("call, errno", AGAIN, ids=ids(AGAIN))
def test_again(serve, tmp_path, call, errno, when):
    server = start(serve, tmp_path, call, errno, when)
    for name in [*EXCHANGES, *EXCHANGES]:
        assert is_served(server, name), f"{name}: {server.log()}"


@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("call, errno", FAULTS, ids=ids(FAULTS))
def test_fault(serve, tmp_path, call, errno, when):
    server = start(serve, tmp_path, call, errno, when)
    for name in [*EXCHANGES, *EXCHANGES]:
        assert is_served_or_refused(server, name), f"{name}: {server.log()}"
    # A periodical fault does not hit everybody: the server is of use.
    assert any(is_served(server, name) for name in [*EXCHANGES, *EXCHANGES])
