"""The load generator finds what is wrong, and counts what is right."""

import threading

import pytest
from conftest import answering
from wire import request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = (request(), 200, 5, 0)


def requests_of(sock):
    """The requests of a connection, one by one; none of them has a body."""
    pending = b""
    while True:
        while b"\r\n\r\n" in pending:
            head, _, pending = pending.partition(b"\r\n\r\n")
            yield head
        data = sock.recv(65536)
        if not data:
            return
        pending += data


def always(*pieces):
    """Answers every request with these bytes, each piece in a segment of its own."""

    def answer(sock):
        for _ in requests_of(sock):
            for piece in pieces:
                sock.sendall(piece)

    return answer


def once(data):
    """Answers, and closes."""

    def answer(sock):
        next(requests_of(sock))
        sock.sendall(data)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RIGHT = {
    "a length": always(OK),
    "a length, byte by byte": always(*(bytes([b]) for b in OK)),
    "chunks": always(CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"),
    "chunks, byte by byte": always(
        *(bytes([b]) for b in CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n")
    ),
    "closed behind a length": once(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    ),
    "the close is the end": once(b"HTTP/1.1 200 OK\r\n\r\nhello"),
    "HTTP/1.0": once(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
}


@pytest.mark.parametrize("answer", RIGHT.values(), ids=RIGHT)
def test_right_answers(load, answer):
    with answering(answer) as port:
        told, done = load(port, [GET], "--requests", "20", "--connections", "2")
    assert done.returncode == 0, told
    assert (told["requests"], told["errors"], told["unanswered"]) == (20, 0, 0)
    assert 0 < told["p50_us"] <= told["p99_us"] <= told["max_us"]


WRONG = {
    "status": (always(OK.replace(b"200 OK", b"500 No")), "status 500, 5 bytes"),
    "too short": (always(OK.replace(b"5\r", b"4\r").replace(b"hello", b"hell")), "200, 4 bytes"),
    "too long in chunks": (always(CHUNKED + b"6\r\nhello!\r\n0\r\n\r\n"), "200, 6 bytes"),
    "no HTTP": (always(b"SSH-2.0-OpenSSH_9.2\r\n"), "unreadable"),
    "no chunk size": (always(CHUNKED + b"hello\r\n"), "unreadable"),
    "cut off": (once(OK[:-1]), "closed by the server"),
    "more than one": (always(OK + b"garbage"), "more bytes"),
}


@pytest.mark.parametrize("answer, why", WRONG.values(), ids=WRONG)
def test_wrong_answers(load, answer, why):
    with answering(answer) as port:
        told, done = load(port, [GET], "--requests", "4", "--connections", "1")
    assert done.returncode == 1
    assert told["errors"] == 4
    assert why in told["error"]


def test_a_close_between_answers_is_no_error(load):
    """Two answers from each connection, and nothing said about its end."""

    def answer(sock):
        requests = requests_of(sock)
        for _ in range(2):
            next(requests)
            sock.sendall(OK)
        next(requests, None)

    with answering(answer) as port:
        told, done = load(port, [GET], "--requests", "10", "--connections", "1")
    assert done.returncode == 0, told
    assert (told["requests"], told["errors"], told["connects"]) == (10, 0, 5)
    assert told["again"] == 4


def test_pipelined_requests_behind_a_close_are_sent_again(load):
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with answering(once(closing)) as port:
        options = "--pipeline", "3", "--requests", "3", "--connections", "1"
        told, done = load(port, [GET], *options)
    assert done.returncode == 0, told
    assert (told["requests"], told["connects"], told["again"]) == (3, 3, 3)


def test_no_server(load):
    with answering(once(OK)) as port:
        pass
    told, done = load(port, [GET], "--requests", "3", "--connections", "1")
    assert done.returncode == 1
    assert (told["requests"], told["errors"]) == (0, 3)


def test_no_answer(load):
    with answering(lambda sock: sock.recv(65536) and sock.recv(1)) as port:
        told, done = load(port, [GET], "--seconds", "0.1", "--connections", "3")
    assert done.returncode == 1
    assert (told["requests"], told["unanswered"]) == (0, 3)


def test_numbers_differ_in_every_request(load):
    seen = []

    def answer(sock):
        for head in requests_of(sock):
            seen.append(head)
            sock.sendall(OK)

    record = (request(path="/##########", headers=[("Cookie", "a=##########")]), 200, 5, 0)
    with answering(answer) as port:
        load(port, [record], "--requests", "50", "--connections", "3")
    assert len(set(seen)) == 50
    for head in seen:
        path = head.split()[1][1:]
        assert path.isdigit() and len(path) == 10
        assert head.endswith(b"Cookie: a=" + path)


def test_pipelined_requests_come_together(load):
    received = threading.Event()

    def answer(sock):
        data = b""
        while data.count(b"\r\n\r\n") < 16:
            data += sock.recv(65536)
        received.set()
        sock.sendall(OK * 16)
        sock.recv(1)

    with answering(answer) as port:
        options = "--pipeline", "16", "--requests", "16", "--connections", "1"
        told, done = load(port, [GET], *options)
    assert received.is_set() and told["requests"] == 16 and done.returncode == 0


def test_requests_take_turns_or_stay(load):
    """Each connection asks for all, or with --own for its own."""

    def served(*options):
        by_connection = []

        def answer(sock):
            paths = set()
            by_connection.append(paths)
            for head in requests_of(sock):
                paths.add(head.split()[1])
                sock.sendall(OK)

        records = [(request(path=f"/{n}"), 200, 5, 0) for n in range(3)]
        with answering(answer) as port:
            load(port, records, "--requests", "60", "--connections", "3", *options)
        return by_connection

    assert all(len(paths) == 1 for paths in served("--own"))
    assert set.union(*served("--own")) == {b"/0", b"/1", b"/2"}
    assert any(len(paths) == 3 for paths in served())


def test_untimed_requests_are_checked(load):
    slow = (request(path="/slow"), 200, 4, 1)
    with answering(always(OK)) as port:
        told, _ = load(port, [slow], "--requests", "5", "--connections", "1")
    assert (told["errors"], told["max_us"]) == (5, 0)


def test_large_requests_and_answers(load):
    size = 3 << 20

    def answer(sock):
        left = len(text)
        while left > 0:
            left -= len(sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        sock.sendall(bytes(size))
        sock.recv(1)

    text = request("POST", body=bytes(size))
    with answering(answer) as port:
        told, done = load(port, [(text, 200, size, 0)], "--requests", "1", "--connections", "1")
    assert done.returncode == 0, told
    assert told["bytes"] > size


def test_a_malformed_script_is_named(load):
    told, done = load(1, [(b"GET / HTTP/1.1\r\n", 200, 0, 0)])
    assert told is None and done.returncode == 1
    assert "request 0 of the file is malformed" in done.stderr
