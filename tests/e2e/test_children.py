"""What becomes of a process that the application forks: never a second
server."""

import pytest
from harness import is_sanitized

FORKED = "in a process that the application forked"


@pytest.mark.parametrize(
    "path, status, entry",
    [
        ("/os-exit", b"7", None),
        ("/sys-exit", b"7", None),
        ("/sys-exit-without-status", b"0", None),
        ("/sys-exit-with-text", b"1", "SystemExit: nothing to do"),
        ("/raise", b"1", "ValueError: in the child"),
        ("/return", b"1", r"os\._exit"),
        ("/write", b"7", None),
        ("/print", b"7", None),
        ("/in-block", b"status 1", r"os\._exit"),
    ],
)
def test_child(serve, path, status, entry):
    server = serve("children:app")
    with server.connect() as client:
        body = client.ask(path=path).body
        if is_sanitized() and b"it stayed" in body:
            # AddressSanitizer of gcc 12 has its locks copied by fork(), held
            # as they are: the child may wait for one for ever.
            body = client.ask(path=path).body
        assert body == status
        # The connection is the parent's, and nothing else came over it.
        assert client.ask(path="/pid").body == b"%d" % server.worker_pid
    if entry:
        server.wait_log(FORKED)
        server.wait_log(entry)
    else:
        assert FORKED not in server.log()
    if path == "/print":
        assert server.stdout.wait(lambda text: "printed by the child" in text)


def test_child_that_leaves_in_close(serve):
    server = serve("children:app")
    assert server.ask(path="/in-close").body == b"parent"
    server.wait_log("closed: 1")
    server.wait_log(FORKED)
    assert server.ask(path="/pid").body == b"%d" % server.worker_pid


def test_child_is_ended_by_sigterm(serve):
    """The server's own handlers are not for its children."""
    server = serve("children:app")
    assert server.ask(path="/terminate").body == b"-15"
    assert "SIGTERM" not in server.log()
