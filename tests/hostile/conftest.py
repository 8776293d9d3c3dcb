"""The fixtures of the end-to-end tests, for hostile clients."""

import importlib.util
import sys
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(E2E))

# Under a name of its own: this file is the module `conftest`.
_spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

pytest_collection_modifyitems = _e2e.pytest_collection_modifyitems
pytest_configure = _e2e.pytest_configure
serve = _e2e.serve
serve_module = _e2e.serve_module
shared_servers_are_well = _e2e.shared_servers_are_well
