"""Ways to start wsgid where something is wrong, and requests that must be
answered, or not, there."""

import subprocess
from pathlib import Path

import pytest
from harness import WSGID, Closed, chunked, request

APPS = Path(__file__).resolve().parent / "apps"


def needs(*command):
    """Skips the test where that command does not succeed."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        pytest.skip(f"{command[0]} is not allowed here: {why}")


def mounted(script, *arguments):
    """wsgid in a mount namespace of its own that the script prepares."""
    # The script's exec keeps the process id.
    shell = ["unshare", "-m", "sh", "-ec", script + '\nexec "$@"', "sh", *arguments]
    needs(*shell, "true")
    return [*shell, WSGID]


BLOCK = bytes(range(256)) * 256
UPLOAD = BLOCK * 12

# name: request, body of the answer
EXCHANGES = {
    "plain": (request(path="/plain"), b"hello"),
    "stream": (request(path="/stream"), BLOCK * 4),
    "upload": (request("POST", "/upload", body=UPLOAD), b"%d" % len(UPLOAD)),
    "chunked": (
        request("POST", "/upload", [("Transfer-Encoding", "chunked")],
                chunked(*[BLOCK] * 12)),
        b"%d" % len(UPLOAD),
    ),
    "file": (request(path="/file"), BLOCK * 4),
    "write": (request(path="/write"), BLOCK * 4),
}  # fmt: skip


def ask(server, name):
    """The response, or None for a connection that ended before."""
    data, _ = EXCHANGES[name]
    try:
        with server.connect() as client:
            client.send(data)
            return client.response()
    except (Closed, ConnectionError):
        return None


def is_served(server, name):
    res = ask(server, name)
    return bool(res) and res.status == 200 and res.body == EXCHANGES[name][1]


def is_served_or_refused(server, name):
    """The answer, one that the framing shows to be cut, an error, or a close."""
    res = ask(server, name)
    if res is None or res.status in (500, 503, 507):
        return True
    expected = EXCHANGES[name][1]
    if res.complete:
        return res.status == 200 and res.body == expected
    return expected.startswith(res.body)
