"""The threads: real ones, with a server that is a function."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.delivery.engine import Caller, Engine, Stopped
from destination_cleverpush.delivery.limit import LimitTuning
from destination_cleverpush.errors import Failure, transient_error
from destination_cleverpush.words import Answer, Job, Operation, State, Underway, Verdict
from unit_tests.delivery.simulation import TAKEN, job, state


class Valve:
    """An engine, and a settlement that releases whatever is settled."""

    def __init__(
        self,
        send: Callable[[Operation], Answer],
        max_concurrency: int = 8,
        grace: float = 5.0,
        bounds: Bounds | None = None,
        *,
        begin: Callable[[Operation], Underway | Answer | None] = lambda _: None,
        answered: Callable[[Operation, Answer], None] = lambda *_: None,
    ) -> None:
        self.inbox: SimpleQueue[Job | None] = SimpleQueue()
        dispatcher = Dispatcher(bounds or Bounds(max_concurrency), self.inbox.put)
        self.engine = Engine(
            dispatcher, Caller(begin, send, answered), max_concurrency, grace, lambda: self.inbox.put(None)
        )
        self.put = self.engine.put

    def run(self, feed: Callable[[], None]) -> Iterator[int]:
        """The numbers of the states that leave."""
        self.engine.start(feed)
        try:
            while (left := self.engine.left()) != 0:
                yield from self._turn(left)
            yield from self._turn(0.0)
        finally:
            failure = self.engine.close()
        if failure:
            raise failure

    def _turn(self, seconds: float | None) -> Iterator[int]:
        jobs: list[Job] = []
        try:
            jobs += [each for each in [self.inbox.get(timeout=seconds)] if each]
            while True:
                jobs += [each for each in [self.inbox.get_nowait()] if each]
        except Empty:
            pass
        for due in self.engine.release(jobs):
            yield due.state.content


def run(valve: Valve, feed: Callable[[], None]) -> list[int]:
    return list(valve.run(feed))


def test_rows_arrive_in_order_per_subscription_and_states_in_order() -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    rng = random.Random(3)

    def send(operation: Operation) -> Answer:
        time.sleep(rng.random() * 0.002)
        lane, number = operation.payload["row"].split("-")
        seen[lane].append(int(number))
        return TAKEN

    valve = Valve(send, 16)

    def feed() -> None:
        for n in range(1000):
            valve.put([job(f"{n % 7}-{n}", f"s{n % 7}"), state(n, "users")])

    states = run(valve, feed)
    assert states == list(range(1000))
    assert sorted(n for numbers in seen.values() for n in numbers) == list(range(1000))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_a_state_leaves_while_the_input_is_silent() -> None:
    valve, go_on = Valve(lambda _: TAKEN), threading.Event()

    def feed() -> None:
        valve.put([job("a"), state(1, "users")])
        assert go_on.wait(30), "the state did not leave before the input went on"

    states = valve.run(feed)
    assert next(states) == 1
    go_on.set()
    assert list(states) == []


@pytest.mark.parametrize(
    ("bounds", "most"), [(Bounds(8, most_rows=50), 50), (Bounds(8, most_ready=50), LimitTuning.start + 50)]
)
def test_a_full_valve_stops_the_reading(bounds: Bounds, most: int) -> None:
    released, handed_over = threading.Event(), []

    def send(_operation: Operation) -> Answer:
        released.wait(30)
        return TAKEN

    valve = Valve(send, bounds=bounds)

    def feed() -> None:
        for n in range(200):
            valve.put([job(f"r{n}", f"s{n}")])
            handed_over.append(n)

    def look() -> None:
        deadline = time.monotonic() + 25
        while len(handed_over) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        seen.append(len(handed_over))
        released.set()

    seen: list[int] = []
    looker = threading.Thread(target=look)
    looker.start()
    run(valve, feed)
    looker.join()
    assert 50 <= seen[0] <= most
    assert len(handed_over) == 200


def test_reading_goes_on_where_rows_are_called_for_and_not_yet_let_go_of() -> None:
    valve, read = Valve(lambda _: TAKEN, bounds=Bounds(8, most_ready=20)), threading.Event()

    def feed() -> None:
        for n in range(200):
            valve.put([job(f"r{n}", f"s{n}")])
        read.set()

    valve.engine.start(feed)
    assert read.wait(20), "it waits for rows to be released"
    valve.engine.close()


def test_a_failure_of_the_input_ends_the_sync_after_what_was_read_is_delivered() -> None:
    sent: list[Operation] = []

    def send(operation: Operation) -> Answer:
        time.sleep(0.01)
        sent.append(operation)
        return TAKEN

    valve = Valve(send)

    def feed() -> None:
        valve.put([*(job(f"r{n}", f"s{n}") for n in range(50)), state(1, "users")])
        raise transient_error("the input broke")

    lines: list[int] = []
    with pytest.raises(Failure, match="the input broke"):
        lines.extend(valve.run(feed))
    assert len(sent) == 50
    assert len(lines) == 1


@pytest.mark.parametrize("failed_before", [False, True])
def test_stopping_ends_within_the_grace_even_if_a_request_hangs_and_the_input_is_silent(failed_before: bool) -> None:
    hanging, started = threading.Event(), threading.Event()
    answered: list[Operation] = []

    def send(operation: Operation) -> Answer:
        if operation.payload["row"] == "hangs":
            started.set()
            hanging.wait(60)
            answered.append(operation)
        return TAKEN

    valve = Valve(send, grace=60.0)

    def feed() -> None:
        valve.put([job("a", "s1"), state(1, "users"), job("hangs", "s2"), state(2, "users")])
        hanging.wait(60)

    def stop() -> None:
        started.wait(30)
        if failed_before:
            valve.engine.stop(transient_error("the first failure counts"))
            time.sleep(0.1)
        valve.engine.stop(transient_error("stopped"), 0.1)

    threading.Thread(target=stop).start()
    lines: list[int] = []
    with pytest.raises(Failure, match="the first failure counts" if failed_before else "stopped"):
        lines.extend(valve.run(feed))
    assert answered == [], "the end waited for the request"
    hanging.set()
    assert len(lines) == 1


def test_the_feed_is_told_when_the_sync_is_over() -> None:
    valve, told = Valve(lambda _: TAKEN), threading.Event()

    def feed() -> None:
        try:
            while True:
                valve.put([job("a")])
        except Stopped:
            told.set()
            raise

    threading.Timer(0.1, lambda: valve.engine.stop(transient_error("enough"))).start()
    with pytest.raises(Failure, match="enough"):
        run(valve, feed)
    assert told.wait(30)


@pytest.mark.parametrize("where", ["feed", "send"])
def test_an_unforeseen_error_in_a_thread_is_raised_to_the_caller(where: str) -> None:
    def send(_operation: Operation) -> Answer:
        if where == "send":
            raise KeyError("unforeseen")
        return TAKEN

    valve = Valve(send)

    def feed() -> None:
        items: list[Job | State] = [job("a")]
        valve.put(items)
        if where == "feed":
            raise KeyError("unforeseen")

    with pytest.raises(KeyError, match="unforeseen"):
        run(valve, feed)


def test_a_delayed_start_is_kept_though_all_senders_are_idle_or_busy() -> None:
    """With a cap, somebody must wake up for the next request also while others are still under way."""
    starts: list[float] = []

    def send(_operation: Operation) -> Answer:
        starts.append(time.monotonic())
        time.sleep(0.5)
        return TAKEN

    valve = Valve(send, bounds=Bounds(8, 20.0))
    run(valve, lambda: valve.put([job(f"r{n}", f"s{n}") for n in range(4)]))
    assert max(starts) - min(starts) < 0.45, "a request waited for the answer to another one"


def test_states_that_nobody_reads_stop_the_input() -> None:
    valve = Valve(lambda _: TAKEN, bounds=Bounds(8, most_bytes=20_000))
    put: list[int] = []

    def feed() -> None:
        for n in range(3000):
            valve.put([state(n, "users")])
            put.append(n)

    states = valve.run(feed)
    first = next(states)
    time.sleep(0.3)
    assert len(put) < 1000
    assert [first, *states] == list(range(3000))


def test_senders_that_cannot_be_started_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if thread.name.startswith("sender"):
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)

    def send(_operation: Operation) -> Answer:
        time.sleep(0.002)
        return TAKEN

    valve = Valve(send)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n}") for n in range(100)), state(1, "users")])) == [1]
    assert len(started) == 2


class Line:
    """A call under way whose answer comes when somebody says so."""

    def __init__(self, answer: Answer = TAKEN, *, blocks: bool = False, due: float = float("inf")) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.answer = answer
        self.blocks = blocks
        self.due = due
        self.waited_in = ""
        self.go_on = threading.Event()

    def fileno(self) -> int:
        return self.ours.fileno()

    def look(self) -> Answer | None:
        if self.blocks:
            return None
        return self.answer if select.select([self.ours], [], [], 0)[0] or self.due <= time.monotonic() else None

    def wait(self) -> Answer:
        self.waited_in = threading.current_thread().name
        self.go_on.wait(30)
        return self.answer


def test_one_thread_makes_all_calls_that_need_not_wait() -> None:
    lines: list[Line] = []
    threads: set[str] = set()

    def begin(_operation: Operation) -> Line:
        threads.add(threading.current_thread().name)
        lines.append(Line())
        lines[-1].theirs.send(b".")
        return lines[-1]

    valve = Valve(lambda _: TAKEN, begin=begin)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n}") for n in range(300)), state(1, "users")])) == [1]
    assert len(lines) == 300
    assert threads == {"courier"}


def test_a_call_starts_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are taken at once, and the pace that a server takes is read from when they were made."""
    lines: list[Line] = []

    def begin(_operation: Operation) -> Line:
        time.sleep(0.02)
        lines.append(Line())
        lines[-1].theirs.send(b".")
        return lines[-1]

    valve, starts = Valve(lambda _: TAKEN, begin=begin), list[float]()
    monkeypatch.setattr(valve.engine.dispatcher.throttle, "taken", starts.append)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n}") for n in range(4)), state(1, "users")])) == [1]
    assert all(later - sooner > 0.015 for sooner, later in pairwise(sorted(starts)))


def test_a_call_whose_answer_has_to_be_waited_for_holds_no_other_up() -> None:
    slow = Line(blocks=True)
    slow.theirs.send(b".")  # it begins to answer

    def begin(operation: Operation) -> Line:
        line = slow if operation.payload["row"] == "slow" else Line()
        line.theirs.send(b".")
        return line

    answered: list[Operation] = []
    valve = Valve(lambda _: TAKEN, begin=begin, answered=lambda operation, _: answered.append(operation))

    def feed() -> None:
        valve.put([job("slow", "s0"), *(job(f"r{n}", f"s{n}") for n in range(1, 50)), state(1, "users")])
        while len(answered) < 49:
            time.sleep(0.001)
        slow.go_on.set()

    assert run(valve, feed) == [1]
    assert slow.waited_in.startswith("sender")
    assert len(answered) == 50


def test_a_call_that_nothing_comes_to_is_looked_at_when_it_is_due() -> None:
    late = Answer(Verdict.REJECTED, status=400)

    def begin(_operation: Operation) -> Line:
        return Line(late, due=time.monotonic() + 0.05)

    valve = Valve(lambda _: TAKEN, begin=begin)
    assert run(valve, lambda: valve.put([job("a", "s1"), job("b", "s2"), state(1, "users")])) == [1]


def test_an_answer_that_is_known_at_once_needs_no_call() -> None:
    valve = Valve(lambda _: TAKEN, begin=lambda _: TAKEN)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n % 7}") for n in range(300)), state(1, "users")])) == [1]


def test_without_any_thread_to_spare_calls_are_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def start_none(thread: threading.Thread) -> None:
        if thread.name.startswith("sender"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_none)
    valve = Valve(lambda _: TAKEN)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n}") for n in range(50)), state(1, "users")])) == [1]


@pytest.mark.parametrize("spare", [0, 1])
def test_hardly_a_call_waits_for_a_thread_to_be_made_in_a_pause(spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started, calls, early = 0, 0, 0
    until = 0.0

    def start_some(thread: threading.Thread) -> None:
        nonlocal started
        if thread.name.startswith("sender"):
            if started == spare:
                raise RuntimeError("can't start new thread")
            started += 1
        start(thread)

    def send(_operation: Operation) -> Answer:
        nonlocal calls, early, until
        calls += 1
        early += time.monotonic() < until
        time.sleep(0.005)
        if calls != 30:
            return TAKEN
        until = time.monotonic() + 0.3
        return Answer(Verdict.THROTTLED, summary="answered 429", status=429, delay=0.3, congested=True)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    valve = Valve(send, 32)
    assert run(valve, lambda: valve.put([*(job(f"r{n}", f"s{n}") for n in range(50)), state(1, "users")])) == [1]
    assert calls == 51
    assert early <= spare  # the one that the courier has made ready for the next sender


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_descriptors_of_an_engine_are_closed() -> None:
    before = descriptors()
    for _ in range(5):
        valve = Valve(lambda _: TAKEN)
        run(valve, lambda valve=valve: valve.put([job("a")]))  # type: ignore[misc]
    deadline = time.monotonic() + 30
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descriptors() <= before
