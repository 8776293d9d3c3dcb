"""Each row of the tables is a test, once for each kind of demand.

Started by ./run, which says against which server.
"""

import pytest

from judge import fault_of
from rows import KINDS
from server import Server
from tables import ROWS

SCORED = [(row, kind) for row in ROWS for kind in KINDS if kind in row.wants]


class Servers:
    """One for each application, started when first needed."""

    def __init__(self, command, timeout):
        self.command, self.timeout = command, timeout
        self.running = {}

    def get(self, app):
        if app not in self.running:
            self.running[app] = Server(self.command, app, self.timeout)
        self.running[app].ensure()
        return self.running[app]

    def stop(self):
        return "".join(server.stop() for server in self.running.values())


@pytest.fixture(scope="session")
def servers(request):
    config = request.config
    servers = Servers(config.getoption("--server"), config.getoption("--patience"))
    yield servers
    log = servers.stop()
    if config.getoption("--log"):
        with open(config.getoption("--log"), "w") as file:
            file.write(log)


@pytest.mark.parametrize(
    "row, kind", SCORED, ids=[f"{row.area}/{row.id}/{kind}" for row, kind in SCORED]
)
def test_row(servers, record_property, row, kind):
    record_property("area", row.area)
    record_property("row", row.id)
    record_property("kind", kind)
    record_property("section", row.section)
    record_property("why", row.why)
    server = servers.get(row.app)
    fault = fault_of(server, row, kind)
    report = server.sanitizer_report()
    if fault or report:
        server.recover()
    # Not an assert: the message is all that is worth reading.
    if fault or report:
        record_property("fault", fault or "sanitizer")
        text = f"[{row.section}] {row.why}\nsent: {row.send!r:.600}\n{fault}"
        pytest.fail(f"{text}\n{report or ''}".rstrip(), pytrace=False)
