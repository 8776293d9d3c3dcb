"""What a hostile client may cost: descriptors, memory, time, system calls."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import is_sanitized, wait_for

HERE = Path(__file__).resolve().parent
KIB = 1024
MIB = 1024 * KIB
# Enough for what a busy machine and a sanitizer add, a tiny part of spinning.
FEW_CALLS = 50
FEW_SECONDS = 0.3


def descriptors(server):
    return len(os.listdir(f"/proc/{server.worker_pid}/fd"))


def await_descriptors(server, number):
    """Waits until the server has as many as before."""

    def are_back():
        return descriptors(server) <= number

    try:
        wait_for(are_back, f"no more than {number} descriptors")
    except AssertionError as error:
        held = subprocess.run(
            ["ls", "-l", f"/proc/{server.worker_pid}/fd"], capture_output=True, text=True
        )
        raise AssertionError(f"{error}:\n{held.stdout}") from None


def sockets(server):
    """Those of listeners and connections."""
    found = 0
    for fd in os.listdir(f"/proc/{server.worker_pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{server.worker_pid}/fd/{fd}").startswith("socket:")
    return found


def at_rest(server):
    """How many descriptors it has when nobody is there; a first request is
    behind it, and what that one loads."""
    assert server.ask(path="/").body == b"hello"
    listening = len(server.addresses)
    wait_for(lambda: sockets(server) <= listening, "the end of all connections")
    return descriptors(server)


def bounded_memory(server, before, most):
    """That no more was added than this; a sanitizer's memory does not count."""
    if not is_sanitized():
        added = server.resident() - before
        assert added < most, f"{added / MIB:.1f} MiB more"


def cpu_seconds(server):
    stat = Path(f"/proc/{server.worker_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def count_calls(server, seconds):
    """System calls in that time; None without strace, or the right to it."""
    if not shutil.which("strace"):
        return None
    tracer = subprocess.Popen(
        ["strace", "-c", "-f", "-p", str(server.worker_pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    tracer.send_signal(signal.SIGINT)
    text = tracer.communicate(timeout=30)[1]
    if "attached" not in text:
        return None
    total = re.search(r"^100\.00(?:\s+[\d.]+)+\s+total$", text, re.MULTILINE)
    # "% time, seconds, usecs/call, calls, errors": the last may be missing.
    return int(total[0].split()[3 if "usecs/call" in text else 2]) if total else 0


def await_quiet(server):
    """Until it has sent what the kernel takes, and waits."""

    def switches():
        text = Path(f"/proc/{server.worker_pid}/status").read_text()
        return re.findall(r"ctxt_switches:\s+(\d+)", text)

    def is_quiet():
        before = switches()
        time.sleep(0.2)
        return switches() == before

    wait_for(is_quiet, "a server that waits")


def rests(server, most=FEW_CALLS, seconds=2):
    """That the server has next to nothing to do: so many system calls."""
    before = cpu_seconds(server)
    calls = count_calls(server, seconds)
    if calls is None:
        time.sleep(seconds)
    else:
        assert calls < most, f"{calls} system calls in {seconds} s"
    used = cpu_seconds(server) - before
    assert used < FEW_SECONDS, f"{used} s of processor time in {seconds} s"


def is_well(server, number):
    """That nothing of the clients before is left."""
    assert server.ask(path="/").body == b"hello"
    await_descriptors(server, number)
    assert "Traceback" not in server.log()


def all_closed(server, number=None):
    """That each iterable that was given, so many if it is known, was closed,
    and once."""

    def are_closed():
        opened, closed, again = json.loads(server.ask(path="/closed").body)
        return opened == closed == (number or opened) and again == 0

    wait_for(are_closed, "close() of all iterables")


class Mob:
    """mob.py at work."""

    def __init__(self, server, kinds):
        arguments = [f"{kind}={number}" for kind, number in kinds.items()]
        self.process = subprocess.Popen(
            [sys.executable, HERE / "mob.py", str(server.port), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # "there N"
        assert self.process.stdout.readline() == f"there {sum(kinds.values())}\n"

    def finish(self):
        """How many senders were answered."""
        out, _ = self.process.communicate("finish\n", timeout=60)
        return int(re.fullmatch(r"answered (\d+)\n", out)[1])


@contextlib.contextmanager
def mob(server, **kinds):
    crowd = Mob(server, kinds)
    try:
        yield crowd
    finally:
        if crowd.process.poll() is None:
            crowd.process.kill()
            crowd.process.wait()
