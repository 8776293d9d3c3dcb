"""The tables: one module for each area, one row for each case."""

import importlib

AREAS = (
    "request_line", "fields", "host", "framing", "chunks", "connection", "expect",
    "limits", "splits", "responses", "callable", "files", "environ", "inside",
)  # fmt: skip
MODULES = [importlib.import_module(f"tables.{name}") for name in AREAS]
ROWS = [row for module in MODULES for row in module.ROWS]
