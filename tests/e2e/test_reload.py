"""--reload: code that changes, breaks, and is mended."""

import os
import re
import signal
import subprocess

import pytest
from harness import STOP_TIMEOUT, WSGID, Output, environment, run_wsgid, wait_for

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{body}.encode()]
"""


def write(path, body='"one"', text=APP):
    path.write_text(text.replace("{body}", body))


def replace(path, *args):
    """As editors do it: beside the file, and renamed over it."""
    write(path.with_suffix(".tmp"), *args)
    path.with_suffix(".tmp").rename(path)


@pytest.fixture
def site(tmp_path):
    write(tmp_path / "site_app.py")
    return tmp_path


def serve_site(serve, site, *options):
    return serve("site_app:app", "--reload", *options, cwd=site)


def says(server, body):
    wait_for(lambda: server.ask().body == body.encode(), f"the answer {body}")


@pytest.mark.parametrize("change", [write, replace])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_change_is_taken_up(serve, site, change, workers):
    server = serve_site(serve, site, "--workers", workers)
    says(server, "one")
    change(site / "site_app.py", '"two"')
    server.wait_log(r"--reload: \S+/site_app.py has changed")
    server.wait_log("new workers have taken over")
    # The old one may still take what came before it was told.
    says(server, "two")


def test_a_module_that_is_imported_later(serve, site):
    folder = site / "parts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "late.py").write_text("text = 'early'\n")
    write(site / "site_app.py", "__import__('parts.late').late.text")
    server = serve_site(serve, site, "--control-socket", "control")
    says(server, "early")
    # The supervisor answers one after the other: it has heard of the import.
    assert run_wsgid("status", "--control-socket", "control", cwd=site).returncode == 0
    (folder / "late.py").write_text("text = 'later'\n")
    server.wait_log(r"/parts/late.py has changed")
    says(server, "later")


def test_other_files_are_no_reason(serve, site):
    extra = site / "settings.ini"
    extra.touch()
    server = serve_site(serve, site, "--reload-extra-file", "settings.ini")
    says(server, "one")
    (site / "data.txt").write_text("x")
    (site / "unrelated.py").write_text("x")
    extra.write_text("changed")
    server.wait_log(r"--reload: \S+/settings.ini has changed")
    server.wait_log("new workers have taken over")
    assert server.log().count("has changed") == 1


def test_many_changes_are_one_reload(serve, site):
    server = serve_site(serve, site)
    says(server, "one")
    for i in range(20):
        write(site / "site_app.py", f'"{i}"')
    says(server, "19")
    assert server.log().count("has changed") == 1


@pytest.mark.parametrize(
    "broken", ["def app(:\n", "import no_such_module\n", "raise SystemExit(1)\n"]
)
def test_the_old_code_serves_while_the_new_is_broken(serve, site, broken):
    server = serve_site(serve, site)
    says(server, "one")
    write(site / "site_app.py", text=broken)
    server.wait_log("--reload: waiting for a file to change")
    assert re.search(r"SyntaxError|No module named 'no_such_module'|SystemExit", server.log())
    assert server.ask().body == b"one"
    write(site / "site_app.py", '"mended"')
    says(server, "mended")
    assert server.is_alive()


class Unready:
    """A wsgid whose application cannot be imported yet."""

    def __init__(self, site):
        self.process = subprocess.Popen(
            [WSGID, "--reload", "--bind", f"unix:{site}/socket", "site_app:app"],
            cwd=site, env=environment(), stderr=subprocess.PIPE,
        )  # fmt: skip
        self.stderr = Output(self.process.stderr)

    def wait(self, pattern):
        assert self.stderr.wait(lambda text: re.search(pattern, text)), self.stderr.text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT)


def test_a_start_with_broken_code(site):
    write(site / "site_app.py", text="def app(:\n")
    server = Unready(site)
    server.wait("SyntaxError")
    server.wait("waiting for a file to change")
    write(site / "site_app.py", text="import helper\n" + APP)
    server.wait("No module named 'helper'")
    # A file that nobody has named yet, since there was none.
    (site / "helper.py").touch()
    server.wait("Serving site_app:app")
    assert server.stop() == 0


def test_a_start_that_waits_can_be_stopped(site):
    write(site / "site_app.py", text="def app(:\n")
    server = Unready(site)
    server.wait("waiting for a file to change")
    assert server.stop() == 0


@pytest.mark.parametrize("other", [("--workers", "0"), ("--preload",)])
def test_what_excludes_it(other):
    done = run_wsgid("--reload", *other, "lifecycle:app")
    assert done.returncode == 2
    assert "--reload" in done.stderr and "leave one of the two out" in done.stderr


def test_an_extra_file_in_no_folder(site):
    missing = os.path.join("no", "such.ini")
    done = run_wsgid("--bind", "127.0.0.1:0", "--reload", "--reload-extra-file", missing, "site_app:app", cwd=site)
    assert done.returncode == 3
    assert f'--reload-extra-file "{missing}": No such file or directory' in done.stderr
