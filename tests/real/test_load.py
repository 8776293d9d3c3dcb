"""Programs that ask as fast as they can: not one request may fail."""

import os
import re
import stat

import pytest
from harness import TIMEOUT
from programs import needs, run

N = 2000

PIPELINE = """
init = function(args)
    local all = {}
    for i = 1, 16 do all[i] = wrk.format("GET", "/pipelined/" .. i) end
    request_text = table.concat(all)
end
request = function() return request_text end
"""

POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 5000)
wrk.headers["Content-Type"] = "application/octet-stream"
response = function(status, headers, body)
    if not body:find('"?5000') then wrk.thread:stop() end
end
"""


@pytest.fixture(scope="module")
def server(serve_module):
    server = serve_module("echo:app")
    yield server
    assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def uploads(serve_module):
    return serve_module("uploads:app")


def number(text, pattern):
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


@needs("apache2-utils", program="ab")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_ab(server, tmp_path, keep, method):
    """ApacheBench speaks HTTP/1.0, with or without its keep-alive."""
    options = ["-k"] if keep else []
    if method == "HEAD":
        options.append("-i")
    if method == "POST":
        (tmp_path / "body").write_bytes(b"x" * 3000)
        options += ["-p", tmp_path / "body", "-T", "text/plain"]
    said = run(
        *("ab", "-q", "-n", N, "-c", 20, "-s", int(TIMEOUT), *options),
        server.base_url + "/ab",
    ).decode()
    assert number(said, r"Complete requests: +(\d+)") == N
    assert number(said, r"Failed requests: +(\d+)") == 0, said
    assert number(said, r"Non-2xx responses: +(\d+)") == 0, said
    assert number(said, r"Keep-Alive requests: +(\d+)") == (N if keep else 0)


@needs("wrk", program="wrk")
@pytest.mark.parametrize(
    "script", [None, PIPELINE, POST], ids=["get", "pipelined", "post"]
)
def test_wrk(server, uploads, tmp_path, script):
    options, url = [], server.base_url + "/wrk"
    if script:
        (tmp_path / "script.lua").write_text(script)
        options = ["-s", tmp_path / "script.lua"]
    if script == POST:
        url = uploads.base_url + "/hash?one_read"
    said = run("wrk", "-t", 2, "-c", 20, "-d", "1s", *options, url).decode()
    assert number(said, r"(\d+) requests in") > 100, said
    assert "Socket errors" not in said, said
    assert "Non-2xx" not in said, said


@needs("nghttp2-client", program="h2load")
@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize("bodies", [False, True])
def test_h2load(uploads, server, tmp_path, at_once, bodies):
    """With --h1 it pipelines -m requests."""
    options, url = [], server.base_url + "/h2load"
    if bodies:
        (tmp_path / "body").write_bytes(b"x" * 10_000)
        options = ["-d", tmp_path / "body"]
        url = uploads.base_url + "/hash?one_read"
    said = run(
        *("h2load", "--h1", "-n", N, "-c", 20, "-m", at_once, *options), url
    ).decode()
    requests = re.search(r"^requests: (.*)", said, re.MULTILINE)[1]
    assert f"{N} succeeded, 0 failed, 0 errored, 0 timeout" in requests, said
    assert f"{N} 2xx" in said


@needs("nghttp2-client", program="h2load")
def test_h2load_over_a_unix_socket(serve, tmp_path):
    path = tmp_path / "socket"
    serve("echo:app", "--bind", f"unix:{path}")
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    said = run(
        *("h2load", "--h1", "-n", N, "-c", 20),
        *("--base-uri", f"unix:{path}", "http://localhost/unix"),
    ).decode()
    assert f"{N} succeeded, 0 failed" in said, said
