"""Change tracking with the real command, where it is not plain who left, who is whose, or what was stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration_tests import test_tracking
from integration_tests.messages import Message, Row, catalog, records, stream, stream_state
from integration_tests.platform_double import ConnectorProcess, WriteResult, run_write
from integration_tests.simulator.process import Simulator
from integration_tests.test_tracking import Mirror, person, subscribed

shop = test_tracking.shop
BOTH_IDS: dict[str, Any] = {
    "properties": {name: {} for name in ("subscription_id", "cleverpush_id", "email", "tags", "gone")}
}


def configured(mirror: Mirror, *names: str, again: bool = False, **options: Any) -> Message:
    """The catalog of the mirror's next sync, or of its last one."""
    number = mirror.number if again else mirror.number + 1
    ids: dict[str, Any] = {"generation_id": number, "sync_id": 100 + number}
    return catalog(*(stream(name, mode="overwrite", **ids, **options) for name in names or ("users",)))


def sync_streams(mirror: Mirror, rows: dict[str, list[Row]], *, incremental: bool = False) -> WriteResult:
    """One sync of several streams."""
    mirror.number += 1
    streams = configured(mirror, *rows, again=True)
    for each in streams["streams"] if incremental else ():
        each.update(sync_mode="incremental", destination_sync_mode="append_dedup")
    mirror._calls = len(mirror.simulator.calls())
    lines = [line for name, found in rows.items() for line in records(*found, stream=name)]
    return run_write(mirror.config, streams, lines)


def test_whom_a_rejected_row_names_by_cleverpushs_id_is_not_absent(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, subscription_id_kind="external")

    def row(own: str, native: str, **more: Any) -> Row:
        return {"subscription_id": own, "cleverpush_id": native, "email": f"{own}@example.com", **more}

    def sync(*rows: Row) -> WriteResult:
        return mirror.sync(*rows, catalog_=configured(mirror, schema=BOTH_IDS))

    sync(*(row(f"u{n}", f"Nat{n}") for n in range(4)))
    result = sync(row("u0", "Nat0"), row("new1", "Nat1", gone="perhaps"), row("new2", "Nat2", email="none"))
    assert result.counts == [(1.0, 2.0)]
    assert mirror.calls() == [("unsubscribe", "Nat3", None)]
    sync(row("u0", "Nat0"), row("new2", "Nat2"))
    assert ("unsubscribe", "Nat1", None) in mirror.calls()
    assert "Nat2" in shop.by_id()


def test_a_row_with_an_unclear_marker_that_names_cleverpushs_id_keeps_its_member(
    shop: Simulator, tmp_path: Path
) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1), person(2))
    mirror.sync(person(0), {"subscription_id": "Nat1", "gone": "perhaps"})
    assert mirror.calls() == [("unsubscribe", "Nat2", None)]


def test_tags_of_whom_a_rejected_row_names_stay(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, "tags")

    def sync(*rows: Row) -> WriteResult:
        return mirror.sync(*rows, catalog_=configured(mirror, schema=BOTH_IDS))

    sync(*({"subscription_id": f"u{n}", "cleverpush_id": f"Nat{n}", "tags": ["vip"]} for n in range(4)))
    sync(
        {"subscription_id": "u0", "cleverpush_id": "Nat0", "tags": ["vip"]},
        {"subscription_id": "new1", "cleverpush_id": "Nat1", "tags": None},
        {"subscription_id": "new2", "cleverpush_id": "Nat2", "tags": ["vip", "unknown"]},
    )
    assert ("tag/remove", "Nat3", "vip") in mirror.calls()
    assert {call for call in mirror.calls() if call[0] == "tag/remove"} == {("tag/remove", "Nat3", "vip")}


def test_a_line_passed_over_is_remembered_before_the_state_behind_it(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1))
    mirror.number += 1
    with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
        process.send(*records(person(0)), stream_state(1))
        process.expect_state()
        process.send("a line of some library", stream_state(2))
        process.expect_state()
        process.kill()
    mirror.number -= 1
    result = mirror.sync(person(0))
    assert mirror.calls() == []
    assert any("could not be read" in warning for warning in result.warnings), result.warnings


def test_who_is_marked_in_all_streams_at_once_is_removed(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    both = [person(0), person(1)]
    sync_streams(mirror, {"a": both, "b": both}, incremental=True)
    marked = [person(1, gone=True)]
    sync_streams(mirror, {"a": marked, "b": marked}, incremental=True)
    assert mirror.calls() == [("unsubscribe", "Nat1", None)]
    sync_streams(mirror, {"a": [person(2)], "b": marked}, incremental=True)
    assert [path for path, *_ in mirror.calls()] == ["sync"]


def test_a_marked_row_of_whom_another_stream_has_costs_no_call(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    streams = {"a": [person(0), person(1)], "b": [person(0), person(1, gone=True)]}
    sync_streams(mirror, {"a": streams["a"], "b": streams["a"]})
    for _ in range(3):
        sync_streams(mirror, streams)
        assert mirror.calls() == []
    assert subscribed(shop).keys() >= {"u0", "u1"}


def test_the_last_of_two_rows_lists_all_tags_where_only_changes_are_read(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, "tags", subscription_id_kind="native", row_lists_all_tags=True)

    def lists(*tags: str) -> Row:
        return {"subscription_id": "Nat0", "tags": list(tags)}

    sync_streams(mirror, {"users": [lists("news")]}, incremental=True)
    sync_streams(mirror, {"users": [lists("vip"), lists("news"), lists("churn")]}, incremental=True)
    assert shop.by_id()["Nat0"]["tags"] == ["churn"]
    sync_streams(mirror, {"users": [lists("vip"), lists()]}, incremental=True)
    assert shop.by_id()["Nat0"]["tags"] == []


def test_a_share_of_one_allows_more_marked_rows_than_there_are_members(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1))
    result = mirror.sync(person(0), person(1), *({"subscription_id": f"Old{n}", "gone": True} for n in range(120)))
    assert result.errors == []
    assert result.counts == [(122.0, 0.0)]


def test_rows_of_one_subscription_are_sent_in_order_however_they_name_it(shop: Simulator, tmp_path: Path) -> None:
    mapping = [{"source": "id", "destination": "subscription_id"}, {"source": "user", "destination": "user_id"}]
    mirror = Mirror(shop, tmp_path, subscription_id_kind="native", field_mapping=mapping)
    shop.set_faults(rules=[{"subscription": "Nat0", "nth": 1, "kind": "delay", "seconds": 1}])
    others = [{"id": f"Nat{n}", "tier": "free"} for n in range(1, 30)]
    mirror.sync(*others, {"id": "Nat0", "user": "u0", "tier": "old"}, {"id": "Nat0", "tier": "new"})
    assert shop.by_id()["Nat0"]["customAttributes"]["tier"] == "new"
