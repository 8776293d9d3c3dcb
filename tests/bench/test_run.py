"""The bench itself: right answers to every workload, and figures of a short one."""

import json
import subprocess

import pytest
from conftest import BENCH, BUILD
from workloads import BY_NAME


def run(*options):
    command = [BENCH / "run", "--build", str(BUILD), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_every_workload_is_answered_rightly():
    done = run("--smoke")
    wrong = [line for line in done.stdout.splitlines() if not line.endswith(": right")]
    assert (done.returncode, wrong) == (0, []), done.stderr
    loaded = {name for name, w in BY_NAME.items() if w.client == "load" and name != "footprint"}
    assert {line.split(",")[0] for line in done.stdout.splitlines()} == loaded


def test_figures(tmp_path):
    """A measurement from end to end; how large the figures are is no test."""
    options = "--rounds", "2", "--seconds", "0.2", "--servers", "floor0,floor1,wsgid", "--no-count"
    done = run("hello", "slow", *options, "--json", str(tmp_path / "json"))
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "json").read_text())
    assert told["failed"] == {}
    assert list(told["rounds"]["hello"]) == ["floor0", "floor1", "wsgid"]
    for figures in told["rounds"]["hello"]["wsgid"]:
        assert figures["rate"] > 0 and figures["cpu_us"] > 0
        assert figures["user_us"] + figures["system_us"] == pytest.approx(figures["cpu_us"])
    assert all(f["p99_us_alone"] > 0 for f in told["rounds"]["slow"]["wsgid"])
    assert "### hello, 64 connections" in done.stdout


def test_a_server_with_wrong_answers_is_not_timed(tmp_path):
    """floor0 gives every request the same answer: the wrong one to an upload."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from measure import Bench, Failed\n"
        "from servers import SERVERS\n"
        "from workloads import BY_NAME\n"
        "bench = Bench(sys.argv[3], sys.argv[4], 1)\n"
        "try:\n"
        "    bench.check_server(SERVERS[0], BY_NAME['post'])\n"
        "except Failed as why:\n"
        "    print(why)\n"
    )
    paths = [BENCH, BENCH.parent / "tests", BUILD, tmp_path]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, *map(str, paths)], capture_output=True, text=True
    )
    assert done.stdout.startswith("wrong answer: 200"), done


@pytest.mark.parametrize(
    "options, words",
    [(["nothing"], "there is no workload nothing"), (["--servers", "x"], "there is no server 'x'")],
)
def test_unknown_names(options, words):
    done = run(*options)
    assert done.returncode != 0 and words in done.stderr


def test_list_names_everything():
    done = run("--list")
    assert done.returncode == 0
    assert all(f"\n{name} " in f"\n{done.stdout}" for name in BY_NAME)
