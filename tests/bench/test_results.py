"""What is made of figures."""

import xml.dom.minidom

import pytest
from chart import chart, cost_panels
from measure import Failed, figures_of, parse_wrk
from report import number, page, tables, verdicts
from results import Results
from workloads import BY_NAME, Target, Workload

TARGETS = (
    Target("cpu_us", most=1.08, of="floor1"),
    Target("rate", least=0.8, of="floor1"),
    Target("cpu_us", most=10, of="own"),
    Target("p99_us", most=3, of="alone"),
    Target("instructions", most=7500),
)
WORK = Workload("work", "some <work>", "plain:hello", targets=TARGETS)


def figures(rate, cpu, **more):
    halves = {"user_us": cpu / 2, "system_us": cpu / 2}
    return {"rate": rate, "cpu_us": cpu, "p50_us": 5, "p99_us": 9, **halves, **more}


@pytest.fixture
def results():
    """Three rounds; the second is one of a busy machine, and the third failed for wsgid."""
    made = Results()
    for rate, cpu in ((1000, 10), (100, 100), (1000, 10)):
        made.add("work", "floor1", figures(rate, cpu))
    made.add("work", "wsgid", figures(900, 10.5, p99_us_alone=2, instructions=7501, again=0))
    made.add("work", "wsgid", figures(90, 105, p99_us_alone=4.5, again=4))
    made.add("work", "wsgid", None)
    made.own_us["work"] = [2, 90, 2]
    made.fail("work", "waitress", "wrong answer")
    return made


def test_ratios_are_of_the_same_round(results):
    assert results.ratio("work", "wsgid", "cpu_us") == pytest.approx(1.05)
    assert results.ratio("work", "wsgid", "rate") == pytest.approx(0.9)
    assert results.ratio("work", "nobody", "rate") is None


def test_spread(results):
    assert results.spread("work", "floor1", "cpu_us") == (10, 10, 100)
    assert results.spread("work", "wsgid", "instructions") == (7501, 7501, 7501)
    assert results.spread("work", "wsgid", "nothing") is None


def test_verdicts(results):
    found = [(value, met) for _, _, value, met in verdicts(results, [WORK])]
    assert found == [
        (pytest.approx(1.05), True),
        (pytest.approx(0.9), True),
        (pytest.approx(11.75), False),
        (pytest.approx(3.25), False),
        (7501, False),
    ]


def test_what_was_not_measured_is_no_verdict():
    assert {met for *_, met in verdicts(Results(), BY_NAME.values())} == {None}


def test_bounds_are_inside():
    assert Target("cpu_us", most=2).is_met(2) and not Target("cpu_us", most=2).is_met(2.001)
    assert Target("rate", least=2).is_met(2) and not Target("rate", least=2).is_met(1.999)


def test_tables(results):
    text = "\n".join(tables(results, [WORK]))
    assert "| some <work> | CPU µs at most 1.08 of floor1's | 1.05 | met | 1 |" in text
    assert "| some <work> | instructions at most 7,500 | 7,501 | **not met** | - |" in text
    assert "| some <work> | CPU µs at most 10 more than the application's own | 11.8 | **not met** | 8.00 |" in text
    assert "| floor1 | 1,000 (100-1,000) | 10.0 (10.0-100) |" in text
    assert "- waitress: wrong answer" in text
    assert "- wsgid closed connections under 2 requests, which were sent again" in text
    assert "called in a loop by python3: 2.00 (2.00-90.0) µs" in text
    widths = {line.count("|") for line in text.split("### ")[1].splitlines() if "|" in line}
    assert len(widths) == 1


def test_the_page_says_everything_once(results):
    lines = list(page(results, [WORK], [["machine", "a small one"]]))
    assert "| machine | a small one |" in lines
    assert lines.count("| workload | target for wsgid | measured |  | floor1 |") == 1
    assert [line for line in lines if line.startswith("#")] == [
        "# Performance", "## Targets", "## What the targets say", "## Workloads", "### some <work>"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value, text", [(None, "-"), (0, "0"), (1.234, "1.23"), (12.34, "12.3"), (132000.4, "132,000")]
)
def test_numbers(value, text):
    assert number(value) == text


def test_the_chart_is_xml_with_a_bar_for_each_server(results):
    document = xml.dom.minidom.parseString(chart("a & b", cost_panels(results, [WORK])))
    words = [node.firstChild.data for node in document.getElementsByTagName("text")]
    assert words == ["a & b", "some <work>", "floor1", "10.0", "wsgid", "57.8"]
    ground, *bars = document.getElementsByTagName("rect")
    assert float(ground.getAttribute("width")) > float(bars[1].getAttribute("width"))
    lengths = [float(bar.getAttribute("width")) for bar in bars]
    assert lengths[0] / lengths[1] == pytest.approx(10 / 57.75, rel=0.01)


def test_processor_time_is_shared_out():
    told = {"requests": 1000, "timely": 900, "seconds": 2, "p50_us": 1, "p99_us": 2, "max_us": 3,
            "unanswered": 0, "again": 0}  # fmt: skip
    found = figures_of(told, (1, 3, 0.040))
    assert (found["rate"], found["cpu_us"]) == (450, 40)
    assert (found["user_us"], found["system_us"]) == pytest.approx((10, 30))


WRK = """Running 1s test @ http://127.0.0.1:8101/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.93ms  804.39us  14.30ms   80.36%
    Req/Sec    33.18k     3.05k   39.95k    60.00%
  Latency Distribution
     50%  512.00us
     75%    2.25ms
     90%    2.67ms
     99%    4.65ms
  33024 requests in 1.00s, 3.65MB read
Requests/sec:  33024.00
"""


def test_wrk_is_understood():
    told = parse_wrk(WRK)
    assert (told["requests"], told["seconds"]) == (33024, 1)
    assert (told["p50_us"], told["p99_us"], told["max_us"]) == (512, 4650, 14300)
    with pytest.raises(Failed):
        parse_wrk("unable to connect")
