"""What an application answers, on the wire; and what it may get wrong."""

import re

import pytest
from harness import Closed, request, responses, wait_for

CONTENT = bytes((i * 7 + i // 256) % 256 for i in range(300_000))
BLOCK = bytes(range(256)) * 1024


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "content"
    path.write_bytes(CONTENT)
    return {"E2E_FILE": str(path)}


@pytest.fixture(
    scope="module", params=[False, True], ids=["plain", "validated"]
)
def server(request, serve_module, environment):
    return serve_module("answers:app", validate=request.param, env=environment)


@pytest.fixture(scope="module")
def plain(serve_module, environment):
    return serve_module("answers:app", env=environment)


@pytest.fixture(scope="module")
def mistaken(serve_module):
    return serve_module("mistakes:app")


# path: (status, body, framing); "length" where the server can know it, which
# the validator hides from it; "own" where the application says it; None where
# either will do.
ANSWERS = {
    "/list": (200, b"hello", "length"),
    "/list-of-many": (200, b"abcdef", "length"),
    "/tuple": (200, b"hello", "length"),
    "/empty-list": (200, b"", "length"),
    "/list-of-empty": (200, b"", "length"),
    "/generator": (200, b"abcdef", "chunked"),
    "/empty-generator": (200, b"", None),
    "/generator-with-length": (200, b"abcdef", "own"),
    "/iterable": (200, b"abcdef", "chunked"),
    "/sized-iterable": (200, b"abcdef", None),
    "/late": (201, b"late", "chunked"),
    "/empty-blocks-first": (200, b"late", "chunked"),
    "/large": (200, BLOCK * 2, "length"),
    "/large-generator": (200, BLOCK * 20, "chunked"),
    "/write": (200, b"abcdef", None),
    "/write-then-list": (200, b"abcdefghi", None),
    "/write-with-length": (200, b"abcdefghi", "own"),
    "/write-large": (200, BLOCK * 20, None),
    "/replaced": (503, b"sorry", "length"),
    "/replaced-after-empty-block": (503, b"sorry", "chunked"),
    "/too-late-to-replace": (
        200, b"first raised a failure of the application", "chunked"),
    "/file": (200, CONTENT, "length"),
    "/file-unbuffered": (200, CONTENT, "length"),
    "/file-with-length": (200, CONTENT, "own"),
    "/file-from-the-middle": (200, CONTENT[1000:], "length"),
    "/file-after-reading": (200, CONTENT[10:], "length"),
    "/file-at-its-end": (200, b"", "length"),
    "/file-range": (206, CONTENT[1000:1100], "own"),
    "/file-in-memory": (200, BLOCK[1000:], None),
    "/file-like": (200, b"222221111100000", None),
    "/file-pipe": (200, b"through a pipe", None),
}  # fmt: skip


def framing_of(res):
    return "chunked" if res.chunked else "length"


@pytest.mark.parametrize("path", ANSWERS)
def test_answer(server, path):
    status, body, framing = ANSWERS[path]
    if framing == "own":
        framing = "length"
    elif server.validated:
        framing = None
    with server.connect() as client:
        # Twice: the connection stays in step.
        for _ in range(2):
            res = client.ask(path=path)
            assert (res.status, res.body) == (status, body)
            assert res.complete
            assert framing in (None, framing_of(res))


@pytest.mark.parametrize("path", ANSWERS)
def test_answer_to_head(server, path):
    """The same head, as far as it is known, and no body."""
    with server.connect() as client:
        client.send(request("HEAD", path) + request("GET", path))
        head, get = client.response("HEAD"), client.response()
    assert head.status == get.status
    assert head.get("Content-Type") == get.get("Content-Type")
    length = get.get("Content-Length")
    assert head.get("Content-Length") in (None, length)
    assert get.body == ANSWERS[path][1]


@pytest.mark.parametrize("path", ANSWERS)
def test_answer_to_http_1_0(server, path):
    with server.connect() as client:
        res = client.ask(path=path, version="1.0")
        assert (res.status, res.body) == ANSWERS[path][:2]
        assert not res.chunked
        assert client.rest() == b""


@pytest.mark.parametrize("path", ["/file", "/file-range", "/file-in-memory"])
def test_files_without_sendfile(serve, environment, path):
    server = serve("answers:app", "--no-sendfile", env=environment)
    res = server.ask(path=path)
    assert (res.status, res.body) == ANSWERS[path][:2]


def test_the_replaced_head_is_gone(server):
    for path in ("/replaced", "/replaced-after-empty-block"):
        res = server.ask(path=path)
        assert res.reason == "Sorry"
        assert res.get("X-First") is None and res.get("X-Second") == "1"


@pytest.mark.parametrize(
    "path, status",
    [("/no-content", 204), ("/not-modified", 304), ("/not-modified-generator", 304)],
)
def test_no_body(server, path, status):
    with server.connect() as client:
        client.send(request(path=path) + request(path="/list"))
        res = client.response()
        assert res.status == status
        assert res.get("Transfer-Encoding") is None
        assert status != 204 or res.get("Content-Length") is None
        assert client.response().body == b"hello"


def test_headers(server):
    res = server.ask(path="/headers")
    assert (res.status, res.reason) == (299, "Some Odd  Reason")
    assert ("X-CaSe", "kept") in res.headers
    assert res.get("X-Latin") == "caf\xe9"
    assert res.get("X-Empty") == ""
    assert res.all("Set-Cookie") == ["a=1", "b=2"]


def test_date_and_server(server):
    res = server.ask(path="/list")
    date = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(date, res.get("Date"))
    assert res.get("Server")


def test_own_date_and_server(server):
    res = server.ask(path="/own-date")
    assert res.get("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert res.get("Server") == "mine"


@pytest.mark.parametrize("value", ["another/1.0", ""])
def test_server_header(serve, environment, value):
    server = serve("answers:app", "--server-header", value, env=environment)
    assert server.ask(path="/list").get("Server") == (value or None)


# ---- Bodies of another length than was said --------------------------------


def test_more_than_content_length(plain):
    """Cut: the client must not take the rest for a response."""
    start = len(plain.log())
    with plain.connect() as client:
        res = client.ask(path="/count?too-long")
        assert res.body == b"abcde"
        try:
            assert client.ask(path="/list").body == b"hello"
        except (Closed, BrokenPipeError, ConnectionResetError):
            pass
    plain.wait_log(r"GET /count\?too-long: .*Content-Length", start)


def test_less_than_content_length(plain):
    """Only the end of the connection tells the client."""
    start = len(plain.log())
    with plain.connect() as client:
        res = client.ask(path="/count?too-short")
        assert not res.complete and res.body == b"a"
        assert client.rest() == b""
    plain.wait_log(r"GET /count\?too-short: .*Content-Length", start)
    assert plain.ask(path="/list").body == b"hello"


# ---- close() ---------------------------------------------------------------


def closes(server, name):
    return int(server.ask(path=f"/closes?{name}").body)


def assert_closed_once(server, name):
    wait_for(lambda: closes(server, name), f"close() of {name}")
    server.ask(path="/list")
    assert closes(server, name) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "name", ["empty", "blocks", "no-content", "too-long", "too-short", "fails",
             "fails-later"],
)  # fmt: skip
def test_close_is_called_once(plain, name, method):
    name = f"{name}-at-{method}"
    plain.raw(request(method, f"/count?{name}", [("Connection", "close")]))
    assert_closed_once(plain, name)


def test_close_after_a_wrong_block(plain):
    plain.ask(path="/count?str")
    assert_closed_once(plain, "str")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("after", ["head", "much"])
def test_close_when_the_client_leaves(plain, how, after):
    name = f"endless-at-{how}-after-{after}"
    start = len(plain.log())
    client = plain.connect()
    client.send(request(path=f"/count?{name}"))
    client.head()
    if after == "much":
        client.take(2_000_000)
    getattr(client, how)()
    assert_closed_once(plain, name)
    # A client that leaves is no error of the application.
    assert "Traceback" not in plain.log()[start:]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_wrapped_file_is_closed(plain, method):
    name = f"file-at-{method}"
    with plain.connect() as client:
        client.ask(method, f"/count-file?{name}")
    assert_closed_once(plain, name)


def test_wrapped_file_is_closed_when_the_client_leaves(plain):
    client = plain.connect(receive_buffer=4096)
    client.send(request(path="/count-file?file-left"))
    client.head()
    client.close()
    assert_closed_once(plain, "file-left")


# ---- Mistakes --------------------------------------------------------------

# path: what the log must say besides
MISTAKES = {
    "/str-block": "str.*bytes|bytes.*str",
    "/str-body": "str.*bytes|bytes.*str",
    "/str-from-generator": "str.*bytes|bytes.*str",
    "/str-to-write": "str.*bytes|bytes.*str",
    "/bytes-body": r"bytes.*(list|\[)|int.*bytes|bytes.*int",
    "/int-block": "int.*bytes|bytes.*int",
    "/none-block": "None.*bytes|bytes.*None",
    "/none-body": "None",
    "/int-body": "int",
    "/dict-block": "dict.*bytes|bytes.*dict",
    "/int-status": "status.*int",
    "/bytes-status": "status.*bytes",
    "/none-status": "status.*None",
    "/word-status": "status.*OK",
    "/status-behind-word": "status.*OK 200",
    "/two-digits": "status.*20",
    "/four-digits": "status.*2000",
    "/status-with-crlf": "status",
    "/status-with-lf": "status",
    "/status-with-nul": "status",
    "/status-not-latin-1": "status.*latin-1",
    "/interim-status": "status.*100",
    "/dict-headers": "headers.*list.*dict",
    "/none-headers": "headers.*list.*None",
    "/header-of-three": "tuple",
    "/header-as-text": "tuple.*str",
    "/header-as-list": "tuple.*list",
    "/int-value": "Content-Length.*int",
    "/bytes-value": "X-Bytes.*bytes",
    "/bytes-name": "X-Bytes.*bytes",
    "/none-value": "X-None.*None",
    "/crlf-in-value": "X-Bad",
    "/lf-in-value": "X-Bad",
    "/cr-in-value": "X-Bad",
    "/nul-in-value": "X-Bad",
    "/crlf-in-name": "X-Bad",
    "/blank-in-name": "X Bad",
    "/colon-in-name": "X-Bad:",
    "/empty-name": "header.*name|name.*header",
    "/value-not-latin-1": "X-Euro.*latin-1",
    "/hop-connection": "Connection",
    "/hop-keep-alive": "Keep-Alive",
    "/hop-transfer-encoding": "Transfer-Encoding",
    "/hop-upgrade": "Upgrade",
    "/word-length": "Content-Length",
    "/negative-length": "Content-Length",
    "/two-lengths": "Content-Length",
    "/no-start-response": "start_response",
    "/no-start-response-in-generator": "start_response",
    "/no-start-response-and-no-body": "start_response",
    "/second-start-response": "start_response.*exc_info",
    "/status-only": "start_response|argument",
    "/coroutine": "coroutine",
    "/wrong-signature": "wrong_signature",
}
KINDS = {
    "exception": "RuntimeError",
    "system-exit": "SystemExit",
    "keyboard-interrupt": "KeyboardInterrupt",
    "generator-exit": "GeneratorExit",
    "base-exception": "Strange",
    "memory-error": "MemoryError",
    "recursion": "RecursionError",
}
BEFORE_THE_HEAD = ("before", "after-start-response", "in-first-block")
RAISED = [(kind, when) for kind in KINDS for when in BEFORE_THE_HEAD]


def is_well(server):
    assert server.ask(path="/good").body == b"good"


def is_internal_error(res):
    """A page that tells the client nothing about the application."""
    assert res.status == 500 and res.complete
    assert res.get("Content-Type").startswith("text/plain")
    for leak in (b"secret", b"Traceback", b".py", b"WSGI", b"x-evil"):
        assert leak not in res.body and leak not in res.head.lower()
    return True


@pytest.mark.parametrize("path", MISTAKES)
def test_mistake(mistaken, path):
    start = len(mistaken.log())
    (res,), left = responses(
        mistaken.raw(request(path=path, headers=[("Connection", "close")]))
    )
    assert is_internal_error(res) and left == b""
    mistaken.wait_log(MISTAKES[path], start)
    is_well(mistaken)
    entry = mistaken.log()[start:]
    assert entry.count("Traceback (most recent call last)") <= 1
    assert path in entry, "the entry does not name the request"


@pytest.mark.parametrize("kind, when", RAISED)
def test_exception_before_the_head(mistaken, kind, when):
    start = len(mistaken.log())
    (res,), left = responses(
        mistaken.raw(request(path=f"/{kind}-{when}", headers=[("Connection", "close")]))
    )
    assert is_internal_error(res) and left == b""
    mistaken.wait_log(f"^.*{KINDS[kind]}: the secret of the application$", start)
    is_well(mistaken)
    entry = mistaken.log()[start:]
    assert entry.count("Traceback (most recent call last)") == 1
    assert "mistakes.py" in entry


def test_errors_keep_no_connection(mistaken):
    """Whatever a 500 does to the connection, it says so."""
    with mistaken.connect() as client:
        res = client.ask(path="/exception-before")
        if res.get("Connection") == "close":
            assert client.rest() == b""
        else:
            assert client.ask(path="/good").body == b"good"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["after-data", "after-data-with-length"])
def test_exception_after_the_head(mistaken, kind, when):
    """No last chunk, no missing bytes made up: the client sees it broken."""
    start = len(mistaken.log())
    with mistaken.connect() as client:
        res = client.ask(path=f"/{kind}-{when}")
        assert res.status == 200 and res.body == b"data"
        assert not res.complete
        assert client.rest() == b""
    mistaken.wait_log(f"{KINDS[kind]}: the secret", start)
    is_well(mistaken)


def test_wrong_block_after_the_head(mistaken):
    start = len(mistaken.log())
    res = mistaken.ask(path="/str-after-data")
    assert res.body == b"data" and not res.complete
    mistaken.wait_log("str.*bytes|bytes.*str", start)
    is_well(mistaken)


@pytest.mark.parametrize("kind", KINDS)
def test_exception_in_close(mistaken, kind):
    """The response was complete: it stays so."""
    start = len(mistaken.log())
    res = mistaken.ask(path=f"/{kind}-in-close")
    assert (res.status, res.body) == (200, b"good") and res.complete
    mistaken.wait_log(f"{KINDS[kind]}: the secret", start)
    is_well(mistaken)
