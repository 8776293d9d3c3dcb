"""The server and its fixtures are those of the end-to-end tests."""

import importlib.util
import sys
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(E2E))

# Both folders have a conftest: this one has the plain name already.
spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
sys.modules["e2e_conftest"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["e2e_conftest"])

from e2e_conftest import *  # noqa: E402, F403
