"""The suite finds what is wrong: against a server that is known to be."""

import shlex
import sys
from pathlib import Path

import pytest

from judge import fault_of
from server import Server
from tables import ROWS

NAIVE = Path(__file__).resolve().parent / "naive.py"
ROW = {f"{row.area}/{row.id}": row for row in ROWS}

# row: part of what is said about it; None: it is right
KNOWN = {
    "request line/query": None,
    "environ/method": None,
    "responses/body-generator": None,
    "host/none": "status 200, not 400",
    "host/two-different": "status 200, not 400",
    "fields/proxy": "HTTP_PROXY is",
    "framing/xchunked": "status 200, not 400/501",
    "framing/chunked": "body b",
    "connection/persistent": "closed after 1 answers",
    "responses/too-long": "not open and in step",
    "callable/RuntimeError-later": "the body is complete",
    "splits/refused-no-host": "cut behind b'G': ",
}


@pytest.fixture(scope="module")
def servers():
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(NAIVE))} {{port}} {{app}}"
    started = {}

    def get(app):
        if app not in started:
            started[app] = Server(command, app, timeout=1)
        started[app].ensure()
        return started[app]

    yield get
    for server in started.values():
        server.stop()


@pytest.mark.parametrize("name", KNOWN)
def test_verdict(servers, name):
    row = ROW[name]
    kind = next(iter(row.wants))
    fault = fault_of(servers(row.app), row, kind)
    if KNOWN[name] is None:
        assert fault is None
    else:
        assert fault and KNOWN[name] in fault
