"""Results as Markdown."""

from pathlib import Path

from results import REFERENCE
from workloads import BY_NAME, FIGURES

SUBJECT = "wsgid"
# What the targets that are not met are about, by hand: behind their table.
REMARKS_FILE = Path(__file__).resolve().parent / "remarks.md"


def number(value):
    """Three digits that count: 7.23, 43.1, 132,000."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def spread(values):
    """The median, with the smallest and the largest in brackets."""
    if values is None:
        return "-"
    if values[1] == values[2]:
        return number(values[0])
    return f"{number(values[0])} ({number(values[1])}-{number(values[2])})"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(heads, rows):
    """The first column is of words, the others of numbers."""
    yield row(heads)
    yield "| --- |" + " ---: |" * (len(heads) - 1)
    yield from (row(cells) for cells in rows)


# ---- Targets --------------------------------------------------------------------


def verdicts(results, workloads):
    """(workload, target, value, whether it is met or None) of every target."""
    for workload in workloads:
        for target in workload.targets:
            value = results.value_of(workload.name, SUBJECT, target)
            yield workload, target, value, None if value is None else target.is_met(value)


def of_reference(results, workload, target):
    """What floor1 makes of a target that is no comparison with it."""
    if target.of == REFERENCE:
        return "1"
    return number(results.value_of(workload.name, REFERENCE, target))


def targets(results, workloads):
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [
        [w.title, str(target), number(value), words[met], of_reference(results, w, target)]
        for w, target, value, met in verdicts(results, workloads)
    ]
    if rows:
        yield from table(["workload", f"target for {SUBJECT}", "measured", "", REFERENCE], rows)
        yield ""


# ---- One table for each workload ------------------------------------------------

COLUMNS = ("rate", "cpu_us", "user_us", "system_us", "p50_us", "p99_us")
HEADS = ("requests/s", "CPU µs", "user", "system", "p50 µs", "p99 µs")


def workload_rows(results, name, extra):
    for server in results.servers_of(name):
        cells = [server]
        for figure in COLUMNS:
            values = results.spread(name, server, figure)
            wide = figure in ("rate", "cpu_us")
            cells.append(spread(values) if wide else number(values and values[0]))
        for figure, reference in extra:
            cells.append(
                number(results.ratio(name, server, figure))
                if reference
                else number((results.spread(name, server, figure) or [None])[0])
            )
        yield cells


# What the figures of a server do not say, though they are right.
REMARKS = {
    "again": "closed connections under {} requests, which were sent again",
    "unanswered": "left {} requests without an answer for 3 s behind the end",
}


def notes(results, name):
    for server, why in results.failed.get(name, {}).items():
        yield f"- {server}: {' '.join(why.split())}"
    for server in results.servers_of(name):
        for figure, words in REMARKS.items():
            values = results.spread(name, server, figure)
            if values and values[0] > 0:
                yield f"- {server} {words.format(round(values[0]))}"


def workload_tables(results, workload):
    name = workload.name
    heads, extra = ["server", *HEADS], []
    if "floor1" in results.servers_of(name):
        heads += ["CPU : floor1", "requests/s : floor1"]
        extra += [("cpu_us", True), ("rate", True)]
    if any(results.spread(name, s, "instructions") for s in results.servers_of(name)):
        heads.append("instructions")
        extra.append(("instructions", False))
    if workload.slow:
        heads.append("p99 µs without the slow one")
        extra.append(("p99_us_alone", False))
    yield f"### {workload.title}"
    yield ""
    yield from table(heads, workload_rows(results, name, extra))
    own = results.own_cost(name)
    if own:
        yield ""
        yield f"The application alone, called in a loop by python3: {spread(own)} µs."
    remarks = list(notes(results, name))
    if remarks:
        yield ""
        yield from remarks
    yield ""


def footprint_table(results, workload):
    figures = ("start_ms", "pss_mib", "idle_kib")
    yield f"### {workload.title}"
    yield ""
    rows = [
        [server, *(spread(results.spread(workload.name, server, f)) for f in figures)]
        for server in results.servers_of(workload.name)
    ]
    yield from table(["server", *(FIGURES[f] for f in figures)], rows)
    remarks = list(notes(results, workload.name))
    if remarks:
        yield ""
        yield from remarks
    yield ""


def measurements(results, workloads):
    for workload in workloads:
        if workload is BY_NAME["footprint"]:
            yield from footprint_table(results, workload)
        else:
            yield from workload_tables(results, workload)


def tables(results, workloads):
    """All of it, without the words around it."""
    yield from targets(results, workloads)
    yield from measurements(results, workloads)


# ---- The page -------------------------------------------------------------------

ABOUT = """# Performance

What a request costs in wsgid, in two reference programs and in other servers of Debian. `./dev bench` measures it
on any machine; `bench/README.md` says how to read it. floor0 answers without Python: what the kernel takes. floor1 adds one
call of the application with the cheapest honest environ and sends once: the limit of a WSGI server that does so.

![Processor time of a request](performance.svg)
"""


def page(results, workloads, facts):
    """The lines of docs/performance.md; facts are (what, value) about the machine."""
    yield from ABOUT.split("\n")
    yield from table(["", ""], facts)
    yield ""
    yield "## Targets"
    yield ""
    yield from targets(results, workloads)
    yield from REMARKS_FILE.read_text().split("\n")
    yield "## Workloads"
    yield ""
    yield "Medians, in brackets the smallest and the largest. CPU is the processor time of all of the server's"
    yield "processes for a request, in microseconds, user and system."
    yield ""
    yield from measurements(results, workloads)
