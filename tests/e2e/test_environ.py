"""environ: PEP 3333 and what users of CGI expect, read from an application
that returns it."""

import json
import os
import re
import socket

import pytest
from harness import chunked, request


@pytest.fixture(
    scope="module", params=[False, True], ids=["plain", "validated"]
)
def server(request, serve_module):
    return serve_module("environs:app", validate=request.param)


@pytest.fixture(scope="module")
def plain(serve_module):
    return serve_module("environs:app")


@pytest.fixture(scope="module")
def mounted(serve_module):
    return serve_module("environs:app", "--root-path", "/mount")


def environ_of(server, data):
    with server.connect() as client:
        client.send(data)
        res = client.response()
        assert res.status == 200, res
        return json.loads(res.body)


# The request, and what environ has then; None: the key is missing.
VARIABLES = {
    "request-line": (
        request(path="/a/b?c=d&e"),
        {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a/b",
         "QUERY_STRING": "c=d&e", "SERVER_PROTOCOL": "HTTP/1.1",
         "REQUEST_URI": "/a/b?c=d&e", "RAW_URI": "/a/b?c=d&e"}),
    "http-1.0": (request(version="1.0"), {"SERVER_PROTOCOL": "HTTP/1.0"}),
    "post": (
        request("POST", body=b"abc", headers=[("Content-Type", "text/x")]),
        {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3", "CONTENT_TYPE": "text/x",
         "HTTP_CONTENT_LENGTH": None, "HTTP_CONTENT_TYPE": None}),
    "empty-body": (
        request("POST", headers=[("Content-Length", "0")]), {"CONTENT_LENGTH": "0"}),
    "chunked": (
        request("POST", headers=[("Transfer-Encoding", "chunked")],
                body=chunked(b"abc", b"de")),
        {"CONTENT_LENGTH": "5", "HTTP_TRANSFER_ENCODING": None,
         "HTTP_CONTENT_LENGTH": None, "wsgi.input_terminated": True}),
    "chunked-trailers": (
        request("POST", headers=[("Transfer-Encoding", "chunked")],
                body=b"0\r\nX-Late: 1\r\nX-Early: 2\r\n\r\n"),
        {"HTTP_X_LATE": None, "HTTP_X_EARLY": None, "CONTENT_LENGTH": "0"}),
    "no-query": (request(path="/a"), {"QUERY_STRING": ""}),
    "empty-query": (request(path="/a?"), {"QUERY_STRING": "", "PATH_INFO": "/a"}),
    "raw-query": (
        request(path="/?a=%20%C3%A9+b?c"), {"QUERY_STRING": "a=%20%C3%A9+b?c"}),
    "utf-8-path": (
        request(path="/caf%C3%A9"),
        {"PATH_INFO": "/caf\xc3\xa9", "REQUEST_URI": "/caf%C3%A9"}),
    "latin-1-path": (request(path="/caf%e9"), {"PATH_INFO": "/caf\xe9"}),
    "every-byte": (
        request(path="/" + "".join(f"%{i:02X}" for i in range(1, 256))),
        {"PATH_INFO": "/" + "".join(map(chr, range(1, 256)))}),
    "decoded-once": (request(path="/a%252Fb%2541"), {"PATH_INFO": "/a%2Fb%41"}),
    "encoded-marks": (
        request(path="/a%2Fb%3Fc%23d?e%3Ff"),
        {"PATH_INFO": "/a/b?c#d", "QUERY_STRING": "e%3Ff"}),
    "plus-stays": (request(path="/a+b"), {"PATH_INFO": "/a+b"}),
    "percent-without-hex": (request(path="/%zz%4"), {"PATH_INFO": "/%zz%4"}),
    "path-as-it-is": (
        request(path="//a/./b/../c//"), {"PATH_INFO": "//a/./b/../c//"}),
    "semicolon": (request(path="/a;b=c/d"), {"PATH_INFO": "/a;b=c/d"}),
    "absolute-form": (
        request(path="http://other:81/a?b=c", headers=[("Host", "ignored")]),
        {"PATH_INFO": "/a", "QUERY_STRING": "b=c", "HTTP_HOST": "other:81",
         "REQUEST_URI": "http://other:81/a?b=c", "RAW_URI": "http://other:81/a?b=c"}),
    "absolute-form-without-path": (
        request(path="http://other"), {"PATH_INFO": "/", "HTTP_HOST": "other"}),
    "absolute-form-with-query-only": (
        request(path="http://other?a=b"), {"PATH_INFO": "/", "QUERY_STRING": "a=b"}),
    "host": (request(headers=[("Host", "a.b:80")]), {"HTTP_HOST": "a.b:80"}),
    "header": (request(headers=[("X-Some-Name", "value")]), {"HTTP_X_SOME_NAME": "value"}),
    "header-case": (request(headers=[("x-sOME", "v")]), {"HTTP_X_SOME": "v"}),
    "header-blanks": (
        b"GET / HTTP/1.1\r\nHost: a\r\nA:\t  b c\t d  \t\r\n\r\n", {"HTTP_A": "b c\t d"}),
    "empty-header": (request(headers=[("A", "")]), {"HTTP_A": ""}),
    "8-bit-header": (request(headers=[("A", "\xe9\xff\x80")]), {"HTTP_A": "\xe9\xff\x80"}),
    "repeated-header": (
        request(headers=[("A", "1"), ("B", "x"), ("a", "2, 3"), ("A", "")]),
        {"HTTP_A": "1, 2, 3, ", "HTTP_B": "x"}),
    "cookies": (
        request(headers=[("Cookie", "a=1"), ("Cookie", "b=2; c=3")]),
        {"HTTP_COOKIE": "a=1; b=2; c=3"}),
    "many-headers": (
        request(headers=[(f"X-{i}", str(i)) for i in range(90)]),
        {f"HTTP_X_{i}": str(i) for i in range(90)}),
    "underscore": (
        request(headers=[("X_Forwarded_For", "evil"), ("Content_Length", "99")]),
        {"HTTP_X_FORWARDED_FOR": None, "HTTP_CONTENT_LENGTH": None}),
    "underscore-besides-the-true-one": (
        request(headers=[("X_A", "evil"), ("X-A", "good"), ("X_A", "evil")]),
        {"HTTP_X_A": "good"}),
    "proxy": (request(headers=[("Proxy", "http://evil")]), {"HTTP_PROXY": None}),
    "connection": (
        request(headers=[("Connection", "keep-alive")]),
        {"HTTP_CONNECTION": "keep-alive"}),
    "forwarded-is-not-believed": (
        request(headers=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")]),
        {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "HTTPS": None}),
    "wsgi": (
        request(),
        {"wsgi.version": [1, 0], "wsgi.url_scheme": "http", "wsgi.run_once": False,
         "wsgi.multiprocess": False, "wsgi.input_terminated": True, "HTTPS": None}),
}  # fmt: skip


@pytest.mark.parametrize("case", VARIABLES)
def test_variables(server, case):
    data, expected = VARIABLES[case]
    environ = environ_of(server, data)
    for key, value in expected.items():
        assert environ.get(key) == value, key


def test_without_body(server):
    environ = environ_of(server, request())
    assert environ.get("CONTENT_LENGTH", "") == ""
    assert environ.get("CONTENT_TYPE", "") == ""


def test_types(server):
    environ = environ_of(server, request("POST", body=b"x"))
    assert environ["type(environ)"] == "dict"
    assert environ["types"] == ["str"]
    assert isinstance(environ["wsgi.multithread"], bool)
    assert "wsgi.file_wrapper" in environ
    for key in ("wsgi.input", "wsgi.errors"):
        assert key in environ


def test_server_and_client(server):
    with server.connect() as client:
        client.send(request())
        environ = json.loads(client.response().body)
        host, port = client.sock.getsockname()
    assert environ["REMOTE_ADDR"] == host
    assert environ["REMOTE_PORT"] == str(port)
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_SOFTWARE"]


def test_every_request_has_its_own(server):
    """Nothing is left over from the request before on the same connection."""
    rich = request("POST", "/a?b", [("A", "b"), ("Content-Type", "t/x")], b"abc")
    with server.connect() as client:
        client.send(rich + request())
        client.response()
        environ = json.loads(client.response().body)
    for key in ("HTTP_A", "CONTENT_TYPE", "CONTENT_LENGTH"):
        assert environ.get(key, "") == "", key
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/", "")


def test_underscore_is_logged_once(serve):
    server = serve("environs:app")
    for _ in range(3):
        server.ask(headers=[("Under_Score", "x")])
    server.stop()
    assert len(re.findall("Under_Score", server.log(), re.IGNORECASE)) == 1


MOUNTED = {
    "/mount/a?b": ("/mount", "/a", "b"),
    "/mount/": ("/mount", "/", ""),
    "/mount": ("/mount", "", ""),
    "/a": ("/mount", "/a", ""),
    "/": ("/mount", "/", ""),
    "/mountain": ("/mount", "/mountain", ""),
    "/mount/mount/a": ("/mount", "/mount/a", ""),
    "/m%6Funt/a": ("/mount", "/a", ""),
}


@pytest.mark.parametrize("path", MOUNTED)
def test_root_path(mounted, path):
    environ = environ_of(mounted, request(path=path))
    found = tuple(environ[k] for k in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"))
    assert found == MOUNTED[path]
    assert environ["REQUEST_URI"] == path


@pytest.mark.parametrize("validate", [False, True], ids=["plain", "validated"])
@pytest.mark.parametrize("form", ["unix:{folder}/socket", "unix:@wsgi-e2e-{pid}"])
def test_unix_socket(serve, tmp_path, form, validate):
    address = form.format(folder=tmp_path, pid=os.getpid())
    server = serve("environs:app", "--bind", address, validate=validate)
    environ = environ_of(server, request(path="/a"))
    assert environ["PATH_INFO"] == "/a"
    assert environ["REMOTE_ADDR"] == ""
    assert environ.get("REMOTE_PORT", "") == ""
    # PEP 3333: neither can ever be empty.
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6(serve):
    server = serve("environs:app", "--bind", "[::1]:0")
    environ = environ_of(server, request())
    assert environ["REMOTE_ADDR"] == "::1"
    assert environ["SERVER_PORT"] == str(server.port)


def test_two_addresses(serve, tmp_path):
    server = serve(
        "environs:app", "--bind", "127.0.0.1:0", "--bind", f"unix:{tmp_path}/socket"
    )
    assert len(server.addresses) == 2
    for index in range(2):
        with server.connect(index=index) as client:
            assert client.ask().status == 200


@pytest.mark.parametrize("validate", [False, True], ids=["plain", "validated"])
def test_errors_go_to_the_log(serve, validate):
    server = serve("environs:complain", validate=validate)
    assert server.ask().body == b"ok"
    for text in ("first", "second", "third"):
        server.wait_log(f"{text} complaint$")
    server.wait_log("un complaint acc.+ntu")
    server.wait_log("not ended by a newline")


def test_nothing_stays_of_the_requests_before(plain):
    """What the server remembers of a connection is for its own use."""
    ends = re.compile(rb"HTTP/1.0|connection: close", re.I)
    rows = [data for data, _ in VARIABLES.values() if not ends.search(data)]
    alone = [environ_of(plain, data) for data in rows]
    for before in rows:
        with plain.connect() as client:
            for index, data in enumerate(rows):
                for _ in range(3):
                    client.send(before)
                    client.response()
                client.send(data)
                got = json.loads(client.response().body)
                got["REMOTE_PORT"] = alone[index]["REMOTE_PORT"]
                assert got == alone[index], (before, data)
