"""The tutorial's applications, as their README says to serve them."""

import pytest
from harness import EXAMPLES, curl, has_package, request

TEXTS = {
    "wsgiapp": "Hello world from a simple WSGI application!\n",
    "flaskapp": "Hello world from Flask!\n",
    "pyramidapp": "Hello world from Pyramid!\n",
    "djangoapp": "Hello world from Django!\n",
    "falconapp": "Hello world from Falcon!\n",
    "bottleapp": "Hello world from Bottle!\n",
}


@pytest.fixture(
    scope="module",
    params=[(name, validate) for name in TEXTS for validate in (False, True)],
    ids=lambda p: p[0] + ("-validated" if p[1] else ""),
)
def tutorial(request, serve_module):
    """(server, the text of /hello)"""
    name, validate = request.param
    package = name.removesuffix("app")
    if package != "wsgi" and not has_package(package):
        pytest.skip(f"{package} is not installed for this Python")
    server = serve_module(f"{name}:app", validate=validate, cwd=EXAMPLES)
    yield server, TEXTS[name]
    server.finish()


def test_curl(tutorial):
    server, text = tutorial
    assert curl(server.base_url + "/hello").decode() == text


def test_curl_1_0(tutorial):
    server, text = tutorial
    assert curl("--http1.0", server.base_url + "/hello").decode() == text


def test_requests(tutorial, http):
    server, text = tutorial
    for _ in range(3):
        answer = http.get(server.base_url + "/hello?a=1")
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_not_found(tutorial, http):
    server, _ = tutorial
    for path in ("/", "/hello/world", "/hell", "/caf%C3%A9"):
        assert http.get(server.base_url + path).status_code == 404, path


def test_head(tutorial):
    """HEAD has no body, so the next response follows at once."""
    server, text = tutorial
    with server.connect() as client:
        client.send(request("HEAD", "/hello") + request("GET", "/hello"))
        head = client.response("HEAD")
        assert head.status == 200
        assert head.get("Content-Type").startswith("text/plain")
        assert head.get("Content-Length") in (None, str(len(text)))
        assert client.response().body.decode() == text


def test_the_application_made_no_complaint(tutorial):
    """After all of the above."""
    server, _ = tutorial
    assert "Traceback" not in server.log()
