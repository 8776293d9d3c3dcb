"""A server of any make: started by a command, asked over TCP, restarted when
it is dead or deaf."""

import itertools
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
from wire import SANITIZER_REPORT, Client, environment, free_port

START_TIMEOUT = 30
STOP_TIMEOUT = 5


# ---- Whether the server has read what was sent -----------------------------

SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
TCP_LISTEN = 10


class Diagnosis:
    """Asks the kernel how many bytes wait unread at the other end of a
    connection that both ends of which are here: an acknowledgement that no
    server needs to give.  Where the kernel does not say, it is taken for read
    after a moment."""

    MOMENT = 0.005

    def __init__(self):
        try:
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG)
            self.sock.settimeout(1)
        except (OSError, AttributeError):
            self.sock = None

    def unread(self, client):
        """Bytes; None when there is no such connection any more."""
        (ours, our_port), (theirs, their_port) = client.getsockname(), client.getpeername()
        query = struct.pack(
            "=BBBxI2s2s16s16sIII",
            socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF,
            struct.pack("!H", their_port), struct.pack("!H", our_port),
            socket.inet_aton(theirs), socket.inet_aton(ours),
            0, 0xFFFFFFFF, 0xFFFFFFFF,
        )  # fmt: skip
        header = struct.pack("=IHHII", 16 + len(query), BY_FAMILY, 1, 0, 0)
        self.sock.send(header + query)
        reply = self.sock.recv(8192)
        if struct.unpack_from("=H", reply, 4)[0] != BY_FAMILY:
            return None
        # inet_diag_msg: state is its second byte, the queues follow the
        # socket's 48 bytes and the timer's 4.
        if reply[17] == TCP_LISTEN:
            return None
        return struct.unpack_from("=I", reply, 16 + 4 + 48 + 4)[0]

    def wait(self, client, limit=0.5):
        if self.sock is None:
            time.sleep(self.MOMENT)
            return
        end = time.monotonic() + limit
        try:
            while self.unread(client) and time.monotonic() < end:
                time.sleep(0.0002)
        except OSError:
            time.sleep(self.MOMENT)


class Server:
    """One application under the server that the command starts."""

    # Each connection has an address of its own, which tells its calls of the
    # application from late ones of connections before.
    addresses = itertools.count(1)
    diagnosis = Diagnosis()

    def __init__(self, command, app, timeout):
        self.command, self.app, self.timeout = command, app, timeout
        self.folder = tempfile.TemporaryDirectory(prefix="conformance-")
        self.record = Path(self.folder.name, "record")
        # What an application waits for that is asked whether it streams.
        self.go = Path(self.folder.name, "record.go")
        self.log_path = Path(self.folder.name, "log")
        self.process = None
        self.starts = 0

    def start(self):
        self.port = free_port()
        command = self.command.replace("{port}", str(self.port))
        command = command.replace("{app}", self.app)
        extra = {"CONFORMANCE_RECORD": str(self.record)}
        extra["CONFORMANCE_FILE"] = str(APPS / "content.txt")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                shlex.split(command),
                cwd=APPS,
                env=environment(extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        end = time.monotonic() + START_TIMEOUT
        while not self.is_well():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{command} did not start:\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def is_well(self):
        """Whether it answers."""
        try:
            with self.connect() as client:
                res = client.ask(path="/probe")
                return res.status == 200 and client.pending == b""
        except (OSError, AssertionError):
            return False

    def ensure(self):
        """Running, restarted if it must be."""
        if not self.is_alive():
            self.kill()
            self.start()

    def recover(self):
        """After a row that failed: the next must not suffer."""
        if not (self.is_alive() and self.is_well()):
            self.kill()

    def kill(self):
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                # Its own session: workers go with it.
                os.killpg(self.process.pid, number)
                self.process.wait(STOP_TIMEOUT)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.process = None

    def stop(self):
        """The end; what its log says."""
        self.kill()
        log = self.log()
        self.folder.cleanup()
        return log

    def connect(self, receive_buffer=None):
        sock = socket.socket()
        n = next(self.addresses)
        self.address = f"127.{1 + n // 62500 % 200}.{1 + n // 250 % 250}.{1 + n % 250}"
        try:
            sock.bind((self.address, 0))
        except OSError:
            self.address = None
        if receive_buffer:
            # Before connect(): it decides the window that is offered.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(self.timeout)
        try:
            sock.connect(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        return Client(sock, self.timeout, strict=False)

    def events(self, start, address):
        """What the application noted, of the connection from that address."""
        try:
            data = self.record.read_bytes()[start:]
        except FileNotFoundError:
            return []
        lines = [json.loads(line) for line in data.splitlines()]
        return [e for e in lines if e["from"] == address or not address or not e["from"]]

    def recorded(self):
        return self.record.stat().st_size if self.record.exists() else 0

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def sanitizer_report(self):
        return SANITIZER_REPORT.search(self.log()) and self.log()[-6000:]
