"""What becomes of a process that the application forks: never a second
server."""

import pytest
from harness import is_sanitized

FORKED = "in a process that the application forked"


def settled(status):
    """What the child ended with, asked once more if it had to be killed: the
    allocator of AddressSanitizer (gcc 12) has its locks copied by fork(), held as
    they are, and the child may wait for one of them for ever."""
    found = status()
    if is_sanitized() and "it stayed" in found:
        found = status()
    return found


@pytest.fixture
def server(serve):
    server = serve("children:app")
    # A call that waits lets the second thread begin now, not beside a fork().
    assert server.ask(path="/wait").body == b"waited"
    return server


@pytest.mark.parametrize(
    "path, status, entry",
    [
        ("/os-exit", "7", None),
        ("/sys-exit", "7", None),
        ("/sys-exit-without-status", "0", None),
        ("/sys-exit-with-text", "1", "SystemExit: nothing to do"),
        ("/raise", "1", "ValueError: in the child"),
        ("/return", "1", r"os\._exit"),
        ("/write", "7", None),
        ("/print", "7", None),
        ("/in-block", "status 1", r"os\._exit"),
    ],
)
def test_child(server, path, status, entry):
    with server.connect() as client:
        assert settled(lambda: client.ask(path=path).body.decode()) == status
        # The connection is the parent's, and nothing else came over it.
        assert client.ask(path="/pid").body == b"%d" % server.worker_pid
    if entry:
        server.wait_log(FORKED)
        server.wait_log(entry)
    else:
        assert FORKED not in server.log()
    if path == "/print":
        assert server.stdout.wait(lambda text: "printed by the child" in text)


def test_child_that_leaves_in_close(server):

    def status():
        start = len(server.log())
        assert server.ask(path="/in-close").body == b"parent"
        return server.wait_log(r"closed: (.*)\n", start)[1]

    assert settled(status) == "1"
    server.wait_log(FORKED)
    assert server.ask(path="/pid").body == b"%d" % server.worker_pid


def test_child_is_ended_by_sigterm(server):
    """The server's own handlers are not for its children."""
    assert server.ask(path="/terminate").body == b"-15"
    assert "SIGTERM" not in server.log()
