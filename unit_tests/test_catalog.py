"""Given a configuration, a catalog and a row, these are the operations: what each mode does."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.catalog import StreamPlan, notices, plan_streams
from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.protocol import StreamId
from destination_cleverpush.reasons import RowRejected
from unit_tests.configurations import catalog, make_config, mapped
from unit_tests.strategies import LIKELY_ROWS, judge

MODES = ["upsert", "add", "remove", "mirror"]
KEPT = {"subscription_id": "s1", "tags": "t1", "_ab_cdc_deleted_at": None}
REMOVED = {"subscription_id": "s1", "tags": "t1", "_ab_cdc_deleted_at": "2024-05-01"}


def plan(**fields: Any) -> StreamPlan:
    return plan_streams(make_config(**fields), catalog("users"))[StreamId("users")]


def operations(row: dict[str, Any], **fields: Any) -> list[Operation]:
    found = plan(**fields)
    return found.operations(row, found.fields(row))[1]


def actions(row: dict[str, Any], **fields: Any) -> list[Action]:
    return [operation.action for operation in operations(row, **fields)]


NO_STREAMS: list[Any] = [None, "users", 5, {"users": {}}, [None], [{}]]
NO_DEFINITIONS: list[Any] = [
    *(None, [], {}, {"name": None}, {"name": ["users"]}),
    *({"name": "users", "namespace": {"a": 1}}, {"name": "users", "json_schema": "none"}),
]


# --- modes


@pytest.mark.parametrize(
    ("object_type", "mode", "kept", "removed"),
    [
        ("subscriptions", "upsert", [Action.SYNC], []),
        ("subscriptions", "add", [Action.SYNC], []),
        ("subscriptions", "remove", [Action.UNSUBSCRIBE], [Action.UNSUBSCRIBE]),
        ("subscriptions", "mirror", [Action.SYNC], [Action.UNSUBSCRIBE]),
        ("tags", "upsert", [Action.ADD_TAG], []),
        ("tags", "add", [Action.ADD_TAG], []),
        ("tags", "remove", [Action.REMOVE_TAG], [Action.REMOVE_TAG]),
        ("tags", "mirror", [Action.ADD_TAG], [Action.REMOVE_TAG]),
    ],
)
def test_what_each_mode_does_with_rows_and_with_removed_rows(
    object_type: str, mode: str, kept: list[Action], removed: list[Action]
) -> None:
    assert actions(KEPT, object_type=object_type, audience_mode=mode) == kept
    assert actions(REMOVED, object_type=object_type, audience_mode=mode) == removed


def test_the_marker_may_be_a_column_of_the_users_own() -> None:
    row = {"subscription_id": "s1", "is_deleted": 1}
    assert actions(row, audience_mode="mirror", removed_field="is_deleted") == [Action.UNSUBSCRIBE]


@pytest.mark.parametrize(("value", "found"), [("s1", "s1"), (17, "17"), (17.0, "17"), (" s1 ", "s1")])
def test_the_lane_is_the_id_as_it_is_sent(value: Any, found: str) -> None:
    subject = plan()
    row = {"subscription_id": value}
    lane, [operation] = subject.operations(row, subject.fields(row))
    assert lane == operation.payload["customAttributes"]["user_id"] == found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", [{}, {"subscription_id": None}, {"subscription_id": ""}, {"subscription_id": "  "}])
def test_a_row_without_an_id_is_rejected(row: dict[str, Any], mode: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        operations(row, audience_mode=mode)
    assert (rejected.value.code, rejected.value.reason) == (
        "missing_subscription_id",
        "subscription_id is missing or empty.",
    )


@pytest.mark.parametrize("value", [True, ["s1"], {"id": "s1"}, 2.0**60, float("inf")])
def test_an_id_that_is_no_plain_value_is_rejected(value: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        operations({"subscription_id": value})
    assert rejected.value.code == "invalid_subscription_id"


@pytest.mark.parametrize("row", [{}, {"subscription_id": ["s1"]}])
def test_a_removed_row_that_costs_no_call_needs_no_id(row: dict[str, Any]) -> None:
    assert operations({**row, "_ab_cdc_deleted_at": "2024-05-01"}, audience_mode="upsert") == []


# --- the catalog


def test_one_plan_per_stream_with_its_namespace_and_schema() -> None:
    schema = {"properties": {"at": {"format": "date-time"}}}
    configured = catalog("users", "users", "odd näme", schema=schema)
    configured["streams"][1]["stream"]["namespace"] = "crm"
    configured["streams"][2]["stream"]["namespace"] = ""
    plans = plan_streams(make_config(), configured)
    assert list(plans) == [StreamId("users"), StreamId("users", "crm"), StreamId("odd näme")]
    assert [str(stream) for stream in plans] == ["users", "crm.users", "odd näme"]
    assert plans[StreamId("users")].fields({"at": "2024-05-01 12:30"}) == {"at": "2024-05-01T12:30"}


def test_an_empty_catalog_has_no_plans() -> None:
    assert plan_streams(make_config(), {"streams": []}) == {}


@pytest.mark.parametrize(
    "broken",
    [{}, *({"streams": streams} for streams in NO_STREAMS), *({"streams": [{"stream": d}]} for d in NO_DEFINITIONS)],
)
def test_a_catalog_that_is_none_is_a_config_error(broken: dict[str, Any]) -> None:
    with pytest.raises(AirbyteTracedException, match="not a configured Airbyte catalog") as failed:
        plan_streams(make_config(), broken)
    assert failed.value.failure_type is FailureType.config_error


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
    mapping = [{"source": "a", "destination": destination}]
    with pytest.raises(AirbyteTracedException, match=f"fills no '{missing}', which {object_type} need") as failed:
        plan(object_type=object_type, field_mapping=mapping, unmapped_fields="ignore")
    assert failed.value.failure_type is FailureType.config_error
    plan(object_type=object_type, field_mapping=mapping, unmapped_fields="send")


def test_overwrite_without_mirror_is_warned_of_once_per_stream() -> None:
    configured = catalog("users", "orders", mode="overwrite")
    configured["streams"][1]["destination_sync_mode"] = "append"
    configured["streams"][0]["stream"]["namespace"] = "crm"
    [(level, notice)] = notices(make_config(), configured)
    assert level == logging.WARNING
    assert notice == (
        "Stream 'crm.users' is in overwrite mode, but nothing that is absent from the source is removed from "
        "CleverPush. Use the audience sync mode Mirror to remove rows that are marked as removed."
    )


def test_overwrite_with_mirror_is_told_what_mirror_removes() -> None:
    [(level, notice)] = notices(
        make_config(audience_mode="mirror", removed_field="gone"), catalog("users", mode="overwrite")
    )
    assert level == logging.INFO
    assert "Mirror removes the rows that the column 'gone' marks, and no others." in notice


def test_append_needs_no_notice() -> None:
    assert notices(make_config(), catalog("users", mode="append_dedup")) == []


# --- whatever the row holds


@given(
    LIKELY_ROWS,
    st.sampled_from(["subscriptions", "tags"]),
    st.sampled_from(MODES),
    st.sampled_from(["send", "ignore"]),
    st.sampled_from([[], mapped(subscription_id="subscription_id", tags="tags", city="profile.city")]),
)
def test_a_row_becomes_operations_or_is_rejected_with_a_reason(
    row: dict[str, Any], object_type: str, mode: str, unmapped: str, mapping: list[dict[str, str]]
) -> None:
    subject = plan(object_type=object_type, audience_mode=mode, unmapped_fields=unmapped, field_mapping=mapping)
    before = copy.deepcopy(row)
    try:
        lane, found = subject.operations(row, subject.fields(row))
    except RowRejected as rejected:
        judge(rejected, row)
        return
    assert repr(row) == repr(before), "a row is never changed"
    assert subject.operations(row, subject.fields(row)) == (lane, found), "and gives the same calls again"
    for operation in found:
        assert lane == lane.strip() != ""
        if isinstance(row["subscription_id"], int | float):
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
