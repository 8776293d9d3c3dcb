"""wsgid in the background, as another user, under a service manager."""

import contextlib
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from harness import APPS, TIMEOUT, WSGID, Client, environment, run_wsgid, wait_for

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")


def status_of(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def is_gone(pid):
    try:
        return status_of(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return True


def ask(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        return Client(sock).ask(path="/process")


@pytest.fixture
def folder():
    """A folder that every user may write to; servers that were started there
    with a pid file are stopped."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        path = Path(name)
        yield path
        if (path / "pid").exists():
            pid = int((path / "pid").read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: is_gone(pid), "the daemon to end")


def daemon(folder, *options, app="lifecycle:app"):
    return run_wsgid(
        "-D", "--pid", folder / "pid", "--error-logfile", folder / "log",
        "--bind", f"unix:{folder}/socket", *options, app,
    )  # fmt: skip


# ---- --daemon --------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_daemon_returns_when_somebody_serves(folder, workers):
    done = daemon(folder, "--workers", str(workers))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((folder / "pid").read_text())
    assert ask(folder / "socket").status == 200
    assert f"(pid {pid})" in (folder / "log").read_text()
    # A session without a terminal, of which it is not the leader.
    assert os.getsid(pid) not in (pid, os.getsid(0))
    worker = ask(folder / "socket")
    for process in {pid, int(re.search(rb'"pid": (\d+)', worker.body)[1])}:
        for fd in range(3):
            assert os.readlink(f"/proc/{process}/fd/{fd}") == "/dev/null"
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: is_gone(pid), "the daemon to end")
    assert not (folder / "pid").exists() and not (folder / "socket").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_daemon_that_cannot_import(folder, workers):
    done = daemon(folder, "--workers", str(workers), app="lifecycle:make_badly()")
    assert done.returncode == 4
    assert "the factory is closed" in done.stderr
    assert not (folder / "pid").exists()


def test_daemon_that_cannot_bind(folder):
    assert daemon(folder).returncode == 0
    done = run_wsgid("-D", "--bind", f"unix:{folder}/socket", "lifecycle:app")
    assert done.returncode == 3 and f"{folder}/socket" in done.stderr
    assert ask(folder / "socket").status == 200


def parent_of(pid):
    return int(status_of(pid)["PPid"])


@pytest.mark.parametrize("workers, number", [("0", signal.SIGKILL), ("1", signal.SIGTERM)])
def test_daemon_that_is_ended_while_it_starts(folder, workers, number):
    gate = folder / "gate"
    os.mkfifo(gate)
    (folder / "waits.py").write_text(f"open({str(gate)!r}).read()\nfrom lifecycle import app\n")
    process = subprocess.Popen(
        [WSGID, "-D", "--workers", workers, "--bind", f"unix:{folder}/socket", "--pythonpath",
         str(folder), "waits:app"],
        cwd=APPS, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # Somebody reads the gate: the import is under way.
    fd = wait_for(lambda: open_gate(gate), "the import")
    server = wait_for(
        lambda: next((pid for pid in processes_with(gate) if pid != os.getpid()), None),
        "the server to have the gate open",
    )
    os.kill(server if workers == "0" else parent_of(server), number)
    _, errors = process.communicate(timeout=TIMEOUT)
    os.close(fd)
    assert process.returncode == 3
    assert errors.endswith("wsgid: the server was ended before it was ready\n")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_log_that_cannot_be_reopened_is_in_the_error_log(folder, workers):
    logs = folder / "logs"
    logs.mkdir()
    done = daemon(folder, "--workers", str(workers), "--access-logfile", logs / "access")
    assert done.returncode == 0, done.stderr
    logs.rename(folder / "moved")
    os.kill(int((folder / "pid").read_text()), signal.SIGUSR1)
    expected = f"[ERROR] cannot reopen {logs}/access: no such directory; the old file is kept"
    wait_for(lambda: expected in (folder / "log").read_text(), "the message")
    assert ask(folder / "socket").status == 200
    assert "log files reopened" not in (folder / "log").read_text()


def test_nobody_keeps_a_renamed_log_open(folder):
    done = daemon(folder, "--access-logfile", folder / "access")
    assert done.returncode == 0, done.stderr
    for name in ["log", "access"]:
        (folder / name).rename(folder / f"{name}.1")
        assert list(processes_with(folder / f"{name}.1"))
    os.kill(int((folder / "pid").read_text()), signal.SIGUSR1)
    for name in ["log.1", "access.1"]:
        wait_for(lambda: not list(processes_with(folder / name)), f"{name} to be closed")


def open_gate(path):
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def processes_with(path):
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) == str(path) for fd in (process / "fd").iterdir()):
                yield int(process.name)
        except OSError:
            continue


# ---- What is inherited ------------------------------------------------------


BLOCKING = (
    "import os, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


@pytest.mark.parametrize("workers", [0, 1])
def test_blocked_signals(serve, tmp_path, workers):
    server = serve(
        "lifecycle:app", "--workers", workers, "--access-logfile", tmp_path / "access",
        command=["/usr/bin/python3", "-c", BLOCKING, WSGID],
    )  # fmt: skip
    server.kill(signal.SIGUSR1)
    server.wait_log("SIGUSR1: log files reopened")
    server.kill(signal.SIGTERM)
    assert server.wait() == 0


# ---- --user, --group, --umask, --name --------------------------------------


@needs_root
@pytest.mark.parametrize("workers", [0, 1])
def test_user(folder, workers):
    nobody = pwd.getpwnam("nobody")
    done = daemon(
        folder, "--workers", str(workers), "-u", "nobody", "--umask", "027",
        "--access-logfile", folder / "access", "--control-socket", folder / "control",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pid = int((folder / "pid").read_text())
    worker = int(re.search(rb'"pid": (\d+)', ask(folder / "socket").body)[1])
    for process in {pid, worker}:
        status = status_of(process)
        assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert "0" not in status["Groups"].split()
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    for name in ["pid", "log", "access", "socket", "control"]:
        assert (folder / name).stat().st_uid == nobody.pw_uid, name
    assert stat.S_IMODE((folder / "access").stat().st_mode) == 0o640
    # Log files can be opened again.
    (folder / "access").rename(folder / "access.1")
    os.kill(pid, signal.SIGUSR1)
    wait_for((folder / "access").exists, "the access log to be opened again")


@needs_root
def test_user_and_group_by_number(folder):
    done = daemon(folder, "--user", "12345", "--group", "23456")
    assert done.returncode == 0, done.stderr
    status = status_of(int((folder / "pid").read_text()))
    assert status["Uid"].split() == ["12345"] * 4
    assert status["Gid"].split() == ["23456"] * 4
    assert status["Groups"].split() == ["23456"]


@needs_root
def test_privileged_port_before_the_user_changes(folder):
    done = daemon(folder, "--bind", "127.0.0.1:0", "-u", "nobody", "-n", "shop")
    assert done.returncode == 0, done.stderr
    pid = int((folder / "pid").read_text())
    assert status_of(pid)["Name"] == "shop"


WRONG_IDENTITIES = [
    (["-u", "no-such-user"], '--user "no-such-user": there is no such user; getent passwd lists them'),
    (["-g", "no-such-group"], '--group "no-such-group": there is no such group; getent group'),
    (["-u", "12345"], '--user "12345": no user has this number, and so no group: give --group too'),
    (["-u", "4294967295"], '--user "4294967295": there is no such user'),
    (["-m", "999"], '--umask cannot be "999": expected permissions in octal'),
]  # fmt: skip


@pytest.mark.parametrize("options, message", WRONG_IDENTITIES)
def test_wrong_identity(options, message):
    done = run_wsgid(*options, "lifecycle:app")
    assert done.returncode == 2
    assert message in done.stderr


@needs_root
def test_who_is_not_root_stays_who_it_is():
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        ["setpriv", "--reuid", "nobody", "--regid", str(nobody.pw_gid), "--clear-groups",
         WSGID, "-u", "root", "--bind", "127.0.0.1:0", "lifecycle:app"],
        cwd="/", env=environment(), capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 2
    assert '--user "root": only root can become another one' in done.stderr


# ---- A service manager -----------------------------------------------------


class Manager:
    """The end of a NOTIFY_SOCKET that systemd has."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(TIMEOUT)
        self.heard = []

    def wait(self, *parts):
        """The next message that has all of these; others before it are kept in
        `heard`."""
        while True:
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if all(part in message for part in parts):
                return message

    def read_up(self):
        """What was said up to now goes to `heard`."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        self.socket.settimeout(TIMEOUT)

    def close(self):
        self.socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify")
    made = Manager(name if request.param == "path" else "\0" + name)
    made.name = name if request.param == "path" else "@" + name
    yield made
    made.close()


def test_manager_is_told(serve, manager):
    server = serve(
        "environment:app", "--workers", "2",
        env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"},
    )  # fmt: skip
    assert manager.wait("READY=1") == f"READY=1\nMAINPID={server.pid}"
    manager.wait("STATUS=workers ready: 2 of 2")
    # What the application starts is not the service.
    names = server.ask().body.decode().split()
    assert "PATH" in names and not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(names)
    manager.wait("WATCHDOG=1")
    before = time.monotonic_ns() // 1000
    server.kill(signal.SIGHUP)
    reloading = manager.wait("RELOADING=1")
    stamp = int(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)[1])
    assert before <= stamp <= time.monotonic_ns() // 1000
    manager.wait("READY=1")
    server.kill(signal.SIGTERM)
    manager.wait("STOPPING=1")
    assert server.wait() == 0


def test_manager_of_a_single_process(serve, manager):
    server = serve("lifecycle:app", "--workers", "0", env={"NOTIFY_SOCKET": manager.name})
    manager.wait("READY=1", f"MAINPID={server.pid}")
    assert server.stop() == 0
    manager.wait("STOPPING=1")


def test_watchdog_of_another_process_is_left_alone(serve, manager):
    server = serve(
        "lifecycle:app", "--workers", "1",
        env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    )  # fmt: skip
    manager.wait("READY=1")
    server.stop()
    manager.wait("STOPPING=1")
    assert not any("WATCHDOG" in message for message in manager.heard)


# As systemd has it: the watchdog is for the process that it starts.
WATCHED = ["/bin/sh", "-c", 'WATCHDOG_PID=$$ exec "$0" "$@"', WSGID]


def upgrade(server, manager):
    """The process id of the successor."""
    assert manager.wait("READY=1") == f"READY=1\nMAINPID={server.pid}"
    server.kill(signal.SIGUSR2)
    successor = int(manager.wait("READY=1").split("MAINPID=")[1])
    assert successor != server.pid
    return successor


def test_manager_is_told_of_an_upgrade(serve, manager):
    server = serve(
        "lifecycle:app", command=WATCHED,
        env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"},
    )  # fmt: skip
    successor = upgrade(server, manager)
    server.kill(signal.SIGTERM)
    wait_for(lambda: is_gone(server.pid), "the old one to end")
    manager.read_up()
    assert "STOPPING=1" not in manager.heard
    manager.wait("WATCHDOG=1")
    os.kill(successor, signal.SIGTERM)
    manager.wait("STOPPING=1")
    assert server.wait() == 0


def test_manager_is_told_of_an_upgrade_that_is_taken_back(serve, manager):
    server = serve("lifecycle:app", env={"NOTIFY_SOCKET": manager.name})
    os.kill(upgrade(server, manager), signal.SIGTERM)
    assert manager.wait("READY=1") == f"READY=1\nMAINPID={server.pid}"
    assert "STOPPING=1" not in manager.heard
    assert server.stop() == 0
    manager.wait("STOPPING=1")


def test_a_service_manager_that_is_not_there_is_no_reason_to_fail(serve, tmp_path):
    server = serve("lifecycle:app", env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert server.ask().status == 200


def passed_sockets(n):
    """A command that passes n sockets as systemd does."""
    code = (
        "import os, socket, sys\n"
        "held = [socket.create_server(('127.0.0.1', 0)) for _ in range(%d)]\n"
        "for i, s in enumerate(held): os.dup2(s.fileno(), 20 + i)\n"
        "for i in range(len(held)): os.dup2(20 + i, 3 + i)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='%d', LISTEN_FDNAMES='a:b')\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return ["/usr/bin/python3", "-c", code % (n, n), WSGID]


@pytest.mark.parametrize("workers", [0, 1])
def test_sockets_of_the_manager_are_the_default(serve, workers):
    server = serve(
        "environment:app", "--workers", workers, command=passed_sockets(2), passed=2
    )
    for index in range(2):
        with server.connect(index=index) as client:
            assert b"LISTEN_" not in client.ask().body


def test_sockets_for_another_process_are_not_taken(serve):
    server = serve("lifecycle:app", env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    assert server.ask().status == 200


def test_wrong_number_of_sockets():
    command = ["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=many exec "$0" lifecycle:app', WSGID]
    done = subprocess.run(command, cwd=APPS, env=environment(), capture_output=True, text=True,
                          timeout=TIMEOUT)  # fmt: skip
    assert done.returncode == 2
    assert 'LISTEN_FDS is "many" in the environment' in done.stderr
