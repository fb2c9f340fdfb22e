"""The guard on removal: how the sync ends where many rows are marked as removed, and who is removed then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from integration_tests.messages import catalog, record, records, stream, stream_state
from integration_tests.platform_double import ConnectorProcess, WriteResult, run_write
from integration_tests.simulator.process import Simulator, start_simulator

IDS = [f"sub-{n}" for n in range(300)]
SCHEMA = {"properties": {name: {"type": ["null", "string"]} for name in ("subscription_id", "email", "gone")}}


@pytest.fixture(scope="module")
def running(connector: Sequence[str]) -> Iterator[Simulator]:
    channel = {"_id": "Channel-1", "subscriptions": IDS, "tags": ["vip"]}
    with start_simulator(accounts=[{"api_key": "private-key-0a1b2c", "channels": [channel]}]) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.reset()
    return running


def rows(marked: int, kept: int, marker: Mapping[str, Any]) -> list[dict[str, Any]]:
    people = [{"subscription_id": each, "email": "a@example.com", "tags": ["vip"]} for each in IDS[: marked + kept]]
    return [{**person, **marker} if n < marked else person for n, person in enumerate(people)]


def write(simulator: Simulator, people: list[dict[str, Any]], **config: Any) -> WriteResult:
    config = {"audience_mode": "mirror", "removed_field": "gone", "unmapped_fields": "ignore", **config}
    return run_write(
        simulator.connector_config(**config), catalog(stream(schema=SCHEMA)), [*records(*people), stream_state(1)]
    )


def removals(simulator: Simulator) -> int:
    removing = ("/subscription/unsubscribe", "/subscription/tag/remove")
    return sum(call["path"] in removing for call in simulator.calls())


@pytest.mark.parametrize("object_type", ["subscriptions", "tags"])
def test_where_all_are_marked_nobody_is_removed(simulator: Simulator, object_type: str) -> None:
    result = write(simulator, rows(150, 0, {"gone": "2026-01-31"}), object_type=object_type)
    assert result.exit_code == 1
    assert result.error["failure_type"] == "config_error"
    for words in ("150 of 150 rows of stream 'users'", "column 'gone'", "(0.5)", "max_removal_ratio", "Removed Marker"):
        assert words in result.error["message"]
    assert result.states == []
    assert removals(simulator) == 0


def test_the_rows_that_are_not_marked_are_synced_before_it_ends(simulator: Simulator) -> None:
    result = write(simulator, rows(150, 100, {"gone": "y"}))
    assert result.error["failure_type"] == "config_error"
    assert "150 of 250" in result.error["message"]
    assert result.states == []
    assert removals(simulator) == 0


@pytest.mark.parametrize(
    ("marked", "kept", "marker", "config"),
    [
        (99, 0, {"gone": "y"}, {}),  # too few to be judged
        (150, 150, {"gone": "y"}, {}),
        (150, 0, {"gone": "y"}, {"max_removal_ratio": 1}),
        (150, 0, {}, {"audience_mode": "remove"}),
        (150, 0, {"gone": "y"}, {"audience_mode": "remove"}),
        (150, 0, {"_ab_cdc_deleted_at": "2026-01-31T10:00:00Z"}, {"removed_field": "_ab_cdc_deleted_at"}),
        (150, 0, {"_AB_CDC_DELETED_AT": "2026-01-31T10:00:00Z"}, {"removed_field": "_ab_cdc_deleted_at"}),
    ],
)
def test_they_are_removed(
    simulator: Simulator, marked: int, kept: int, marker: dict[str, Any], config: dict[str, Any]
) -> None:
    result = write(simulator, rows(marked, kept, marker), **config)
    assert result.exit_code == 0, result.stdout
    assert result.counts == [(marked + kept, 0)]
    assert removals(simulator) == marked
    (summary,) = [log.message for log in result.logs if log.message.startswith("Stream 'users': ")]
    assert f"{marked} unsubscribed" in summary
    assert not kept or f"{kept} created or updated" in summary


def test_in_the_modes_that_remove_nobody_the_summary_tells_who_needed_no_call(simulator: Simulator) -> None:
    result = write(simulator, rows(150, 1, {"gone": "y"}), audience_mode="upsert")
    assert result.exit_code == 0
    assert removals(simulator) == 0
    assert any("150 needed no call" in log.message for log in result.logs)


def test_the_users_own_values_are_guarded_too(simulator: Simulator) -> None:
    people = rows(150, 0, {"gone": "Inactive"})
    assert "150 of 150" in write(simulator, people, removed_values=["inactive"]).error["message"]
    assert write(simulator, people[:99], removed_values=["inactive"]).exit_code == 0
    assert removals(simulator) == 99


@pytest.mark.parametrize("mode", ["mirror", "upsert"])
def test_clearing_the_data_removes_nobody(simulator: Simulator, mode: str) -> None:
    """The platform's job for it looks like a full refresh, to replace, of an empty source."""
    config = simulator.connector_config(audience_mode=mode, removed_field="gone", unmapped_fields="ignore")
    cleared = stream(schema=SCHEMA, generation_id=5, minimum_generation_id=5)
    assert run_write(config, catalog(cleared), []).exit_code == 0
    assert removals(simulator) == 0


@pytest.mark.slow
def test_after_a_minute_the_share_so_far_is_judged(simulator: Simulator) -> None:
    """A source that goes on for long: first few rows are marked, and are removed after a minute; then too many are."""
    config = simulator.connector_config(audience_mode="mirror", removed_field="gone", unmapped_fields="ignore")
    with ConnectorProcess(
        config, catalog(stream(schema=SCHEMA)), silence_seconds=150, state_gap_seconds=150
    ) as process:
        for person in rows(10, 10, {"gone": "y"}):
            process.send(record(person))
        process.send(stream_state(1))
        process.expect_state(150)
        assert removals(simulator) == 10
        for person in rows(140, 0, {"gone": "y"})[10:]:
            if not process.send(record(person)):
                break
        result = process.finish()
    assert result.error["failure_type"] == "config_error"
    assert removals(simulator) < 100
