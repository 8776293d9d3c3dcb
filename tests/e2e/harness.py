"""A running wsgid, and how to ask it.

Nothing sleeps to wait for the server: output is awaited on a condition,
sockets by their readiness; wait_for() is for what has no event (files, /proc).
"""

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

# Absolute: servers run in folders of their own.
WSGID = os.environ.get("WSGID") and os.path.abspath(os.environ["WSGID"])
# The interpreter of the Python that wsgid embeds; the tests' own may be another.
PYTHON = os.environ.get("WSGI_PYTHON") or sys.executable
HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
EXAMPLES = HERE.parent.parent / "examples" / "apps"

# The client is shared with tests/conformance; tests here have it from this
# module, with the server.
sys.path.insert(0, str(HERE.parent))
from wire import (  # noqa: E402, F401
    SANITIZER_REPORT,
    TIMEOUT,
    Client,
    Closed,
    chunked,
    environment,
    request,
    responses,
)

STOP_TIMEOUT = 10

# How wsgiref.validate says that a rule was broken.
VALIDATOR_REPORT = re.compile(r"AssertionError|garbage collected without being closed")
START_URL = re.compile(r"https?://[^\s,;]+|unix:[^\s,;]+")


@functools.lru_cache(maxsize=None)
def has_package(name):
    """Whether applications can import it."""
    found = subprocess.run(
        [PYTHON, "-c", f"import {name}"], stderr=subprocess.DEVNULL, timeout=60
    )
    return found.returncode == 0


def is_sanitized():
    """Whether the server was built with a sanitizer: its memory is not that
    of the server then."""
    if os.environ.get("WSGI_SANITIZED") == "1":
        return True
    data = Path(WSGID).read_bytes() if WSGID else b""
    return b"__asan_init" in data or b"__tsan_init" in data


def wait_for(condition, what, timeout=TIMEOUT):
    """Polls for what has no event to wait for; returns what is true."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.01)


def run_wsgid(*arguments, cwd=APPS, env=None, timeout=TIMEOUT):
    """Runs a wsgid that is expected to end by itself."""
    done = subprocess.run(
        [WSGID, *arguments],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        encoding="utf-8",
        errors="replace",
    )
    assert not SANITIZER_REPORT.search(done.stderr), done.stderr
    return done


# ---- The server ------------------------------------------------------------


class Output:
    """What a process writes, gathered by a thread, to be waited on."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._data = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self):
        while True:
            data = os.read(self._pipe.fileno(), 65536)
            with self._changed:
                self._data += data
                self._ended = not data
                self._changed.notify_all()
                if not data:
                    return

    def text(self):
        with self._changed:
            return self._data.decode("utf-8", "replace")

    def wait(self, ready, timeout=TIMEOUT):
        """Waits until ready(text) is true and returns that; None at the end of
        the output or of the time."""
        found = []

        def check():
            found[:] = [ready(self._data.decode("utf-8", "replace"))]
            return found[0] or self._ended

        with self._changed:
            self._changed.wait_for(check, timeout)
        return found[0] or None

    def join(self):
        self._thread.join(STOP_TIMEOUT)
        self._pipe.close()


def children_of(pid):
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in children.read_text().split()]
    return found


Address = namedtuple("Address", "family target")


class Server:
    """A wsgid that listens.  Make it with the fixture `serve`.  `command`
    starts it in place of WSGID, and has to become it by exec: signals go to
    the process that was started.  `passed` is the number of sockets that it
    passes, as a service manager does, in place of --bind."""

    def __init__(
        self, app, *options, validate=False, env=None, cwd=APPS, command=None, passed=0
    ):
        self.validated = validate
        options = [str(option) for option in options]
        env = dict(env or {})
        if validate:
            options += ["--pythonpath", str(HERE)]
            env["E2E_APP"], app = app, "validated:app"
        if not passed and not {"--bind", "-b"} & set(options):
            options = ["--bind", "127.0.0.1:0", *options]
        self.arguments = [*(command or [WSGID]), *options, app]
        self.stopped = False
        self.process = subprocess.Popen(
            self.arguments,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.stdout = Output(self.process.stdout)
        self._stderr = Output(self.process.stderr)
        self.urls = self._await_start(passed or sum(o in ("--bind", "-b") for o in options))
        self.addresses = [self._address(url) for url in self.urls]

    def _await_start(self, n_urls):
        def all_urls(text):
            whole = text[: text.rfind("\n") + 1]
            urls = START_URL.findall(whole)
            return urls if len(urls) >= n_urls else None

        urls = self._stderr.wait(all_urls)
        if urls is None:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"{self.arguments} did not start; its log:\n{self.log()}"
            )
        return urls

    @staticmethod
    def _address(url):
        if url.startswith("unix:@"):
            return Address(socket.AF_UNIX, "\0" + url[6:])
        if url.startswith("unix:"):
            return Address(socket.AF_UNIX, re.sub("^unix:(//)?", "", url))
        host, port = re.match(r"https?://(\[.*\]|[^:]*):(\d+)", url).groups()
        family = socket.AF_INET6 if host[0] == "[" else socket.AF_INET
        return Address(family, (host.strip("[]"), int(port)))

    @property
    def base_url(self):
        return self.urls[0].rstrip("/")

    @property
    def port(self):
        return self.addresses[0].target[1]

    def connect(self, receive_buffer=None, index=0):
        """A new connection."""
        family, target = self.addresses[index]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT)
        if receive_buffer:
            # Before connect(): it decides the window that is offered.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(target)
        return Client(sock)

    def raw(self, data, half_close=False):
        """Sends the bytes on a connection of their own; returns everything
        that comes back until the server closes."""
        with self.connect() as client:
            if half_close:
                client.send(data)
                client.finish_sending()
                return client.rest()
            return client.exchange(data)

    def ask(self, *args, **kwargs):
        """One request on a connection of its own."""
        with self.connect() as client:
            return client.ask(*args, **kwargs)

    def refuses(self):
        """Whether nobody listens any more."""
        try:
            self.connect().close()
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except ConnectionResetError:
            pass
        return False

    def log(self):
        """What it wrote to stderr so far."""
        return self._stderr.text()

    def wait_log(self, pattern, start=0):
        """Waits for the pattern in the log behind `start` characters."""
        match = self._stderr.wait(
            lambda text: re.search(pattern, text[start:], re.MULTILINE)
        )
        assert match, f"no {pattern!r} in the log:\n{self.log()[start:]}"
        return match

    def is_alive(self):
        return self.process.poll() is None

    def kill(self, number):
        os.kill(self.pid, number)

    def worker_pids(self):
        """The processes that serve: the workers, or itself without any."""
        return children_of(self.pid) or [self.pid]

    @property
    def worker_pid(self):
        """The one process that serves."""
        (pid,) = self.worker_pids()
        return pid

    def wait(self, timeout=STOP_TIMEOUT):
        """Waits for its end; the exit code."""
        self.stopped = True
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"wsgid did not stop in {timeout} s; its log:\n{self.log()}"
            ) from None
        self._stderr.join()
        self.stdout.join()
        return code

    def stop(self, number=signal.SIGTERM):
        """Stops it; the exit code."""
        self.kill(number)
        return self.wait()

    def check(self):
        """What must be true of every server after every test."""
        assert self.stopped or self.is_alive(), (
            f"wsgid ended with {self.process.returncode}; its log:\n{self.log()}"
        )
        assert not SANITIZER_REPORT.search(self.log()), self.log()
        if self.validated:
            assert not VALIDATOR_REPORT.search(self.log()), self.log()

    def finish(self):
        """The end of a test: the server is there and stops as it should."""
        try:
            self.check()
            if not self.stopped:
                code = self.stop()
                assert code == 0, f"exit code {code}; its log:\n{self.log()}"
            self.check()
        finally:
            if self.is_alive():
                self.process.kill()
                self.process.wait()

    # -- Memory, in bytes --

    def _processes(self):
        found = [self.pid]
        for pid in found:
            found += children_of(pid)
        return found

    def _status(self, field):
        """Of the process that has most: the supervisor of workers has none."""
        sizes = []
        for pid in self._processes():
            text = Path(f"/proc/{pid}/status").read_text()
            sizes.append(int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024)
        return max(sizes)

    def resident(self):
        return self._status("VmRSS")

    def peak_resident(self):
        return self._status("VmHWM")

    def private(self):
        """Memory that the processes have for themselves."""
        total = 0
        for pid in self._processes():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"Private_\w+:\s+(\d+) kB", text)))
        return total * 1024


def curl(*arguments):
    """curl as users have it, but for their configuration and proxies."""
    done = subprocess.run(
        ["curl", "-q", "--noproxy", "*", "-sS", "--max-time", str(TIMEOUT), *arguments],
        capture_output=True,
        timeout=TIMEOUT + 5,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


