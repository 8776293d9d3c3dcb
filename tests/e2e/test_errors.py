"""docs/errors.md, carried out: each entry makes what it says it makes.

The page is its own test.  An entry is a heading of the third level with what
is below it; of the fenced blocks

  ```LANGUAGE FILE   is a file in the folder of the entry;
  ```console         holds commands after "$ ", each with all that it prints;
  ```text            is all that the log of the server says meanwhile.

Blocks above the first entry belong to every one.  A command that ends with &
is a server; where a log is given without one, `wsgid myapp:app` is served and
asked with curl.  "…" stands for any characters, on a line of its own for any
lines; 8888 for the port of the entry, /srv/site for its folder.
"""

import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections import namedtuple
from pathlib import Path

import harness
import pytest
from harness import SANITIZER_REPORT, TIMEOUT, Server, environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
FOLDER, PORT = "/srv/site", "8888"
SERVE, ASK = "wsgid myapp:app &", f"curl http://127.0.0.1:{PORT}/"
# What stays in force for the commands below it.
LASTING = {"cd", "export", "ulimit", "umask"}
# Said by every server that starts and stops.
FRAME = re.compile(r"\] \[INFO\] (Serving |Control socket at |SIGTERM: |Stopped by )")

Block = namedtuple("Block", "language name text")
Entry = namedtuple("Entry", "title files commands log")
Command = namedtuple("Command", "line output")


def blocks(text):
    found = re.findall(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", text, re.M | re.S)
    assert len(found) * 2 == len(re.findall(r"^```", text, re.M)), "a fence is not closed"
    return [Block(*parts) for parts in found]


def commands(text):
    """Of a console block, each with its output."""
    assert text.startswith("$ "), f"the output of what? {text!r}"
    parts = re.split(r"^\$ ", text, flags=re.M)[1:]
    return [Command(*part.split("\n", 1)) for part in parts]


def read_entry(title, text, common):
    entry = Entry(title, dict(common), [], [])
    for block in blocks(text):
        if block.name:
            entry.files[block.name] = block.text
        elif block.language == "console":
            entry.commands.extend(commands(block.text))
        elif block.language == "text":
            entry.log.append(block.text)
        else:
            raise AssertionError(f"{title}: a block of {block.language!r} does nothing")
    return entry


def read_page():
    top, *rest = re.split(r"^### (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)
    common = {block.name: block.text for block in blocks(top) if block.name}
    return [read_entry(*pair, common) for pair in zip(rest[::2], rest[1::2])]


ENTRIES = read_page()


def pattern(expected):
    lines = []
    for line in expected.splitlines():
        if line == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(re.escape(line).replace("…", ".*") + r"\n")
    return "".join(lines)


# ---- Carrying out ----------------------------------------------------------


@functools.lru_cache
def unprivileged():
    """In front of a command: root without the privileges of root.  None where
    that is not to be had."""
    if os.geteuid() != 0:
        return ""
    prefix = "setpriv --bounding-set=-all"
    found = shutil.which("setpriv") and subprocess.run([*prefix.split(), "true"])
    return prefix if found and found.returncode == 0 else None


def reason_to_skip(entry):
    """Only what the machine does not refuse to anybody cannot be carried out."""
    lines = "\n".join(command.line for command in entry.commands)
    ports = [int(port) for port in re.findall(r"--bind \S*:(\d+)", lines)]
    reserved = any(0 < port < 1024 for port in ports)
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if reserved and first.exists() and int(first.read_text()) <= min(ports):
        return "every program may listen on this port here"
    if (reserved or "chmod" in lines) and unprivileged() is None:
        return "root cannot drop its privileges here"
    return None


class Terminal:
    """A shell in the folder of the entry, with programs of the names that the
    page uses."""

    def __init__(self, folder, monkeypatch):
        self.site = folder / "site"
        self.programs = folder / "bin"
        self.site.mkdir()
        self.programs.mkdir()
        self.lasting = []
        self.servers = []
        self.port = "0"
        curl = f"{shutil.which('curl')} -q --noproxy '*' -sS --max-time {TIMEOUT:.0f}"
        self.program("curl", curl)
        self.real = harness.WSGID
        monkeypatch.setattr(harness, "WSGID", str(self.programs / "wsgid"))

    def program(self, name, words):
        path = self.programs / name
        path.write_text("\n".join(["#!/bin/sh", *self.lasting, f'exec {words} "$@"', ""]))
        path.chmod(0o755)

    def write(self, files):
        for name, text in files.items():
            path = self.site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def plain(self, text):
        """As the page has it."""
        text = text.replace(str(self.site), FOLDER)
        return re.sub(rf"(?<=:){self.port}\b", PORT, text)

    def serve(self, line):
        *options, app = shlex.split(line.rstrip("& "))[1:]
        self.program("wsgid", f"{unprivileged() or ''} {self.real}")
        server = Server(app, *options, cwd=self.site)
        self.servers.append(server)
        if server.urls[0].startswith("http"):
            self.port = str(server.port)

    def run(self, line):
        """What it prints."""
        bind = "" if re.search(r"PORT=|LISTEN_FDS=|--bind|-b |wsgid status", line) else f"--bind 127.0.0.1:{self.port}"
        self.program("wsgid", f"{unprivileged() or ''} {self.real} {bind}")
        process = subprocess.Popen(
            ["/bin/sh", "-c", "\n".join([*self.lasting, line.replace(PORT, self.port)])],
            cwd=self.site,
            env=environment({"PATH": f"{self.programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            text, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            # The shell alone would leave behind what it runs.
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            raise AssertionError(f"$ {line}\ngoes on; it printed\n{text}") from None
        assert not SANITIZER_REPORT.search(text), text
        if text.startswith("wsgid: "):
            codes = (1, 2) if line.startswith("wsgid status") else (2, 3, 4)
            assert process.returncode in codes, (process.returncode, text)
        # A page cannot show a last line without its end.
        return self.plain(text + "\n" if text and text[-1] != "\n" else text)

    def carry_out(self, line):
        if line.split()[0] in LASTING:
            self.lasting.append(line)
            return ""
        if line.endswith("&"):
            self.serve(line)
            return ""
        return self.run(line)

    def log(self):
        """Of the last server, which is ended, without what all of them say."""
        server = self.servers[-1]
        server.finish()
        lines = server.log().splitlines(keepends=True)
        return self.plain("".join(line for line in lines if not FRAME.search(line)))


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    made = Terminal(tmp_path, monkeypatch)
    yield made
    for server in made.servers:
        server.finish()


def steps(entry):
    """Its commands; those of any entry with a log where it gives none."""
    given = list(entry.commands)
    if entry.log and not any(c.line.endswith("&") for c in given):
        given.insert(0, Command(SERVE, ""))
    if entry.log and not any("curl" in c.line for c in given):
        given.append(Command(ASK, None))
    return given


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_entry(entry, terminal):
    if reason_to_skip(entry):
        pytest.skip(reason_to_skip(entry))
    terminal.write(entry.files)
    for command in steps(entry):
        printed = terminal.carry_out(command.line)
        if command.output is not None:
            assert re.fullmatch(pattern(command.output), printed), (
                f"$ {command.line}\nprints\n{printed}\ninstead of\n{command.output}"
            )
    for expected in entry.log:
        log = terminal.log()
        assert re.fullmatch(pattern(expected), log), f"the log says\n{log}\ninstead of\n{expected}"


def test_the_page_is_whole():
    """That no entry is lost on the way, and none is without a message."""
    headings = re.findall(r"^### .*", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(ENTRIES) == len(headings) >= 40
    assert len({entry.title for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        messages = entry.log + [c.output for c in entry.commands]
        assert any(message.strip(" …\n") for message in messages), entry.title
