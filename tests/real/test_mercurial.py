"""Mercurial's hgweb, with Mercurial as the client."""

import random
import shutil

import pytest
from harness import curl
from programs import APPS, PROXIES, named, needs, run

pytestmark = [
    needs("mercurial", program="hg"),
    needs("mercurial-common", module="mercurial"),
]
N_COMMITS = 5
HGRC = """
[web]
push_ssl = no
allow-push = *
allow-archive = gz
"""


def hg(repo, *arguments, **keywords):
    return run("hg", "-R", repo, *arguments, **keywords).decode()


def commit(repo, number, size):
    """A commit of text that does not compress to nothing."""
    words = random.Random(number).choices(range(10**6), k=size // 7)
    (repo / f"file{number}").write_text("\n".join(map(str, words)))
    hg(repo, "commit", "-A", "-q", "-m", f"number {number}", "-u", "ann")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository with some commits, to which everybody may push."""
    repo = tmp_path_factory.mktemp("hg") / "origin"
    run("hg", "init", repo)
    (repo / ".hg" / "hgrc").write_text(HGRC)
    for number in range(N_COMMITS):
        commit(repo, number, 5_000)
    return repo


@pytest.fixture
def central(origin, tmp_path):
    return shutil.copytree(origin, tmp_path / "central")


@pytest.fixture
def server(serve, central):
    env = {"REAL_REPO": str(central)}
    server = serve("hgwebapp:application", cwd=APPS, env=env)
    yield server
    assert "Traceback" not in server.log()


@pytest.fixture
def url(server):
    return server.base_url


def log(repo):
    return hg(repo, "log", "-T", "{node} {desc} {branch}\n")


def test_pages(url):
    assert "number 4" in curl(url + "/").decode()
    assert "number 3" in curl(url + "/shortlog?rev=3").decode()
    text = curl(url + "/raw-file/tip/file3").decode()
    assert text.count("\n") == 5_000 // 7 - 1
    archive = curl(url + "/archive/tip.tar.gz")
    assert archive[:2] == b"\x1f\x8b"


def test_etag(url):
    head = curl("-I", url + "/log").decode()
    tag = [line for line in head.splitlines() if line.lower().startswith("etag")]
    tag = tag[0].partition(":")[2].strip()
    answer = curl("-i", "-H", f"If-None-Match: {tag}", url + "/log").decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 304 ")
    assert body == ""


def test_clone(url, central, tmp_path):
    run("hg", "clone", url, tmp_path / "copy")
    assert log(tmp_path / "copy") == log(central)
    hg(tmp_path / "copy", "verify", "-q")


def test_streaming_clone(url, central, tmp_path):
    """Raw files instead of a bundle."""
    run("hg", "clone", "--stream", url, tmp_path / "copy")
    assert log(tmp_path / "copy") == log(central)
    hg(tmp_path / "copy", "verify", "-q")


@pytest.mark.parametrize("name", [None, *map(named, PROXIES)])
def test_push_and_pull(server, central, tmp_path, proxy, name):
    url = proxy(name, server).base_url if name else server.base_url
    first, second = tmp_path / "first", tmp_path / "second"
    run("hg", "clone", url, first)
    run("hg", "clone", url, second)
    commit(first, 100, 3_000_000)
    hg(first, "push", url)
    assert log(central) == log(first)
    hg(second, "pull", "-u", url)
    assert (second / "file100").read_bytes() == (first / "file100").read_bytes()
    hg(central, "verify", "-q")


def test_push_refused(url, central, tmp_path):
    """A push race: the server's head is not known to the client."""
    run("hg", "clone", url, tmp_path / "copy")
    commit(central, 100, 1000)
    commit(tmp_path / "copy", 101, 1000)
    hg(tmp_path / "copy", "push", url, code=255)
    hg(tmp_path / "copy", "push", "-f", url)
    assert len(hg(central, "heads", "-T", "{node}\n").splitlines()) == 2


def test_bookmarks_and_phases(url, central, tmp_path):
    """Small calls of the wire protocol, with their arguments in headers."""
    copy = tmp_path / "copy"
    run("hg", "clone", url, copy)
    hg(copy, "bookmark", "-r", "3", "release")
    hg(copy, "push", "-B", "release", url, code=1)
    assert "release" in hg(central, "bookmarks")
    assert hg(copy, "incoming", url, code=1).endswith("no changes found\n")
    assert hg(copy, "identify", "--id", "-r", "release", url) == hg(
        copy, "identify", "--id", "-r", "3"
    )
