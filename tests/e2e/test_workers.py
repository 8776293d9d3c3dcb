"""The supervisor and its workers: what dies, hangs or changes costs nobody else
a request."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import (
    APPS,
    WSGID,
    Closed,
    children_of,
    environment,
    request,
    run_wsgid,
    wait_for,
)

N_CLIENTS = 8


class Load:
    """Clients that ask again and again, each request on a connection of its
    own or several on one."""

    def __init__(self, server, path="/pid", per_connection=1, may_close=False):
        self.server, self.path, self.per_connection = server, path, per_connection
        self.may_close = may_close
        self.bodies, self.failures = [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(N_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _connection(self):
        try:
            client = self.server.connect()
        except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError):
            # Nobody listens, or no more in this moment: that is a clean end.
            self._stop.set()
            return
        with client:
            name = client.sock.getsockname()
            for n in range(self.per_connection):
                try:
                    res = client.ask(path=self.path)
                except (Closed, ConnectionResetError) as error:
                    # Between two requests a server may close: clients then
                    # ask on another connection, as proxies and browsers do.
                    if n and self.may_close and not client.pending:
                        return
                    raise Closed(f"request {n} of {name}: {error!r}") from error
                assert res.status == 200, res.status
                self.bodies.append(res.body)
                if res.get("Connection") == "close":
                    return

    def _ask(self):
        while not self._stop.is_set():
            try:
                self._connection()
            except (Closed, OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def await_served(self, number):
        wait_for(lambda: len(self.bodies) >= number, f"{number} answers", 120)

    def await_more(self, number=50):
        self.await_served(len(self.bodies) + number)

    def finish(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.failures


@pytest.fixture
def load():
    made = []

    def start(*arguments, **keywords):
        made.append(Load(*arguments, **keywords))
        return made[-1]

    yield start
    for one in made:
        one.finish()


def workers_of(server, number):
    """Their process ids, once there are so many that serve."""

    def are_there():
        pids = children_of(server.pid)
        return pids if len(pids) == number else None

    return wait_for(are_there, f"{number} workers")


def write_app(folder, version):
    (folder / "site_app.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        f"    return [b'{version}']\n"
    )


# ---- How many ---------------------------------------------------------------


def test_one_worker_is_the_default(serve):
    server = serve("workers:app")
    (pid,) = workers_of(server, 1)
    assert server.ask(path="/pid").body == b"%d" % pid
    assert server.ask(path="/environ").body == b"False"


def test_as_many_workers_as_wanted(serve):
    server = serve("workers:app", "-w", 3)
    pids = workers_of(server, 3)
    assert int(server.ask(path="/pid").body) in pids
    assert server.ask(path="/environ").body == b"True"
    assert server.log().count("Serving") == 1


def test_without_a_supervisor(serve, tmp_path):
    path = tmp_path / "wsgid.pid"
    server = serve("workers:app", "--workers", "0", "--pid", path)
    assert server.ask(path="/pid").body == b"%d" % server.pid
    assert path.read_text().strip() == str(server.pid)
    server.kill(signal.SIGHUP)
    server.wait_log("SIGHUP: log files reopened; to load new code, restart")
    assert server.ask(path="/pid").status == 200
    assert server.stop() == 0
    assert "Stopped by SIGTERM" in server.log()


def test_auto_is_what_the_affinity_allows(serve):
    cpu = min(os.sched_getaffinity(0))
    server = serve("workers:app", "-w", "auto", command=["taskset", "-c", str(cpu), WSGID])
    server.ask(path="/pid")
    assert len(children_of(server.pid)) == 1


def test_web_concurrency_is_the_default(serve):
    workers_of(serve("workers:app", env={"WEB_CONCURRENCY": "2"}), 2)
    workers_of(serve("workers:app", "-w", 1, env={"WEB_CONCURRENCY": "2"}), 1)
    done = run_wsgid("workers:app", env={"WEB_CONCURRENCY": "many"})
    assert done.returncode == 2 and "WEB_CONCURRENCY" in done.stderr


@pytest.mark.parametrize("value", ["many", "-1", "257", "2x", ""])
def test_wrong_number_of_workers(value):
    done = run_wsgid(f"--workers={value}", "workers:app")
    assert done.returncode == 2
    assert "--workers is a number from 0 to 256, or auto" in done.stderr


def test_one_more_and_one_less(serve):
    server = serve("workers:app")
    server.kill(signal.SIGTTIN)
    workers_of(server, 2)
    server.kill(signal.SIGTTOU)
    workers_of(server, 1)
    server.kill(signal.SIGWINCH)
    wait_for(lambda: not children_of(server.pid), "the end of the worker")
    server.kill(signal.SIGHUP)
    workers_of(server, 1)
    assert server.ask(path="/pid").status == 200


# ---- Starting ---------------------------------------------------------------


def test_what_cannot_be_imported_is_said_once():
    done = run_wsgid("-w", "3", "mistakes_that_are_not_there:app")
    assert done.returncode == 4
    assert done.stderr.count("was not found") == 1
    assert "ERROR" not in done.stderr


def test_a_worker_that_dies_while_it_starts(tmp_path):
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), 9)\n")
    done = run_wsgid("-w", "2", "dies:app", cwd=tmp_path)
    assert done.returncode == 3
    assert re.search(
        r"wsgid: worker 1 \(pid \d+\) was killed by SIGKILL.* before it was ready",
        done.stderr,
    )


def test_stop_while_the_application_is_imported(tmp_path):
    """Nothing is under way: it does not wait."""
    (tmp_path / "slow.py").write_text(
        "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [WSGID, "--bind", "127.0.0.1:0", "slow:app"], cwd=tmp_path,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == b"importing\n"
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()


# ---- Deaths -----------------------------------------------------------------


def test_killed_worker_costs_only_its_own_requests(serve, load):
    server = serve("workers:app", "-w", 2)
    victim, other = workers_of(server, 2)
    clients = load(server)
    clients.await_more()
    os.kill(victim, signal.SIGKILL)
    server.wait_log(rf"worker \d \(pid {victim}\) was killed by SIGKILL, not by the sup")
    clients.await_more(200)
    # Each client had at most one request there.
    assert len(clients.finish()) <= N_CLIENTS
    assert other in workers_of(server, 2)


@pytest.mark.parametrize(
    "path, cause", [("/exit", "ended with exit code 7"), ("/abort", "was killed by SIGABRT")]
)
def test_cause_of_death(serve, path, cause):
    server = serve("workers:app")
    with pytest.raises((Closed, ConnectionResetError)):
        server.ask(path=path)
    server.wait_log(cause)
    assert server.ask(path="/pid").status == 200
    if path == "/abort":
        # Where it was, in Python.
        assert re.search(r"File .*workers\.py", server.log())


def test_worker_that_is_drained_by_hand(serve):
    """Another takes its place, and nothing has gone wrong."""
    server = serve("workers:app")
    (pid,) = workers_of(server, 1)
    os.kill(pid, signal.SIGTERM)
    server.wait_log(rf"\[INFO\] worker 1 \(pid {pid}\) ended with exit code 0")
    assert server.ask(path="/pid").body != b"%d" % pid
    assert "ERROR" not in server.log()


def test_hanging_worker_is_replaced(serve):
    """All of its threads do; a call that keeps the GIL does not stop the loop."""
    server = serve("workers:app", "-w", 2, "--heartbeat-timeout", "3")
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()
    server.wait_log("its loop gave no sign for 3 s")
    assert re.search(r"File .*workers\.py.* in hang", server.log())
    workers_of(server, 2)
    assert server.ask(path="/pid").status == 200


def test_stopped_worker_is_replaced(serve):
    server = serve("workers:app", "--heartbeat-timeout", "3")
    (pid,) = workers_of(server, 1)
    os.kill(pid, signal.SIGSTOP)
    server.wait_log(rf"pid {pid}\) was killed by the supervisor: its loop gave no sign")
    assert server.ask(path="/pid").body != b"%d" % pid


def test_workers_end_when_the_supervisor_is_killed(serve):
    server = serve("workers:app", "-w", 2)
    pids = workers_of(server, 2)
    server.process.kill()
    server.wait()
    wait_for(lambda: not any(map(is_running, pids)), "the end of the workers")
    assert server.refuses()


def is_running(pid):
    """A zombie is not: here nobody may be waiting for orphans."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_first_process_reaps_orphans(tmp_path):
    """As in a container: it is given every process whose parent has ended."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    path = tmp_path / "socket"
    process = subprocess.Popen(
        [*unshare, WSGID, "--bind", f"unix:{path}", "workers:app"], cwd=APPS,
        env=environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(target):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(path))
            sock.sendall(b"GET %s HTTP/1.0\r\n\r\n" % target)
            return b"".join(iter(lambda: sock.recv(4096), b"")).rpartition(b"\r\n\r\n")[2]

    try:
        wait_for(path.exists, "the socket")
        for _ in range(20):
            ask(b"/orphan")
        wait_for(lambda: ask(b"/zombies") == b"0", "the end of the zombies")
        ask(b"/stop-all")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


# ---- Replacing --------------------------------------------------------------


def test_recycling_resets_nobody(serve, load):
    server = serve("workers:app", "-w", 2, "--max-requests", 100, "--max-requests-jitter", 20)
    clients = load(server, per_connection=7)
    clients.await_served(2000)
    wait_for(lambda: len(set(clients.bodies)) > 5, "several replacements", 60)
    assert clients.finish() == []
    assert "is being replaced: it has answered max-requests" in server.log()


def test_recycling_leaves_the_socket_file(serve, tmp_path, load):
    path = tmp_path / "socket"
    server = serve("workers:app", "--bind", f"unix:{path}", "--max-requests", 50)
    clients = load(server)
    clients.await_served(500)
    assert clients.finish() == []
    assert path.exists()
    assert server.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    "option, value, reason",
    [("--max-lifetime", "1", "has reached max-lifetime"), ("--max-memory", "200M", "is past max-memory")],
)
def test_worker_that_is_old_or_large(serve, option, value, reason):
    server = serve("workers:app", option, value)
    pid = server.ask(path="/pid").body
    if option == "--max-memory":
        for _ in range(4):
            server.ask(path="/grow")
    server.wait_log(reason)
    wait_for(lambda: server.ask(path="/pid").body != pid, "another worker")


def test_application_larger_than_max_memory(serve):
    """Each worker is: they are not replaced every second for ever."""
    server = serve("workers:app", "--max-memory", "1M")
    server.wait_log(r"takes \d+ MiB of memory .*, and max-memory is 1 MiB")
    server.wait_log(r"\d workers in a row .*; the next one starts in [1-9]")
    assert server.ask(path="/pid").status == 200


def test_worker_with_a_call_that_does_not_end(serve):
    server = serve("workers:app", "--timeout", "1", "--graceful-timeout", "1")
    pid = server.worker_pid
    assert server.ask(path="/sleep").status == 504
    server.wait_log("is being replaced: a call of the application does not end")
    wait_for(lambda: not is_running(pid), "the end of the worker")
    (other,) = workers_of(server, 1)
    assert server.ask(path="/pid").body == b"%d" % other


# ---- Reloading --------------------------------------------------------------


def test_reload(serve, tmp_path, load):
    write_app(tmp_path, "one")
    server = serve("site_app:app", "-w", 2, cwd=tmp_path)
    clients = load(server)
    clients.await_more()
    write_app(tmp_path, "twotwo")
    server.kill(signal.SIGHUP)
    server.wait_log("the new workers have taken over")
    wait_for(lambda: server.ask().body == b"twotwo", "the new code")
    clients.await_more()
    assert clients.finish() == []
    assert set(clients.bodies) == {b"one", b"twotwo"}


def test_broken_reload_costs_nothing(serve, tmp_path, load):
    write_app(tmp_path, "one")
    server = serve("site_app:app", "-w", 2, "--log-level", "debug", cwd=tmp_path)
    # It has imported what is broken next.
    server.wait_log(r"worker 2 \(pid \d+\) ready")
    before = workers_of(server, 2)
    clients = load(server, per_connection=10)
    clients.await_more()
    (tmp_path / "site_app.py").write_text("import no_such_module\n")
    server.kill(signal.SIGHUP)
    server.wait_log("the reload has failed")
    assert "No module named 'no_such_module'" in server.log()
    clients.await_served(10_000)
    assert clients.finish() == []
    assert set(clients.bodies) == {b"one"}
    assert sorted(workers_of(server, 2)) == sorted(before)
    write_app(tmp_path, "two")
    server.kill(signal.SIGHUP)
    wait_for(lambda: server.ask().body == b"two", "the mended code")


# ---- Stopping ---------------------------------------------------------------


@pytest.mark.parametrize("per_connection", [1, 10])
def test_stop_loses_no_request(serve, load, per_connection):
    server = serve("workers:app", "-w", 2, "--trace")
    clients = load(server, per_connection=per_connection, may_close=True)
    clients.await_more(200)
    assert server.stop() == 0
    # Whoever comes between the last accept(), which finds nobody, and close()
    # is reset by the kernel: no server has seen it.
    ports = re.findall(r"connection from 127\.0\.0\.1 port (\d+)", server.log())
    lost = [
        failure
        for failure in clients.finish()
        if not (at := re.search(r"^Closed.* of \(.*?, (\d+)\): ", failure)) or at[1] in ports
    ]
    assert ports and lost == []


def is_pending(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16) >> (number - 1) & 1


# More than one of several takes when only itself leaves.
@pytest.mark.parametrize("workers, n_clients", [(1, 40), (2, 200)])
def test_stop_serves_who_waits_to_be_accepted(serve, workers, n_clients):
    server = serve("workers:app", "-w", workers, "--log-level", "debug")
    for number in range(1, workers + 1):
        server.wait_log(rf"worker {number} \(pid \d+\) ready")
    pids = workers_of(server, workers)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        clients = [server.connect() for _ in range(n_clients)]
        for client in clients:
            client.send(request(path="/pid"))
        server.kill(signal.SIGTERM)
        for pid in pids:
            wait_for(lambda: is_pending(pid, signal.SIGTERM), "SIGTERM for the worker")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert [client.response().status for client in clients] == [200] * n_clients
    for client in clients:
        client.close()
    assert server.wait() == 0


def test_second_signal_stops_workers_at_once(serve):
    server = serve("lifecycle:app", "-w", 2)
    with server.connect(receive_buffer=4096) as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.head()
        server.kill(signal.SIGTERM)
        server.wait_log("again to stop at once")
        server.kill(signal.SIGTERM)
        assert server.wait() == 0


def test_drain_delay(serve):
    """It goes on accepting, for those who do not know yet."""
    server = serve("workers:app", "-w", 2, "--drain-delay", "2")
    server.kill(signal.SIGTERM)
    server.wait_log("SIGTERM")
    time.sleep(0.5)  # a stop without delay would be over
    assert server.ask(path="/pid").status == 200
    assert server.wait() == 0
    assert server.refuses()


def await_ready(control, n):
    """A worker that has only been forked is not ready."""
    wait_for(lambda: run_wsgid("status", *control).stdout.count(" ready ") == n, "ready workers")


def test_terminal_and_service_manager_signal_everybody(serve, tmp_path):
    """Ctrl-C reaches supervisor and workers, and so does systemd's TERM: each
    worker is told twice, and drains."""
    for number in (signal.SIGINT, signal.SIGTERM):
        control = ["--control-socket", tmp_path / f"control{number}"]
        server = serve("lifecycle:app", "-w", 2, *control)
        await_ready(control, 2)
        pids = workers_of(server, 2)
        with server.connect() as client:
            client.ask()
            for pid in [*pids, server.pid, *pids]:
                os.kill(pid, number)
            assert server.wait() == 0
        assert "killed" not in server.log()


# ---- Preloading -------------------------------------------------------------


def test_preload(serve, tmp_path):
    (tmp_path / "shared.py").write_text(
        "import os, threading, time\n"
        "imported = os.getpid()\n"
        "threading.Thread(target=time.sleep, args=[60], name='poller', daemon=True).start()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'%d %d' % (imported, os.getpid())]\n"
    )
    server = serve("shared:app", "-w", 2, "--preload", cwd=tmp_path)
    pids = workers_of(server, 2)
    imported, pid = map(int, server.ask().body.split())
    assert imported == server.pid and pid in pids
    assert re.search(r"--preload: .* threads \(poller\)", server.log())
    server.kill(signal.SIGHUP)
    server.wait_log("would run the old code")
    assert sorted(workers_of(server, 2)) == sorted(pids)


def test_preloaded_thread_does_not_keep_the_supervisor(serve, tmp_path):
    """No daemon, so Python would wait for it.  What was printed is printed once."""
    (tmp_path / "polling.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "print('imported')\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'here']\n"
    )
    path = tmp_path / "wsgid.pid"
    server = serve("polling:app", "-w", 2, "--preload", "--pid", path, cwd=tmp_path)
    workers_of(server, 2)
    assert server.ask().body == b"here"
    assert server.stop() == 0
    assert "Stopped by SIGTERM" in server.log()
    assert not path.exists()
    assert server.stdout.text() == "imported\n"


def test_nothing_to_upgrade_without_a_supervisor(serve):
    server = serve("workers:app", "--workers", "0")
    server.kill(signal.SIGUSR2)
    server.wait_log("SIGUSR2: there is no supervisor that serves")
    assert server.ask(path="/pid").status == 200


@pytest.mark.parametrize("code", [2, 7])
def test_an_import_that_ends_the_process(tmp_path, code):
    (tmp_path / "leaves.py").write_text(f"import os\nos._exit({code})\n")
    done = run_wsgid("--bind", "127.0.0.1:0", "--pythonpath", tmp_path, "leaves:app")
    assert done.returncode == 3
    assert f"ended with exit code {code}" in done.stderr


# ---- Upgrading --------------------------------------------------------------


def test_upgrade(serve, tmp_path, load):
    path = tmp_path / "wsgid.pid"
    server = serve("workers:app", "--pid", path)
    clients = load(server)
    clients.await_more()
    server.kill(signal.SIGUSR2)
    successor = int(server.wait_log(r"Serving [^\n]*\n(?:.*\n)*?.*Serving .*\(pid (\d+)\)")[1])
    assert successor != server.pid
    assert path.read_text().strip() == str(successor)
    assert Path(f"{path}.oldbin").read_text().strip() == str(server.pid)
    (new_worker,) = children_of(successor)
    clients.await_more()
    server.kill(signal.SIGTERM)
    assert server.process.wait(20) == 0
    clients.await_more()
    os.kill(successor, signal.SIGTERM)
    assert server.wait() == 0
    assert clients.finish() == []
    assert b"%d" % new_worker in clients.bodies
    assert not path.exists()


@pytest.mark.parametrize("stays", ["old", "new"])
def test_upgrade_and_the_file_of_a_unix_socket(serve, tmp_path, stays):
    path = tmp_path / "socket"
    server = serve("workers:app", "--bind", f"unix:{path}")
    server.kill(signal.SIGUSR2)
    successor = int(server.wait_log(r"Serving [^\n]*\n(?:.*\n)*?.*Serving .*\(pid (\d+)\)")[1])
    if stays == "new":
        server.kill(signal.SIGTERM)
        assert server.process.wait(20) == 0
    else:
        os.kill(successor, signal.SIGTERM)
        server.wait_log("the successor has ended; this one serves on")
    assert server.ask(path="/pid").status == 200
    os.kill(successor if stays == "new" else server.pid, signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def test_upgrade_that_fails(serve, tmp_path):
    """The program is gone, so the old one goes on."""
    path, program = tmp_path / "wsgid.pid", tmp_path / "wsgid"
    shutil.copy(WSGID, program)
    server = serve("workers:app", "--pid", path, command=[str(program)])
    program.unlink()
    server.kill(signal.SIGUSR2)
    server.wait_log("cannot start .*: No such file")
    server.wait_log("the successor has ended; this one serves on")
    assert server.ask(path="/pid").status == 200
    assert path.read_text().strip() == str(server.pid)


def test_foreign_sockets_are_refused():
    done = run_wsgid("workers:app", env={"WSGID_FDS": "none"})
    assert done.returncode == 3 and "WSGID_FDS" in done.stderr


# ---- Logs -------------------------------------------------------------------


def test_every_worker_reopens_its_logs(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("workers:app", "-w", 2, "--access-logfile", path)
    workers_of(server, 2)
    server.ask(path="/pid")
    wait_for(lambda: path.exists() and path.read_text(), "the first line")
    path.rename(tmp_path / "access.log.1")
    server.kill(signal.SIGUSR1)
    server.wait_log(r"(?s)SIGUSR1: log files reopened.*SIGUSR1: log files reopened")
    for _ in range(20):
        server.ask(path="/pid")
    wait_for(lambda: len(path.read_text().splitlines()) == 20, "20 lines")


# ---- Sharing the work ------------------------------------------------------


def test_a_worker_whose_threads_are_busy_leaves_connections_to_others(serve, tmp_path):
    control = ["--control-socket", tmp_path / "control"]
    server = serve("busy:app", "--workers", 2, "--threads", 1, *control)
    await_ready(control, 2)
    with server.connect() as busy:
        busy.send(b"GET /sleep?4 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: "in /sleep" in server.log(), "the call")
        time.sleep(0.2)  # what was on its way to that worker
        for _ in range(40):
            assert server.ask(path="/hello").body == b"hello"
        assert not select.select([busy.sock], [], [], 0)[0], "they waited for that call"
        assert busy.response().body == b"sleep"
