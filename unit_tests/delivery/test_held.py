"""Held jobs: what would be hard to undo waits in its lane, until much of the input is known."""

from __future__ import annotations

import threading
import time

import pytest

from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.words import Job, Operation, Script, State
from unit_tests.delivery.simulation import TAKEN, job, state
from unit_tests.delivery.test_engine import Valve, run


def held(name: str, lane: str | None = None) -> Job:
    found = job(name, lane or name)
    found.held = True
    return found


class Delivery:
    """A dispatcher whose calls are all taken, at times that the test names."""

    def __init__(self, **bounds: float) -> None:
        self.dispatcher = Dispatcher(Bounds(**bounds), self._settled)  # type: ignore[arg-type]
        self.done: list[str] = []
        self._unreleased: list[Job] = []
        self.states: list[object] = []

    def _settled(self, found: Job) -> None:
        self.done.append(found.origin.name)
        self._unreleased.append(found)

    def add(self, *items: Job | State) -> None:
        for item in items:
            if isinstance(item, Job):
                self.dispatcher.add(item)
            else:
                self.dispatcher.add_state(item)

    def work(self, now: float = 0.0) -> list[str]:
        """All that may be called now; returns what was done since the last time."""
        self.dispatcher.watch(now)
        while self.dispatcher.due(now) == 0:
            self.dispatcher.answered(self.dispatcher.next(now), TAKEN, now)
        self.states += [due.state.content for due in self.dispatcher.release(self._unreleased)]
        self._unreleased = []
        done, self.done = self.done, []
        return done


def test_held_jobs_wait_for_the_end_of_the_input_and_others_pass_them() -> None:
    delivery = Delivery()
    delivery.add(job("a"), held("b"), job("c", "s3"), state(1))
    assert delivery.work() == ["a", "c"]
    assert delivery.states == []
    delivery.dispatcher.end_input()
    assert delivery.work() == ["b"]
    assert delivery.states == [1]
    assert delivery.dispatcher.finished


def test_what_is_behind_a_held_job_in_its_lane_waits_with_it_and_what_is_before_it_does_not() -> None:
    delivery = Delivery()
    delivery.add(job("before", "s1"), held("removed", "s1"), job("after", "s1"))
    assert delivery.work() == ["before"]
    delivery.dispatcher.end_input()
    assert delivery.work() == ["removed", "after"]


def test_they_are_let_go_when_enough_of_them_wait_and_none_is_held_any_more() -> None:
    delivery = Delivery(most_held=3)
    delivery.add(held("a"), held("b"))
    assert delivery.work() == []
    delivery.add(held("c"), held("d"))
    assert sorted(delivery.work()) == ["a", "b", "c", "d"]
    delivery.add(held("e"))
    assert delivery.work() == ["e"]


def test_they_are_let_go_after_a_minute_of_the_first_of_them() -> None:
    delivery = Delivery()
    delivery.add(held("a"))
    assert delivery.dispatcher.watch(100.0) == 60.0
    delivery.add(held("b"))
    assert delivery.work(159.9) == []
    assert sorted(delivery.work(160.0)) == ["a", "b"]
    assert delivery.dispatcher.watch(161.0) is None


def test_while_they_wait_the_log_can_say_what_for() -> None:
    delivery = Delivery()
    delivery.add(held("a"))
    delivery.work()
    assert "marked as removed" in delivery.dispatcher.pulse(0.0).cause


def test_a_sync_that_fails_while_they_wait_makes_none_of_their_calls() -> None:
    delivery = Delivery()
    delivery.add(held("a"), state(1))
    delivery.dispatcher.fail(config_error("no"))
    delivery.dispatcher.end_input()
    assert delivery.work() == []
    assert delivery.states == []
    assert delivery.dispatcher.finished


def doubted(name: str) -> Job:
    def script() -> Script:
        yield from ()
        raise config_error("too many")

    found = held(name)
    found.script = script()
    return found


def test_a_held_job_that_fails_the_sync_is_followed_by_no_call() -> None:
    delivery = Delivery()
    delivery.add(doubted("a"), held("b"), state(1))
    delivery.dispatcher.end_input()
    assert delivery.work() == []
    assert delivery.states == []
    assert delivery.dispatcher.failure is not None


# --- with real threads


def called(bounds: Bounds, then: threading.Event | None = None) -> tuple[Valve, list[str]]:
    found: list[str] = []

    def send(operation: Operation) -> object:
        found.append(operation.payload["row"])
        if then is not None:
            then.set()
        return TAKEN

    return Valve(send, bounds=bounds), found  # type: ignore[arg-type]


def test_the_engine_lets_them_go_at_the_end_of_the_input() -> None:
    valve, found = called(Bounds())

    def feed() -> None:
        valve.put([held("a"), job("b", "s2"), state(1)])
        time.sleep(0.1)
        assert found == ["b"]

    assert run(valve, feed) == [1]
    assert found == ["b", "a"]


def test_the_engine_lets_them_go_by_the_clock_while_the_source_is_silent() -> None:
    arrived = threading.Event()
    valve, found = called(Bounds(longest_held_seconds=0.2), arrived)

    def feed() -> None:
        began = time.monotonic()
        valve.put([held("a"), state(1)])
        assert arrived.wait(10)
        assert time.monotonic() - began >= 0.2

    assert run(valve, feed) == [1]
    assert found == ["a"]


def test_the_engine_lets_them_go_when_enough_wait() -> None:
    arrived = threading.Event()
    valve, found = called(Bounds(most_held=2), arrived)

    def feed() -> None:
        valve.put([held("a"), held("b"), state(1)])
        assert arrived.wait(10)

    assert run(valve, feed) == [1]
    assert sorted(found) == ["a", "b"]


def test_rows_that_wait_behind_held_ones_do_not_stop_the_sync_for_good() -> None:
    valve, found = called(Bounds(most_rows=10, longest_held_seconds=0.2))
    run(valve, lambda: valve.put([held("a", "s1"), *(job(f"n{n}", "s1") for n in range(50))]))
    assert len(found) == 51


def test_the_engine_ends_with_the_failure_of_a_held_job() -> None:
    valve, found = called(Bounds())
    with pytest.raises(Failure, match="too many"):
        run(valve, lambda: valve.put([doubted("a"), held("b"), state(1)]))
    assert found == []
