"""Bodies that never stop coming, and never come far."""

import threading
import time

import pytest
from harness import TIMEOUT
from watch import HERE

# Of each framing: how it is announced, how a block is sent, and the end.
FRAMINGS = {
    "length": ("Content-Length: 4000", lambda block: block, b""),
    "chunked": (
        "Transfer-Encoding: chunked",
        lambda block: b"%x\r\n%s\r\n" % (len(block), block),
        b"0\r\n\r\n",
    ),
}


def head(framing):
    announced = FRAMINGS[framing][0]
    return f"POST /length HTTP/1.1\r\nHost: localhost\r\n{announced}\r\n\r\n".encode()


@pytest.fixture
def server(serve):
    return serve("app:app", "--body-timeout=1", "--min-body-rate=1000", cwd=HERE)


def trickle(client, pieces, pause):
    """Sends each piece, unless an answer comes; the answer."""
    answered = threading.Event()

    def send():
        for piece in pieces:
            client.send(piece)
            if answered.wait(pause):
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return client.response()
    finally:
        answered.set()
        sender.join()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_trickle_is_refused(server, framing):
    """Each byte is in time; all of them are not."""
    _, form, _ = FRAMINGS[framing]
    with server.connect() as client:
        client.send(head(framing))
        pieces = [form(b"a")] * int(TIMEOUT / 0.2)
        refusal = trickle(client, pieces, 0.2)
        assert refusal.status == 408
        assert refusal.get("Connection") == "close"
        assert client.rest() == b""
    assert server.ask().body == b"hello"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_enough_is_served(server, framing):
    """More than twice the least, for longer than the time between two reads."""
    _, form, end = FRAMINGS[framing]
    block = form(b"a" * 400)
    with server.connect() as client:
        client.send(head(framing))
        answer = trickle(client, [block] * 9 + [block + end], 0.15)
        assert (answer.status, answer.body) == (200, b"4000")


def test_pause_within_the_time_is_allowed(server):
    """The rate is looked at once the first time is over, not before."""
    with server.connect() as client:
        client.send(head("length"))
        time.sleep(0.3)
        client.send(b"a" * 4000)
        assert client.response().body == b"4000"
