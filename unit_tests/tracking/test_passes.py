"""Which pass an attempt belongs to, and who may be removed: what Airbyte, PyAirbyte and pipes send, trap by trap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from destination_cleverpush.errors import FailureKind
from destination_cleverpush.tracking.passes import (
    Decision,
    Facts,
    Pass,
    decide,
    exceeds_share,
    may_remove_absent,
    next_pass,
)
from destination_cleverpush.words import Stream, StreamId

USERS = Stream(StreamId("users"), {}, sync_mode="full_refresh")


@pytest.mark.parametrize(
    ("last", "ids", "continued"),
    [
        pytest.param(Pass(7, 100), (7, 100), True, id="an attempt of the same job"),
        pytest.param(Pass(7, 100, ended=True), (7, 100), True, id="the same job again, after its pass has ended"),
        pytest.param(Pass(7, 100), (8, 100), False, id="a refresh that cannot be resumed: a new generation"),
        pytest.param(Pass(7, 100), (8, 101), False, id="the next job"),
        pytest.param(Pass(7, 100), (7, 101), False, id="the next job, same generation: append"),
        pytest.param(Pass(1, 1), (1, 1), True, id="PyAirbyte after a failure"),
        pytest.param(Pass(1, 1, ended=True), (1, 1), False, id="PyAirbyte's next run"),
        pytest.param(Pass(None, None), (None, None), True, id="a pipe after a failure"),
        pytest.param(Pass(None, None, ended=True), (None, None), False, id="a pipe's next run"),
        pytest.param(None, (1, 1), False, id="the first of all"),
    ],
)
def test_a_pass_is_continued_or_another_begins(last: Pass | None, ids: tuple[Any, Any], continued: bool) -> None:
    if last is not None:
        last = replace(last, rows=5, removed=1, without_id=2, lines_lost=3, members=10)
    found = next_pass(last, *ids, members=20)
    if continued and last is not None:
        assert found == replace(last, ended=False)
    else:
        assert (found.rows, found.without_id, found.lines_lost, found.ended) == (0, 0, 0, False)


@pytest.mark.parametrize(
    ("ids", "strangers"),
    [
        pytest.param([(7, 100), (8, 101), (9, 105)], "...", id="the platform"),
        pytest.param([(7, 100), (8, 100), (9, 101)], "...", id="retries with a new generation"),
        pytest.param([(7, 100), (1, 200), (2, 201), (3, 202), (8, 210)], ".x...", id="a connection made anew"),
        pytest.param([(1, 100), (1, 200), (2, 201), (3, 202), (4, 203)], ".xx..", id="made anew when it was young"),
        pytest.param([(7, 100), (2, 101), (8, 102), (3, 103), (9, 104), (4, 105)], ".xxxxx", id="two connections"),
        pytest.param([(7, 100), (7, 101), (7, 102)], ".xx", id="append: generations do not grow"),
        pytest.param([(7, 100), (8, 50), (9, 51), (10, 52)], ".xx.", id="another installation of Airbyte"),
        pytest.param([(1, 1), (1, 1), (1, 1)], "...", id="PyAirbyte"),
        pytest.param([(None, None), (None, None)], "..", id="a pipe"),
        pytest.param([(1, 1), (7, 100), (8, 101)], ".x.", id="from PyAirbyte to the platform"),
        pytest.param([(7, 100), (1, 1), (1, 1)], ".x.", id="from the platform to PyAirbyte"),
        pytest.param([(1, 1), (None, None), (None, None)], ".x.", id="from PyAirbyte to a pipe"),
        pytest.param([(3, None), (4, None), (2, None)], "..x", id="a pipe that counts generations"),
    ],
)
def test_generations_that_do_not_grow_are_strangers(ids: list[tuple[Any, Any]], strangers: str) -> None:
    last: Pass | None = None
    found = ""
    for pair in ids:
        last = replace(next_pass(last, *pair, members=0), ended=True)
        found += "x" if last.stranger else "."
    assert found == strangers


def test_a_strangers_pass_stays_one_over_its_attempts() -> None:
    found = next_pass(Pass(7, 100, ended=True), 1, 200, 0)
    assert next_pass(found, 1, 200, 0).stranger
    assert next_pass(replace(found, ended=True), 1, 200, 0).stranger


def facts(**changes: Any) -> Facts:
    reading = Pass(8, 101, members=1_000, rows=900)
    known: dict[str, Any] = {
        "stream": USERS,
        "mirror": True,
        "complete": True,
        "read": 900,
        "reading": reading,
        "absent": 100,
        "max_removal_ratio": 0.5,
    }
    return Facts(**(known | changes))


def reading(**changes: Any) -> dict[str, Pass]:
    return {"reading": replace(facts().reading, **changes)}


def test_the_absent_of_a_whole_pass_may_be_removed() -> None:
    assert may_remove_absent(facts()) == Decision(remove=True, ended=True)
    assert may_remove_absent(facts(read=0)).remove  # the last attempt of a resumed refresh may have no row left
    assert may_remove_absent(facts(**reading(generation=1, sync=1))).remove


@pytest.mark.parametrize(
    ("changes", "words", "ended"),
    [
        ({"mirror": False}, "", False),
        ({"stream": replace(USERS, sync_mode="incremental")}, "", False),
        ({"stream": replace(USERS, sync_mode=None)}, "", False),
        ({"complete": False}, "COMPLETE", False),
        ({"memory_lost": True}, "new or lost", True),
        ({**reading(rows=0), "read": 0}, "no row of it: it is empty, or its data was cleared", True),
        ({**reading(generation=1, sync=1), "read": 0}, "no row of it", True),
        ({**reading(generation=None, sync=None), "read": 0}, "no row of it", True),
        (reading(stranger=True), r"\(generation 8, sync 101\) does not follow the last one", True),
        (reading(without_id=1), "1 row of it had no usable subscription_id", True),
        (reading(without_id=2), "2 rows of it had no usable subscription_id", True),
        (reading(lines_lost=3), "3 lines of the input could not be read", True),
        ({"mixed_kinds": True}, "another kind of ID", True),
    ],
)
def test_each_condition_keeps_the_absent(changes: dict[str, Any], words: str, ended: bool) -> None:
    import re

    found = may_remove_absent(facts(**changes))
    assert not found.remove
    assert found.failure is None
    assert found.ended is ended
    if words:
        assert re.search(words, found.warning)
        assert found.warning.startswith("Stream 'users': nobody was removed for being absent, since ")
    else:
        assert not found.warning


@pytest.mark.parametrize(
    ("absent", "removed", "members", "ratio", "fails"),
    [
        (500, 0, 1_000, 0.5, False),
        (501, 0, 1_000, 0.5, True),
        (300, 201, 1_000, 0.5, True),  # the marked that were removed already count
        (99, 0, 99, 0.5, False),  # fewer than 100 are never judged
        (50, 50, 100, 0.5, True),
        (0, 900, 1_000, 0.5, False),  # nothing more is removed
        (1_000, 0, 1_000, 1.0, False),
        (200, 0, 0, 0.5, False),  # the first pass
        (100, 0, 1_000, 0.0, True),
    ],
)
def test_the_share_of_removals(absent: int, removed: int, members: int, ratio: float, fails: bool) -> None:
    known = facts(absent=absent, max_removal_ratio=ratio, **reading(removed=removed, members=members))
    found = may_remove_absent(known)
    assert (found.failure is not None) is fails
    assert found.remove is not fails
    if found.failure:
        assert found.failure.kind is FailureKind.CONFIG
        assert f"{absent + removed} of {members} members" in found.failure.message
        assert "max_removal_ratio" in found.failure.message
        assert not found.ended


def test_a_marked_row_is_judged_before_it_is_sent() -> None:
    counted = replace(facts().reading, removed=500)
    assert exceeds_share(USERS.id, 1, counted, 0.5) is not None
    assert exceeds_share(USERS.id, 1, replace(counted, removed=499), 0.5) is None


def test_what_a_pass_without_an_end_has_removed_counts_in_the_next() -> None:
    last = Pass(1, 100, members=250, removed=125)
    after = next_pass(last, 2, 101, members=125)
    assert (after.members, after.removed) == (250, 125)
    assert exceeds_share(StreamId("users"), 1, after, 0.5) is not None
    ended = next_pass(replace(last, ended=True), 2, 101, members=125)
    assert (ended.members, ended.removed) == (125, 0)


def test_one_failure_keeps_the_absent_of_all_streams() -> None:
    other = replace(USERS, id=StreamId("other"))
    found = decide([facts(), facts(stream=other, absent=999)])
    assert not any(decision.remove or decision.ended for decision in found.values())
    assert found[other.id].failure
    assert decide([facts(), facts(stream=other)])[USERS.id].remove
