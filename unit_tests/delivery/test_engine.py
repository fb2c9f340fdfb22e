"""The threads: real ones, with a server that is a function."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush.answers import Answer
from destination_cleverpush.delivery import dispatcher as module
from destination_cleverpush.delivery.dispatcher import Dispatcher, Row
from destination_cleverpush.delivery.engine import Engine, Stopped
from destination_cleverpush.errors import transient_error
from destination_cleverpush.operations import Operation
from destination_cleverpush.protocol import State
from unit_tests.delivery.simulation import TAKEN, row, state


def engine(send: Callable[[Operation], Answer], max_concurrency: int = 8, grace: float = 5.0) -> Engine:
    dispatcher = Dispatcher(max_concurrency, None, lambda rejected, _answer: dispatcher.rejection_stored(rejected))
    return Engine(dispatcher, send, max_concurrency, grace, lambda: None)


def run(valve: Engine, feed: Callable[[], None]) -> list[str]:
    return [line for lines in valve.run(feed, lambda: None, None) for line in lines]


def test_rows_arrive_in_order_per_subscription_and_states_in_order() -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    rng = random.Random(3)

    def send(operation: Operation) -> Answer:
        time.sleep(rng.random() * 0.002)
        lane, number = operation.payload["row"].split("-")
        seen[lane].append(int(number))
        return TAKEN

    valve = engine(send, 16)

    def feed() -> None:
        for n in range(1000):
            valve.put([row(f"{n % 7}-{n}", f"s{n % 7}"), state(n, "users")])

    states = run(valve, feed)
    assert [f'"id": {n}' in line for n, line in enumerate(states)] == [True] * 1000
    assert sorted(n for numbers in seen.values() for n in numbers) == list(range(1000))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_a_state_leaves_while_the_input_is_silent() -> None:
    valve, go_on = engine(lambda _: TAKEN), threading.Event()

    def feed() -> None:
        valve.put([row("a"), state(1, "users")])
        assert go_on.wait(30), "the state did not leave before the input went on"

    batches = valve.run(feed, lambda: None, None)
    assert len(next(batches)) == 1
    go_on.set()
    assert list(batches) == []


def test_a_full_valve_stops_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    released, handed_over = threading.Event(), []

    def send(_operation: Operation) -> Answer:
        released.wait(30)
        return TAKEN

    valve = engine(send)

    def feed() -> None:
        for n in range(200):
            valve.put([row(f"r{n}", f"s{n}")])
            handed_over.append(n)

    def look() -> None:
        time.sleep(0.3)
        assert len(handed_over) == 50
        released.set()

    looker = threading.Thread(target=look)
    looker.start()
    run(valve, feed)
    looker.join()
    assert len(handed_over) == 200


def test_a_failure_of_the_input_ends_the_sync_after_what_was_read_is_delivered() -> None:
    sent: list[Operation] = []

    def send(operation: Operation) -> Answer:
        time.sleep(0.01)
        sent.append(operation)
        return TAKEN

    valve = engine(send)

    def feed() -> None:
        valve.put([*(row(f"r{n}", f"s{n}") for n in range(50)), state(1, "users")])
        raise transient_error("the input broke")

    lines: list[str] = []
    with pytest.raises(AirbyteTracedException, match="the input broke"):
        lines.extend(line for batch in valve.run(feed, lambda: None, None) for line in batch)
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

    valve = engine(send, grace=60.0)

    def feed() -> None:
        valve.put([row("a", "s1"), state(1, "users"), row("hangs", "s2"), state(2, "users")])
        hanging.wait(60)

    def stop() -> None:
        started.wait(30)
        if failed_before:
            valve.stop(transient_error("the first failure counts"))
            time.sleep(0.1)
        valve.stop(transient_error("stopped"), 0.1)

    threading.Thread(target=stop).start()
    lines: list[str] = []
    with pytest.raises(AirbyteTracedException, match="the first failure counts" if failed_before else "stopped"):
        lines.extend(line for batch in valve.run(feed, lambda: None, None) for line in batch)
    assert answered == [], "the end waited for the request"
    hanging.set()
    assert len(lines) == 1


def test_the_feed_is_told_when_the_sync_is_over() -> None:
    valve, told = engine(lambda _: TAKEN), threading.Event()

    def feed() -> None:
        try:
            while True:
                valve.put([row("a")])
        except Stopped:
            told.set()
            raise

    threading.Timer(0.1, lambda: valve.stop(transient_error("enough"))).start()
    with pytest.raises(AirbyteTracedException, match="enough"):
        run(valve, feed)
    assert told.wait(30)


@pytest.mark.parametrize("where", ["feed", "send"])
def test_an_unforeseen_error_in_a_thread_is_raised_to_the_caller(where: str) -> None:
    def send(_operation: Operation) -> Answer:
        if where == "send":
            raise KeyError("unforeseen")
        return TAKEN

    valve = engine(send)

    def feed() -> None:
        items: list[Row | State] = [row("a")]
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

    dispatcher = Dispatcher(8, 20.0, lambda _row, _answer: None)
    valve = Engine(dispatcher, send, 8, 5.0, lambda: None)
    run(valve, lambda: valve.put([row(f"r{n}", f"s{n}") for n in range(4)]))
    assert max(starts) - min(starts) < 0.45, "a request waited for the answer to another one"


def test_a_row_that_fails_the_sync_in_the_middle_of_a_batch_ends_it() -> None:
    dispatcher = Dispatcher(2, None, lambda _row, _answer: dispatcher.fail(transient_error("a row was refused")))
    valve = Engine(dispatcher, lambda _: TAKEN, 2, 5.0, lambda: None)
    with pytest.raises(AirbyteTracedException, match="a row was refused"):
        run(valve, lambda: valve.put([row("bad", refused=True), row("a"), state(1, "users")]))


def test_states_that_nobody_reads_stop_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    valve = engine(lambda _: TAKEN)
    put: list[int] = []

    def feed() -> None:
        for n in range(3000):
            valve.put([state(n, "users")])
            put.append(n)

    batches = valve.run(feed, lambda: None, None)
    lines = list(next(batches))
    time.sleep(0.3)
    assert len(put) < 1000
    lines.extend(line for batch in batches for line in batch)
    assert [f'"id": {n}' in line for n, line in enumerate(lines)] == [True] * 3000
