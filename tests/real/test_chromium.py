"""A browser."""

import json
import re
import subprocess

import pytest
from harness import environment, wait_for
from programs import APPS, needs, program, run

pytestmark = [pytest.mark.long, needs("chromium", program="chromium")]


@pytest.fixture
def chromium(tmp_path):
    """Its command line."""
    return [
        *(program("chromium"), "--headless", "--no-sandbox", "--disable-gpu"),
        *("--no-proxy-server", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-background-networking", f"--user-data-dir={tmp_path}/user"),
    ]


@pytest.fixture
def browser(chromium, tmp_path):
    """browser(url) opens a page that stays open."""
    processes = []

    def start(url):
        with open(tmp_path / "chromium.log", "wb") as log:
            processes.append(
                subprocess.Popen(
                    [*chromium, "--remote-debugging-port=0", url],
                    env=environment({"HOME": str(tmp_path)}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def test_page(serve, browser):
    """Images, a form, an upload, a response that comes in pieces, and one that
    is given up."""
    server = serve("page:app", cwd=APPS)
    browser(server.base_url + "/")
    found = json.loads(
        wait_for(lambda: server.ask(path="/result").body, "what the page found")
    )
    assert isinstance(found, dict), found
    assert found["images"] == 40
    assert found["form"] == repr({"name": ["Zoë & co"], "text": ["a\r\nb"]})
    length, kind = found["upload"].split(" of ")
    assert 2_000_000 < int(length) < 2_001_000 and kind == "multipart/form-data"
    assert found["text"] == "".join(f"block {i}\n" for i in range(5))
    assert found["reads"] > 1
    ports, requests = found["ports"]
    # A browser opens six connections to a host, and some more to be ready.
    assert requests >= 46 and ports < 20
    assert "Traceback" not in server.log()


@needs("python3-radicale", module="radicale")
def test_radicale(serve, chromium, tmp_path):
    """A page with scripts and styles that nobody here wrote."""
    config = tmp_path / "config"
    config.write_text(f"[storage]\nfilesystem_folder = {tmp_path}/collections\n")
    server = serve(
        "radicale:application",
        *("--access-logfile", tmp_path / "access"),
        env={"RADICALE_CONFIG": str(config)},
    )
    dom = run(
        *(*chromium, "--virtual-time-budget=5000", "--dump-dom"),
        server.base_url + "/.web/",
    ).decode()
    assert 'id="loginscene"' in dom
    statuses = re.findall(r'" (\d+) ', (tmp_path / "access").read_text())
    assert len(statuses) >= 3 and set(statuses) <= {"200", "302", "304"}
