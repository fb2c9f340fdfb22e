"""The threads: real ones, with a server that is a function."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pytest

from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.delivery.engine import Engine, Stopped
from destination_cleverpush.errors import Failure, transient_error
from destination_cleverpush.words import Answer, Job, Operation, State
from unit_tests.delivery.simulation import TAKEN, job, state


class Valve:
    """An engine, and a settlement that releases whatever is settled."""

    def __init__(
        self,
        send: Callable[[Operation], Answer],
        max_concurrency: int = 8,
        grace: float = 5.0,
        bounds: Bounds | None = None,
    ) -> None:
        self.inbox: SimpleQueue[Job | None] = SimpleQueue()
        dispatcher = Dispatcher(bounds or Bounds(max_concurrency), self.inbox.put)
        self.engine = Engine(dispatcher, send, max_concurrency, grace, lambda: self.inbox.put(None))
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


def test_a_full_valve_stops_the_reading() -> None:
    released, handed_over = threading.Event(), []

    def send(_operation: Operation) -> Answer:
        released.wait(30)
        return TAKEN

    valve = Valve(send, bounds=Bounds(8, most_rows=50))

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
    assert seen == [50]
    assert len(handed_over) == 200


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
