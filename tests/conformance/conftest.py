"""Options of the suite; ./run gives them."""

import os
import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


def wsgid():
    """The command of the built wsgid, which WSGID names."""
    program = os.environ.get("WSGID")
    return program and (
        f"{shlex.quote(os.path.abspath(program))} --bind 127.0.0.1:{{port}} {{app}}"
    )


def pytest_addoption(parser):
    group = parser.getgroup("conformance")
    group.addoption("--server", default=wsgid(), help="COMMAND {port} {app}")
    group.addoption("--patience", type=float, default=10, help="seconds of silence allowed")
    group.addoption("--log", help="where to write what the servers logged")
