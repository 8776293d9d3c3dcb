"""Applications that take and give files: bepasty and Supysonic, both Flask."""

import base64
import os
import wave

import pytest
from programs import APPS, needs, run

pytestmark = pytest.mark.long
SIZE = 5_000_000


# ---- bepasty ---------------------------------------------------------------

BEPASTY = """
SECRET_KEY = "for tests"
STORAGE_FILESYSTEM_DIRECTORY = "{folder}"
SESSION_COOKIE_SECURE = False
PERMISSIONS = {{"secret": "admin,list,create,modify,read,delete"}}
"""


@pytest.fixture
def pastes(serve, tmp_path):
    config = tmp_path / "bepasty.conf"
    config.write_text(BEPASTY.format(folder=tmp_path))
    server = serve("bepasty.wsgi:application", env={"BEPASTY_CONFIG": str(config)})
    yield server.base_url
    assert "Traceback" not in server.log()


@needs("bepasty", module="bepasty")
def test_bepasty(pastes, http):
    """A file in pieces, each with its Content-Range; and parts of it back."""
    http.auth = ("", "secret")
    data, place, piece = os.urandom(SIZE), None, 400_000
    for start in range(0, SIZE, piece):
        block = data[start : start + piece]
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Filename": "noise.bin",
            "Content-Range": f"bytes {start}-{start + len(block) - 1}/{SIZE}",
        }
        if place:
            headers["Transaction-ID"] = place
        answer = http.post(
            pastes + "/apis/rest/items",
            data=base64.b64encode(block),
            headers=headers,
        )
        assert answer.status_code in (200, 201), answer.text
        place = answer.headers.get("Transaction-ID", place)
    item = pastes + answer.headers["Content-Location"]
    assert http.get(item).json()["file-meta"]["size"] == SIZE
    assert http.get(item + "/download").content == data
    part = http.get(item + "/download", headers={"Range": "bytes=100-199"})
    assert part.content == data[100:200]
    assert http.post(item + "/delete").status_code == 200
    assert http.get(item).status_code == 404


# ---- Supysonic -------------------------------------------------------------

SUPYSONIC = """
[base]
database_uri = sqlite:///{folder}/supysonic.db
[webapp]
cache_dir = {folder}/cache
log_level = WARNING
[daemon]
socket = {folder}/socket
"""


@pytest.fixture
def music(serve, tmp_path):
    """A server of a song, and the song."""
    song = tmp_path / "songs" / "band" / "record" / "song.wav"
    song.parent.mkdir(parents=True)
    with wave.open(str(song), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(os.urandom(SIZE))
    (tmp_path / ".supysonic").write_text(SUPYSONIC.format(folder=tmp_path))
    env = {"HOME": str(tmp_path)}
    run("supysonic-cli", "user", "add", "ann", "-p", "secret", env=env)
    run("supysonic-cli", "folder", "add", "Songs", tmp_path / "songs", env=env)
    run("supysonic-cli", "folder", "scan", "-f", "--foreground", "Songs", env=env)
    server = serve(
        "supysonicapp:application", "--pythonpath", "/usr/share", cwd=APPS, env=env
    )
    yield server, song.read_bytes()
    assert "Traceback" not in server.log()


@needs("supysonic", program="supysonic-cli")
def test_supysonic(music, http):
    server, song = music
    who = {"u": "ann", "p": "secret", "c": "tests", "v": "1.8.0", "f": "json"}

    def rest(view, headers=None, **params):
        url = f"{server.base_url}/rest/{view}.view"
        return http.get(url, params={**who, **params}, headers=headers)

    pong = rest("ping").json()["subsonic-response"]
    assert pong["status"] == "ok"
    found = rest("getRandomSongs").json()["subsonic-response"]
    (entry,) = found["randomSongs"]["song"]
    streamed = rest("stream", id=entry["id"])
    assert streamed.headers["Content-Type"].startswith("audio/")
    assert streamed.content == song
    part = rest("download", id=entry["id"], headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, song[1000:2000])
    login = http.post(
        server.base_url + "/user/login", data={"user": "ann", "password": "secret"}
    )
    assert login.status_code == 200 and "Log out" in login.text
