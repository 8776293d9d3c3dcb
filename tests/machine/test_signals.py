"""Signals at any moment: none of them may cost a request."""

import os
import random
import signal
import threading

import pytest
from machine import APPS, EXCHANGES

HARMLESS = [
    signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE,
    signal.SIGURG, signal.SIGCONT,
]  # fmt: skip
# A supervisor takes these for a reload and a pause, which close connections.
NOT_FOR_SUPERVISORS = {signal.SIGHUP, signal.SIGWINCH}
N_SIGNALS = 1000


def keep_asking(server, name, stop, served, failed):
    data, expected = EXCHANGES[name]
    try:
        while not stop.is_set():
            with server.connect() as client:
                for _ in range(5):
                    client.send(data)
                    res = client.response()
                    assert (res.status, res.body) == (200, expected)
                    served.append(name)
    except Exception as error:
        failed.append(f"{name}: {error!r}")


@pytest.mark.parametrize("target", ["worker", "supervisor"])
@pytest.mark.parametrize("command", ["machine:app", "machine:ticking"])
def test_storm(serve, tmp_path, command, target):
    """The second application has a timer of its own, whose SIGALRM Python
    handles, every 2 ms."""
    access = tmp_path / "access.log"
    server = serve(
        command, "--access-logfile", access, "--body-spool-size", "64k", cwd=APPS,
        env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    stop, served, failed = threading.Event(), [], []
    threads = [
        threading.Thread(target=keep_asking, args=[server, name, stop, served, failed])
        for name in EXCHANGES
    ]
    for thread in threads:
        thread.start()
    choose = random.Random(1).choice
    pid, signals = server.worker_pid, HARMLESS
    if target == "supervisor":
        pid = server.pid
        signals = [number for number in HARMLESS if number not in NOT_FOR_SUPERVISORS]
    for _ in range(N_SIGNALS):
        os.kill(pid, choose(signals))
        stop.wait(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert set(served) == set(EXCHANGES)
    assert server.stop() == 0
    # Reopened again and again, no line is lost or torn.
    lines = access.read_text().splitlines()
    assert len(lines) == len(served)
    assert all(" 200 " in line for line in lines)
