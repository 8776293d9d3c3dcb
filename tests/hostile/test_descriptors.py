"""No descriptors left: the machine's shortage, not the server's limit."""

import contextlib
import resource

from harness import request, wait_for
from watch import HERE, at_rest, is_well, rests

N_LEFT = 10
N_CLIENTS = 40
SHORTAGE = "Too many open files"
# Some attempts a second, where spinning is tens of thousands.
ATTEMPTS = 600


@contextlib.contextmanager
def few_descriptors(server, number):
    """The limit of a running server: it has counted on more."""
    _, hard = resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE, (number, hard))
    yield
    resource.prlimit(server.worker_pid, resource.RLIMIT_NOFILE, (hard, hard))


def serves_again(server, episode):
    """An ordinary client is served, and the log says that it is over."""
    return (
        server.ask().status == 200
        and server.log().count("accepting connections again") == episode
    )


def test_episodes(serve):
    """Twice, so that it is once an episode and not once for ever."""
    server = serve("app:app", cwd=HERE)
    base = at_rest(server)
    for episode in (1, 2):
        with few_descriptors(server, base + N_LEFT):
            crowd = [server.connect() for _ in range(N_CLIENTS)]
            server.wait_log(f"(?s)(.*{SHORTAGE}){{{episode}}}")
            rests(server, most=ATTEMPTS)
            # Who is in is served, whoever waits.
            first = crowd[0].ask()
            assert (first.status, first.body) == (200, b"hello")
            # One leaves, another comes: that is no end of it.
            for client in crowd[:3]:
                client.close()
            rests(server, most=ATTEMPTS, seconds=1)
            assert server.log().count(SHORTAGE) == episode, server.log()
            for client in crowd:
                client.close()
            # Room again, with the limit as low as before.
            wait_for(lambda: serves_again(server, episode), "the end of it")
            is_well(server, base)
            assert server.log().count(SHORTAGE) == episode, server.log()


def test_those_who_wait_are_answered(serve):
    """Served when there is room, or told that there is none: nobody hangs."""
    server = serve("app:app", cwd=HERE)
    base = at_rest(server)
    with few_descriptors(server, base + N_LEFT):
        crowd = [server.connect() for _ in range(N_CLIENTS)]
        server.wait_log(SHORTAGE)
        served = 0
        for client in crowd:
            try:
                client.send(request())
                status = client.response().status
            except (ConnectionError, AssertionError):
                status = 503
            assert status in (200, 503)
            served += status == 200
            client.close()
        assert served >= N_LEFT - 1
        is_well(server, base)
