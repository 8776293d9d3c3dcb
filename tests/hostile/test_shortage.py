"""More clients than there is room for."""

import select

from harness import request, wait_for
from watch import HERE, at_rest, descriptors, is_well, rests

CAP = 50
N_CLIENTS = 200


def start(serve, *options):
    server = serve("app:app", "--worker-connections", CAP, *options, cwd=HERE)
    return server


def crowd_at(server):
    """All are connected, as far as they know, and have asked."""
    crowd = [server.connect() for _ in range(N_CLIENTS)]
    for client in crowd:
        client.send(request())
    return crowd


def answered(crowd):
    """Those that have an answer to be read, or the end."""
    by_socket = {client.sock: client for client in crowd}
    return [by_socket[sock] for sock in select.select(by_socket, [], [], 0.1)[0]]


def test_all_are_served_in_the_end(serve):
    server = start(serve)
    base = at_rest(server)
    crowd = crowd_at(server)
    wait_for(lambda: len(answered(crowd)) == CAP, "as many answers as allowed")
    # The others wait in the backlog, and cost nothing.
    rests(server)
    assert len(answered(crowd)) == CAP
    assert descriptors(server) == base + CAP
    served = 0
    while crowd:
        ready = wait_for(lambda: answered(crowd), "the next answers")
        for client in ready:
            assert client.response().body == b"hello"
            client.close()
            served += 1
        crowd = [client for client in crowd if client not in ready]
        assert descriptors(server) <= base + CAP
    assert served == N_CLIENTS
    is_well(server, base)


def test_one_by_one(serve):
    """Each that leaves lets one in."""
    server = start(serve)
    base, crowd = at_rest(server), crowd_at(server)
    wait_for(lambda: len(answered(crowd)) == CAP, "as many answers as allowed")
    for n in range(20):
        first = answered(crowd)[0]
        assert first.response().body == b"hello"
        first.close()
        crowd.remove(first)
        wait_for(lambda: len(answered(crowd)) == CAP, f"answer {CAP + n + 1}")
    for client in crowd:
        client.reset()
    is_well(server, base)


def test_idle_clients_make_room(serve):
    """Nobody leaves by himself: keep-alive ends for those that were served."""
    server = start(serve, "--keep-alive", "300ms")
    base = at_rest(server)
    crowd, served = crowd_at(server), 0
    while crowd:
        for client in wait_for(lambda: answered(crowd), "the next answers"):
            data = client.rest()
            assert data.endswith(b"hello")
            client.close()
            crowd.remove(client)
            served += 1
    assert served == N_CLIENTS
    is_well(server, base)


def test_clients_that_ask_nothing(serve):
    """They fill the room until the time for a head is over."""
    server = start(serve, "--header-timeout", "500ms")
    base = at_rest(server)
    silent = [server.connect() for _ in range(CAP)]
    try:
        assert server.ask().body == b"hello"
    finally:
        for client in silent:
            client.close()
    is_well(server, base)
