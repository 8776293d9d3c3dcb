"""Calls that last: others are served meanwhile, and those that last too long
are found, told of and ended."""

import json
import re
import signal

import pytest
from harness import has_package, request, wait_for


def facts(server):
    return json.loads(server.ask(path="/facts").body)


def send(server, *paths, query=""):
    """Connections on which that was asked."""
    clients = [server.connect() for _ in paths]
    for client, path in zip(clients, paths):
        client.send(request(path=path + query))
    return clients


def finish(clients, body):
    for client in clients:
        assert client.response().body == body
        client.close()


def called(server, path, n):
    """Waits until there were so many calls that last."""
    wait_for(lambda: server.log().count(f"in {path}\n") >= n, f"{n} calls of {path}")


# ---- Side by side ----------------------------------------------------------


def test_others_are_served_while_calls_wait(serve):
    server = serve("busy:app", "--threads", 4)
    waiting = send(server, "/wait", "/wait", "/wait")
    called(server, "/wait", 3)
    with server.connect() as client:
        for _ in range(50):
            assert client.ask(path="/hello").body == b"hello"
    assert server.ask(path="/open").body == b"open"
    finish(waiting, b"wait")
    assert facts(server)["most"] == 4


def test_never_more_calls_than_threads(serve):
    server = serve("busy:app", "--threads", 2)
    finish(send(server, *["/sleep"] * 12, query="?0.02"), b"sleep")
    found = facts(server)
    assert found["most"] == 2 and found["multithread"] is True


def test_one_thread_makes_one_call(serve):
    server = serve("busy:app", "--threads", 1)
    finish(send(server, *["/sleep", "/hello"] * 3, query="?0.02")[::2], b"sleep")
    found = facts(server)
    assert found["most"] == 1 and found["multithread"] is False


def test_with_one_thread_in_a_call_connections_are_served(serve):
    """As far as that needs no call: bad requests, slow ones, other clients."""
    server = serve("busy:app", "--threads", 1, "--header-timeout", "500ms")
    [busy] = send(server, "/sleep", query="?1.5")
    called(server, "/sleep", 1)
    assert server.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    with server.connect() as slow:
        slow.send(b"GET / HT")
        assert slow.response().status == 408
    finish([busy], b"sleep")


def test_computing_threads_do_not_hold_up_the_loop(serve):
    """A thread that keeps the GIL as long as it may."""
    server = serve("busy:app")
    server.ask(path="/compute")
    for _ in range(20):
        assert server.ask(path="/hello").body == b"hello"
        assert server.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_streams_stay_on_their_thread(serve):
    """While their clients do not keep up, and calls come and go."""
    server = serve("busy:app", "--threads", 3)
    slow = [server.connect(receive_buffer=4096) for _ in range(6)]
    for client in slow:
        client.send(request(path="/big"))
    finish(send(server, *["/sleep"] * 6, query="?0.05"), b"sleep")
    for _ in range(20):
        assert server.ask(path="/hello").body == b"hello"
    for client in slow:
        assert len(client.response().body) == 256 * 65536
        client.close()
    assert "Error" not in server.log()


@pytest.mark.skipif(not has_package("flask"), reason="Flask is not there")
def test_flask_streams_see_their_own_request(serve):
    server = serve("busy:flask_app()", "--threads", 2)
    names = "abcdef"
    slow = {name: server.connect(receive_buffer=4096) for name in names}
    for name, client in slow.items():
        client.send(request(path=f"/stream/{name}"))
    for name, client in slow.items():
        body = client.response().body
        assert body == name.encode() * (256 * 65536)
        client.close()
    assert "Error" not in server.log()


# ---- Deadlines -------------------------------------------------------------

STACK = r"[\s\S]*Stack \(most recent call last\):\n[\s\S]*in {}\n"


@pytest.mark.parametrize(
    "path, function",
    [("/sleep", "sleep_a_little"), ("/spin", "spin")],
)
def test_a_call_past_the_timeout(serve, path, function):
    server = serve("busy:app", "--timeout", "1s")
    answer = server.ask(path=path + "?3")
    assert answer.status == 504 and answer.get("Connection") == "close"
    head = rf"\[\d+\] \[ERROR\] GET {path}\?3 ran into the timeout after 1\.\d s, before it answered"
    server.wait_log(head + STACK.format(function))
    server.wait_log("RequestTimeout")  # where it was met
    assert server.ask(path="/hello").body == b"hello"


def test_a_timeout_in_the_middle_of_an_answer(serve):
    server = serve("busy:app", "--timeout", "1s")
    data = server.raw(request(path="/drip?4"))
    assert b"first" in data and b"second" not in data
    assert not data.endswith(b"0\r\n\r\n"), "it has to be seen that it is cut"
    server.wait_log("ran into the timeout after 1.. s, in the middle of its answer")


def test_an_answer_that_goes_on_has_no_deadline(serve):
    """It is the time without output that counts."""
    server = serve("busy:app", "--timeout", "1s")
    with server.connect(receive_buffer=4096) as client:
        client.send(request(path="/big"))
        finish(send(server, "/sleep", "/sleep", query="?0.7"), b"sleep")
        finish(send(server, "/sleep", "/sleep", query="?0.7"), b"sleep")
        assert len(client.response().body) == 256 * 65536
    assert "timeout" not in server.log()


def test_a_call_that_keeps_the_gil(serve):
    """Nobody can ask Python then: the stacks come out all the same, and the
    client does not wait."""
    server = serve("busy:app", "--timeout", "500ms")
    assert server.ask(path="/hold?2.5").status == 504
    server.wait_log(r"The GIL was not given back[\s\S]*in hold\n")
    assert server.ask(path="/hello").status == 504  # as long as it is kept
    wait_for(lambda: server.ask(path="/hello").status == 200, "the end of the call")


def test_a_timeout_is_not_met_by_the_next_call(serve):
    """What was raised too late for its call is gone with it."""
    server = serve("busy:app", "--timeout", "300ms", "--threads", 1)
    for _ in range(3):
        assert server.ask(path="/hold?1").status == 504
        for _ in range(5):
            assert server.ask(path="/hello").body == b"hello"


def test_a_call_that_does_not_listen(serve):
    server = serve("busy:app", "--timeout", "300ms", "--threads", 2)
    assert server.ask(path="/stubborn?8").status == 504
    server.wait_log("/stubborn.8 does not end, although an exception was raised in it")
    assert server.ask(path="/hello").body == b"hello"


def test_a_call_that_nothing_wakes(serve):
    """Python does not interrupt a lock: its thread is lost, the stop is not
    held up by it."""
    server = serve("busy:app", "--timeout", "300ms")
    assert server.ask(path="/wait").status == 504
    server.wait_log(STACK.format("wait_at_the_gate"))
    assert server.stop() == 0


def test_slow_requests_are_told_of(serve):
    server = serve("busy:app", "--slow-request", "300ms")
    answer = server.ask(path="/sleep?1")
    assert answer.status == 200 and answer.body == b"sleep"
    server.wait_log(
        r"\[WARNING\] GET /sleep\?1 is still running after 0\.\d s" + STACK.format("sleep_a_little")
    )
    assert server.log().count("still running") == 1
    assert "timeout" not in server.log()


# ---- Overload --------------------------------------------------------------


def test_a_full_queue(serve):
    server = serve("busy:app", "--threads", 2, "--queue-size", 1)
    busy = send(server, "/wait")
    called(server, "/wait", 1)
    busy += send(server, "/sleep", query="?1.5")
    called(server, "/sleep", 1)
    [queued] = send(server, "/hello")

    answer = server.ask(path="/hello")
    assert answer.status == 503
    assert int(answer.get("Retry-After")) >= 1
    finish([queued], b"hello")
    assert server.ask(path="/open").body == b"open"
    finish(busy[:1], b"wait")
    finish(busy[1:], b"sleep")


def test_too_long_in_the_queue(serve):
    server = serve("busy:app", "--threads", 1, "--queue-timeout", "400ms")
    [busy] = send(server, "/sleep", query="?1.5")
    called(server, "/sleep", 1)
    server_said = server.ask(path="/hello")
    assert server_said.status == 503 and server_said.get("Retry-After")
    finish([busy], b"sleep")
    assert facts(server)["calls"].get("/hello") is None, "it was not called"


def test_whoever_left_is_not_called(serve):
    server = serve(
        "busy:app", "--threads", 1, "--access-logfile", "-", "--access-logformat", "%(s)s %(U)s"
    )
    [busy] = send(server, "/sleep", query="?1")
    called(server, "/sleep", 1)
    gone = send(server, "/gone", "/gone")
    stays = send(server, "/hello")
    for client in gone:
        client.close()
    finish([busy], b"sleep")
    finish(stays, b"hello")
    assert facts(server)["calls"].get("/gone") is None
    server.stdout.wait(lambda text: text.count("499 /gone") == 2)
    assert server.stdout.text().count("499 /gone") == 2


# ---- The end ---------------------------------------------------------------


def test_a_stop_waits_for_calls(serve):
    server = serve("busy:app")
    clients = send(server, "/sleep", "/sleep", query="?0.7")
    called(server, "/sleep", 2)
    server.kill(signal.SIGTERM)
    finish(clients, b"sleep")
    assert server.wait() == 0


def test_a_stop_at_once_raises_in_calls(serve):
    server = serve("busy:app")
    clients = send(server, "/spin", "/sleep", query="?6")
    called(server, "/sleep", 1)
    server.kill(signal.SIGQUIT)
    assert server.wait() == 0
    for client in clients:
        assert client.rest() == b""
        client.close()


def test_a_stop_at_once_with_calls_that_do_not_end(serve):
    server = serve("busy:app")
    clients = send(server, "/stubborn", query="?60")
    called(server, "/stubborn", 1)
    server.kill(signal.SIGQUIT)
    assert server.wait(8) == 0
    assert re.search(r"1 calls? of the application (does|do) not end", server.log())
    for client in clients:
        client.close()
