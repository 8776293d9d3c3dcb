"""A server that is known to be wrong: wsgiref's, which says itself that it is
for development only.  Usage: naive.py PORT MODULE:ATTRIBUTE"""

import importlib
import io
import os
import socketserver
import sys
from wsgiref.simple_server import WSGIServer, make_server


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


def ended(app):
    """Its input has no end of its own: most rows would find only that."""

    def wrapper(environ, start_response):
        length = environ.get("CONTENT_LENGTH") or "0"
        body = environ["wsgi.input"].read(int(length)) if length.isdigit() else b""
        environ["wsgi.input"] = io.BytesIO(body)
        return app(environ, start_response)

    return wrapper


port, app = sys.argv[1:]
module, _, attribute = app.partition(":")
sys.path.insert(0, os.getcwd())
app = getattr(importlib.import_module(module), attribute)
make_server("127.0.0.1", int(port), ended(app), Server).serve_forever()
