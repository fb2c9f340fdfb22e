"""Group commit by itself; the keepers' own tests hold what it means for rows and states."""

from __future__ import annotations

import threading

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.group_commit import GroupCommit


def of(store: object, failures: list[Failure], most: int = 3, flush_seconds: float = 60.0) -> GroupCommit[int]:
    assert callable(store)
    return GroupCommit(
        "The store", store, failures.append, flush_seconds=flush_seconds, most=most, late="Too late.", thread="store"
    )


def test_what_gathers_is_stored_together_when_it_is_much_and_at_the_end() -> None:
    stored: list[list[int]] = []
    much = threading.Event()

    def store(batch: list[int]) -> None:
        stored.append(batch)
        much.set()

    group = of(store, [])
    group.take([1, 2])
    group.take([3])
    assert much.wait(10)
    group.take([4])
    group.close()
    group.take([5])
    assert stored == [[1, 2, 3], [4]]


def test_what_cannot_be_foreseen_is_told_once_and_ends_it() -> None:
    failures: list[Failure] = []
    group = of(lambda batch: 1 / len(batch[1:]), failures, flush_seconds=0)
    group.take([1])
    with pytest.raises(Failure, match=r"^The store failed for a reason that the connector does not know"):
        group.close()
    assert [failure.kind for failure in failures] == [FailureKind.SYSTEM]


def test_closing_ends_when_the_time_is_up() -> None:
    go_on = threading.Event()
    group = of(lambda batch: go_on.wait(30), [], flush_seconds=0)
    group.take([1])
    group.hurry(0.05)
    with pytest.raises(Failure, match="Too late"):
        group.close()
    go_on.set()
