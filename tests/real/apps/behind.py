"""What is served behind a proxy.

    /peer      who connected, and what was said of the client, in JSON
    /hash?how  as uploads:app
    /endless   blocks without end
    /counts    calls of /hash; endless responses begun and closed;, in JSON
    others     as downloads:app
"""

import json

import downloads
import uploads

counts = {"hash": 0, "begun": 0, "closed": 0}
JSON = ("Content-Type", "application/json")


class Endless:
    def __init__(self):
        counts["begun"] += 1

    def __iter__(self):
        return self

    def __next__(self):
        return downloads.BLOCK

    def close(self):
        counts["closed"] += 1


def peer(environ):
    names = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST", "HTTP_X_FORWARDED_FOR")
    return {name: environ.get(name) for name in (*names, "SERVER_PROTOCOL")}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hash":
        counts["hash"] += 1
        return uploads.app(environ, start_response)
    if path == "/endless":
        start_response("200 OK", [downloads.TYPE])
        return Endless()
    if path in ("/peer", "/counts"):
        start_response("200 OK", [JSON])
        answer = counts if path == "/counts" else peer(environ)
        return [json.dumps(answer).encode()]
    return downloads.app(environ, start_response)
