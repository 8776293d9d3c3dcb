"""Checks answers, applies load and reads the clocks."""

import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from servers import APPS, HERE, PYTHON, Failed, Running, pin
from wire import Client, Closed
from workloads import get, numbered

PATIENCE = 30  # seconds for an answer outside of load
WARM_UP = 0.3
IDLE_CONNECTIONS = 900  # some keep 1000 at most by default
IDLE_PATIENCE = 20  # seconds for all of them
COUNTED_REQUESTS = (500, 2500)


class Bench:
    """What all measurements share: programs, files, expected answers."""

    def __init__(self, build, folder, seconds):
        self.build, self.folder, self.seconds = Path(build), Path(folder), seconds
        self.wsgid = self.build / "cli" / "wsgid"
        self.load = self.build / "bench" / "load"
        self.file = self.folder / "file"
        self.file.write_bytes(bytes(range(256)) * (10 << 12))
        self.file.chmod(0o644)
        self.folder.chmod(0o755)
        self.answers = {}
        for program in (self.wsgid, self.load):
            if not program.exists():
                raise SystemExit(
                    f"bench: there is no {program}; cmake --preset bench && "
                    "cmake --build build/bench makes it"
                )

    # ---- Right answers --------------------------------------------------------

    def expected(self, app, request):
        """(status, body) as the application gives them with no server around it."""
        key = app, request
        if key not in self.answers:
            path = self.folder / "request"
            path.write_bytes(request)
            done = subprocess.run(
                [PYTHON, HERE / "own_cost.py", app, path, "--answer"],
                cwd=APPS, env={"BENCH_FILE": str(self.file)}, capture_output=True,
            )  # fmt: skip
            if done.returncode != 0:
                raise Failed(f"the application fails: {done.stderr.decode()[-300:]}")
            status, _, body = done.stdout.partition(b"\n")
            self.answers[key] = int(status[:3]), body
        return self.answers[key]

    def script(self, workload, makers):
        """Writes what `load` reads; its path."""
        path = self.folder / "script"
        with open(path, "wb") as file:
            for make in makers:
                text = make()
                status, body = self.expected(workload.app, numbered(text))
                kind = int(make in workload.slow)
                file.write(b"%d %d %d %d\n" % (len(text), status, len(body), kind) + text)
        return path

    def check(self, running, workload):
        """Raises Failed unless every request is answered as it must be."""
        for make in dict.fromkeys((*workload.requests, *workload.slow, *workload.checks)):
            text = numbered(make())
            status, body = self.expected(workload.app, text)
            try:
                with running.connect(PATIENCE) as sock:
                    client = Client(sock, PATIENCE, strict=False)
                    client.send(text)
                    answer = client.response()
            except (OSError, AssertionError, Closed) as error:
                raise Failed(f"no answer: {error!r}"[:200]) from error
            if (answer.status, answer.body) != (status, body):
                raise Failed(f"wrong answer: {answer.status} {answer.body[:60]!r}")

    def check_server(self, server, workload, requests=0):
        """Starts the server for it; asks `requests` times more under load, untimed."""
        with ExitStack() as stack:
            running, _ = self.start(stack, server, workload)
            self.check(running, workload)
            if requests:
                options = ["--requests", str(requests), "--pipeline", str(workload.pipeline)]
                options += ["--connections", str(min(workload.connections, requests))]
                path = self.script(workload, (*workload.requests, *workload.slow))
                self.ask(running, options, path)

    # ---- Running --------------------------------------------------------------

    def start(self, stack, server, workload, prefix=()):
        """A server that answers; the second value is how long that took."""
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder))
        Path(folder).chmod(0o755)
        first = numbered(workload.requests[0]())
        body = self.folder / "body"
        if server.name == "floor0":
            body.write_bytes(self.expected(workload.app, first)[1])
        places = {
            "bench": self.load.parent, "wsgid": self.wsgid, "body": body, "file": self.file
        }  # fmt: skip
        running = stack.enter_context(Running(server, workload, places, folder, prefix))
        return running, running.wait_until_up(first)

    def ask(self, running, options, path):
        """Runs `load` to its end; what it says."""
        done = subprocess.run(
            [self.load, *options, str(running.port), path],
            capture_output=True, text=True, preexec_fn=pin(1),
        )  # fmt: skip
        return self._told(done.stdout)

    def _told(self, text):
        try:
            told = json.loads(text)
        except ValueError:
            raise Failed("the load generator did not end well") from None
        if told["errors"]:
            raise Failed(f"{told['errors']} errors under load; {told['error']}")
        if told["timely"] == 0:
            raise Failed("no request was answered while there was load")
        return told

    def _under_load(self, running, options, path):
        """What `load` says, and the processor time that the server took."""
        command = [self.load, *options, "--warm-up", str(WARM_UP), "--wait"]
        command += ["--seconds", str(self.seconds), str(running.port), path]
        with subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(1)
        ) as load:
            if load.stdout.readline() != "ready\n":
                raise Failed("the load generator did not start")
            before = running.cpu()
            load.stdin.write("\n")
            load.stdin.flush()
            told = self._told(load.stdout.read())
        return told, [b - a for a, b in zip(before, running.cpu())]

    def measure(self, server, workload):
        """The figures of one server under one workload, once."""
        with ExitStack() as stack:
            running, _ = self.start(stack, server, workload)
            if workload.client == "wrk":
                return self._by_wrk(running)
            options = ["--pipeline", str(workload.pipeline)]
            figures = {}
            if workload.slow:
                options.append("--own")
                path = self.script(workload, workload.requests)
                fast = ["--connections", str(len(workload.requests))]
                told, _ = self._under_load(running, options + fast, path)
                figures["p99_us_alone"] = told["p99_us"]
            path = self.script(workload, (*workload.requests, *workload.slow))
            options += ["--connections", str(workload.connections)]
            told, cpu = self._under_load(running, options, path)
            return figures | figures_of(told, cpu)

    def _by_wrk(self, running):
        """wrk counts what it gets in its time, and takes its own time to start."""
        before = running.cpu()
        done = subprocess.run(
            ["wrk", "-t1", "-c64", f"-d{max(1, round(self.seconds))}s", "--latency",
             f"http://127.0.0.1:{running.port}/"],
            capture_output=True, text=True, preexec_fn=pin(1),
        )  # fmt: skip
        cpu = [b - a for a, b in zip(before, running.cpu())]
        return figures_of(parse_wrk(done.stdout), cpu)

    # ---- What is no load ------------------------------------------------------

    def own_cost(self, workload):
        """µs of processor time of a call without a server."""
        path = self.folder / "request"
        path.write_bytes(numbered(workload.requests[0]()))
        done = subprocess.run(
            [PYTHON, HERE / "own_cost.py", workload.app, path, "--seconds", str(self.seconds)],
            cwd=APPS, capture_output=True, text=True, preexec_fn=pin(0), check=True,
        )  # fmt: skip
        return float(done.stdout)

    def footprint(self, server, workload):
        """Start, memory, and memory of a connection that waits."""
        with ExitStack() as stack:
            running, seconds = self.start(stack, server, workload)
            self.ask(running, ["--requests", "1000", "--connections", "8"],
                     self.script(workload, workload.requests))  # fmt: skip
            time.sleep(0.2)  # until it has given back what it gives back
            figures = {"start_ms": seconds * 1000, "pss_mib": running.memory_kib("Pss") / 1024}
            # Others who load or leave the same libraries change the rest of it.
            before = running.memory_kib("Pss_Anon")
            if self._open_idle(stack, running):
                more = running.memory_kib("Pss_Anon") - before
                figures["idle_kib"] = more / IDLE_CONNECTIONS
            return figures

    def _open_idle(self, stack, running):
        """Connections that were answered once; False if the server does not keep them."""
        clients = []
        end = time.monotonic() + IDLE_PATIENCE
        try:
            for _ in range(IDLE_CONNECTIONS):
                if time.monotonic() > end:
                    return False
                clients.append(stack.enter_context(running.connect(IDLE_PATIENCE)))
                clients[-1].sendall(get())
                if not clients[-1].recv(65536):
                    return False
        except OSError:
            return False
        time.sleep(0.2)
        for sock in clients:
            sock.setblocking(False)
            try:
                if not sock.recv(65536):
                    return False
            except BlockingIOError:
                pass
            except OSError:
                return False
        return True

    def count(self, server, workload):
        """Instructions in user space for a request: two runs, and their difference."""
        few, many = (self._count_run(server, workload, n) for n in COUNTED_REQUESTS)
        return (many - few) / (COUNTED_REQUESTS[1] - COUNTED_REQUESTS[0])

    def _count_run(self, server, workload, n):
        with ExitStack() as stack:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
            prefix = ["valgrind", "--tool=callgrind", "--log-file=/dev/null",
                      f"--callgrind-out-file={out}/%p"]  # fmt: skip
            with ExitStack() as inner:
                running, _ = self.start(inner, server, workload, prefix)
                self.ask(running, ["--requests", str(n), "--seconds", "120"],
                         self.script(workload, workload.requests))  # fmt: skip
            # Processes that were forked have files of their own.
            totals = [re.search(r"^totals: (\d+)", f.read_text(), re.MULTILINE)
                      for f in out.iterdir()]  # fmt: skip
            if not any(totals):
                raise Failed("callgrind wrote nothing")
            return sum(int(total[1]) for total in totals if total)


def figures_of(told, cpu):
    """Per request."""
    user, system, exact = cpu
    ticks = user + system
    n = told["requests"]
    share = user / ticks if ticks else 0
    return {
        "rate": told["timely"] / told["seconds"],
        "cpu_us": exact / n * 1e6,
        "user_us": exact * share / n * 1e6,
        "system_us": exact * (1 - share) / n * 1e6,
        "p50_us": told["p50_us"],
        "p99_us": told["p99_us"],
        "max_us": told["max_us"],
        "unanswered": told["unanswered"],
        "again": told["again"],
    }


UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def parse_wrk(text):
    """As `load` would tell it."""

    def latency(name):
        number, unit = re.search(rf"{name}\s+([\d.]+)(us|ms|s|m)\b", text).groups()
        return float(number) * UNITS[unit]

    try:
        n = int(re.search(r"(\d+) requests in", text)[1])
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        p50, p99 = latency("50%"), latency("99%")
    except (AttributeError, TypeError):
        raise Failed(f"wrk says: {text[:200]}") from None
    if re.search(r"Socket errors|Non-2xx", text):
        print(f"bench: wrk met errors: {text}", file=sys.stderr)
    largest = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m)\b", text)
    return {
        "requests": n, "timely": n, "seconds": n / rate if rate else 1, "unanswered": 0, "again": 0,
        "p50_us": p50, "p99_us": p99, "max_us": float(largest[1]) * UNITS[largest[2]],
    }  # fmt: skip
