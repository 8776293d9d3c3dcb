"""What applications note for the suite: a line of JSON for each event.

The file is named by CONFORMANCE_RECORD.  A line is one write() with O_APPEND,
so that workers of any kind do not mix theirs.  Events bear the address of the
client, by which the suite tells its rows apart.
"""

import json
import os

_file = os.open(os.environ["CONFORMANCE_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(environ, event, **values):
    line = {"event": event, "from": environ.get("REMOTE_ADDR"), **values}
    os.write(_file, json.dumps(line).encode() + b"\n")


def note_call(environ):
    note(
        environ,
        "call",
        method=environ.get("REQUEST_METHOD"),
        path=environ.get("PATH_INFO"),
        headers={k: v for k, v in environ.items() if k.startswith("HTTP_")},
    )


def probe(start_response):
    """The answer to the question whether the connection is in step."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    return [b"GET /probe"]
