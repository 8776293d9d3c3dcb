"""Plays a row against a server and says what is wrong with the answer."""

import time

from rows import (
    ALONE, ARRIVED, AWAIT, CLOSED, EVERY_BYTE, FIN, GO, IN_STEP, OPEN, Leave, Until,
)  # fmt: skip
from wire import Closed, request

PROBE = request(path="/probe")
# How long the application may take to note what it noted.
NOTE_TIMEOUT = 2
NEVER_CALLED = ("/evil", "/smuggled")


class Talk:
    """One connection and what came back on it."""

    def __init__(self, server, methods):
        self.server, self.methods = server, methods
        self.start = server.recorded()
        self.client = server.connect()
        self.address = server.address
        self.answers = []
        self.finals = 0
        # Why no answer comes any more.
        self.ended = None
        # What is no HTTP.
        self.trouble = None

    def send(self, data):
        try:
            self.client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            # Refused already; the answer tells.
            pass

    def receive(self):
        """The next answer is in `answers`; False if none comes."""
        method = self.methods[min(self.finals, len(self.methods) - 1)]
        try:
            res = self.client.response(method)
        except Closed:
            self.ended = CLOSED
            if self.client.pending:
                self.trouble = f"the end, with {self.client.pending[:200]!r} before it"
        except ConnectionResetError:
            self.ended = CLOSED
        except TimeoutError:
            self.ended = "silent"
            if self.client.pending:
                self.trouble = f"silence, with {self.client.pending[:200]!r} before it"
        except (AssertionError, ValueError) as error:
            self.ended = "noise"
            self.trouble = f"no valid response: {error}"
        else:
            self.answers.append(res)
            self.finals += res.status >= 200
            return True
        return False

    def perform(self, steps):
        for step in steps:
            if step is AWAIT:
                if not self.receive():
                    return
            elif step is FIN:
                try:
                    self.client.finish_sending()
                except OSError:
                    pass
            elif step is ARRIVED:
                self.server.diagnosis.wait(self.client.sock)
            elif step is GO:
                self.server.go.touch()
            elif isinstance(step, Until):
                self.receive_until(step.mark)
            elif isinstance(step, Leave):
                self.leave_after(step.length)
            else:
                self.send(step)

    def receive_until(self, mark):
        try:
            while mark not in self.client.pending and self.client.more():
                pass
        except OSError:
            # Whoever waits for the answer will say what is missing.
            pass

    def leave_after(self, length):
        try:
            self.client.take(length)
        except OSError:
            pass
        self.client.close()
        self.ended = "left"

    def said_close(self):
        if not self.answers:
            return False
        return "close" in ",".join(self.answers[-1].all("Connection")).lower()

    def events(self):
        return self.server.events(self.start, self.address)


def fault_of_answers(option, talk):
    """What is wrong with the answers up to now; None if they may become what
    the option wants."""
    if talk.trouble:
        return talk.trouble
    for i, res in enumerate(talk.answers):
        if i == len(option.answers):
            return f"one more answer than expected: {res}"
        fault = option.answers[i].fault(res)
        if fault:
            return f"answer {i + 1}: {fault} in {res}"
    if talk.ended and len(talk.answers) < len(option.answers):
        fewest = 0 if option.dropped else 1 if option.prefix else len(option.answers)
        if len(talk.answers) < fewest or talk.ended != CLOSED:
            return f"{talk.ended} after {len(talk.answers)} answers"
    return None


def is_full(option, talk):
    return len(talk.answers) == len(option.answers)


def state_behind(talk, wanted):
    """What became of the connection."""
    if talk.ended:
        return talk.ended
    if wanted == CLOSED or talk.said_close():
        return f"open, answering {talk.answers[-1]}" if talk.receive() else talk.ended
    talk.methods = ("GET",)
    talk.send(PROBE)
    if not talk.receive():
        return talk.trouble or talk.ended
    probe = talk.answers.pop()
    good = probe.status == 200 and probe.body == b"GET /probe"
    return OPEN if good else f"out of step: {probe}"


def fault_of_state(option, state):
    if option.then in (None, state) or (option.then == IN_STEP and state in (OPEN, CLOSED)):
        return None
    return f"the connection is {state}, not {option.then}"


def fault_of_events(option, talk):
    """What the application noted; close() may run a little later."""
    end = time.monotonic() + NOTE_TIMEOUT
    while True:
        events = talk.events()
        fault = universal_fault(events)
        calls = [e for e in events if e["event"] == "call"]
        if option.called is False and calls:
            fault = fault or f"the application was called: {calls}"
        if fault or not option.events:
            return fault
        fault = option.events(events)
        if not fault or time.monotonic() > end:
            return fault
        time.sleep(0.01)


def universal_fault(events):
    for event in events:
        if event["event"] == "violation":
            return f"PEP 3333 broken: {event['text']}"
        if event["event"] == "call":
            if event["path"].startswith(NEVER_CALLED):
                return f"the application was called with {event}"
            for name, value in event["headers"].items():
                if any(c in value for c in "\r\n\0"):
                    return f"the application got {name}: {value!r}"
    return None


def converse(server, steps, methods, want):
    """One conversation; what is wrong, or None."""
    talk = Talk(server, methods)
    with talk.client:
        talk.perform(steps)
        while True:
            faults = [fault_of_answers(option, talk) for option in want.options]
            live = [o for o, fault in zip(want.options, faults) if not fault]
            if not live or talk.ended or all(is_full(o, talk) for o in live):
                break
            talk.receive()
        if live:
            # Those that want it closed wait for that only where all do.
            ways = {option.then for option in live}
            wanted = CLOSED if ways == {CLOSED} else OPEN
            state = None if ways == {None} else state_behind(talk, wanted)
            faults = [fault_of_state(option, state) for option in live]
            live = [o for o, fault in zip(live, faults) if not fault]
    if not live:
        # What it did wrongly is told, and what it may have done besides.
        talk_fault = universal_fault(talk.events())
        return "; ".join(filter(None, dict.fromkeys([*faults, talk_fault])))
    faults = [fault_of_events(option, talk) for option in live]
    return None if None in faults else faults[0]


def cuts(row):
    """The conversations of a row, each with a name for messages."""
    if row.cut is None:
        yield "", row.send
        return
    (data,) = row.send
    if row.cut == ALONE:
        pieces = [(data[i : i + 1], ARRIVED) for i in range(len(data))]
        yield "byte by byte: ", [step for pair in pieces for step in pair]
        return
    assert row.cut == EVERY_BYTE
    for at in range(1, len(data)):
        yield f"cut behind {data[:at][-20:]!r}: ", (data[:at], ARRIVED, data[at:])


def fault_of(server, row, kind):
    """Plays the row; what is wrong with the answer, or None."""
    for name, steps in cuts(row):
        try:
            fault = converse(server, steps, row.methods, row.wants[kind])
        except OSError as error:
            fault = f"{type(error).__name__}: {error}"
        if not server.is_alive():
            fault = f"the server died ({server.process.returncode}); {fault}"
        if fault:
            return name + fault[:1000]
    return None
