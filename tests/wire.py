"""HTTP/1.1 byte by byte: what the tests that speak raw HTTP share.

requests and curl hide what is on the wire; this Client shows it: plain
sockets, a strict reader of responses, a limit of time on everything.
"""

import os
import random
import re
import select
import socket
import struct
import time
from pathlib import Path

# How long anything may take before it counts as hanging.  Not a demand on
# speed: sanitizers and busy machines stay far below it.
TIMEOUT = float(os.environ.get("WSGI_E2E_TIMEOUT", 30))

# How a sanitizer speaks up.
SANITIZER_REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:"
)


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


class Response:
    """One response as it was on the wire."""

    def __init__(self, head, body=b""):
        line, _, rest = head.partition(b"\r\n")
        match = re.fullmatch(rb"HTTP/(1\.[01]) ([1-5]\d\d) ([^\r\n]*)", line)
        assert match, f"not a status line: {line!r}"
        self.version = match[1].decode("latin-1")
        self.status = int(match[2])
        self.reason = match[3].decode("latin-1")
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


def free_port():
    """Below those that the kernel gives by itself: none of its own takes this
    one before the server does."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    below = range(max(1024, first - 8192), first)
    for port in random.sample(below, min(len(below), 100)) or [0]:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return sock.getsockname()[1]
    raise RuntimeError("no port is free")


class Closed(AssertionError):
    """The connection ended where a response head was expected."""


class Client:
    """One connection.

    Strict, it also wants what wsgid promises beyond RFC 9112: that it always
    speaks 1.1, and announces the close that ends a body.
    """

    def __init__(self, sock, timeout=TIMEOUT, strict=True):
        self.strict = strict
        sock.settimeout(timeout)
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
        res = Response(head[:-2])
        assert not self.strict or res.version == "1.1", f"version: {head!r}"
        return res

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
            closes = res.get("Connection") == "close"
            assert closes or not self.strict, f"no framing: {res}"
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
