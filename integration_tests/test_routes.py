"""Whichever routes CleverPush has, the same subscriptions and tags come about; where it has none, nothing is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from integration_tests.conftest import MODES
from integration_tests.messages import Row, catalog, records, stream_state
from integration_tests.platform_double import WriteResult, run_check, run_write
from integration_tests.simulator.process import Simulator

SUBSCRIPTIONS: list[Row] = [
    {"subscription_id": "u1", "email": "a@example.com", "city": "Rom"},
    {"subscription_id": "sub-1", "_ab_cdc_deleted_at": "2026-01-31T10:00:00Z"},
    {"subscription_id": "u2", "email": "b@example.com", "topics": "news"},
]
TAGS: list[Row] = [
    {"subscription_id": "sub-2", "tags": "vip, news"},
    {"subscription_id": "sub-3", "tags": ["churn"], "_ab_cdc_deleted_at": "2026-01-31T10:00:00Z"},
]
ROWS = {"subscriptions": SUBSCRIPTIONS, "tags": TAGS}
IN_TURN = {"max_concurrency": 1}


def write(simulator: Simulator, object_type: str, mode: str, rows: list[Row], **advanced: Any) -> WriteResult:
    config = simulator.connector_config(
        object_type, audience_mode=mode, channel_id=f"for-{mode}", advanced={**IN_TURN, **advanced}
    )
    return run_write(config, catalog(), [*records(*rows), stream_state(len(rows))])


def outcome(simulator: Simulator) -> dict[str, Any]:
    """What each mode has made of both objects: counts, and what the channel holds then."""
    found: dict[str, Any] = {}
    for object_type, rows in ROWS.items():
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda mode: write(simulator, object_type, mode, rows), MODES))  # noqa: B023
        assert [result.errors for result in results] == [[]] * len(MODES)
        found[object_type] = [result.counts for result in results]
    return {**found, **{mode: simulator.state(f"for-{mode}")["subscriptions"] for mode in MODES}}


@pytest.mark.parametrize("routes", ["cleverpush", "both", {"sync": "cleverpush", "tags": "description"}])
def test_whichever_routes_there_are_all_ends_the_same(simulator: Simulator, routes: Any) -> None:
    expected = outcome(simulator)
    simulator.reset()
    simulator.behave(routes=routes)
    assert outcome(simulator) == expected


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("object_type", ROWS)
def test_a_server_with_neither_route_rejects_no_row_and_lets_no_state_go(
    simulator: Simulator, object_type: str, count: int
) -> None:
    simulator.behave(routes="none")
    rows: list[Row] = [{"subscription_id": f"s{n}", "email": "a@b.example", "tags": "vip"} for n in range(count)]
    result = write(simulator, object_type, "upsert", rows)
    assert result.error["failure_type"] == "config_error"
    assert "do not exist (HTTP 404)" in result.error["message"]
    assert result.states == []
    assert [
        warning for warning in result.warnings if warning.startswith("Rejected") or " rejected as " in warning
    ] == []


def test_check_tells_the_routes_for_tags_and_fails_where_there_are_none(simulator: Simulator) -> None:
    simulator.behave(routes="cleverpush")
    found = run_check(simulator.connector_config("tags"))
    assert found.status == "SUCCEEDED"
    assert "Tag routes: add_tag /subscription/tag, remove_tag /subscription/untag." in found.output
    simulator.behave(routes="none")
    found = run_check(simulator.connector_config("tags"))
    assert found.status == "FAILED"
    assert "/subscription/tag/add and " in str(found.message)
    assert simulator.state("Channel-1")["subscriptions"] == [
        {"id": name, "subscribed": True, "customAttributes": {}, "tags": [], "topics": []}
        for name in ("sub-1", "sub-2", "sub-3", "42")
    ]
