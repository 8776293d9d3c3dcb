"""Behind nginx and HAProxy."""

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import APPS as E2E_APPS
from harness import chunked, curl, request, wait_for
from programs import APPS, PROXIES, named, needs

MIB = 1024 * 1024
SIZE = 8
N_REQUESTS = 2000


class Behind:
    """A proxy and the server behind it."""

    def __init__(self, proxy, server):
        self.proxy, self.server = proxy, server
        self.base_url = proxy.base_url
        self.connect, self.ask = proxy.connect, proxy.ask

    def counts(self):
        return json.loads(self.server.ask(path="/counts").body)


@pytest.fixture
def behind(tmp_path, serve, proxy):
    """behind(proxy name, *options of wsgid, unix=False)"""

    def start(name, *options, unix=False):
        options += ("--pythonpath", E2E_APPS)
        if unix:
            options += ("--bind", f"unix:{tmp_path}/wsgid.sock")
        env = {"E2E_FILE": str(tmp_path / "file")}
        server = serve("behind:app", *options, cwd=APPS, env=env)
        return Behind(proxy(name, server), server)

    return start


each_proxy = pytest.mark.parametrize("name", [named(name) for name in PROXIES])
each_way = pytest.mark.parametrize(
    "name, way",
    [
        pytest.param(name, way, marks=needs(name, program=name), id=name + way)
        for name in PROXIES
        for way in PROXIES[name].ways
    ],
)
each_socket = pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])


@each_proxy
@each_socket
def test_who_asks(behind, name, unix):
    pair = behind(name, unix=unix)
    headers = [("Host", "shop.example"), ("X-Forwarded-For", "192.0.2.7")]
    peer = json.loads(pair.ask(path="/peer", headers=headers).body)
    assert peer["HTTP_HOST"] == "shop.example"
    assert peer["SERVER_PROTOCOL"] == "HTTP/1.1"
    # nginx appends to the field, HAProxy adds another: both are one list here.
    hops = [hop.strip() for hop in peer["HTTP_X_FORWARDED_FOR"].split(",")]
    assert hops == ["192.0.2.7", "127.0.0.1"]
    assert pair.proxy.complained() == []


@each_way
def test_large_bodies(behind, tmp_path, name, way):
    pair = behind(name, unix=way != "")
    data = os.urandom(SIZE * MIB)
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "file").write_bytes(data)
    url = pair.base_url + way

    said = curl("-T", str(tmp_path / "file"), url + "/hash?sized_reads")
    assert json.loads(said) == [digest, len(data), len(data)]
    said = curl(
        *("-T", str(tmp_path / "file"), "-H", "Transfer-Encoding: chunked"),
        url + "/hash?readline",
    )
    assert json.loads(said) == [digest, len(data), len(data)]

    # With a length and from the kernel; without one, block by block.
    assert hashlib.sha256(curl(url + "/file")).hexdigest() == digest
    streamed = curl(url + f"/stream?{SIZE}")
    assert streamed == pair.server.ask(path=f"/stream?{SIZE}").body
    assert len(streamed) == SIZE * MIB
    assert pair.proxy.complained() == []


@each_way
def test_continue(behind, name, way):
    """The interim response comes before the body, from whomever."""
    pair = behind(name)
    headers = [("Expect", "100-continue"), ("Content-Length", "5")]
    with pair.connect() as client:
        client.send(request("POST", way + "/hash?one_read", headers))
        if way == "/whole":
            # HAProxy waits for a body it has not asked for yet, a while.
            client.send(b"whole")
        else:
            assert client.response().status == 100
            client.send(b"whole")
        answer = client.head()
        while answer.status == 100:
            answer = client.head()
        answer = client.body_of(answer)
    digest = hashlib.sha256(b"whole").hexdigest()
    assert json.loads(answer.body) == [digest, 5, 5]


@each_way
def test_chunked_bodies_on_one_connection(behind, name, way):
    pair = behind(name)
    with pair.connect() as client:
        for i in range(50):
            blocks = [b"%d," % j * 100 for j in range(i)]
            headers = [("Transfer-Encoding", "chunked")]
            answer = client.ask(
                "POST", way + "/hash?iteration", headers, chunked(*blocks)
            )
            body = b"".join(blocks)
            digest = hashlib.sha256(body).hexdigest()
            assert json.loads(answer.body) == [digest, len(body), len(body)], i
    assert pair.proxy.complained() == []


@each_proxy
@each_socket
def test_upstream_connections_are_reused(behind, name, unix):
    """Many requests, few connections, nothing lost."""
    pair = behind(name, unix=unix)
    ports = set()

    def ask_many(_):
        with pair.connect() as client:
            for _ in range(N_REQUESTS // 4):
                answer = client.ask(path="/peer")
                assert answer.status == 200
                ports.add(json.loads(answer.body)["REMOTE_PORT"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask_many, range(4)))
    assert len(ports) <= 8
    assert pair.proxy.complained() == []


@each_proxy
def test_idle_upstream_connections_are_closed(behind, name):
    """wsgid closes them at about the time at which the proxy uses them again:
    a client sees nothing of it."""
    pair = behind(name, "--keep-alive", "50ms")
    ports, clients = set(), [pair.connect() for _ in range(8)]

    def ask_some(client):
        for _ in range(10):
            answer = client.ask(path="/peer")
            assert answer.status == 200
            ports.add(json.loads(answer.body)["REMOTE_PORT"])

    with ThreadPoolExecutor(len(clients)) as pool:
        for i in range(N_REQUESTS // 80):
            list(pool.map(ask_some, clients))
            time.sleep(0.046 + i % 5 / 500)
    for client in clients:
        client.close()
    # It did happen.
    assert len(ports) > len(clients)


@each_way
def test_reader_goes_away(behind, name, way):
    """In the middle of a response without end: the iterable is closed."""
    pair = behind(name)
    for reset in (False, True):
        client = pair.connect()
        client.send(request(path=way + "/endless"))
        assert client.head().status == 200
        client.take(3 * MIB)
        client.reset() if reset else client.close()
    wait_for(lambda: pair.counts()["closed"] == 2, "close() of both responses")
    assert pair.counts()["begun"] == 2
    assert pair.ask(path=way + "/hello").body == b"hello"
    assert "Traceback" not in pair.server.log()


@each_way
def test_sender_goes_away(behind, name, way):
    """In the middle of a body: the application does not see half a request."""
    pair = behind(name)
    before = pair.counts()["hash"]
    for reset in (False, True):
        client = pair.connect()
        headers = [("Content-Length", str(10 * MIB))]
        client.send(request("POST", way + "/hash?one_read", headers))
        client.send(bytes(3 * MIB))
        client.reset() if reset else client.close()
    assert pair.ask("POST", way + "/hash?one_read", body=b"x").status == 200
    assert pair.counts()["hash"] == before + 1
    assert "Traceback" not in pair.server.log()


@each_proxy
def test_slow_reader_holds_nobody_up(behind, name):
    pair = behind(name)
    with pair.connect(receive_buffer=4096) as slow:
        slow.send(request(path="/stream?16"))
        head = slow.head()
        for _ in range(100):
            assert pair.ask(path="/hello").body == b"hello"
        assert len(slow.body_of(head).body) == 16 * MIB
