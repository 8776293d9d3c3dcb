"""wsgid as its user meets it: command line, messages, logs, signals."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest
from harness import (
    APPS,
    EXAMPLES,
    PYTHON,
    STOP_TIMEOUT,
    WSGID,
    curl,
    environment,
    has_package,
    request,
    responses,
    run_wsgid,
    wait_for,
)

# ---- Command line ----------------------------------------------------------

OPTIONS = [
    "bind", "backlog", "reuse-port", "socket-mode", "worker-connections",
    "graceful-timeout", "keep-alive", "header-timeout", "body-timeout",
    "write-timeout", "min-body-rate", "limit-request-line", "limit-request-fields",
    "limit-request-field-size", "limit-request-body", "body-spool-size",
    "sendfile", "server-header", "root-path", "factory", "chdir", "pythonpath",
    "venv", "env", "access-logfile", "access-logformat", "error-logfile",
    "log-level", "trace", "check-app", "pid", "health-path", "daemon", "user",
    "group", "umask", "name", "metrics-bind", "control-socket", "reload",
    "reload-extra-file", "version", "help", "workers", "preload",
    "max-requests", "max-requests-jitter", "max-lifetime", "max-memory",
    "drain-delay", "heartbeat-timeout",
]  # fmt: skip


def test_no_application():
    done = run_wsgid()
    assert done.returncode == 2
    assert "Provide a WSGI application object as module:callable" in done.stderr


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word):
    done = run_wsgid(word)
    assert done.returncode == 0 and done.stderr == ""
    for option in OPTIONS:
        assert re.search(rf"--(\[no-\])?{option}\b", done.stdout), option
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.parametrize("word", ["--version", "-v"])
def test_version(word):
    done = run_wsgid(word)
    assert done.returncode == 0 and done.stderr == ""
    assert re.search(r"\bwsgid\b.*\d+\.\d+\.\d+", done.stdout)
    assert re.search(r"3\.\d+\.\d+", done.stdout), "the version of Python"


UNKNOWN = {
    "--bnd": "--bind",
    "--keep-alve": "--keep-alive",
    "--keepalives": "--keep-alive",
    "--limit-request-bdy": "--limit-request-body",
    "--acces-logfile": "--access-logfile",
    "--rootpath": "--root-path",
    "--chdr=/": "--chdir",
}


@pytest.mark.parametrize("option", UNKNOWN)
def test_unknown_option(option):
    done = run_wsgid(option, "lifecycle:app")
    assert done.returncode == 2
    assert option.partition("=")[0] in done.stderr
    assert UNKNOWN[option] in done.stderr
    assert len(done.stderr.splitlines()) <= 3


WRONG_VALUES = [
    ("--keep-alive", "abc"),
    ("--keep-alive", "-1"),
    ("--keep-alive", "5x"),
    ("--keep-alive", ""),
    ("--header-timeout", "99999999999999999999"),
    ("--limit-request-line", "many"),
    ("--limit-request-body", "1Q"),
    ("--socket-mode", "999"),
    ("--worker-connections", "-5"),
    ("--backlog", "1.5"),
    ("--root-path", "no-slash"),
    ("--log-level", "loud"),
    ("--env", "no-equals-sign"),
    ("--access-logformat", "%(h"),
]


@pytest.mark.parametrize("option, value", WRONG_VALUES)
def test_wrong_value(option, value):
    done = run_wsgid(f"{option}={value}", "lifecycle:app")
    assert done.returncode == 2, done.stderr
    assert option.lstrip("-") in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_value():
    done = run_wsgid("lifecycle:app", "--bind")
    assert done.returncode == 2 and "--bind" in done.stderr


def test_two_applications():
    done = run_wsgid("lifecycle:app", "lifecycle:make")
    assert done.returncode == 2 and "lifecycle:make" in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "nonsense", "127.0.0.1:a", "[::1:80"])
def test_wrong_address(address):
    done = run_wsgid("--bind", address, "lifecycle:app")
    assert done.returncode in (2, 3)
    assert address in done.stderr


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        done = run_wsgid("--bind", address, "lifecycle:app")
    assert done.returncode == 3
    assert address in done.stderr and "in use" in done.stderr


# ---- The application -------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A folder with modules that cannot be served."""
    (tmp_path / "syntax.py").write_text("def app(:\n")
    (tmp_path / "fails.py").write_text("import os\nraise ValueError('on import')\n")
    (tmp_path / "deep.py").write_text("import missing_below\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "good.py").write_text("def application(e, s): pass\nvalue = 5\n")
    return tmp_path


# application: what the message says
CANNOT_BE_SERVED = {
    "nowhere:app": ["nowhere", "not found|No module named"],
    "god:application": ["god", r"\bgood\b"],
    "syntax:app": ["SyntaxError", r"syntax\.py"],
    "fails:app": ["Traceback", "ValueError: on import", r"fails\.py"],
    "deep:app": ["Traceback", "missing_below", r"deep\.py"],
    "exits:app": ["SystemExit"],
    "good:applicatio": ["applicatio", r"\bapplication\b"],
    "good:value": ["call", "int"],
    "good:value.deeper": ["deeper"],
    "missing.py:app": [r"missing\.py"],
}


@pytest.mark.parametrize("check", [[], ["--check-app"]], ids=["serve", "check"])
@pytest.mark.parametrize("app", CANNOT_BE_SERVED)
def test_cannot_be_served(folder, app, check):
    done = run_wsgid(*check, "--bind", "127.0.0.1:0", app, cwd=folder)
    assert done.returncode == 4, done.stderr
    for pattern in CANNOT_BE_SERVED[app]:
        assert re.search(pattern, done.stderr), pattern


def test_missing_module_names_where_it_was_sought(folder):
    done = run_wsgid("--bind", "127.0.0.1:0", "nowhere:app", cwd=folder)
    assert str(folder) in done.stderr and "sys.path" in done.stderr


@pytest.mark.parametrize("name", ["make_nothing", "make_badly"])
def test_factory_that_fails(name):
    done = run_wsgid("--bind", "127.0.0.1:0", f"lifecycle:{name}()")
    assert done.returncode == 4
    expected = {"make_nothing": "NoneType", "make_badly": "the factory is closed"}
    assert expected[name] in done.stderr


@pytest.mark.parametrize("app", ["lifecycle:app", "lifecycle"])
def test_check_app(app):
    done = run_wsgid("--check-app", app)
    assert done.returncode == 0, done.stderr
    assert "lifecycle" in done.stdout


FORMS = {
    "attribute": ["lifecycle:app"],
    "left-out": ["lifecycle"],
    "dotted": ["lifecycle:Namespace.app"],
    "called": ["lifecycle:make()"],
    "called-dotted": ["lifecycle:Namespace.make()"],
    "factory": ["--factory", "lifecycle:make"],
    "file": ["lifecycle.py:app"],
    "file-in-folder": [str(APPS / "lifecycle.py")],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_an_application(serve, form):
    *options, app = FORMS[form]
    assert serve(app, *options).ask().body == b"hello"


def process(server):
    return json.loads(server.ask(path="/process").body)


def test_env(serve):
    server = serve("lifecycle:app", "--env", "E2E_A=1", "-e", "E2E_B=a=b c", "--env", "E2E_C=")
    assert process(server)["environ"] == {"E2E_A": "1", "E2E_B": "a=b c", "E2E_C": ""}


def test_chdir(serve, tmp_path):
    server = serve("lifecycle:app", "--chdir", APPS, cwd=tmp_path)
    found = process(server)
    assert found["cwd"] == str(APPS)
    assert str(APPS) in found["path"]


def test_pythonpath(serve, tmp_path):
    (tmp_path / "extra.py").write_text("from lifecycle import app\n")
    server = serve("extra:app", "--pythonpath", tmp_path)
    assert str(tmp_path) in process(server)["path"]


def test_the_current_directory_is_on_the_path(serve):
    found = process(serve("lifecycle:app"))
    assert found["cwd"] == str(APPS) and str(APPS) in found["path"]


def python_says(expression):
    """What the Python that wsgid embeds makes of it."""
    program = f"import sys; print({expression})"
    return subprocess.check_output([PYTHON, "-c", program], text=True, timeout=60).strip()


def test_python_is_the_system_s(serve):
    """Not the first python3 on PATH."""
    found = process(serve("lifecycle:app"))
    assert str(found["version"]) == python_says("list(sys.version_info[:2])")
    assert found["prefix"] == python_says("sys.base_prefix")


# ---- Virtual environments --------------------------------------------------


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """With a module of its own."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run(
        [PYTHON, "-m", "venv", "--without-pip", folder], check=True, timeout=60
    )
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "only_in_the_venv.py").write_text("from lifecycle import app\n")
    return folder


@pytest.mark.parametrize("how", ["variable", "option"])
def test_venv(serve, venv, how):
    options = ["--venv", venv] if how == "option" else []
    env = {"VIRTUAL_ENV": str(venv)} if how == "variable" else {}
    found = process(serve("only_in_the_venv:app", *options, env=env))
    assert found["prefix"] == str(venv)


def test_without_the_venv(venv):
    done = run_wsgid("--bind", "127.0.0.1:0", "only_in_the_venv:app")
    assert done.returncode == 4


def test_venv_of_another_python(tmp_path):
    site = tmp_path / "lib" / "python3.4" / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.4.2\n")
    done = run_wsgid("--bind", "127.0.0.1:0", "--venv", str(tmp_path), "lifecycle:app")
    assert done.returncode in (2, 3, 4)
    ours = python_says("'%d.%d' % sys.version_info[:2]")
    assert "3.4" in done.stderr and ours in done.stderr


def test_venv_that_is_none(tmp_path):
    done = run_wsgid("--bind", "127.0.0.1:0", "--venv", str(tmp_path), "lifecycle:app")
    assert done.returncode in (2, 3, 4)
    assert str(tmp_path) in done.stderr


# ---- Logs ------------------------------------------------------------------


def lines_of(path, n):
    """Waits for n lines: an entry is written after the client has it all."""

    def enough():
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return lines if len(lines) >= n else None

    return wait_for(enough, f"{n} lines in {path}")


def test_start_is_logged(serve):
    """What, and where: the fixture has found the address already."""
    server = serve("lifecycle:app")
    assert "lifecycle:app" in server.log()
    assert str(server.pid) in server.log()


def test_no_access_log_unless_asked(serve):
    server = serve("lifecycle:app")
    server.ask(path="/some-path")
    server.stop()
    assert "/some-path" not in server.log() + server.stdout.text()


def test_access_log(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("lifecycle:app", "--access-logfile", path)
    server.ask(path="/a?b", headers=[("User-Agent", "me"), ("Referer", "there")])
    (line,) = lines_of(path, 1)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
        r'"GET /a\?b HTTP/1\.1" 200 5 "there" "me"',
        line,
    )


def test_access_log_on_stdout(serve):
    server = serve("lifecycle:app", "--access-logfile", "-")
    server.ask(path="/a")
    assert server.stdout.wait(lambda text: '"GET /a HTTP/1.1" 200 5' in text)


FORMAT = (
    "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s"
    "|%({x-some}i)s|%({x-none}i)s|%({content-type}o)s|%%"
)


def test_access_logformat(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve(
        "lifecycle:app", "--access-logfile", path, "--access-logformat", FORMAT
    )
    server.ask(path="/a?b=c", headers=[("X-Some", "value")])
    with server.connect() as client:
        client.ask("HEAD", "/x")
    assert lines_of(path, 2)[:2] == [
        "127.0.0.1|-|-|GET /a?b=c HTTP/1.1|GET|/a|b=c|HTTP/1.1|200|5|5|-|-"
        "|value|-|text/plain|%",
        "127.0.0.1|-|-|HEAD /x HTTP/1.1|HEAD|/x|-|HTTP/1.1|200|0|-|-|-"
        "|-|-|text/plain|%",
    ]


def test_access_log_duration(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve(
        "lifecycle:app", "--access-logfile", path,
        "--access-logformat", "%(T)s %(D)s %(M)s %(L)s",
    )  # fmt: skip
    server.ask()
    (line,) = lines_of(path, 1)
    assert re.fullmatch(r"\d+ \d+ \d+ \d+\.\d{6}", line)


def test_access_log_cannot_be_forged(serve, tmp_path):
    """One line for each request, its quotes where they belong."""
    path = tmp_path / "access.log"
    server = serve("lifecycle:app", "--access-logfile", path)
    agent = 'me" 200 5 "x\\ \xe9\x80\x9b2J'
    server.ask(headers=[("User-Agent", agent)])
    server.ask(path="/second")
    lines = lines_of(path, 2)
    assert len(lines) == 2
    assert lines[0].count('"') - lines[0].count('\\"') == 6 or lines[0].count('"') == 6
    assert path.read_bytes().isascii()


def test_access_log_of_errors(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("lifecycle:app", "--access-logfile", path)
    server.raw(b"GET /bad HTTP/1.1\r\n\r\n")
    server.raw(b"\x16\x03\x01\r\n\r\n")
    lines = lines_of(path, 2)
    assert [re.search(r'" (\d{3}) ', line)[1] for line in lines] == ["400", "400"]


def test_access_log_of_bytes_sent(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve(
        "lifecycle:app", "--access-logfile", path, "--access-logformat", "%(s)s %(B)s"
    )
    assert len(server.ask(path="/stream").body) == 8 * 1024 * 1024
    status, sent = lines_of(path, 1)[0].split()
    # With or without the framing of 128 chunks and the last.
    assert status == "200"
    assert 0 <= int(sent) - 8 * 1024 * 1024 < 128 * 20


def test_error_log(serve, tmp_path):
    path = tmp_path / "error.log"
    bind = f"unix:{tmp_path}/socket"
    server = subprocess.Popen(
        [WSGID, "--error-logfile", str(path), "--bind", bind, "lifecycle:app"],
        cwd=APPS,
        env=environment(),
    )
    try:
        assert any("lifecycle:app" in line for line in lines_of(path, 1))
    finally:
        server.terminate()
        assert server.wait(STOP_TIMEOUT) == 0


def test_log_level(serve, tmp_path):
    """Warnings and errors only: nothing to say, nothing said."""
    path = tmp_path / "socket"
    server = subprocess.Popen(
        [WSGID, "--log-level", "warning", "--bind", f"unix:{path}", "lifecycle:app"],
        cwd=APPS,
        env=environment(),
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(path.exists, "the socket")
        curl("--unix-socket", str(path), "http://localhost/")
    finally:
        server.terminate()
        _, log = server.communicate(timeout=STOP_TIMEOUT)
    assert server.returncode == 0 and log == b""


def test_usr1_reopens_the_logs(serve, tmp_path):
    """As logrotate does: rename, signal, and the new file has what follows."""
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    server = serve("lifecycle:app", "--access-logfile", path)
    server.ask(path="/before")
    lines_of(path, 1)
    path.rename(old)
    server.ask(path="/between")
    lines_of(old, 2)
    server.kill(signal.SIGUSR1)
    wait_for(path.exists, "the new file")
    server.ask(path="/after")
    (line,) = lines_of(path, 1)
    assert "/after" in line
    assert len(lines_of(old, 2)) == 2


def test_trace(serve):
    """As `curl -v` shows it, from the server's side."""
    server = serve("lifecycle:app", "--trace")
    server.ask("POST", "/traced", [("X-Trace", "yes")], b"some body")
    server.wait_log(r"> POST /traced HTTP/1\.1\s*$")
    server.wait_log(r"> X-Trace: yes\s*$")
    server.wait_log("some body")
    server.wait_log(r"< HTTP/1\.1 200 OK\s*$")
    server.wait_log(r"< Content-Type: text/plain\s*$")
    server.wait_log("hello")


# ---- Files of a process ----------------------------------------------------


def test_pid_file(serve, tmp_path):
    path = tmp_path / "wsgid.pid"
    server = serve("lifecycle:app", "--pid", path)
    assert path.read_text().strip() == str(server.pid)
    assert server.stop() == 0
    assert not path.exists()


def test_pid_file_of_a_dead_process_is_replaced(serve, tmp_path):
    path = tmp_path / "wsgid.pid"
    dead = subprocess.Popen(["true"])
    dead.wait()
    path.write_text(f"{dead.pid}\n")
    server = serve("lifecycle:app", "--pid", path)
    assert path.read_text().strip() == str(server.pid)


def test_pid_file_of_a_running_server_is_left_alone(serve, tmp_path):
    path = tmp_path / "wsgid.pid"
    server = serve("lifecycle:app", "--pid", path)
    done = run_wsgid("--bind", "127.0.0.1:0", "--pid", str(path), "lifecycle:app")
    assert done.returncode == 3
    assert str(path) in done.stderr
    assert path.read_text().strip() == str(server.pid)


def test_unix_socket(serve, tmp_path):
    path = tmp_path / "socket"
    server = serve("lifecycle:app", "--socket-mode", "0600", "--bind", f"unix:{path}")
    assert server.ask().body == b"hello"
    assert path.stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0
    assert not path.exists()


def test_stale_unix_socket_is_replaced(serve, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.exists()
    assert serve("lifecycle:app", "--bind", f"unix:{path}").ask().body == b"hello"


def test_unix_socket_in_use(serve, tmp_path):
    path = tmp_path / "socket"
    server = serve("lifecycle:app", "--bind", f"unix:{path}")
    done = run_wsgid("--bind", f"unix:{path}", "lifecycle:app")
    assert done.returncode == 3 and str(path) in done.stderr
    assert server.ask().body == b"hello"


def test_file_in_place_of_a_socket(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    done = run_wsgid("--bind", f"unix:{path}", "lifecycle:app")
    assert done.returncode == 3
    assert path.read_text() == "data"


def test_inherited_socket(serve):
    """--bind fd://N, as process managers pass it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        server = subprocess.Popen(
            [WSGID, "--bind", f"fd://{listener.fileno()}", "lifecycle:app"],
            cwd=APPS,
            env=environment(),
            pass_fds=[listener.fileno()],
        )
        try:
            # The socket listens already: the connection waits for the server.
            with socket.create_connection(listener.getsockname(), 30) as client:
                client.sendall(request(headers=[("Connection", "close")]))
                data = b"".join(iter(lambda: client.recv(65536), b""))
        finally:
            server.terminate()
            assert server.wait(STOP_TIMEOUT) == 0
    (res,), _ = responses(data)
    assert res.body == b"hello"


# ---- Signals ---------------------------------------------------------------

STOPS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", [*STOPS, signal.SIGQUIT])
def test_stop(serve, number):
    server = serve("lifecycle:app")
    assert server.ask().body == b"hello"
    assert server.stop(number) == 0
    assert server.refuses()


@pytest.mark.parametrize("number", STOPS)
def test_stop_lets_a_call_finish(serve, tmp_path, number):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    server = serve("lifecycle:app", env={"E2E_GATE": str(gate)})
    with server.connect() as client:
        client.send(request(path="/gate"))
        # Opens when the application has: it is in the middle of its call.
        with open(gate, "wb") as opened:
            server.kill(number)
            opened.write(b"finished")
        res = client.response()
        assert res.body == b"through the gate: finished"
        assert client.rest() == b""
    assert server.wait() == 0


@pytest.mark.parametrize("number", STOPS)
def test_stop_lets_a_slow_reader_finish(serve, number):
    server = serve("lifecycle:app")
    with server.connect(receive_buffer=4096) as client:
        client.send(request(path="/stream"))
        head = client.head()
        server.kill(number)
        wait_for(server.refuses, "the end of listening")
        assert server.is_alive()
        res = client.body_of(head)
        assert res.complete and len(res.body) == 8 * 1024 * 1024
        assert client.rest() == b""
    assert server.wait() == 0


def test_stop_answers_what_is_being_sent(serve):
    """A body under way counts as a request under way."""
    server = serve("lifecycle:app")
    with server.connect() as client:
        # Known to be with the server: it has answered 100.
        client.send(
            request("POST", "/", [("Content-Length", "4"), ("Expect", "100-continue")])
        )
        assert client.response().status == 100
        server.kill(signal.SIGTERM)
        wait_for(server.refuses, "the end of listening")
        client.send(b"body")
        res = client.response()
        assert res.body == b"hello" and res.get("Connection") == "close"
    assert server.wait() == 0


def test_second_signal_stops_at_once(serve):
    server = serve("lifecycle:app")
    with server.connect(receive_buffer=4096) as client:
        client.send(request(path="/stream"))
        head = client.head()
        server.kill(signal.SIGTERM)
        wait_for(server.refuses, "the end of listening")
        server.kill(signal.SIGTERM)
        server.wait()
        try:
            assert not client.body_of(head).complete
        except ConnectionResetError:
            pass


def test_graceful_timeout(serve):
    """A reader that never finishes does not hold the stop up for ever."""
    server = serve("lifecycle:app", "--graceful-timeout", "1")
    with server.connect(receive_buffer=4096) as client:
        client.send(request(path="/stream"))
        client.head()
        server.kill(signal.SIGTERM)
        server.wait()


def test_idle_connections_do_not_delay_the_stop(serve):
    server = serve("lifecycle:app")
    clients = [server.connect() for _ in range(6)]
    for client in clients[:5]:
        client.ask()
    # STOP_TIMEOUT is far below the time that they may stay idle.
    assert server.stop() == 0
    for client in clients:
        with client:
            assert client.rest() == b""


def test_client_that_is_gone_is_no_error(serve):
    """Not even SIGPIPE."""
    server = serve("lifecycle:app")
    for _ in range(20):
        client = server.connect()
        client.send(request(path="/stream"))
        client.reset()
    assert server.ask().body == b"hello"
    assert "Traceback" not in server.log()


@pytest.mark.skipif(not has_package("flask"), reason="flask is not installed")
def test_examples_folder(serve):
    """The command of the examples' README, as it stands there."""
    text = (EXAMPLES / "README.md").read_text()
    (app,) = re.findall(r"^ *\$ wsgid (\S+)$", text, re.MULTILINE)
    assert serve(app, cwd=EXAMPLES).ask(path="/hello").status == 200
