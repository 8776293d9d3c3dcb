"""Operating wsgid: health, metrics, status."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from harness import (
    TIMEOUT,
    WSGID,
    curl,
    environment,
    request,
    responses,
    run_wsgid,
    wait_for,
)

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


# ---- Metrics ---------------------------------------------------------------


def metrics_of(server):
    """Of the address in its log, as Prometheus reads them."""
    parser = pytest.importorskip("prometheus_client.parser")
    url = server.wait_log(r"Metrics at (http://\S+)")[1]
    families = parser.text_string_to_metric_families(curl(url).decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_metrics(serve, workers):
    server = serve("lifecycle:app", "--workers", workers, "--metrics-bind", "127.0.0.1:0")
    ready = workers or 1
    wait_for(
        lambda: metrics_of(server)["wsgi_workers", "ready"] == ready, "the workers to be ready"
    )
    found = metrics_of(server)
    buckets = [value for key, value in found.items() if key[0].endswith("duration_seconds_bucket")]
    assert buckets == sorted(buckets) and len(buckets) == 16
    assert ("wsgi_worker_restarts_total", "signal") in found or not workers
    for name in ["threads", "connections", "requests_queued", "sent_bytes_total"]:
        assert ("wsgi_" + name,) in found


def test_health_of_the_supervisor(serve):
    server = serve("lifecycle:app", "--workers", "1", "--metrics-bind", "127.0.0.1:0")
    url = server.wait_log(r"Metrics at (http://\S+)/metrics")[1]
    assert curl(url + "/health") == b"ready\n"
    assert curl(url + "/health/live") == b"live\n"
    assert b"404" in curl("-i", url + "/status").splitlines()[0]


def test_a_dead_worker_is_counted_by_cause(serve):
    server = serve("lifecycle:app", "--workers", "1", "--metrics-bind", "127.0.0.1:0")
    worker = int(re.search(rb'"pid": (\d+)', server.ask(path="/process").body)[1])
    before = wait_for(
        lambda: (found := metrics_of(server))["wsgi_sent_bytes_total",] and found, "the answer"
    )
    assert before["wsgi_requests_total", "200"] == 1
    os.kill(worker, signal.SIGKILL)
    wait_for(
        lambda: metrics_of(server)["wsgi_worker_restarts_total", "signal"] == 1,
        "the restart to be counted",
    )
    server.wait_log("was killed by SIGKILL")
    wait_for(
        lambda: metrics_of(server)["wsgi_workers", "ready"] == 1, "another worker to be ready"
    )
    # What the dead one has counted still counts.
    server.ask()
    wait_for(
        lambda: metrics_of(server)["wsgi_requests_total", "200"] == 2, "both answers to be counted"
    )
    after = metrics_of(server)
    for name, *labels in before:
        if name.endswith(("_total", "_bucket", "_count")):
            assert after[(name, *labels)] >= before[(name, *labels)], name


@pytest.mark.parametrize(
    "option, value, code, message",
    [
        ("--metrics-bind", "nonsense", 2, "--metrics-bind "),
        ("--metrics-bind", "203.0.113.1:9100", 3, "--metrics-bind "),
        ("--control-socket", "/no/such/folder/socket", 3, "--control-socket "),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_wrong_monitor(option, value, code, message, workers):
    done = run_wsgid("-w", workers, "--bind", "127.0.0.1:0", option, value, "lifecycle:app")
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("wsgid: " + message)
    assert value in done.stderr


# ---- wsgid status ----------------------------------------------------------


def status(path, code=0):
    done = run_wsgid("status", "--control-socket", path)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_status(serve, tmp_path, workers):
    path = tmp_path / "control"
    server = serve("lifecycle:app", "--workers", workers, "--control-socket", path)
    assert path.stat().st_mode & 0o777 == 0o600
    n = workers or 1
    text = wait_for(
        lambda: (found := status(path)).count(" ready ") == n and found, "the workers to be ready"
    )
    assert re.match(rf"libwsgi \S+ \(pid {server.pid}\): workers {n}, connections ", text)
    rows = re.findall(r"^ +(\d+) +(\d+)  ready ", text, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, n + 1))
    pid = int(re.search(rb'"pid": (\d+)', server.ask(path="/process").body)[1])
    assert pid in [int(pid) for _, pid in rows]
    assert curl("--unix-socket", path, "http://x/status").decode().startswith("libwsgi ")
    server.stop()
    assert not path.exists()


def test_status_of_nobody(tmp_path):
    path = tmp_path / "control"
    expected = f'wsgid: --control-socket "{path}": no server listens there; start wsgid with the '
    assert status(path, 1).startswith(expected)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert status(path, 1).startswith(expected)


def test_status_of_somebody_else(tmp_path):
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        process = subprocess.Popen(
            [WSGID, "status", "--control-socket", str(path)],
            env=environment(), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        conn, _ = other.accept()
        conn.recv(100)
        conn.sendall(b"220 mail.example ESMTP\r\n")
        conn.close()
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1 and "is no wsgid, or another version" in errors


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "wsgid status needs --control-socket PATH"),
        (["--control-socket", "x", "m:app"], 'takes no application; there is "m:app"'),
    ],
)
def test_wrong_status(words, message):
    done = run_wsgid("status", *words)
    assert done.returncode == 2 and message in done.stderr


def test_upgrade_hands_the_addresses_over(serve, tmp_path):
    path = tmp_path / "control"
    server = serve("lifecycle:app", "--control-socket", path, "--pid", tmp_path / "pid")
    server.kill(signal.SIGUSR2)

    def successor():
        found = re.match(r"libwsgi \S+ \(pid (\d+)\)", status_or_nothing(path))
        return found and int(found[1]) != server.pid and int(found[1])

    new = wait_for(successor, "the successor to answer")
    server.kill(signal.SIGTERM)
    wait_for(lambda: not server.is_alive(), "the old one to end")
    assert successor() == new
    # It writes to the same stderr, whose end is waited for.
    os.kill(new, signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def status_or_nothing(path):
    return run_wsgid("status", "--control-socket", path).stdout


def test_a_unix_socket_stays_for_the_drain_delay(serve, tmp_path):
    path = tmp_path / "socket"
    server = serve(
        "lifecycle:app", "--bind", f"unix:{path}", "--drain-delay", "30",
        "--health-path", "/health",
    )  # fmt: skip
    server.kill(signal.SIGTERM)
    wait_for(lambda: server.ask(path="/health").status == 503, "it to say that it leaves")
    assert server.ask().status == 200
    server.kill(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


# ---- While the application is busy -----------------------------------------


@pytest.fixture
def gate(tmp_path):
    """A pipe that /gate waits for; opened at the end."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    yield path
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        pass


@pytest.mark.parametrize("workers", [0, 1])
def test_answers_while_every_thread_is_busy(serve, tmp_path, gate, workers):
    control = tmp_path / "control"
    server = serve(
        "lifecycle:app", "--workers", workers, "--threads", "2", "--health-path", "/health",
        "--control-socket", control, env={"E2E_GATE": str(gate)},
    )  # fmt: skip
    busy = [server.connect() for _ in range(2)]
    for client in busy:
        client.send(request(path="/gate?card=4111"))
    text = wait_for(
        lambda: "requests running 2, queued 0" in (found := status(control)) and found,
        "the calls to be counted",
    )
    assert len(re.findall(r"^  thread \d+ +application +\d+\S* m?s  GET /gate", text, re.M)) == 2
    with server.connect() as client:
        assert client.ask(path="/health").body == b"ready\n"
    waiting = server.connect()
    waiting.send(request(path="/"))
    wait_for(lambda: "queued 1" in status(control), "the third to wait")
    writers = [os.open(gate, os.O_WRONLY)]
    os.write(writers[0], b"open")
    os.close(writers[0])
    for client in busy:
        assert client.response().status == 200
    assert waiting.response().body == b"hello"
    for client in [*busy, waiting]:
        client.close()


def test_stops_being_ready_before_it_stops(serve, tmp_path, gate):
    control = tmp_path / "control"
    server = serve(
        "lifecycle:app", "--workers", "0", "--health-path", "/health",
        "--control-socket", control, env={"E2E_GATE": str(gate)},
    )  # fmt: skip
    with server.connect() as busy, server.connect() as watcher:
        assert watcher.ask(path="/health").status == 200
        busy.send(request(path="/gate"))
        # A request that has begun is answered.
        watcher.send(request(path="/health")[:-2])
        wait_for(lambda: "GET /gate" in status(control), "the call")
        server.kill(signal.SIGTERM)
        server.wait_log("SIGTERM: finishing")
        wait_for(server.refuses, "the end of listening")
        watcher.send(b"\r\n")
        answer = watcher.response()
        assert (answer.status, answer.body) == (503, b"stopping\n")
        assert answer.get("connection") == "close"
        fd = os.open(gate, os.O_WRONLY)
        os.close(fd)
        assert busy.response().status == 200
    assert server.wait() == 0


def test_ready_no_more_while_it_still_accepts(serve):
    server = serve("lifecycle:app", "--health-path", "/health", "--drain-delay", "30")
    server.kill(signal.SIGTERM)
    wait_for(lambda: server.ask(path="/health").status == 503, "the health path to turn")
    assert server.ask(path="/health/live").status == 200
    assert server.ask().body == b"hello"
    server.kill(signal.SIGTERM)
    assert server.wait() == 0


# ---- The page --------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["docs/operations.md", "examples/wsgid.service", "examples/Containerfile"]
)
def test_options_that_are_written_about_exist(name):
    text = (Path(__file__).resolve().parents[2] / name).read_text()
    given = run_wsgid("--help").stdout
    # Of other programs.
    others = {"--unix-socket", "--system", "--no-create-home", "--no-install-recommends",
              "--from", "--build", "--install"}  # fmt: skip
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - others
    assert len(options) >= 3
    for option in options:
        assert re.search(rf"{option}\b", given), option


def test_every_metric_is_written_about(serve):
    page = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
    server = serve("lifecycle:app", "--workers", "1", "--metrics-bind", "127.0.0.1:0")
    text = curl(server.wait_log(r"Metrics at (http://\S+)")[1]).decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    assert len(names) == 16
    for name in names:
        assert name in page, name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_one(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "examples/wsgid.service").read_text()
    unit = tmp_path / "shop.service"
    unit.write_text(text.replace("/usr/local/bin/wsgid", WSGID))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert str(unit) not in done.stderr and "shop.service" not in done.stderr, done.stderr
