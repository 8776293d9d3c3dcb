"""More clients than there is room for."""

import select

from harness import request, wait_for
from watch import HERE, at_rest, await_quiet, descriptors, is_well, rests

CAP = 50
N_CLIENTS = 200


def start(serve, *options):
    return serve("app:app", "--worker-connections", CAP, *options, cwd=HERE)


def crowd_at(server, path):
    """All are connected, as far as they know, and have asked."""
    crowd = [server.connect(receive_buffer=4096) for _ in range(N_CLIENTS)]
    for client in crowd:
        client.send(request(path=path))
    return crowd


def answered(crowd):
    """Those that have an answer to be read, or the end."""
    by_socket = {client.sock: client for client in crowd}
    return [by_socket[sock] for sock in select.select(by_socket, [], [], 0.1)[0]]


def await_cap(crowd):
    wait_for(lambda: len(answered(crowd)) == CAP, "as many answers as allowed")


def leave(client, crowd):
    """In the middle of a large answer."""
    assert client.head().status == 200
    client.close()
    crowd.remove(client)


def test_all_are_served_in_the_end(serve):
    """As others leave; until then they wait in the backlog, and cost nothing."""
    server = start(serve)
    base, crowd = at_rest(server), crowd_at(server, "/list")
    await_cap(crowd)
    await_quiet(server)
    rests(server)
    assert len(answered(crowd)) == CAP
    assert descriptors(server) == base + CAP
    while crowd:
        for client in wait_for(lambda: answered(crowd), "the next answers"):
            leave(client, crowd)
        assert descriptors(server) <= base + CAP
    is_well(server, base)


def test_one_by_one(serve):
    """Each that leaves lets one in."""
    server = start(serve)
    base, crowd = at_rest(server), crowd_at(server, "/list")
    await_cap(crowd)
    for _ in range(20):
        leave(answered(crowd)[0], crowd)
        await_cap(crowd)
    for client in crowd:
        client.reset()
    is_well(server, base)


def test_idle_clients_make_room(serve):
    """Nobody leaves: who was served is sent away for who was not."""
    server = start(serve)
    base, crowd = at_rest(server), crowd_at(server, "/")
    for client in crowd:
        assert client.response().body == b"hello"
    assert descriptors(server) <= base + CAP
    for client in crowd:
        client.close()
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
