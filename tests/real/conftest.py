"""The fixtures of the end-to-end tests, for tests with real programs."""

import importlib.util
import sys
from pathlib import Path

import pytest

E2E = Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(E2E))


def _load(path):
    """Under a name of its own: this file is the module `conftest`."""
    spec = importlib.util.spec_from_file_location("e2e_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_e2e = _load(E2E / "conftest.py")

pytest_collection_modifyitems = _e2e.pytest_collection_modifyitems
pytest_configure = _e2e.pytest_configure
serve = _e2e.serve
serve_module = _e2e.serve_module
shared_servers_are_well = _e2e.shared_servers_are_well
http = _e2e.http


@pytest.fixture
def proxy(tmp_path):
    """proxy(name, server) starts one for a test."""
    import programs

    started = []

    def start(name, server):
        started.append(programs.PROXIES[name](tmp_path, server))
        return started[-1]

    yield start
    for one in started:
        one.stop()
