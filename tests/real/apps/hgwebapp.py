"""Mercurial's hgweb, as its example for mod_wsgi has it.

REAL_REPO names the repository.
"""

import os

from mercurial.hgweb import hgweb

application = hgweb(os.environ["REAL_REPO"].encode())
