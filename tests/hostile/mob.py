"""A mob of hostile connections: mob.py PORT KIND=NUMBER...

Prints "there N" when all have begun what they are up to, and goes on with it,
all at once, until a line comes in.  Then what can be ended is ended: senders
complete their requests, readers leave.  Prints "answered N", the number of
senders that got a response 200.
"""

import resource
import select
import socket
import struct
import sys

PATIENCE = 60
BODY = 5000
HEAD = b"POST /length HTTP/1.1\r\nHost: localhost\r\n"
RST = struct.pack("ii", 1, 0)


class Sender:
    """Sends a byte at a time: start, then unit for as long as it may."""

    def __init__(self, sock, start, unit, end):
        self.sock, self.start, self.unit, self.end = sock, start, unit, end
        self.sent = 0

    def step(self):
        at = self.sent
        if at < len(self.start):
            byte = self.start[at]
        else:
            byte = self.unit[(at - len(self.start)) % len(self.unit)]
        self.sock.sendall(bytes([byte]))
        self.sent += 1

    def finish(self):
        while self.sent < len(self.start) or self.in_unit():
            self.step()
        units = (self.sent - len(self.start)) // len(self.unit)
        self.sock.sendall(self.end(units))

    def in_unit(self):
        return (self.sent - len(self.start)) % len(self.unit)

    def is_answered(self):
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.sock.recv(4096)
            if not data:
                return False
            answer += data
        return answer.startswith(b"HTTP/1.1 200 ")


class Reader:
    """Asks for much and reads a byte at a time."""

    def __init__(self, sock, path):
        self.sock = sock
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)

    def step(self):
        assert self.sock.recv(1), "the response ended"

    def finish(self):
        self.sock.close()

    def is_answered(self):
        return False


class Idle:
    """Is there, and says nothing."""

    def __init__(self, sock):
        self.sock = sock

    def step(self):
        pass

    def finish(self):
        self.sock.close()

    def is_answered(self):
        return False


class Knock(Idle):
    """Leaves as soon as it has come, with RST."""

    def __init__(self, sock):
        super().__init__(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        sock.close()


KINDS = {
    "idle": Idle,
    "knock": Knock,
    "head": lambda sock: Sender(
        sock,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nSlow: ",
        b"a",
        lambda n: b"\r\n\r\n",
    ),
    "body": lambda sock: Sender(
        sock,
        HEAD + b"Content-Length: %d\r\n\r\n" % BODY,
        b"b",
        lambda n: b"b" * (BODY - n),
    ),
    "chunks": lambda sock: Sender(
        sock,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\nc\r\n",
        lambda n: b"0\r\n\r\n",
    ),
    "generator": lambda sock: Reader(sock, b"/generator"),
    "list": lambda sock: Reader(sock, b"/list"),
    "file": lambda sock: Reader(sock, b"/file"),
}


def connect(port):
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Before connect(): what the kernel takes for a slow reader is little.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    return sock


def main(port, kinds):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    mob = []
    for name, number in kinds:
        mob += [KINDS[name](connect(port)) for _ in range(number)]
    for one in mob:
        one.step()
    print("there", len(mob), flush=True)
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        for one in mob:
            one.step()
    for one in mob:
        one.finish()
    senders = [one for one in mob if isinstance(one, Sender)]
    print("answered", sum(one.is_answered() for one in senders), flush=True)


main(
    int(sys.argv[1]),
    [(name, int(n)) for name, n in (kind.split("=") for kind in sys.argv[2:])],
)
