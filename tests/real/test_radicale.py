"""Radicale, a CalDAV server, with curl and a CalDAV library as clients."""

import datetime
import importlib.util
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import curl
from programs import crypt_env, needs, run

pytestmark = needs("python3-radicale", module="radicale")

CONFIG = """
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
delay = 0

[storage]
filesystem_folder = {folder}/collections

[web]
type = internal
"""

REPORT = """<?xml version="1.0"?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
  <D:prop><D:getetag/><C:calendar-data/></D:prop>
  <C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
    <C:time-range start="{start}T000000Z" end="{end}T000000Z"/>
  </C:comp-filter></C:comp-filter></C:filter>
</C:calendar-query>"""


def event(name, day, summary="Tea"):
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{name}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:{day}T100000Z\r\n"
        f"DTEND:{day}T110000Z\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("radicale")
    (folder / "config").write_text(CONFIG.format(folder=folder))
    (folder / "users").write_text("ann:secret\nbob:hidden\n")
    env = {"RADICALE_CONFIG": str(folder / "config"), **crypt_env()}
    server = serve_module("radicale:application", env=env)
    yield server
    assert "Traceback" not in server.log()


@pytest.fixture
def dav(server, http):
    """dav(method, path, **keywords) as ann."""
    http.auth = ("ann", "secret")

    def ask(method, path, **keywords):
        return http.request(method, server.base_url + path, **keywords)

    return ask


@pytest.fixture
def calendar(dav):
    path = f"/ann/{uuid.uuid4()}/"
    assert dav("MKCALENDAR", path).status_code == 201
    return path


def test_password(server, http):
    url = server.base_url + "/ann/"
    refused = http.request("PROPFIND", url)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert http.request("PROPFIND", url, auth=("ann", "no")).status_code == 401
    assert http.request("PROPFIND", url, auth=("bob", "hidden")).status_code == 403
    assert http.request("PROPFIND", url, auth=("ann", "secret")).status_code == 207


def test_options(dav):
    answer = dav("OPTIONS", "/ann/")
    assert "calendar-access" in answer.headers["DAV"]
    assert "REPORT" in answer.headers["Allow"]
    assert answer.content == b""


def test_event_comes_and_goes(dav, calendar):
    path = calendar + "tea.ics"
    made = dav("PUT", path, data=event("tea", "20260105", "Thé à cinq").encode())
    assert made.status_code == 201
    found = dav("GET", path)
    assert found.headers["Content-Type"].startswith("text/calendar")
    assert found.headers["ETag"] == made.headers["ETag"]
    assert "SUMMARY:Thé à cinq" in found.content.decode()
    head = dav("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")

    # Somebody else's version is not overwritten.
    other = dav(
        "PUT",
        path,
        data=event("tea", "20260106").encode(),
        headers={"If-Match": '"another"'},
    )
    assert other.status_code == 412
    assert dav("DELETE", path).status_code == 200
    assert dav("GET", path).status_code == 404


def test_propfind_and_report(dav, calendar):
    for i in range(20):
        data = event(f"event{i}", f"202601{i + 1:02}").encode()
        assert dav("PUT", f"{calendar}event{i}.ics", data=data).status_code == 201
    listing = dav("PROPFIND", calendar, headers={"Depth": "1"})
    assert listing.status_code == 207
    assert len(re.findall(r"<href>[^<]*event\d+\.ics</href>", listing.text)) == 20
    query = REPORT.format(start="20260103", end="20260106")
    answer = dav("REPORT", calendar, data=query, headers={"Depth": "1"})
    assert answer.status_code == 207
    assert set(re.findall(r"UID:(\w+)", answer.text)) == {"event2", "event3", "event4"}


def test_body_in_chunks(dav, calendar):
    """What Radicale reads by CONTENT_LENGTH, sent without one."""
    text = event("chunked", "20260105", "x" * 200_000).encode()
    blocks = (text[i : i + 1000] for i in range(0, len(text), 1000))
    assert dav("PUT", calendar + "chunked.ics", data=blocks).status_code == 201
    got = dav("GET", calendar + "chunked.ics").text
    assert got.replace("\r\n ", "").count("x") == 200_000


def test_compressed_answer(server, dav, calendar):
    said = curl(
        *("-i", "--raw", "-u", "ann:secret", "-X", "PROPFIND"),
        *("-H", "Accept-Encoding: gzip", server.base_url + calendar),
    )
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert body[:2] == b"\x1f\x8b"
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"


def test_web_interface(dav):
    answer = dav("GET", "/", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/.web")
    page = dav("GET", "/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Radicale" in page.text


def test_move_and_delete_collection(dav, calendar, server):
    dav("PUT", calendar + "a.ics", data=event("a", "20260105").encode())
    moved = dav(
        "MOVE",
        calendar + "a.ics",
        headers={"Destination": server.base_url + calendar + "b.ics"},
    )
    assert moved.status_code == 201
    assert dav("GET", calendar + "a.ics").status_code == 404
    assert "UID:a" in dav("GET", calendar).text
    assert dav("DELETE", calendar).status_code == 200
    assert dav("GET", calendar).status_code == 404


def test_many_at_once(server, dav, calendar):
    """Its locks are files: nothing is lost, nobody waits for ever."""

    def put(i):
        text = event(f"e{i}", "20260105")
        return run(
            *("curl", "-q", "-sS", "-u", "ann:secret", "-T", "-"),
            *("-o", "/dev/null", "-w", "%{http_code}"),
            f"{server.base_url}{calendar}e{i}.ics",
            stdin=text.encode(),
        )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, range(40))) == {b"201"}
    assert dav("GET", calendar).text.count("BEGIN:VEVENT") == 40


@pytest.mark.skipif(
    not importlib.util.find_spec("caldav"),
    reason="caldav is missing: apt-get install python3-caldav",
)
def test_caldav_library(server):
    """Discovery as the clients of calendars do it."""
    import caldav

    client = caldav.DAVClient(server.base_url, username="ann", password="secret")
    client.session.trust_env = False
    with client:
        made = client.principal().make_calendar(name="Work")
        made.save_event(event("meeting", "20260107", "Meeting"))
        names = [str(found.name) for found in client.principal().calendars()]
        assert "Work" in names
        days = datetime.datetime(2026, 1, 7), datetime.datetime(2026, 1, 8)
        (found,) = made.date_search(*days)
        assert "SUMMARY:Meeting" in found.data
        found.delete()
        assert made.events() == []
        made.delete()
