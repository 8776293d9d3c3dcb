"""graphite-web, a Django application that draws what was measured."""

import json
import re

import pytest
from programs import needs, run

pytestmark = [pytest.mark.long, needs("graphite-web", module="graphite")]

SETTINGS = """
SECRET_KEY = "for tests"
STORAGE_DIR = WHISPER_DIR = "{folder}/whisper"
STANDARD_DIRS = [WHISPER_DIR]
LOG_DIR = "{folder}"
LOG_ROTATION = False
INDEX_FILE = "{folder}/index"
CONF_DIR = "/etc/graphite"
TIME_ZONE = "UTC"
DATABASES = {{
    "default": {{
        "NAME": "{folder}/graphite.db", "ENGINE": "django.db.backends.sqlite3",
    }},
}}
"""

USER = """
from django.contrib.auth.models import User
User.objects.create_superuser("ann", "ann@example.com", "secret")
"""

SERIES = """
import time, whisper
path = "{folder}/whisper/garden/temperature.wsp"
whisper.create(path, [(1, 600)])
now = int(time.time())
whisper.update_many(path, [(now - i, i % 30) for i in range(300)])
"""


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphite")
    (folder / "whisper" / "garden").mkdir(parents=True)
    (folder / "real_settings.py").write_text(SETTINGS.format(folder=folder))
    env = {
        "GRAPHITE_SETTINGS_MODULE": "real_settings",
        "DJANGO_SETTINGS_MODULE": "graphite.settings",
        "PYTHONPATH": str(folder),
    }
    python = ("/usr/bin/python3", "-W", "ignore")
    admin = (*python, "-m", "django")
    run(*admin, "migrate", "--run-syncdb", "-v", "0", env=env)
    run(*admin, "shell", "-c", USER, env=env)
    run(*python, "-c", SERIES.format(folder=folder))
    server = serve_module(
        *("graphite.wsgi:application", "--pythonpath", folder), env=env
    )
    yield server
    assert "Error handling request" not in server.log()


def test_page(server, http):
    page = http.get(server.base_url + "/")
    assert page.status_code == 200
    assert "Graphite Browser" in page.text


def test_find(server, http):
    found = http.get(server.base_url + "/metrics/find?query=garden.*").json()
    assert [node["id"] for node in found] == ["garden.temperature"]


def test_data(server, http):
    url = server.base_url + "/render?target=garden.temperature&from=-4min"
    (series,) = http.get(url + "&format=json").json()
    values = [value for value, _ in series["datapoints"] if value is not None]
    assert len(values) > 200 and max(values) == 29
    lines = http.get(url + "&format=csv").text.splitlines()
    assert lines[0].startswith("garden.temperature,")
    assert http.post(
        server.base_url + "/render",
        data={"target": "scale(garden.temperature,2)", "format": "json"},
    ).json()[0]["target"] == "scale(garden.temperature,2)"


@pytest.mark.parametrize(
    "form, start", [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_drawing(server, http, form, start):
    answer = http.get(
        server.base_url + "/render",
        params={"target": "garden.temperature", "format": form, "width": 800},
        headers={"Accept-Encoding": "identity"},
    )
    assert answer.status_code == 200
    assert answer.content.startswith(start)
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_login_and_saved_graph(server, http):
    """A session, a form with a token, and a write into the database."""
    url = server.base_url + "/admin/login/?next=/admin/"
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', http.get(url).text)[1]
    form = {"username": "ann", "password": "secret", "csrfmiddlewaretoken": token}
    page = http.post(url, data=form)
    assert page.status_code == 200 and "Site administration" in page.text
    added = http.post(
        server.base_url + "/events/",
        data=json.dumps({"what": "rain", "tags": ["weather"], "data": ""}),
    )
    assert added.status_code == 200
    events = http.get(server.base_url + "/events/get_data").json()
    assert [event["what"] for event in events] == ["rain"]
