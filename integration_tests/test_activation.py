"""Data activation: catalogs as the platform writes them, with an object and a mode for each stream."""

from __future__ import annotations

from typing import Any

import pytest

from integration_tests.conftest import Calls
from integration_tests.messages import Message, catalog, global_state, records, stream, stream_state
from integration_tests.platform_double import FAILURE_TYPES, run_write
from integration_tests.simulator.process import Simulator

KEY = [["subscription_id"]]


def activated(name: str, object_name: str, mode: str, properties: dict[str, Any] | None, **generation: Any) -> Message:
    """A configured stream of a connection with object mapping."""
    schema = {"type": "object", "properties": properties} if properties is not None else None
    found = stream(name, mode=mode)
    found["stream"]["json_schema"] = schema
    return {**found, **generation, "destination_object_name": object_name, "primary_key": KEY}


def test_two_streams_feed_two_objects_with_renamed_columns_and_a_null_schema(
    simulator: Simulator, calls: Calls
) -> None:
    config = simulator.connector_config(
        "tags",  # each stream's own object counts, and its columns' names, and not what the form says
        audience_mode="mirror",
        field_mapping=[{"source": "a", "destination": "subscription_id"}, {"source": "b", "destination": "tags"}],
        unmapped_fields="ignore",
    )
    profile = {"subscription_id": {"type": "string"}, "email": {"type": "string"}, "city": None, "removed": None}
    configured = catalog(
        activated("people", "subscriptions", "append_dedup", profile),
        # a full refresh that is to replace comes as append, with the generation raised
        activated(
            "segments",
            "tags",
            "append",
            {"subscription_id": None, "tags": None},
            generation_id=4,
            minimum_generation_id=4,
            sync_id=9,
        ),
        activated("gone", "tags", "soft_delete", None),
    )
    result = run_write(
        config,
        configured,
        [
            *records({"subscription_id": "u1", "email": "a@b.c", "city": "Bonn", "removed": None}, stream="people"),
            *records({"subscription_id": "sub-1", "tags": ["vip", "news"]}, stream="segments"),
            *records({"subscription_id": "sub-1", "removed": "2026-01-31T10:00:00Z"}, stream="people"),
            *records({"subscription_id": "sub-1", "tags": "vip"}, stream="gone"),
            global_state(1, "people", "segments", "gone"),
        ],
    )
    assert (result.exit_code, result.counts) == (0, [(4.0, 0.0)])
    made = calls()
    assert ("/subscription/sync", 200) in [(path, status) for path, _, status in made]
    assert [(path, body) for path, body, _ in made if body.get("subscriptionId") == "sub-1"] == [
        ("/subscription/tag/add", {"subscriptionId": "sub-1", "tagId": "vip"}),
        ("/subscription/tag/add", {"subscriptionId": "sub-1", "tagId": "news"}),
        ("/subscription/unsubscribe", {"subscriptionId": "sub-1"}),
        ("/subscription/tag/remove", {"subscriptionId": "sub-1", "tagId": "vip"}),
    ]
    told = [log.message for log in result.logs]
    assert any(m.startswith("Field Mapping and Columns Without a Mapping do not apply to 'people', 's") for m in told)
    assert any(m.startswith("Stream 'segments' is in overwrite mode, but nothing") for m in told)


def test_calls_for_one_subscription_stay_in_order_over_both_objects(simulator: Simulator, calls: Calls) -> None:
    """In a connection whose subscription IDs are CleverPush's own in both streams."""
    simulator.set_faults(rules=[{"subscription": "sub-1", "nth": 1, "kind": "status", "status": 503}])
    configured = catalog(
        activated("tags", "tags", "append", None), activated("gone", "subscriptions", "soft_delete", None)
    )
    rows = [
        message
        for _ in range(10)
        for message in (
            *records({"subscription_id": "sub-1", "tags": "vip"}, stream="tags"),
            *records({"subscription_id": "sub-1"}, stream="gone"),
        )
    ]
    result = run_write(simulator.connector_config(), configured, [*rows, global_state(1, "tags", "gone")])
    assert (result.exit_code, result.counts) == (0, [(20.0, 0.0)])
    assert [path for path, _, status in calls() if status != 503] == [
        "/subscription/tag/add",
        "/subscription/unsubscribe",
    ] * 10


def test_update_creates_nobody(simulator: Simulator) -> None:
    configured = catalog(activated("users", "subscriptions", "append_dedup", None))
    known = [*records({"subscription_id": "u1", "email": "a@b.c"}), stream_state(1)]
    assert run_write(simulator.connector_config(), configured, known).exit_code == 0
    configured = catalog(activated("users", "subscriptions", "update", None))
    rows = records({"subscription_id": "u1", "city": "Bonn"}, {"subscription_id": "u2", "email": "d@e.f"})
    result = run_write(simulator.connector_config(), configured, [*rows, stream_state(2)])
    assert (result.exit_code, result.counts) == (0, [(1.0, 1.0)])
    assert any("row 2, subscription_id 'u2', not_found: " in log.message for log in result.logs)
    created, updated = (call for call in simulator.calls() if call["path"] == "/subscription/sync")
    (known_id,) = (one["id"] for one in simulator.state()["subscriptions"] if one["customAttributes"].get("user_id"))
    assert "subscriptionId" not in created["json"]
    assert (updated["json"]["subscriptionId"], updated["status"]) == (known_id, 200)
    assert updated["json"]["customAttributes"] == {"city": "Bonn"}


@pytest.mark.parametrize("object_name", ["subscription", "tags"])
def test_a_contradiction_ends_the_sync_before_the_first_call(
    simulator: Simulator, calls: Calls, object_name: str
) -> None:
    configured = catalog(activated("users", object_name, "update", None))
    result = run_write(simulator.connector_config(), configured, records({"subscription_id": "u1"}))
    assert (result.exit_code, result.error["failure_type"]) == (1, FAILURE_TYPES[0])
    assert result.error["message"].startswith("Stream 'users' ")
    assert "in the connection" in result.error["message"]
    assert calls() == []
