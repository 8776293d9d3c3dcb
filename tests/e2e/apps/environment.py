"""The names of the environment that the application has, one a line."""

import os


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(os.environ).encode()]
