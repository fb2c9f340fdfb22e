"""Given the rows of a stream so far, this is when the share of marked ones stops the first removal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.guard import RemovalGuard
from destination_cleverpush.objects.plan import StreamPlan, plan_streams
from destination_cleverpush.objects.subscriptions import UNSUBSCRIBE
from destination_cleverpush.words import DELIVERED, Job, Operation, StreamId
from unit_tests.objects.examples import made, row, settings, stream
from unit_tests.scripts import one_by_one

CALL = Operation(UNSUBSCRIBE, {"subscriptionId": "s1"})


@pytest.mark.parametrize(
    ("marked", "rows", "share", "believed"),
    [
        (99, 99, 0.5, True),  # too few to be judged
        (100, 100, 0.5, False),
        (100, 200, 0.5, True),
        (101, 201, 0.5, False),
        (100, 100, 1.0, True),
        (99, 1_000_000, 0.0, True),
        (100, 1_000_000, 0.0, False),
    ],
)
def test_a_share_of_marked_rows_is_believed_or_not(marked: int, rows: int, share: float, believed: bool) -> None:
    guard = RemovalGuard(StreamId("users", "crm"), share, rows=rows, marked=marked)
    script = guard.watch(one_by_one([CALL]), "gone")
    if believed:
        assert made(script) == [CALL]
        return
    with pytest.raises(Failure) as failure:
        made(script)
    assert failure.value.kind is FailureKind.CONFIG
    for words in (f"{marked} of {rows} rows", "'crm.users'", "'gone'", "max_removal_ratio", "Removed Marker"):
        assert words in failure.value.message


def test_the_share_is_judged_when_the_removal_begins_and_not_when_its_row_came() -> None:
    guard = RemovalGuard(StreamId("users"), 0.5, rows=100, marked=100)
    script = guard.watch(one_by_one([CALL]), "gone")
    guard.rows = 200
    assert made(script) == [CALL]


def test_once_begun_a_row_is_removed_whole() -> None:
    guard = RemovalGuard(StreamId("users"), 0.5, rows=200, marked=100)
    script = guard.watch(one_by_one([CALL, CALL]), "gone")
    next(script)
    guard.marked = 200
    assert script.send(DELIVERED) == CALL


# --- which rows it watches


def jobs(count: int, marker: dict[str, Any], **fields: Any) -> list[Job]:
    return plan_jobs(plan(**fields), count, marker)


def plan(max_removal_ratio: float = 0.5, **fields: Any) -> StreamPlan:
    found = replace(settings(**fields), max_removal_ratio=max_removal_ratio)
    return plan_streams(found, [stream()])[StreamId("users")]


def plan_jobs(subject: StreamPlan, count: int, marker: dict[str, Any]) -> list[Job]:
    return [subject.job(row({"subscription_id": f"s{n}", "tags": "t", **marker})) for n in range(count)]


def stopped(found: list[Job]) -> bool:
    """Whether the guard stops the first of them."""
    try:
        made(found[0].script)
    except Failure:
        return True
    return False


@pytest.mark.parametrize("object_type", ["subscriptions", "tags"])
def test_marked_rows_of_mirror_are_held_and_watched(object_type: str) -> None:
    found = jobs(100, {"gone": 1}, object_type=object_type, audience_mode="mirror", removed_field="gone")
    assert all(job.held for job in found)
    assert stopped(found)


def test_where_enough_other_rows_came_they_are_removed() -> None:
    subject = plan(audience_mode="mirror", removed_field="gone")
    marked = plan_jobs(subject, 100, {"gone": 1})
    kept = plan_jobs(subject, 100, {"gone": 0})
    assert not any(job.held for job in kept)
    assert not stopped(marked)


def test_a_row_that_is_rejected_counts_as_a_row_and_not_as_a_removal() -> None:
    subject = plan(audience_mode="mirror", removed_field="gone")
    marked = plan_jobs(subject, 100, {"gone": 1})
    plan_jobs(subject, 50, {"gone": 1, "subscription_id": None})
    plan_jobs(subject, 50, {"gone": "perhaps"})
    assert not stopped(marked)


@pytest.mark.parametrize(
    ("mode", "column"),
    [
        ("remove", "gone"),
        ("upsert", "gone"),
        ("mirror", "_ab_cdc_deleted_at"),  # the source says itself what it deleted
        ("mirror", "_AB_CDC_DELETED_AT"),
    ],
)
def test_what_removes_nobody_by_mistake_is_not_held(mode: str, column: str) -> None:
    removed_field = "gone" if column == "gone" else "_ab_cdc_deleted_at"
    found = jobs(100, {column: "2026-01-01"}, audience_mode=mode, removed_field=removed_field)
    assert not any(job.held for job in found)
    assert not stopped(found)


def test_the_users_own_values_are_watched_too() -> None:
    found = jobs(100, {"s": "x"}, audience_mode="mirror", removed_field="s", removed_values=("X",))
    assert stopped(found)


def test_each_stream_is_judged_by_itself() -> None:
    found = settings(audience_mode="mirror", removed_field="gone")
    plans = plan_streams(found, [stream(), stream("others")])
    marked = plan_jobs(plans[StreamId("users")], 100, {"gone": 1})
    plan_jobs(plans[StreamId("others")], 1000, {"gone": 0})
    assert stopped(marked)
