"""Tests of wsgid on a machine that fails: full disks, failing system calls,
signals, a clock that jumps; and what many requests leave behind.

Servers and clients are those of the end-to-end tests, in ../e2e.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(E2E))

# Not by its name, which is this file's too.
spec = spec_from_file_location("e2e_conftest", E2E / "conftest.py")
e2e_conftest = module_from_spec(spec)
spec.loader.exec_module(e2e_conftest)

pytest_collection_modifyitems = e2e_conftest.pytest_collection_modifyitems
pytest_configure = e2e_conftest.pytest_configure
serve = e2e_conftest.serve
