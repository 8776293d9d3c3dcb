"""httpbin, a Flask application that answers in every way, with curl asking in
many."""

import base64
import gzip
import json
import os
import re

import pytest
from harness import TIMEOUT, curl
from programs import needs, run

pytestmark = needs("python3-httpbin", module="httpbin")


@pytest.fixture(scope="module")
def url(serve_module):
    server = serve_module("httpbin:app")
    yield server.base_url
    assert "Traceback" not in server.log()


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(os.urandom(300_000))
    return path


def test_environ_arrives(url):
    headers = ("-A", "me", "-e", "http://from/", "-b", "a=1; b=2")
    said = json.loads(curl(*headers, url + "/get?q=%C3%A9&q=2"))
    assert said["args"] == {"q": ["é", "2"]}
    assert said["headers"]["User-Agent"] == "me"
    assert said["headers"]["Referer"] == "http://from/"
    assert said["headers"]["Cookie"] == "a=1; b=2"
    assert said["origin"] == "127.0.0.1"
    assert said["url"].startswith(url + "/get?q=")


@pytest.mark.parametrize(
    "version, framing",
    [("--http1.0", "length"), ("--http1.1", "length"), ("--http1.1", "chunked")],
)
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_upload(url, upload, version, framing, expect):
    """From a file its length is known, from a pipe it is not."""
    data = upload.read_bytes()
    said = run(
        *("curl", "-q", "-sS", "--max-time", TIMEOUT, version, "-H", expect),
        *("-T", upload if framing == "length" else "-", url + "/put"),
        stdin=data if framing == "chunked" else b"",
    )
    got = json.loads(said)["data"].partition("base64,")[2]
    assert base64.b64decode(got) == data


def test_form_and_file(url, upload):
    said = json.loads(
        curl(*("-F", "name=Zoë", "-F", f"file=@{upload};type=text/x"), url + "/post")
    )
    assert said["form"] == {"name": "Zoë"}
    assert list(said["files"]) == ["file"]
    said = json.loads(curl("--data-urlencode", "q=a&b=ü", url + "/post"))
    assert said["form"] == {"q": "a&b=ü"}


@pytest.mark.parametrize(
    "coding, name",
    [("gzip", "gzipped"), ("deflate", "deflated"), ("brotli", "brotli")],
)
def test_compressed(url, coding, name):
    assert json.loads(curl("--compressed", f"{url}/{coding}"))[name] is True


def test_resume(url, tmp_path):
    """The second half of a file whose first half is there."""
    whole = curl(url + "/range/5000")
    assert len(whole) == 5000
    part = tmp_path / "part"
    part.write_bytes(whole[:1234])
    head = tmp_path / "head"
    curl("-C", "-", "-D", str(head), "-o", str(part), url + "/range/5000")
    assert part.read_bytes() == whole
    assert "HTTP/1.1 206 " in head.read_text()
    assert "content-range: bytes 1234-4999/5000" in head.read_text().lower()


def test_redirects_and_cookies(url, tmp_path):
    jar = tmp_path / "jar"
    said = curl("-L", "-c", str(jar), "-b", str(jar), url + "/cookies/set?a=1&b=2")
    assert json.loads(said) == {"cookies": {"a": "1", "b": "2"}}
    counts = curl(
        *("-L", "-o", "/dev/null", "-w", "%{num_redirects} %{num_connects}"),
        url + "/relative-redirect/5",
    )
    assert counts == b"5 1"
    absolute = curl("-L", url + "/absolute-redirect/2")
    assert json.loads(absolute)["url"] == url + "/get"


@pytest.mark.parametrize("how", ["--basic", "--digest"])
def test_passwords(url, how):
    path = "/basic-auth/u/p" if how == "--basic" else "/digest-auth/auth/u/p"
    said = json.loads(curl(how, "-u", "u:p", url + path))
    assert said == {"authenticated": True, "user": "u"}
    code = curl(how, "-u", "u:q", "-o", "/dev/null", "-w", "%{http_code}", url + path)
    assert code == b"401"


@pytest.mark.parametrize("code", [200, 204, 205, 304, 400, 404, 418, 500, 503])
def test_status_leaves_the_connection_in_step(url, code):
    """Two requests in one curl: the second comes on the same connection."""
    said = curl(
        *("-o", "/dev/null", "-o", "/dev/null"),
        *("-w", "%{http_code} %{num_connects}\n"),
        *(f"{url}/status/{code}", f"{url}/get"),
    )
    assert said.decode() == f"{code} 1\n200 0\n"


def test_methods(url):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        said = json.loads(curl("-X", method, url + "/anything"))
        assert said["method"] == method
    head = curl("-I", url + "/bytes/1000").decode()
    assert "Content-Length: 1000" in head


def test_streams(url):
    lines = curl("-N", url + "/stream/50").decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(50))
    pieces = curl("--http1.0", url + "/stream-bytes/100000?chunk_size=1000")
    assert len(pieces) == 100_000
    assert len(curl("--limit-rate", "400k", url + "/bytes/100000")) == 100_000


def test_etag(url):
    said = curl(
        *("-o", "/dev/null", "-w", "%{http_code} %{size_download}"),
        *("-H", 'If-None-Match: "tag"', url + "/etag/tag"),
    )
    assert said == b"304 0"


def test_parallel(url):
    """Fifty transfers on as many connections as curl likes."""
    said = curl(
        *("-Z", "--parallel-max", "20", "-o", "/dev/null", "-w", "%{http_code}\n"),
        url + "/bytes/[1-50]?seed=[1-1]",
    ).decode()
    assert said.splitlines().count("200") == 50


def test_client_stops_early(url):
    """curl leaves in the middle, and the next one is served."""
    slowly = ("-m", "0.5", "--limit-rate", "1k")
    run("curl", "-q", "-sS", *slowly, url + "/stream-bytes/90000", code=28)
    assert json.loads(curl(url + "/get"))["url"] == url + "/get"


def test_gzip_upload(url):
    """A request body that is compressed is the application's business."""
    sent = gzip.compress(b"hello" * 1000, mtime=0)
    said = run(
        *("curl", "-q", "-sS", "-H", "Content-Encoding: gzip"),
        *("--data-binary", "@-", "-H", "Content-Type: application/x", url + "/post"),
        stdin=sent,
    )
    assert json.loads(said)["headers"]["Content-Encoding"] == "gzip"


def test_page_for_people(url):
    page = curl(url + "/forms/post").decode()
    assert re.search(r"<form[^>]*post", page, re.I)
    assert curl(url + "/image/png")[:8] == b"\x89PNG\r\n\x1a\n"
