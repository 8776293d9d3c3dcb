"""Disks that are full, missing or not to be written."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from harness import WSGID, Client, children_of, environment, request, wait_for
from machine import APPS, BLOCK, EXCHANGES, ask, is_served, mounted

KIB = 1024
MIB = 1024 * KIB
# Only on the disk once it is larger than this.
SPOOL = ("--body-spool-size", "64k")


@pytest.fixture
def small(tmp_path):
    """A disk of 1 MiB at a path: its path, the command, the same path seen
    from outside."""
    path = tmp_path / "disk"
    path.mkdir()
    command = mounted(
        'mount -t tmpfs -o size=1m,mode=1777 none "$1"; shift', str(path)
    )
    return path, command, lambda server: Path(f"/proc/{server.worker_pid}/root{path}")


def post(size):
    return request("POST", "/upload", body=b"x" * size)


def upload(server, size):
    """An answer that comes early is followed by a close, which may reset what
    is sent still: it can be read all the same."""
    with server.connect() as client:
        try:
            client.send(post(size))
        except (BrokenPipeError, ConnectionResetError):
            pass
        return client.response()


def used(folder):
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_upload_to_a_full_disk(serve, small):
    """It is refused, its space given back, and the next one served."""
    path, command, seen = small
    server = serve(
        "machine:app", *SPOOL, cwd=APPS, command=command, env={"TMPDIR": str(path)}
    )
    for _ in range(3):
        assert ask(server, "upload").body == b"%d" % (12 * len(BLOCK))
        assert upload(server, 3 * MIB).status == 507
        wait_for(lambda: used(seen(server)) == 0, "the space")
    assert server.ask(path="/calls").body == b"3"
    server.wait_log("cannot store a request body: No space left on device")


def test_two_uploads_that_do_not_fit_together(serve, small):
    """The second is refused; the first, half done, is not harmed."""
    path, command, seen = small
    server = serve(
        "machine:app", *SPOOL, cwd=APPS, command=command, env={"TMPDIR": str(path)}
    )
    data = post(700 * KIB)
    with server.connect() as first:
        first.send(data[: 600 * KIB])
        wait_for(lambda: used(seen(server)) >= 500 * KIB, "the first half")
        assert upload(server, 700 * KIB).status == 507
        first.send(data[600 * KIB :])
        assert first.response().body == b"%d" % (700 * KIB)


@pytest.mark.parametrize("options", [(), ("--no-sendfile",)])
def test_write_to_a_full_disk(serve, small, options):
    """What write() gives and nobody reads goes to a file: that response is
    cut, the application and the others go on."""
    path, command, seen = small
    server = serve(
        "machine:flood", *options, cwd=APPS, command=command, env={"TMPDIR": str(path)}
    )
    with server.connect(receive_buffer=4096) as slow:
        slow.send(request(path="/flood"))
        server.wait_log("cannot queue a response: No space left on device")
        assert not slow.response().complete
    assert server.ask(path="/plain").body == b"hello"
    wait_for(lambda: used(seen(server)) == 0, "the space")


@pytest.mark.parametrize("folder", ["missing", "read-only", "a-file"])
def test_unusable_tmpdir(serve, tmp_path, folder):
    """What needs no file is served; what does is refused, not put elsewhere."""
    path = tmp_path / "disk"
    command = None
    if folder == "a-file":
        path.write_text("")
    elif folder == "read-only":
        path.mkdir()
        command = mounted('mount -t tmpfs -o ro none "$1"; shift', str(path))
    server = serve(
        "machine:app", *SPOOL, cwd=APPS, command=command, env={"TMPDIR": str(path)}
    )
    for _ in range(2):
        assert upload(server, 100 * KIB).status == 500
        assert upload(server, 60 * KIB).body == b"61440"
    assert server.ask(path="/calls").body == b"2"


class Quiet:
    """A wsgid that does not say on stderr where it listens."""

    def __init__(self, path, command, *options):
        self.path = str(path)
        self.process = subprocess.Popen(
            [*command, "--bind", f"unix:{path}", *options, "machine:app"],
            cwd=APPS, env=environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.pid = self.process.pid
        wait_for(lambda: self.process.poll() is not None or path.exists(), "the socket")

    @property
    def worker_pid(self):
        (pid,) = wait_for(lambda: children_of(self.pid), "the worker")
        return pid

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        client = Client(sock)
        sock.connect(self.path)
        return client

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


@pytest.fixture
def quiet(tmp_path):
    started = []

    def start(command, *options):
        started.append(Quiet(tmp_path / "socket", command, *options))
        return started[0]

    yield start
    for server in started:
        assert server.stop() == 0


def fill(folder):
    """Returns the file that does."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_logs_on_a_full_disk(quiet, small):
    """Requests are served, and logged again when there is room."""
    path, command, seen = small
    access, errors = path / "access.log", path / "error.log"
    server = quiet(
        command, "--access-logfile", str(access), "--error-logfile", str(errors)
    )
    folder = seen(server)
    assert is_served(server, "plain")
    filler = fill(folder)
    # The block that a log has begun has room for some lines.
    for _ in range(300):
        assert is_served(server, "plain")
        assert ask_raw(server, "/fails").startswith(b"HTTP/1.1 500")
    assert used(folder) == MIB
    filler.unlink()
    before = access_lines(folder)
    assert is_served(server, "plain")
    wait_for(lambda: access_lines(folder) == before + 1, "the line of the log")


def ask_raw(server, path):
    with server.connect() as client:
        client.send(request(path=path))
        return client.rest()


def access_lines(folder):
    return (folder / "access.log").read_bytes().count(b"\n")


def test_logs_to_dev_full(quiet):
    """Where no write ever succeeds."""
    server = quiet(
        [WSGID], "--access-logfile", "/dev/full", "--error-logfile", "/dev/full"
    )
    for name in EXCHANGES:
        assert is_served(server, name)
    assert ask_raw(server, "/fails").startswith(b"HTTP/1.1 500")


def test_nothing_to_be_written_anywhere(serve):
    """Every file system is mounted read-only."""
    command = mounted(
        "mount --make-rprivate /\n"
        "while read -r _ path _; do\n"
        '    mount -o remount,bind,ro "$path" 2>/dev/null || true\n'
        "done </proc/self/mounts\n"
        "! touch /tmp/x /dev/shm/x ./x 2>/dev/null || exit 1"
    )
    server = serve(
        "machine:app", *SPOOL, cwd=APPS, command=command,
        env={"PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    for name in EXCHANGES:
        if name in ("upload", "chunked"):
            assert ask(server, name).status == 500
        else:
            assert is_served(server, name)
    assert upload(server, 1000).body == b"1000"
    server.wait_log("cannot store a request body: Read-only file system")
