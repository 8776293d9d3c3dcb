"""A running wsgid, and a client that sees every byte.

requests and curl hide what is on the wire, so most tests speak through the
Client here: plain sockets, a strict reader of responses, and a limit of time
on everything.  Nothing sleeps to wait for the server: output is awaited on a
condition, sockets by their readiness; wait_for() is for what has no event
(files, /proc).
"""

import functools
import os
import re
import select
import signal
import socket
import struct
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

# How long anything may take before it counts as hanging.  Not a demand on
# speed: sanitizers and busy machines stay far below it.
TIMEOUT = float(os.environ.get("WSGI_E2E_TIMEOUT", 30))
STOP_TIMEOUT = 10

SANITIZER_REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:"
)
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


def environment(extra=None):
    """The environment of a server: none of the variables that steer it or the
    clients, apart from those that a test asks for."""
    unwanted = re.compile(
        r"WSGID_.*|WEB_CONCURRENCY|PORT|FORWARDED_ALLOW_IPS|VIRTUAL_ENV"
        r"|PYTHONPATH|PYTHONHOME|DJANGO_SETTINGS_MODULE|LISTEN_.*|NOTIFY_SOCKET"
        r"|.*_proxy",
        re.IGNORECASE,
    )
    env = {k: v for k, v in os.environ.items() if not unwanted.fullmatch(k)}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env.update(extra or {})
    return env


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


# ---- The client ------------------------------------------------------------


class Response:
    """One response as it was on the wire."""

    def __init__(self, head, body=b""):
        line, _, rest = head.partition(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.1 ([1-5]\d\d) ([^\r\n]*)", line)
        assert match, f"not a status line: {line!r}"
        self.status = int(match[1])
        self.reason = match[2].decode("latin-1")
        self.headers = []
        for field in rest.split(b"\r\n"):
            if field:
                match = re.fullmatch(rb"([!#-'*+.^-z|~\w-]+): ?([^\r\n\0]*)", field)
                assert match, f"not a header field: {field!r}"
                self.headers.append(
                    (match[1].decode("latin-1"), match[2].decode("latin-1"))
                )
        self.head = head
        self.body = body
        self.chunked = self.get("Transfer-Encoding") == "chunked"
        # False when the connection ended before the framing said so.
        self.complete = True

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name):
        """The only field of that name, or None."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} comes {len(values)} times"
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Closed(AssertionError):
    """The connection ended where a response head was expected."""


class Client:
    """One connection."""

    def __init__(self, sock):
        sock.settimeout(TIMEOUT)
        if sock.family != socket.AF_UNIX:
            # Each send() is a segment of its own.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes as a crashing client does: with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def more(self):
        """Receives once, into `pending`; False at the end of the connection."""
        data = self.sock.recv(65536)
        self.pending += data
        return bool(data)

    def _until(self, mark):
        """Bytes up to and with the mark; None if the connection ends."""
        while mark not in self.pending:
            if not self.more():
                return None
        at = self.pending.index(mark) + len(mark)
        taken, self.pending = self.pending[:at], self.pending[at:]
        return taken

    def take(self, length):
        """That many bytes, fewer if the connection ends."""
        pieces, have = [self.pending], len(self.pending)
        while have < length:
            data = self.sock.recv(min(length - have + 65536, 1 << 20))
            if not data:
                break
            pieces.append(data)
            have += len(data)
        data = b"".join(pieces)
        self.pending = data[length:]
        return data[:length]

    def head(self):
        """The next head, also that of an interim response."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            raise Closed(f"closed, with {self.pending!r} instead of a response")
        return Response(head[:-2])

    def response(self, method="GET"):
        """The next response with its body; an interim one has none."""
        res = self.head()
        return self.body_of(res, method)

    def body_of(self, res, method="GET"):
        length = res.get("Content-Length")
        assert not (res.chunked and length), "Content-Length with chunked"
        if method == "HEAD" or res.status < 200 or res.status in (204, 304):
            return res
        if res.chunked:
            res.body, res.complete = self._chunked()
        elif length is not None:
            res.body = self.take(int(length))
            res.complete = len(res.body) == int(length)
        else:
            assert res.get("Connection") == "close", f"no framing: {res}"
            res.body = self.rest()
        return res

    def _chunked(self):
        pieces = []
        while True:
            line = self._until(b"\r\n")
            if line is None:
                return b"".join(pieces) + self.pending, False
            assert re.fullmatch(rb"[0-9a-fA-F]+\r\n", line), f"chunk: {line!r}"
            size = int(line, 16)
            if size == 0:
                # The server sends no trailers.
                assert self.take(2) == b"\r\n"
                return b"".join(pieces), True
            data = self.take(size)
            pieces.append(data)
            if len(data) < size:
                return b"".join(pieces), False
            end = self.take(2)
            if end != b"\r\n":
                assert end == b"", f"chunk data goes on with {end!r}"
                return b"".join(pieces), False

    def rest(self):
        """Everything up to the end of the connection."""
        while self.more():
            pass
        taken, self.pending = self.pending, b""
        return taken

    def exchange(self, data):
        """Sends all of it while reading, up to the server's close."""
        received, at = [], 0
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            writers = [self.sock] if at < len(data) else []
            readable, writable, _ = select.select([self.sock], writers, [], 1)
            if readable:
                piece = self.sock.recv(65536)
                if not piece:
                    return b"".join(received)
                received.append(piece)
            elif writable:
                at += self.sock.send(data[at : at + 65536])
        raise AssertionError(f"not closed, got {b''.join(received)!r}")

    def ask(self, method="GET", path="/", headers=(), body=b"", version="1.1"):
        """A request in its plainest form, and its response."""
        self.send(request(method, path, headers, body, version))
        return self.response(method)


def request(method="GET", path="/", headers=(), body=b"", version="1.1"):
    """The bytes of a request; Host and Content-Length are added."""
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in headers]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.insert(1, "Host: localhost")
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


def chunked(*blocks):
    """A chunked body of these blocks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(b), b) for b in blocks) + b"0\r\n\r\n"


class Replay:
    """Stands in for a socket: bytes that were received before."""

    family = socket.AF_UNIX

    def __init__(self, data):
        self.data = data

    def settimeout(self, seconds):
        pass

    def recv(self, length):
        taken, self.data = self.data[:length], self.data[length:]
        return taken


def responses(data, methods=("GET",)):
    """Splits what raw() gave into responses and what is left over."""
    client = Client(Replay(data))
    return [client.response(method) for method in methods], client.rest()


# ---- The server ------------------------------------------------------------


class Output:
    """What a process writes, gathered by a thread, to be waited on."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._data = b""
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


Address = namedtuple("Address", "family target")


class Server:
    """A wsgid that listens.  Make it with the fixture `serve`.  `command`
    starts it in place of WSGID, and has to become it by exec: signals go to
    the process that was started."""

    def __init__(self, app, *options, validate=False, env=None, cwd=APPS, command=None):
        self.validated = validate
        options = [str(option) for option in options]
        env = dict(env or {})
        if validate:
            options += ["--pythonpath", str(HERE)]
            env["E2E_APP"], app = app, "validated:app"
        if not {"--bind", "-b"} & set(options):
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
        self.urls = self._await_start(sum(o in ("--bind", "-b") for o in options))
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
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
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


