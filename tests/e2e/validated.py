"""The application that E2E_APP names, under the standard library's validator.

The validator raises AssertionError for each rule of PEP 3333 that the server
or the application breaks.
"""

import importlib
import os
from wsgiref.validate import validator

_module, _, _attribute = os.environ["E2E_APP"].partition(":")
app = validator(getattr(importlib.import_module(_module), _attribute))
