"""Request bodies: every way to send them, every way to read them, and what
frameworks make of them."""

import hashlib
import io
import json
import random
from urllib.parse import quote

import pytest
from harness import chunked, curl, has_package, is_sanitized, request

MIB = 1024 * 1024


def some_bytes(length):
    return random.Random(length).randbytes(length)


def some_lines(length):
    """Lines of very different lengths, the last without an end."""
    source, lines, total = random.Random(length), [], 0
    while total < length:
        line = source.randbytes(source.choice([0, 1, 80, 9000])).replace(b"\n", b"\r")
        lines.append(line + b"\n")
        total += len(lines[-1])
    return b"".join(lines)[: length - 3] + b"end"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def blocks_of(data, size=60_000):
    return [data[i : i + size] for i in range(0, len(data), size)]


FRAMINGS = {
    "length": lambda path, data: request("POST", path, body=data),
    "chunked": lambda path, data: request(
        "POST", path, [("Transfer-Encoding", "chunked")], chunked(*blocks_of(data))
    ),
}


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("uploads:app")


@pytest.fixture(scope="module")
def validated(serve_module):
    return serve_module("uploads:app", validate=True)


def post(server, framing, path, data):
    with server.connect() as client:
        client.send(FRAMINGS[framing](path, data))
        res = client.response()
        assert res.status == 200, server.log()
        return json.loads(res.body)


# ---- Ways to read ----------------------------------------------------------

BODIES = {
    "empty": b"",
    "byte": b"x",
    "lines": some_lines(10_000),
    "at-the-edge-of-memory": some_lines(524_288),
    "spooled": some_lines(2 * MIB),
    "one-line": b"x" * 700_000,
}
WAYS = [
    "sized_reads", "small_reads", "one_read", "content_length", "readline",
    "sized_readline", "readlines", "sized_readlines", "iteration",
]  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("way", WAYS)
def test_reading(server, way, body, framing):
    data = BODIES[body]
    found = post(server, framing, f"/hash?{way}", data)
    assert found == [sha(data), len(data), len(data)]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "one_read"])
def test_reading_validated(validated, way, framing):
    """The validator does not allow read() without a size."""
    data = BODIES["lines"]
    found = post(validated, framing, f"/hash?{way}", data)
    assert found == [sha(data), len(data), len(data)]


CALLS = [
    [["read"]],
    [["read"], ["read"], ["readline"], ["readlines"], ["list"]],
    [["read", -1]],
    [["read", None]],
    [["read", 0], ["read", 3], ["read", 0], ["read", 5], ["read"]],
    [["read", 1_000_000_000]],
    [["readline"], ["read", 4], ["readline"], ["readlines"]],
    [["readline", 3], ["readline", 0], ["readline", 1000], ["readline", -1], ["read", 2]],
    [["readline", None]],
    [["readlines", 1], ["readlines", 7], ["readlines", 0]],
    [["readlines", -1]],
    [["readlines", None]],
    [["readline"], ["list"], ["read"]],
]
TEXTS = {
    "lines": b"first\nsecond\r\n\n\nfifth without end",
    "ends-with-newline": b"first\nsecond\n",
    "empty": b"",
    "newlines": b"\n\n\n",
    "spooled": some_lines(600_000),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("calls", CALLS, ids=json.dumps)
def test_input_is_a_file(server, calls, text):
    """wsgi.input answers each call as io.BytesIO does."""
    model = io.BytesIO(TEXTS[text])
    expected = []
    for method, *arguments in calls:
        result = list(model) if method == "list" else getattr(model, method)(*arguments)
        if isinstance(result, list):
            expected.append([item.decode("latin-1") for item in result])
        else:
            expected.append(result.decode("latin-1"))
    path = "/calls?" + quote(json.dumps(calls))
    assert post(server, "length", path, TEXTS[text]) == expected


def test_body_that_nobody_reads(serve):
    """It is not taken for the next request."""
    server = serve("uploads:ignores")
    for framing in FRAMINGS:
        with server.connect() as client:
            for data in (b"GET / HTTP/1.1\r\n\r\n", BODIES["spooled"]):
                client.send(FRAMINGS[framing]("/", data))
                assert client.response().body == b"ignored"


# ---- Size ------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
def test_20_mib(serve, framing):
    """In a temporary file: the server does not grow with the body."""
    server = serve("uploads:app")
    before = server.peak_resident()
    data = some_bytes(20 * MIB)
    found = post(server, framing, "/hash?sized_reads", data)
    assert found == [sha(data), len(data), len(data)]
    if not is_sanitized():
        assert server.peak_resident() - before < 8 * MIB


def test_bodies_at_once(server):
    """Interleaved on several connections, none gets another's bytes."""
    bodies = [some_bytes(100_000 + i) for i in range(8)]
    clients = [server.connect() for _ in bodies]
    pieces = [
        blocks_of(FRAMINGS[list(FRAMINGS)[i % 2]]("/hash?sized_reads", body), 10_000)
        for i, body in enumerate(bodies)
    ]
    for turn in range(max(map(len, pieces))):
        for client, parts in zip(clients, pieces):
            if turn < len(parts):
                client.send(parts[turn])
    for client, body in zip(clients, bodies):
        assert json.loads(client.response().body)[0] == sha(body)
        client.close()


def test_curl_uploads(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(some_bytes(3 * MIB))
    url = server.base_url + "/hash?sized_reads"
    for options in (["-T"], ["-H", "Transfer-Encoding: chunked", "-T"]):
        found = json.loads(curl(*options, str(path), "-X", "POST", url))
        assert found[:2] == [sha(path.read_bytes()), 3 * MIB]


# ---- Frameworks ------------------------------------------------------------


@pytest.fixture(scope="module", params=["uploadflask", "uploaddjango"])
def framework(request, serve_module):
    package = request.param.removeprefix("upload")
    if not has_package(package):
        pytest.skip(f"{package} is not installed for this Python")
    return serve_module(f"{request.param}:app").base_url


def test_form(framework, http):
    fields = {"name": ["Ren\u00e9e"], "both": ["1", "2"], "empty": [""], "mark": ["a&b=c+d %"]}
    assert http.post(framework + "/form", data=fields).json() == fields


def test_files(framework, http):
    small, large = some_bytes(1000), some_bytes(3 * MIB)
    answer = http.post(
        framework + "/files",
        data={"title": "two files"},
        files={"small": ("a.bin", small), "large": ("b \u00e9.bin", large)},
    )
    assert answer.json() == {
        "form": {"title": ["two files"]},
        "files": {
            "small": ["a.bin", sha(small)],
            "large": ["b \u00e9.bin", sha(large)],
        },
    }


def test_files_from_curl(framework, tmp_path):
    """curl asks for 100 Continue when a body is large."""
    path = tmp_path / "file.bin"
    path.write_bytes(some_bytes(2 * MIB))
    found = json.loads(
        curl("-F", f"a=@{path}", "-F", "title=x", "-H", "Expect: 100-continue",
             framework + "/files")
    )  # fmt: skip
    assert found["files"] == {"a": ["file.bin", sha(path.read_bytes())]}
    assert found["form"] == {"title": ["x"]}


def test_json(framework, http):
    value = {"a": [1, 2.5, None, True, "\u20ac"]}
    assert http.post(framework + "/json", json=value).json() == value


@pytest.mark.parametrize("framing", FRAMINGS)
def test_raw_20_mib(framework, http, framing):
    data = some_bytes(20 * MIB)
    body = data if framing == "length" else iter(blocks_of(data))
    assert http.post(framework + "/raw", data=body).json() == sha(data)


def test_cookies_and_redirect(framework, http):
    answer = http.get(framework + "/login")
    assert answer.url == framework + "/welcome"
    assert [step.status_code for step in answer.history] == [302]
    assert answer.json()["other"] == "2"
    assert http.cookies.get("other") == "2"


def test_query(framework, http):
    fields = {"a": ["\u00e9 &="], "b": ["1", "2"]}
    assert http.get(framework + "/query", params=fields).json() == fields


def test_word_in_the_path(framework, http):
    for word in ("caf\u00e9", "a b", "a/b", "\u20ac", "100%"):
        assert http.get(f"{framework}/word/{quote(word)}").json() == word
