"""Operating wsgid: health, metrics, status."""

import pytest
from harness import request, responses, run_wsgid, wait_for

# ---- The health path -------------------------------------------------------


def test_health(serve):
    server = serve("lifecycle:app", "--health-path", "/-/health", "--access-logfile", "-")
    with server.connect() as client:
        for path, body in [("/-/health", b"ready\n"), ("/-/health/live", b"live\n")]:
            answer = client.ask(path=path)
            assert (answer.status, answer.body) == (200, body)
            assert answer.get("cache-control") == "no-store"
        assert client.ask().body == b"hello"
        refused = client.ask("POST", "/-/health", body=b"x")
        assert (refused.status, refused.get("allow")) == (405, "GET, HEAD")
        assert client.ask(path="/-/healthy").body == b"hello"
    wait_for(lambda: server.stdout.text().count("\n") == 5, "the access log")
    assert '"GET /-/health HTTP/1.1" 200 6 ' in server.stdout.text()


def test_health_path_is_none_by_default(serve):
    assert serve("lifecycle:app").ask(path="/health").body == b"hello"


def test_health_among_pipelined_requests(serve):
    server = serve("lifecycle:app", "--health-path", "/health")
    asked = [request(path=path) for path in ["/health", "/", "/health/live"]]
    last = request(path="/health", headers=[("Connection", "close")])
    raw = server.raw(b"".join(asked) + last)
    answers, _ = responses(raw, ["GET"] * 4)
    assert [answer.body for answer in answers] == [b"ready\n", b"hello", b"live\n", b"ready\n"]


@pytest.mark.parametrize("value", ["health", "/health/", "/a b"])
def test_wrong_health_path(value):
    done = run_wsgid("--health-path", value, "lifecycle:app")
    assert done.returncode == 2
    assert f'wsgid: --health-path cannot be "{value}": expected nothing or a path' in done.stderr
