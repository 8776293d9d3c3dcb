"""Thousands that take their time, and one that does not."""

import json

import pytest
from harness import is_sanitized
from watch import HERE, KIB, MIB, all_closed, at_rest, bounded_memory, descriptors, is_well, mob

# A thousand senders, a thousand readers.
N_EACH = 334

# What one may cost in memory; a generator, its block and what the allocator
# loses between blocks, but no more than the mark of the output.
COST = {
    "head": 8 * KIB,
    "body": 8 * KIB,
    "chunks": 8 * KIB,
    "generator": 256 * KIB,
    "list": 20 * KIB,
    "file": 20 * KIB,
}


@pytest.fixture
def big_file(tmp_path):
    path = tmp_path / "big"
    with open(path, "wb") as file:
        file.truncate(16 * MIB)
    return path


def start(serve, *options, big_file="/dev/null"):
    server = serve(
        "app:app",
        "--worker-connections", "3000",
        "--header-timeout", "2m",
        "--body-timeout", "2m",
        *options,
        cwd=HERE,
        env={"HOSTILE_FILE": str(big_file)},
    )  # fmt: skip
    return server


def hundred_ordinary_requests(server):
    """Half of them on connections of their own."""
    with server.connect() as client:
        for _ in range(50):
            assert client.ask().body == b"hello"
            assert server.ask().body == b"hello"


def test_slow_senders_and_readers(serve, big_file):
    server = start(serve, big_file=big_file)
    base, memory = at_rest(server), server.resident()
    with mob(server, **dict.fromkeys(COST, N_EACH)) as crowd:
        hundred_ordinary_requests(server)
        bounded_memory(server, memory, N_EACH * sum(COST.values()))
        # Nobody was sent away in the meantime.
        assert descriptors(server) >= base + 6 * N_EACH
        assert json.loads(server.ask(path="/closed").body) == [N_EACH, 0, 0]
        assert crowd.finish() == 3 * N_EACH
    all_closed(server, N_EACH)
    is_well(server, base)


@pytest.mark.long
@pytest.mark.skipif(is_sanitized(), reason="memory is the sanitizer's")
def test_memory_after_bursts(serve):
    """What a burst took serves the next: four take no more than one."""
    server = start(serve)
    memory = server.resident()
    for _ in range(4):
        with mob(server, head=2000) as crowd:
            bounded_memory(server, memory, 2000 * COST["head"])
            assert crowd.finish() == 2000
