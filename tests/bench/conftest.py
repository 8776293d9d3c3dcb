"""What the tests of bench/ share.  BENCH_BUILD is a build folder with load and the floors."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
BENCH = TESTS.parent / "bench"
BUILD = Path(os.environ.get("BENCH_BUILD", TESTS.parent / "build" / "debug")).absolute()
sys.path[:0] = [str(TESTS), str(BENCH)]


@contextmanager
def answering(answer):
    """A server whose connections are handed to answer(sock), one thread for each; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(sock):
            with sock:
                try:
                    answer(sock)
                except OSError:
                    pass

        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def load(tmp_path):
    """load(port, records, *options): what the load generator says, and its exit status."""

    def run(port, records, *options):
        path = tmp_path / "script"
        path.write_bytes(
            b"".join(b"%d %d %d %d\n" % (len(text), *rest) + text for text, *rest in records)
        )
        done = subprocess.run(
            [BUILD / "bench" / "load", *options, str(port), path],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return json.loads(done.stdout or "null"), done

    return run
