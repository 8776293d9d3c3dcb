"""wsgid under valgrind's memcheck, which sees reads of memory that nobody has
written, where sanitizers do not look.

Long, and with a build of its own: without sanitizers, and with the shared
libpython, which the suppressions know.
"""

import re
import subprocess
from pathlib import Path

import pytest
from harness import APPS as E2E_APPS
from harness import PYTHON, chunked, request
from machine import APPS, EXCHANGES, is_served, needs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUPPRESSIONS = HERE / "python.supp"

pytestmark = pytest.mark.long

ROUNDS = 12


@pytest.fixture(scope="module")
def plain_wsgid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    configure = [
        "cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug",
        "-DBUILD_TESTING=OFF", f"-DWSGI_PYTHON={version}", "-DWSGI_STATIC_PYTHON=OFF",
    ]  # fmt: skip
    for command in (configure, ["cmake", "--build", folder, "--target", "wsgid"]):
        subprocess.run(command, capture_output=True, check=True, timeout=600)
    return str(folder / "cli" / "wsgid")


class Memcheck:
    def __init__(self, report, program):
        self.report = report
        self.command = [
            "valgrind", "-q", f"--log-file={report}", f"--suppressions={SUPPRESSIONS}",
            "--leak-check=full", "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite", "--num-callers=200",
            "--child-silent-after-fork=yes", program,
        ]  # fmt: skip

    def errors(self):
        """The reports, without valgrind's prefix of each line."""
        text = re.sub(r"(?m)^==\d+== ?", "", self.report.read_text())
        return [entry for entry in text.split("\n\n") if entry.strip()]


@pytest.fixture
def memcheck(tmp_path, plain_wsgid):
    needs("valgrind", "--version")
    return Memcheck(tmp_path / "report", plain_wsgid)


def run(serve, memcheck, *arguments, work, **keywords):
    env = keywords.setdefault("env", {})
    env["PYTHONMALLOC"] = "malloc"
    # One process: of a worker, forked, valgrind would be silent.
    server = serve(*arguments, "--workers", 0, command=memcheck.command, **keywords)
    for _ in range(ROUNDS):
        work(server)
    assert server.stop() == 0
    assert not memcheck.errors(), "\n\n".join(memcheck.errors())


def every_way(server):
    for name in EXCHANGES:
        assert is_served(server, name)
    assert server.ask(path="/fails").status == 500
    with server.connect() as client:
        client.send(request(path="/fails-later"))
        assert not client.response().complete
    with server.connect() as client:
        client.send(request(path="/plain") * 3 + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        statuses = [client.response().status for _ in range(4)]
        assert statuses == [200, 200, 200, 400]
    for part in (b"GET /pla", request(path="/stream"), EXCHANGES["upload"][0][:-1000]):
        with server.connect(receive_buffer=4096) as client:
            client.send(part)
            client.reset()


def test_every_way(serve, memcheck, tmp_path):
    run(
        serve, memcheck, "machine:app", "--body-spool-size", "64k",
        "--access-logfile", tmp_path / "access.log", "--trace",
        cwd=APPS, env={"TMPDIR": str(tmp_path)}, work=every_way,
    )  # fmt: skip


PATHS = [
    "/list", "/generator", "/late", "/write-then-list", "/replaced", "/file-range",
    "/file-like", "/headers", "/not-modified", "/count?fails-later", "/count?str",
]  # fmt: skip


def responses(server):
    for path in PATHS:
        with server.connect() as client:
            client.send(request(path=path))
            client.response()


def test_responses(serve, memcheck):
    run(
        serve, memcheck, "answers:app", cwd=E2E_APPS,
        env={"E2E_FILE": str(E2E_APPS / "answers.py")}, work=responses,
    )  # fmt: skip


def reads(server):
    data = b"a line\n" * 3000
    for way in ("sized_reads", "readline", "readlines", "iteration", "one_read"):
        path = f"/hash?{way}"
        headers = [("Transfer-Encoding", "chunked")]
        for body in (
            request("POST", path, body=data),
            request("POST", path, headers, chunked(data[:7], data[7:])),
        ):
            with server.connect() as client:
                client.send(body)
                assert client.response().status == 200


def test_uploads(serve, memcheck):
    run(serve, memcheck, "uploads:app", cwd=E2E_APPS, work=reads)
