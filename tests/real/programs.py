"""Programs that are not ours: whether they are there, and how to run them."""

import getpass
import grp
import importlib.util
import os
import shutil
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
from harness import STOP_TIMEOUT, TIMEOUT, Client, environment, is_sanitized, wait_for

APPS = Path(__file__).resolve().parent / "apps"
# Servers are not on every user's PATH.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def program(name):
    return shutil.which(name, path=PATH)


def needs(package, *, module=None, program=None, file=None):
    """Skips what needs a package that is not there: `pytestmark = needs(...)`.
    Modules count only as Debian's, which are those of the Python in wsgid."""
    if module:
        found = importlib.util.find_spec(module)
    elif file:
        found = os.path.exists(file)
    else:
        found = shutil.which(program, path=PATH)
    reason = f"{module or program or file} is missing: apt-get install {package}"
    return pytest.mark.skipif(not found, reason=reason)


def run(*arguments, cwd=None, env=None, stdin=b"", code=0):
    """Runs a client to its end; its standard output, as bytes."""
    settings = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "HGRCPATH": "",
        "LC_ALL": "C.UTF-8",
        "PATH": PATH,
        **(env or {}),
    }
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=environment(settings),
        input=stdin,
        capture_output=True,
        timeout=2 * TIMEOUT,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == code, f"{arguments[0]}: {done.returncode}\n{said}"
    return done.stdout


def crypt_env():
    """For applications that import crypt.  AddressSanitizer looks up what it
    wraps when the program starts; a libcrypt that comes with an extension
    module later leaves it with a null pointer to call."""
    if not is_sanitized():
        return {}
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": "libcrypt.so.1", "ASAN_OPTIONS": options.lstrip(":")}


class Proxy:
    """A proxy in the foreground, in front of one server.

    It gets its listening socket from us, so that its port is free and known.
    """

    name = None
    # What it logs when its upstream misbehaves.
    complaints = ()

    def __init__(self, folder, server):
        self.folder = folder
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.fd = listener.fileno()
        self.port = listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        config = folder / f"{self.name}.conf"
        text = self.config(self.upstream(server))
        config.write_text(textwrap.dedent(text).strip() + "\n")
        self.output = open(folder / "output", "wb")
        self.process = subprocess.Popen(
            self.command(config),
            env=environment(self.environment()),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            pass_fds=[self.fd],
        )
        # Ours would accept connections for a proxy that has died.
        listener.close()
        try:
            wait_for(self.answers, f"{self.name} to answer")
        except BaseException:
            self.stop()
            raise

    def upstream(self, server):
        address = server.addresses[0]
        if address.family == socket.AF_UNIX:
            return self.unix.format(address.target)
        return "{}:{}".format(*address.target)

    def environment(self):
        return {}

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.ask().status not in (502, 503)
        except OSError:
            return False

    def connect(self, receive_buffer=None):
        sock = socket.socket()
        sock.settimeout(TIMEOUT)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", self.port))
        return Client(sock)

    def ask(self, *arguments, **keywords):
        with self.connect() as client:
            return client.ask(*arguments, **keywords)

    def log(self):
        return (self.folder / "output").read_text(errors="replace")

    def complained(self):
        """The lines of its log that blame the server."""
        return [
            line
            for line in self.log().splitlines()
            if any(complaint in line for complaint in self.complaints)
        ]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()


class Nginx(Proxy):
    """As its users configure it, with a location for each way."""

    name = "nginx"
    unix = "unix:{}"
    complaints = ("upstream prematurely closed", "reset by peer", "upstream sent")
    ways = ("", "/unbuffered", "/1.0")

    def config(self, upstream):
        user = getpass.getuser()
        group = grp.getgrgid(os.getgid()).gr_name
        temporary = "\n".join(
            f"{kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
            daemon off;
            {f"user {user} {group};" if os.getuid() == 0 else ""}
            worker_processes 1;
            pid {self.folder}/nginx.pid;
            error_log stderr info;
            events {{ worker_connections 512; }}
            http {{
                access_log off;
                {temporary}
                client_max_body_size 0;
                keepalive_requests 1000000;
                upstream wsgid {{
                    server {upstream};
                    keepalive 8;
                    keepalive_requests 1000000;
                }}
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                server {{
                    listen 127.0.0.1:{self.port};
                    location / {{
                        proxy_pass http://wsgid;
                    }}
                    location /unbuffered/ {{
                        proxy_pass http://wsgid/;
                        proxy_buffering off;
                        proxy_request_buffering off;
                    }}
                    # What it does if nothing is said.
                    location /1.0/ {{
                        proxy_pass http://wsgid/;
                        proxy_http_version 1.0;
                        proxy_set_header Connection close;
                    }}
                }}
            }}
        """

    def command(self, config):
        # -e: the log that it would open before it has read its configuration.
        return [program("nginx"), "-e", "stderr", "-p", self.folder, "-c", config]

    def environment(self):
        # How an nginx hands its sockets to the next one when it is upgraded.
        return {"NGINX": f"{self.fd};"}


class Haproxy(Proxy):
    name = "haproxy"
    unix = "unix@{}"
    complaints = ()
    ways = ("", "/whole")

    def config(self, upstream):
        return f"""
            global
                maxconn 500
                log stderr format raw local0
            defaults
                mode http
                log global
                option httplog
                timeout connect 10s
                timeout client 60s
                timeout server 60s
                # More than there are idle connections to the server: when they
                # are of one age, each attempt may find one that just ended.
                retries 20
                retry-on all-retryable-errors
            frontend front
                bind fd@{self.fd}
                option forwardfor
                use_backend whole if {{ path_beg /whole/ }}
                default_backend streaming
            backend streaming
                http-reuse always
                server wsgid {upstream}
            backend whole
                option http-buffer-request
                http-request replace-path /whole(/.*) \\1
                server wsgid {upstream}
        """

    def command(self, config):
        return [program("haproxy"), "-db", "-f", config]

    def complained(self):
        """Its termination states say who closed: S is the server, at C the
        connection, H the headers, D the data."""
        found = super().complained()
        for line in self.log().splitlines():
            fields = line.split()
            if any(field in ("SC--", "SH--", "SD--", "PH--") for field in fields):
                found.append(line)
        return found


PROXIES = {"nginx": Nginx, "haproxy": Haproxy}


def named(name):
    """The proxy as a parameter of a test."""
    return pytest.param(name, marks=needs(name, program=name))
