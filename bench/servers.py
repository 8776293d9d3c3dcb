"""The servers: how each is started as its users would, and how it is watched."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from wire import environment, free_port

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
PYTHON = "/usr/bin/python3"
START_TIMEOUT = 20
STOP_TIMEOUT = 10

# One process that runs the application, as many threads as the workload says, no access log, and
# connections that are kept as long as the measurement lasts.
ADDRESS = "127.0.0.1:{port}"
UWSGI = (
    " --pythonpath . --module {app} --master --die-on-term --enable-threads --threads {threads}"
    " --disable-logging --lazy-apps"
)


@dataclass(frozen=True)
class Server:
    name: str
    package: str  # whose version is told; "" for what is built here
    command: str
    # What must be written before, as {file name: text}.
    files: tuple = ()


APACHE = """ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
Listen 127.0.0.1:{port}
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
{user}
StartServers 1
ServerLimit 10
ThreadsPerChild 64
MaxRequestWorkers 640
ThreadLimit 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
WSGISocketPrefix {folder}/wsgi
WSGIChunkedRequest On
WSGIEnableSendfile On
WSGIDaemonProcess bench processes=1 threads={threads} python-path={apps} home={apps}
WSGIProcessGroup bench
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {folder}/application.py
<Directory {folder}>
    Require all granted
</Directory>
"""

SERVERS = (
    Server("floor0", "", "{bench}/floor0 {port} {body}"),
    Server("floor1", "", "{bench}/floor1 {port} {app}"),
    Server("wsgid", "", f"{{wsgid}} --bind {ADDRESS} {{threads_option}} {{app}}"),
    Server("uwsgi http11-socket", "uwsgi-core",
           f"uwsgi --plugin python3 --http11-socket {ADDRESS}" + UWSGI),
    Server("uwsgi http", "uwsgi-core",
           f"uwsgi --plugin http,python3 --http {ADDRESS} --http-keepalive" + UWSGI),
    Server("mod_wsgi", "libapache2-mod-wsgi-py3",
           "/usr/sbin/apache2 -DFOREGROUND -f {folder}/apache.conf",
           (("apache.conf", APACHE),
            ("application.py", "from {module} import {callable} as application\n"))),
    Server("gunicorn sync", "gunicorn", f"gunicorn --bind {ADDRESS} {{app}}"),
    Server("gunicorn gthread", "gunicorn",
           f"gunicorn --bind {ADDRESS} --worker-class gthread --threads {{threads}}"
           " --keep-alive 60 {app}"),
    Server("gunicorn gevent", "python3-gevent",
           f"gunicorn --bind {ADDRESS} --worker-class gevent --keep-alive 60 {{app}}"),
    Server("waitress", "python3-waitress",
           f"env PYTHONPATH=. waitress-serve --listen={ADDRESS} --threads={{threads}}"
           " --connection-limit=2000 {app}"),
    Server("cheroot", "python3-cheroot",
           f"{PYTHON} -m cheroot --bind {ADDRESS} --threads {{threads}} --timeout 60 {{app}}"),
)  # fmt: skip
DEFAULT_THREADS = 4


class Failed(Exception):
    """A server that cannot be measured, and why."""


def version_of(server, wsgid):
    """As its maker says it; "" where it has none, None if it is not installed."""
    if server.name == "wsgid":
        done = subprocess.run([wsgid, "--version"], capture_output=True, text=True)
        return done.stdout.split()[1]
    if not server.package:
        return ""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", server.package]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout[3:].strip() if done.stdout.startswith("ii") else None


def pin(cpu):
    """For a child process to be; one processor alone cannot be shared out."""

    def run():
        if cpu in os.sched_getaffinity(0):
            os.sched_setaffinity(0, {cpu})

    return run


class Running:
    """A server that serves one workload.

    places: what commands name: bench, wsgid, body, file; folder is one of its own.
    prefix: words before the command, such as valgrind's.
    """

    def __init__(self, server, workload, places, folder, prefix=()):
        self.server, self.folder = server, Path(folder)
        self.port = free_port()
        self.log_path = self.folder / "log"
        names = self._names(workload, places)
        for name, text in server.files:
            (self.folder / name).write_text(text.format(**names))
        command = [*prefix, *shlex.split(server.command.format(**names))]
        extra = {"BENCH_FILE": str(places["file"]), "PYTHONHASHSEED": "0"}
        with open(self.log_path, "ab") as log:
            self.started = time.monotonic()
            # Sessions tell which processes belong to it.
            self.process = subprocess.Popen(
                command, cwd=APPS, env=environment(extra), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=pin(0),
            )  # fmt: skip

    def _names(self, workload, places):
        module, _, name = workload.app.partition(":")
        own = workload.threads != DEFAULT_THREADS
        return {
            **places,
            "port": self.port,
            "folder": self.folder,
            "apps": APPS,
            "app": workload.app,
            "module": module,
            "callable": name,
            "threads": workload.threads,
            "threads_option": f"--threads {workload.threads}" if own else "",
            # Apache started by root wants to become someone else.
            "user": "User nobody\nGroup nogroup" if os.getuid() == 0 else "",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def wait_until_up(self, request):
        """Returns the seconds from the start to the first answer with 200."""
        while True:
            try:
                with self.connect() as sock:
                    sock.sendall(request)
                    if re.match(rb"HTTP/1\.[01] 200 ", sock.recv(65536)):
                        return time.monotonic() - self.started
            except OSError:
                pass
            if self.process.poll() is not None:
                raise Failed(f"it ended: {self.log()[-300:].strip()}")
            if time.monotonic() - self.started > START_TIMEOUT:
                raise Failed(f"no answer within {START_TIMEOUT} s")
            time.sleep(0.0005)

    def stop(self):
        """With every process of it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    # ---- What it takes --------------------------------------------------------

    def pids(self):
        """Of all its processes."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = stat_fields(folder)
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(folder.name))
        return found

    def cpu(self):
        """Seconds of processor time so far: (user, system).

        The kernel knows their sum to the nanosecond, and how it is shared from samples.
        """
        user = system = exact = 0
        for pid in self.pids():
            folder = Path("/proc", str(pid))
            try:
                fields = stat_fields(folder)
                user += int(fields[11])
                system += int(fields[12])
                exact += sum(run_time(task) for task in folder.glob("task/*"))
            except OSError:
                continue
        return user, system, exact / 1e9

    def memory_kib(self, kind):
        """Of all its processes: Pss, what is shared counted in part, or Pss_Anon, of that what no
        file backs."""
        total = 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += int(re.search(rf"^{kind}: +(\d+) kB", text, re.MULTILINE)[1])
        return total


def stat_fields(folder):
    """/proc/PID/stat behind the name, which may have blanks in it."""
    return (folder / "stat").read_text().rpartition(") ")[2].split()


def run_time(task):
    """Nanoseconds that a thread has run."""
    return int((task / "schedstat").read_text().split()[0])
