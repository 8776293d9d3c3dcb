"""Klaus, a web view of Git repositories, with git as the client."""

import os
import random
import re
import shutil

import pytest
from harness import curl
from programs import needs, run

pytestmark = [
    needs("python3-klaus", module="klaus"),
    needs("git", program="git"),
]

IDENTITY = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
N_COMMITS = 5
N_TESTS = 10


def git(repo, *arguments, **keywords):
    return run("git", "-C", repo, *IDENTITY, *arguments, **keywords).decode()


def commit(repo, number, size):
    (repo / f"file{number}").write_bytes(random.Random(number).randbytes(size))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", f"number {number}")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A work tree with some commits."""
    repo = tmp_path_factory.mktemp("git") / "origin"
    run("git", "init", "-q", "-b", "main", repo)
    (repo / "README.md").write_text("# The *readme*\n\ncafé\n")
    for number in range(N_COMMITS):
        commit(repo, number, 5_000)
    return repo


@pytest.fixture
def work(origin, tmp_path):
    return shutil.copytree(origin, tmp_path / "work")


@pytest.fixture(scope="module")
def server(serve_module, origin, tmp_path_factory):
    """With a bare repository for each test: Klaus has to know them when it
    starts."""
    folder = tmp_path_factory.mktemp("klaus")
    repos = [folder / f"central{number}.git" for number in range(N_TESTS)]
    for repo in repos:
        run("git", "clone", "-q", "--bare", origin, repo)
    server = serve_module(
        "klaus.contrib.wsgi:application",
        env={
            "KLAUS_REPOS": " ".join(map(str, repos)),
            "KLAUS_SITE_NAME": "Repositories",
            "KLAUS_USE_SMARTHTTP": "1",
            "KLAUS_UNAUTHENTICATED_PUSH": "1",
        },
    )
    server.unused = iter(repos)
    yield server
    assert "Traceback" not in server.log()


@pytest.fixture
def central(server):
    return next(server.unused)


@pytest.fixture
def url(server, central):
    return f"{server.base_url}/{central.stem}"


def test_pages(server, url, work, http):
    front = http.get(server.base_url)
    assert "Repositories" in front.text and "central" in front.text
    page = http.get(url + "/")
    assert page.status_code == 200
    assert "number 4" in page.text
    assert "café" in page.text
    head = git(work, "rev-parse", "HEAD").strip()
    assert "file4" in http.get(url + f"/commit/{head}/").text
    raw = http.get(url + "/raw/main/file3").content
    assert raw == (work / "file3").read_bytes()
    assert http.get(url + "/blob/main/none").status_code == 404
    style = re.search(r'href="?(/[^" >]*\.css)', page.text)[1]
    sheet = http.get(server.base_url + style)
    assert sheet.headers["Content-Type"].startswith("text/css")
    assert int(sheet.headers["Content-Length"]) == len(sheet.content) > 0


def test_static_file_is_not_sent_twice(server, http):
    """werkzeug's conditional responses: 304 has no body."""
    path = server.base_url + "/static/klaus.css"
    first = http.get(path)
    again = http.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(path).content == first.content


def test_tarball(url, tmp_path):
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(curl(url + "/tarball/main/"))
    assert "file4" in run("tar", "tzf", archive).decode()


def test_clone(url, work, tmp_path):
    copy = tmp_path / "copy"
    run("git", "clone", "-q", url, copy)
    assert git(copy, "log") == git(work, "log")
    git(copy, "fsck")


@pytest.mark.parametrize("size", [1_000, 3_000_000])
def test_push_and_pull(url, central, work, tmp_path, size):
    """git sends what exceeds http.postBuffer in chunks, after a probe."""
    copy = tmp_path / "copy"
    run("git", "clone", "-q", url, copy)
    commit(work, 100, size)
    git(work, "-c", "http.postBuffer=65536", "push", "-q", url, "main")
    assert git(central, "log") == git(work, "log")
    git(copy, "pull", "-q")
    assert os.path.getsize(copy / "file100") == size
    git(central, "fsck")


def test_branches_and_tags(url, central, work):
    git(work, "tag", "-a", "-m", "the first", "v1", "HEAD~4")
    git(work, "push", "-q", url, "v1", "HEAD~3:refs/heads/old")
    assert git(central, "rev-parse", "old") == git(work, "rev-parse", "HEAD~3")
    assert "refs/tags/v1" in git(work, "ls-remote", url)
    git(work, "push", "-q", url, ":old")
    assert "refs/heads/old" not in git(work, "ls-remote", url)
