"""The smallest application: a function of two arguments (PEP 3333).

    $ wsgid wsgiapp:app
    $ curl http://127.0.0.1:8888/hello
"""


def app(environ, start_response):
    """Answers one request.

    environ is a dictionary that describes the request; start_response takes
    the status and the headers; what is returned is the body, as bytes.
    """
    if environ["PATH_INFO"] == "/hello":
        status = "200 OK"
        body = b"Hello world from a simple WSGI application!\n"
    else:
        status = "404 Not Found"
        body = b"There is nothing here. Try /hello\n"

    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    start_response(status, headers)
    return [body]
