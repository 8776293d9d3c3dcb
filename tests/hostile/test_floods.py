"""Much of what is allowed, at once."""

import select

import pytest
from harness import request, responses
from watch import HERE, MIB, at_rest, bounded_memory, is_well, mob

N_PIPELINED = 10_000


@pytest.mark.parametrize("kind", ["idle", "knock"])
def test_connections_opened_and_closed(serve, kind):
    server = serve("app:app", "--worker-connections", "6000", cwd=HERE)
    base, memory = at_rest(server), server.resident()
    with mob(server, **{kind: 5000}) as crowd:
        assert server.ask().body == b"hello"
        bounded_memory(server, memory, 32 * MIB)
        crowd.finish()
    is_well(server, base)


def send_until_full(sock, data):
    """Sends until the server takes no more; returns how much it took."""
    at = 0
    sock.setblocking(False)
    while at < len(data) and select.select([], [sock], [], 1)[1]:
        at += sock.send(data[at : at + 65536])
    sock.setblocking(True)
    return at


def test_pipelined_requests_without_reading(serve):
    """Their answers, 11 MiB, would not fit into the kernel's buffers."""
    server = serve("app:app", cwd=HERE)
    base, memory = at_rest(server), server.resident()
    flood = b"".join(request(path=f"/number?{i}") for i in range(N_PIPELINED))
    with server.connect(receive_buffer=65536) as client:
        taken = send_until_full(client.sock, flood)
        assert server.ask().body == b"hello"
        bounded_memory(server, memory, 8 * MIB)
        end = request(headers=[("Connection", "close")])
        data = client.exchange(flood[taken:] + end)
    answers, rest = responses(data, ["GET"] * (N_PIPELINED + 1))
    numbers = [answer.body.split()[0] for answer in answers]
    assert numbers == [b"%d" % i for i in range(N_PIPELINED)] + [b"hello"]
    assert rest == b""
    is_well(server, base)
