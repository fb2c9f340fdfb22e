"""Every outcome passes here, and a state leaves when all before it is kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest

from destination_cleverpush.delivery.checkpoints import Checkpoints
from destination_cleverpush.errors import Failure, config_error, transient_error
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.settlement.settlement import Settlement
from destination_cleverpush.words import DueState, Job, Row, State, StreamId
from unit_tests.settlement.keeper import FakeKeeper, Outcome
from unit_tests.settlement.outcomes import delivered, refused

LOGGER = logging.getLogger("airbyte.test")
FULL = transient_error("The store is full.")


class FakeValve:
    """Holds states back as delivery does; the sync is over when the steps are, or after a failure.

    Args:
        steps: what happens meanwhile, one before each turn of the settlement.
    """

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.released: list[Job] = []
        self.failures: list[Failure] = []
        self._steps = list(steps)
        self._checkpoints = Checkpoints()

    def take(self, *items: Job | State) -> None:
        for item in items:
            if isinstance(item, State):
                self._checkpoints.add(item)
            else:
                item.ticket = self._checkpoints.admit(item.stream)

    def release(self, jobs: Iterable[Job]) -> list[DueState]:
        for job in jobs:
            self.released.append(job)
            self._checkpoints.settle(job.ticket, rejected=job.refusal is not None)
        return self._checkpoints.due()

    def left(self) -> float | None:
        if self.failures or not self._steps:
            return 0.0
        self._steps.pop(0)()
        return 0.001

    def stop(self, failure: Failure) -> None:
        self.failures.append(failure)


def describe(row: Row) -> tuple[str | None, Iterable[str]]:
    return row.data.get("subscription_id"), [str(row.data.get("tags", ""))]


def settling(policy: Policy | None = None) -> Settlement:
    return Settlement(policy or Policy(), describe, LOGGER, breath_seconds=0.0)


def state(number: int) -> State:
    return State(StreamId("users"), 100, number)


def run(settlement: Settlement, valve: FakeValve) -> list[tuple[int, int, int]]:
    return [(due.state.content, due.delivered, due.rejected) for batch in settlement.run(valve) for due in batch]


def only_rejected(outcome: Outcome) -> bool:
    return outcome[1] is not None


def nothing() -> None:
    pass


# --- states


def test_states_leave_in_order_with_their_counts() -> None:
    settlement = settling()
    first, second, third = delivered(1), refused(2), delivered(3)
    valve = FakeValve(lambda: settlement.settled(third), lambda: settlement.settled(second), nothing, nothing)
    valve.take(state(0), first, state(1), second, state(2), third, state(3))
    valve._steps.insert(3, lambda: settlement.settled(first))
    assert run(settlement, valve) == [(0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 0)]
    assert valve.released == [third, second, first]
    assert settlement.counts.total.settled == 3


def test_a_state_leaves_as_soon_as_it_may() -> None:
    settlement = settling()
    job = delivered()
    valve = FakeValve(lambda: settlement.settled(job), nothing, lambda: pytest.fail("it leaves before"))
    valve.take(job, state(1))
    batches = settlement.run(valve)
    assert [due.state.content for due in next(batches)] == [1]


def test_what_was_settled_at_the_very_end_still_counts() -> None:
    settlement = settling()
    job = delivered()
    valve = FakeValve()
    valve.take(job, state(1), delivered(2), state(2))
    settlement.settled(job)
    assert run(settlement, valve) == [(1, 1, 0)]


def test_the_bell_makes_it_look_up() -> None:
    """Until then it sleeps, where nothing limits the sync."""
    settlement = settling()
    valve = FakeValve(nothing)
    valve.left = lambda: None if valve._steps else 0.0  # type: ignore[method-assign]

    def end() -> None:
        valve.take(state(1))
        valve._steps.clear()
        settlement.ring()

    threading.Timer(0.05, end).start()
    assert run(settlement, valve) == [(1, 0, 0)]


# --- keepers


def test_a_job_is_released_when_every_keeper_that_took_it_has_kept_it() -> None:
    settlement = settling()
    all_jobs, rejects = FakeKeeper(settlement), FakeKeeper(settlement, only_rejected)
    bad, good = refused(1), delivered(2)
    released: list[list[Job]] = []

    def note() -> None:
        released.append(list(valve.released))

    valve = FakeValve(
        lambda: (settlement.settled(bad), settlement.settled(good)), nothing,
        note, all_jobs.flush, nothing,
        note, rejects.flush, nothing,
        note,
    )  # fmt: skip
    valve.take(bad, state(1), good, state(2))
    assert run(settlement, valve) == [(1, 0, 1), (2, 1, 0)]
    assert released == [[], [good], [good, bad]]
    assert all_jobs.seen == rejects.seen
    assert [(job, row is None) for job, row in rejects.seen] == [(bad, False), (good, True)]


def test_a_job_that_no_keeper_took_is_released_at_once() -> None:
    settlement = settling()
    FakeKeeper(settlement, only_rejected)
    job = delivered()
    valve = FakeValve(lambda: settlement.settled(job), nothing, lambda: pytest.fail("it leaves before"))
    valve.take(job, state(1))
    next(settlement.run(valve))
    assert valve.released == [job]


def test_an_older_row_that_is_not_kept_holds_younger_states_back() -> None:
    settlement = settling()
    keeper = FakeKeeper(settlement, only_rejected)
    first, second = refused(1), refused(2)
    valve = FakeValve(
        lambda: (settlement.settled(first), settlement.settled(second)), lambda: keeper.flush(second), nothing
    )
    valve.take(first, state(1), second, state(2))
    batches = list(settlement.run(valve))
    assert [[due.state.content for due in batch] for batch in batches] == [[1, 2]], "only when it was closed"
    assert valve.released == [second, first]


def test_the_last_rows_are_kept_when_the_keepers_are_closed() -> None:
    settlement = settling()
    keepers = [FakeKeeper(settlement), FakeKeeper(settlement)]
    job = delivered()
    valve = FakeValve()
    valve.take(job, state(1))
    settlement.settled(job)
    assert run(settlement, valve) == [(1, 1, 0)]
    assert [keeper.closed for keeper in keepers] == [1, 1]


def test_a_keeper_that_fails_at_the_end_stops_the_valve_and_its_rows_hold_their_states_back() -> None:
    settlement = settling()
    broken, other = FakeKeeper(settlement, only_rejected, FULL), FakeKeeper(settlement)
    good, bad = delivered(1), refused(2)
    valve = FakeValve(lambda: (settlement.settled(good), settlement.settled(bad)))
    valve.take(good, state(1), bad, state(2))
    assert run(settlement, valve) == [(1, 1, 0)]
    assert valve.failures == [FULL]
    assert (broken.closed, other.closed) == (1, 1), "the others are closed all the same"


def test_the_keepers_are_closed_after_a_failure_too() -> None:
    settlement = settling()
    keeper = FakeKeeper(settlement)
    job = refused()
    valve = FakeValve(lambda: settlement.settled(job), lambda: valve.stop(config_error("No.")))
    valve.take(job, state(1), delivered(2), state(2))
    assert run(settlement, valve) == [(1, 0, 1)], "it is truly done"
    assert keeper.closed == 1


def test_all_keepers_are_hurried() -> None:
    settlement = settling()
    keepers = [FakeKeeper(settlement), FakeKeeper(settlement)]
    settlement.hurry(4.0)
    assert [keeper.hurried for keeper in keepers] == [[4.0], [4.0]]


# --- policy


@pytest.mark.parametrize("has_keeper", [True, False])
def test_where_a_rejected_row_fails_the_sync_it_is_never_released(has_keeper: bool) -> None:
    settlement = settling(Policy(fail_at_once=True))
    keeper = FakeKeeper(settlement, only_rejected) if has_keeper else None
    good, bad = delivered(1), refused(2)
    valve = FakeValve(lambda: (settlement.settled(bad), settlement.settled(good)), nothing)
    valve.take(good, state(1), bad, state(2))
    assert run(settlement, valve) == [(1, 1, 0)]
    assert valve.released == [good]
    (failure,) = valve.failures
    assert failure.message.startswith("A row was rejected, and the configuration says to fail then: stream 'users', ")
    assert keeper is None or [job for job, _ in keeper.seen if job.refusal] == [bad], "it is stored all the same"


def test_too_high_a_share_stops_the_valve_meanwhile_and_is_judged_at_the_end() -> None:
    settlement = settling(Policy(highest_share=0.2, judged_from_rows=4))
    jobs = [delivered(1), refused(2), delivered(3), delivered(4)]
    valve = FakeValve(*(lambda job=job: settlement.settled(job) for job in jobs), nothing)
    valve.take(*jobs, state(1))
    assert run(settlement, valve) == [(1, 3, 1)], "the rows are settled: the state leaves"
    assert valve.failures == [], "the last row that was rejected came before there were enough"
    assert settlement.at_the_end({StreamId("users"): 4}) is not None
    fifth = refused(5)
    valve = FakeValve(lambda: settlement.settled(fifth))
    valve.take(fifth, state(2))
    run(settlement, valve)
    assert [failure.message[:12] for failure in valve.failures] == ["2 of 5 rows "]


# --- what is told


def test_the_first_rows_of_a_stream_are_told_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    settlement = settling()
    jobs = [*(refused(position) for position in range(1, 111)), refused(1, "orders")]
    valve = FakeValve()
    valve.take(*jobs)
    for job in jobs:
        settlement.settled(job)
    with caplog.at_level(logging.INFO):
        run(settlement, valve)
    assert len(caplog.messages) == 100 + 2
    assert caplog.messages[99].startswith("Rejected: stream 'users', row 100, subscription_id 's-100', unknown_tag: ")
    assert caplog.messages[100].startswith("Stream 'users' has more than 100 rejected rows; further ones are counted")
    assert caplog.messages[101].startswith("Rejected: stream 'orders', row 1, ")
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert settlement.counts.of(StreamId("users")).rejected.total() == 110


def test_advice_is_told_once_per_reason_and_what_was_refused_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    settlement = settling()
    jobs = [refused(n, words=f"Tag {tag} not found", tags="vip, news") for n, tag in enumerate(("vip", "vip", "news"))]
    valve = FakeValve()
    valve.take(*jobs)
    for job in jobs:
        settlement.settled(job)
    run(settlement, valve)
    assert [message.endswith(" Create the tag in CleverPush.") for message in caplog.messages] == [True, False, False]
    refusals = settlement.counts.of(StreamId("users")).refused
    assert {name: rows for (_, name), rows in refusals.items()} == {"vip": 2, "news": 1}


def test_cleverpushs_words_are_told_without_the_rows_values_and_kept_whole(caplog: pytest.LogCaptureFixture) -> None:
    settlement = settling()
    keeper = FakeKeeper(settlement)
    words = "Tag vip not found for ada@example.com"
    job = refused(words=words, subscription_id="ada@example.com", tags="vip")
    valve = FakeValve()
    valve.take(job)
    settlement.settled(job)
    run(settlement, valve)
    assert caplog.messages == [
        (
            "Rejected: stream 'users', row 1, subscription_id '…', unknown_tag: CleverPush answered 400 "
            '("Tag vip not found for …"). Create the tag in CleverPush.'
        )
    ]
    ((_, row),) = keeper.seen
    assert row is not None
    assert row.reason == "CleverPush answered 400. Create the tag in CleverPush."
    assert (row.answer, row.subscription_id) == (words, "ada@example.com")
    assert row.rejected_at.utcoffset() is not None


def test_where_it_fails_at_once_the_failure_has_none_of_the_words() -> None:
    settlement = settling(Policy(fail_at_once=True))
    job = refused(words="Tag vip not found", tags="vip")
    valve = FakeValve()
    valve.take(job)
    settlement.settled(job)
    run(settlement, valve)
    assert "vip" not in valve.failures[0].message


# --- time


def test_the_tick_comes_at_its_interval() -> None:
    settlement = settling()
    ticks: list[float] = []
    end = time.monotonic() + 0.35
    valve = FakeValve()
    valve.left = lambda: max(0.0, end - time.monotonic())  # type: ignore[method-assign]
    list(settlement.run(valve, lambda: ticks.append(time.monotonic()), 0.1))
    assert len(ticks) == 3
    assert ticks[0] > end - 0.3


def test_an_unforeseen_failure_of_delivery_is_raised() -> None:
    settlement = settling()

    def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(settlement.run(FakeValve(nothing, crash)))
