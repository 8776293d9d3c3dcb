"""A clock that jumps: only what is shown to people follows it."""

import os
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from harness import is_sanitized
from machine import APPS

DAY = 24 * 60 * 60
LIBRARY = "faketime/libfaketimeMT.so.1"


@pytest.fixture
def clock(tmp_path):
    """set(offset) moves the clock of servers with clock.environment."""
    found = [*Path("/usr/lib").glob(LIBRARY), *Path("/usr/lib").glob(f"*/{LIBRARY}")]
    if not found:
        pytest.skip("faketime is not installed")

    class Clock:
        path = tmp_path / "clock"
        environment = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }
        if is_sanitized():
            # It wants to be the first library that is loaded.
            environment["ASAN_OPTIONS"] = ":".join(
                [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"]
            )

        def set(self, offset):
            new = self.path.with_suffix(".new")
            new.write_text(f"{offset:+d}\n")
            new.rename(self.path)

    return Clock()


def date_of(res):
    return parsedate_to_datetime(res.get("Date")).timestamp()


@pytest.mark.parametrize("offset", [DAY, -DAY, 20 * 365 * DAY])
def test_jump(serve, clock, offset):
    """Nothing that is open is closed, and the Date is the new one."""
    clock.set(0)
    server = serve("machine:app", cwd=APPS, env=clock.environment)
    with server.connect() as idle, server.connect() as half, server.connect() as body:
        assert abs(date_of(idle.ask(path="/plain")) - time.time()) < 60
        half.send(b"GET /plain HTTP/1.1\r\n")
        body.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        server.ask(path="/plain")
        clock.set(offset)
        for _ in range(3):
            assert abs(date_of(server.ask(path="/plain")) - time.time() - offset) < 60
        half.send(b"Host: x\r\n\r\n")
        assert half.response().body == b"hello"
        body.send(b"cd")
        assert body.response().body == b"4"
        assert idle.ask(path="/plain").body == b"hello"


@pytest.mark.parametrize("offset", [DAY, -DAY])
def test_deadline_after_a_jump(serve, clock, offset):
    """Neither early nor never."""
    clock.set(0)
    server = serve(
        "machine:app", "--keep-alive", "1", cwd=APPS, env=clock.environment
    )
    with server.connect() as client:
        client.ask(path="/plain")
        began = time.monotonic()
        clock.set(offset)
        server.ask(path="/plain")
        assert client.rest() == b""
        assert time.monotonic() - began > 0.9
