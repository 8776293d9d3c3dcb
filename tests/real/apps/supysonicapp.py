"""Supysonic, as its example for mod_wsgi has it; Debian keeps the package
outside of sys.path."""

import sys

sys.path.insert(0, "/usr/share/supysonic")

from supysonic.web import create_application  # noqa: E402

application = create_application()
