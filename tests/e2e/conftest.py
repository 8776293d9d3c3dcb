"""Fixtures of the end-to-end tests.

The server is the program that the environment variable WSGID names.
"""

import os
import resource

import pytest
import requests

import harness


def pytest_collection_modifyitems(items):
    reason = None
    if not harness.WSGID:
        reason = "the environment variable WSGID does not name the server"
    elif not os.access(harness.WSGID, os.X_OK):
        reason = f"WSGID={harness.WSGID} is no program"
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        if "long" in item.keywords and os.environ.get("WSGI_LONG") != "1":
            item.add_marker(pytest.mark.skip(reason="long: set WSGI_LONG=1"))


def pytest_configure():
    # Servers inherit it: connections count as files.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Servers:
    """Starts servers and stops them all."""

    def __init__(self):
        self.started = []

    def __call__(self, app, *options, **keywords):
        server = harness.Server(app, *options, **keywords)
        self.started.append(server)
        return server

    def check(self):
        for server in self.started:
            server.check()

    def finish(self):
        failures = []
        for server in self.started:
            try:
                server.finish()
            except AssertionError as error:
                failures.append(str(error))
        assert not failures, "\n".join(failures)


@pytest.fixture
def serve():
    """serve(app, *options, validate=False, env=None, cwd=APPS) starts a
    server for one test."""
    servers = Servers()
    yield servers
    servers.finish()


@pytest.fixture(scope="module")
def serve_module():
    """As `serve`, for all tests of a module."""
    servers = Servers()
    yield servers
    servers.finish()


@pytest.fixture(autouse=True)
def shared_servers_are_well(request):
    """Names the test that broke a shared server, not the last one."""
    shared = None
    if "serve_module" in request.fixturenames:
        shared = request.getfixturevalue("serve_module")
    yield
    if shared:
        shared.check()


@pytest.fixture
def http():
    """requests, with connections kept alive and without the user's proxies."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
