"""Answers with its environ as JSON.

What JSON cannot hold is described: an object by the name of its type.
"""

import json


def describe(value):
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, tuple):
        return list(value)
    return type(value).__name__


def app(environ, start_response):
    answer = {key: describe(value) for key, value in environ.items()}
    # The validator hides these behind objects of its own.
    answer["type(environ)"] = type(environ).__name__
    answer["types"] = sorted({type(v).__name__ for k, v in environ.items() if "." not in k})
    while environ["wsgi.input"].read(65536):
        pass
    environ["wsgi.errors"].write("")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def complain(environ, start_response):
    """Writes to wsgi.errors in every way."""
    errors = environ["wsgi.errors"]
    errors.write("first complaint\n")
    errors.writelines(["second complaint\n", "third ", "complaint\n"])
    errors.write("un complaint acc\xe9ntu\xe9 \u20ac\n")
    errors.write("not ended by a newline")
    errors.flush()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
