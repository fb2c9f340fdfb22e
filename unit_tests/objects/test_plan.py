"""Given a configuration, a catalog and a row, these are the operations: what each mode does."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.plan import StreamPlan, plan_streams
from destination_cleverpush.objects.reasons import (
    INVALID_SUBSCRIPTION_ID,
    INVALID_VALUE,
    MISSING_SUBSCRIPTION_ID,
    MISSING_TAGS,
    UNCLEAR_REMOVED_MARKER,
)
from destination_cleverpush.objects.settings import FieldMapping
from destination_cleverpush.objects.subscriptions import SYNC, UNSUBSCRIBE
from destination_cleverpush.objects.tags import ADD_TAG, REMOVE_TAG
from destination_cleverpush.words import Action, Answer, Operation, RowRejected, StreamId, Verdict
from unit_tests.objects.examples import made, mapped, row, settings, stream
from unit_tests.strategies import LIKELY_ROWS, judge

MODES = ["upsert", "add", "remove", "mirror"]
KEPT = {"subscription_id": "s1", "tags": "t1", "_ab_cdc_deleted_at": None}
REMOVED = {"subscription_id": "s1", "tags": "t1", "_ab_cdc_deleted_at": "2024-05-01"}


def plan(**fields: Any) -> StreamPlan:
    return plan_streams(settings(**fields), [stream()])[StreamId("users")]


def calls(plan: StreamPlan, data: dict[str, Any]) -> list[Operation]:
    """The row's calls.

    Raises:
        RowRejected: it is refused.
    """
    job = plan.job(row(data))
    if job.refusal:
        assert job.refusal.reason
        raise RowRejected(job.refusal.reason, job.refusal.summary)
    return made(job.script)


def actions(data: dict[str, Any], **fields: Any) -> list[Action]:
    return [operation.action for operation in calls(plan(**fields), data)]


# --- modes


@pytest.mark.parametrize(
    ("object_type", "mode", "kept", "removed"),
    [
        ("subscriptions", "upsert", [SYNC], []),
        ("subscriptions", "add", [SYNC], []),
        ("subscriptions", "remove", [UNSUBSCRIBE], [UNSUBSCRIBE]),
        ("subscriptions", "mirror", [SYNC], [UNSUBSCRIBE]),
        ("tags", "upsert", [ADD_TAG], []),
        ("tags", "add", [ADD_TAG], []),
        ("tags", "remove", [REMOVE_TAG], [REMOVE_TAG]),
        ("tags", "mirror", [ADD_TAG], [REMOVE_TAG]),
    ],
)
def test_what_each_mode_does_with_rows_and_with_removed_rows(
    object_type: str, mode: str, kept: list[Action], removed: list[Action]
) -> None:
    assert actions(KEPT, object_type=object_type, audience_mode=mode) == kept
    assert actions(REMOVED, object_type=object_type, audience_mode=mode) == removed


def test_the_marker_may_be_a_column_of_the_users_own() -> None:
    assert actions({"subscription_id": "s1", "is_deleted": 1}, audience_mode="mirror", removed_field="is_deleted") == [
        UNSUBSCRIBE
    ]


@pytest.mark.parametrize(("value", "found"), [("s1", "s1"), (17, "17"), (17.0, "17"), (" s1 ", "s1")])
def test_the_lane_is_the_id_as_it_is_sent(value: Any, found: str) -> None:
    job = plan().job(row({"subscription_id": value}))
    [operation] = made(job.script)
    assert job.lane == operation.payload["customAttributes"]["user_id"] == found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [None, "", "  ", " \u200b", "NULL"])
def test_a_row_without_an_id_is_rejected(value: str | None, mode: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        actions({} if value is None else {"subscription_id": value}, audience_mode=mode)
    assert (rejected.value.reason, rejected.value.sentence) == (
        MISSING_SUBSCRIPTION_ID,
        "subscription_id is missing or empty.",
    )


@pytest.mark.parametrize("value", [True, ["s1"], {"id": "s1"}, 2.0**60, float("inf")])
def test_an_id_that_is_no_plain_value_is_rejected(value: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        actions({"subscription_id": value})
    assert rejected.value.reason == INVALID_SUBSCRIPTION_ID


@pytest.mark.parametrize("data", [{}, {"subscription_id": ["s1"]}])
def test_a_removed_row_that_costs_no_call_needs_no_id(data: dict[str, Any]) -> None:
    assert actions({**data, "_ab_cdc_deleted_at": "2024-05-01"}, audience_mode="upsert") == []


# --- the job


def test_a_job_carries_the_row_its_size_and_its_calls_in_order() -> None:
    subject = row({"subscription_id": "s1", "tags": "t1, t2"})
    job = plan(object_type="tags").job(subject)
    assert (job.stream, job.lane, job.origin, job.size, job.refusal) == (StreamId("users"), "s1", subject, 100, None)
    assert [operation.payload["tagId"] for operation in made(job.script)] == ["t1", "t2"]


def test_a_row_that_cannot_be_sent_is_a_job_with_its_refusal() -> None:
    subject = row({"subscription_id": "s1"})
    job = plan(object_type="tags").job(subject)
    assert (job.lane, job.script, job.origin, job.size) == ("", None, subject, 100)
    assert job.refusal == Answer(Verdict.REJECTED, MISSING_TAGS, "tags is missing or empty.")


def test_a_removed_row_that_costs_no_call_is_a_job_without_any() -> None:
    job = plan().job(row(REMOVED))
    assert (job.lane, job.script, job.refusal) == ("", None, None)


def test_what_may_be_told_of_a_row_are_its_ids_and_the_names_of_its_fields() -> None:
    data = {"id": 7, "email": "a@b.example", "tags": ["t1", 2], "tier": "gold"}
    field_mapping = mapped(subscription_id="id")
    found, told = plan(object_type="tags", field_mapping=field_mapping).identifiers(data)
    assert found == "7"
    assert set(told) == {"subscription_id", "email", "tags", "tier", "7", "['t1', 2]"}
    _, told = plan(field_mapping=mapped(subscription_id="id", topics="tags")).identifiers(data)
    assert set(told) == {"subscription_id", "email", "topics", "tier", "7", "['t1', 2]"}


@pytest.mark.parametrize("data", [{}, {"subscription_id": ["s1"]}, {"subscription_id": " "}])
def test_a_row_may_have_no_id_to_tell(data: dict[str, Any]) -> None:
    assert plan().identifiers(data)[0] is None


# --- removed or not


def test_a_job_names_the_column_that_marks_its_row() -> None:
    assert plan(audience_mode="mirror").job(row(REMOVED)).removed_by == "_ab_cdc_deleted_at"
    assert plan(audience_mode="upsert").job(row(REMOVED)).removed_by == "_ab_cdc_deleted_at"
    assert plan(audience_mode="mirror").job(row(KEPT)).removed_by is None
    assert plan(audience_mode="remove").job(row(REMOVED)).removed_by is None
    job = plan(audience_mode="mirror", removed_field="gone").job(row({"subscription_id": "s1", "GONE": "Y"}))
    assert job.removed_by == "GONE"


@pytest.mark.parametrize("mode", ["upsert", "add", "mirror"])
def test_an_unclear_marker_rejects_the_row(mode: str) -> None:
    data = {"subscription_id": "s1", "status": "active"}
    with pytest.raises(RowRejected) as rejected:
        actions(data, audience_mode=mode, removed_field="status")
    assert (rejected.value.reason, rejected.value.sentence) == (
        UNCLEAR_REMOVED_MARKER,
        "The removed marker 'status' holds a value that means neither yes nor no.",
    )
    assert actions(data, audience_mode="remove", removed_field="status") == [UNSUBSCRIBE]


@pytest.mark.parametrize(("status", "action"), [("Inactive", UNSUBSCRIBE), ("active", SYNC), ("true", SYNC)])
def test_the_users_own_values_decide(status: str, action: Action) -> None:
    data = {"subscription_id": "s1", "status": status}
    found = actions(data, audience_mode="mirror", removed_field="status", removed_values=("inactive", "left"))
    assert found == [action]


def test_a_moment_ahead_is_none_until_it_has_come() -> None:
    now = datetime(2026, 8, 1, tzinfo=timezone.utc)
    chosen = settings(audience_mode="mirror", removed_field="ends_at")
    subject = plan_streams(chosen, [stream()], now=lambda: now)[StreamId("users")]
    data = {"subscription_id": "s1", "ends_at": "2026-08-10"}
    assert [call.action for call in calls(subject, data)] == [SYNC]
    now = datetime(2026, 8, 10, tzinfo=timezone.utc)
    assert [call.action for call in calls(subject, data)] == [UNSUBSCRIBE]


def test_a_cdc_delete_without_an_id_says_what_such_deletes_lack() -> None:
    data = {"id": 2, "cp_id": None, "_ab_cdc_deleted_at": "2024-05-01"}
    job = plan(audience_mode="mirror", field_mapping=mapped(subscription_id="cp_id")).job(row(data))
    assert job.refusal
    assert job.refusal.reason == MISSING_SUBSCRIPTION_ID
    assert job.refusal.summary == (
        "subscription_id is missing or empty. The row is a delete of a CDC source, and these may carry only their "
        "primary key: have the database log whole rows (Postgres: REPLICA IDENTITY FULL, MySQL: binlog_row_image "
        "FULL), or map the primary key to subscription_id."
    )
    job = plan(audience_mode="mirror", object_type="tags").job(row({**REMOVED, "tags": None}))
    assert job.refusal
    assert job.refusal.reason == MISSING_TAGS
    assert "carry only their primary key" in job.refusal.summary
    assert "map the primary key" not in job.refusal.summary


def test_a_row_that_is_marked_otherwise_is_no_cdc_delete() -> None:
    job = plan(audience_mode="mirror", removed_field="gone").job(row({"gone": True}))
    assert job.refusal
    assert job.refusal.summary == "subscription_id is missing or empty."


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_rejects_the_row_and_names_the_column(value: float) -> None:
    job = plan(field_mapping=mapped(score="points")).job(row({"subscription_id": "s1", "points": value}))
    assert job.refusal
    assert job.refusal.reason == INVALID_VALUE
    assert job.refusal.summary == "score is not a finite number. It is filled by the column 'points'."


# --- the streams


def test_one_plan_per_stream_with_its_own_schema() -> None:
    timed = stream(schema={"properties": {"at": {"format": "date-time"}}})
    plans = plan_streams(settings(), [timed, stream("users", "crm"), stream("odd näme")])
    assert list(plans) == [StreamId("users"), StreamId("users", "crm"), StreamId("odd näme")]
    data = {"subscription_id": "s1", "at": "2024-05-01 12:30"}
    sent = [calls(found, data)[0].payload["customAttributes"]["at"] for found in plans.values()]
    assert sent == ["2024-05-01T12:30", "2024-05-01 12:30", "2024-05-01 12:30"]


def test_no_streams_have_no_plans() -> None:
    assert plan_streams(settings(), []) == {}


@pytest.mark.parametrize(
    ("object_type", "destination", "missing"),
    [
        ("subscriptions", "email", "subscription_id"),
        ("tags", "subscription_id", "tags"),
        ("tags", "tags", "subscription_id"),
    ],
)
def test_a_mapping_that_can_never_be_complete_fails_before_the_first_row(
    object_type: str, destination: str, missing: str
) -> None:
    mapping = (FieldMapping("a", destination),)
    with pytest.raises(Failure, match=f"fills no '{missing}', which {object_type} need") as failed:
        plan(object_type=object_type, field_mapping=mapping, unmapped_fields="ignore")
    assert failed.value.kind is FailureKind.CONFIG
    plan(object_type=object_type, field_mapping=mapping, unmapped_fields="send")


# --- whatever the row holds


@given(
    LIKELY_ROWS,
    st.sampled_from(["subscriptions", "tags"]),
    st.sampled_from(MODES),
    st.sampled_from(["send", "ignore"]),
    st.sampled_from([(), mapped(subscription_id="subscription_id", tags="tags", city="profile.city")]),
)
def test_a_row_becomes_operations_or_is_rejected_with_a_reason(
    data: dict[str, Any], object_type: str, mode: str, unmapped: str, mapping: tuple[FieldMapping, ...]
) -> None:
    subject = plan(object_type=object_type, audience_mode=mode, unmapped_fields=unmapped, field_mapping=mapping)
    before = copy.deepcopy(data)
    lane = subject.job(row(data)).lane
    try:
        found = calls(subject, data)
    except RowRejected as rejected:
        judge(rejected, data)
        return
    finally:
        subject.identifiers(data)
        assert repr(data) == repr(before), "a row is never changed"
    assert calls(subject, data) == found, "and gives the same calls again"
    for operation in found:
        assert lane == lane.strip() != ""
        if isinstance(data["subscription_id"], int | float):
            assert not lane.endswith(".0")
        sent = json.loads(json.dumps(operation.payload, allow_nan=False))
        assert None not in _values(sent)
        assert not any(name.startswith(("_airbyte_", "_ab_")) for name in _names(sent))
        assert sent.get("subscriptionId", sent.get("customAttributes", {}).get("user_id")) == lane


def _values(payload: Any) -> list[Any]:
    if isinstance(payload, dict):
        return [leaf for part in payload.values() for leaf in _values(part)]
    return [leaf for part in payload for leaf in _values(part)] if isinstance(payload, list) else [payload]


def _names(payload: dict[str, Any]) -> list[str]:
    return [*payload, *payload.get("customAttributes", {})]
