"""Change tracking with the real command, where it is not plain who left, who is whose, or what was stored."""

from __future__ import annotations

import fcntl
import random
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from destination_cleverpush.storage.settings import S3Settings
from integration_tests import test_tracking
from integration_tests.messages import Message, Row, catalog, records, stream, stream_state
from integration_tests.object_stores import opened, start_moto
from integration_tests.platform_double import (
    PYAIRBYTE,
    ConnectorProcess,
    WriteResult,
    assert_absent,
    run_clear,
    run_write,
)
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


@pytest.mark.slow
def test_sigterm_ends_a_sync_that_waits_for_another(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1))
    (lock,) = tmp_path.glob("*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mirror.number += 1
        with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
            process.send(*records(person(0)), stream_state(1))
            time.sleep(4)
            result = process.terminate()
    assert result.error["failure_type"] == "transient_error"
    assert result.states == []
    mirror.sync(person(0))
    assert mirror.calls() == [("unsubscribe", "Nat1", None)]


@pytest.mark.parametrize("how", ["terminate", "kill", "401"])
def test_what_ends_a_sync_that_removes_the_absent_leaves_the_rest_for_the_next(
    shop: Simulator, tmp_path: Path, how: str
) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(*(person(n) for n in range(30)))
    mirror.number += 1
    if how == "401":
        shop.set_faults(rules=[{"route": "/subscription/unsubscribe", "nth": 8, "kind": "status", "status": 401}])
    else:
        shop.set_faults(latency=0.2, rate_limit={"rate": 12})

    def removals() -> int:
        return sum(call["path"] == "/subscription/unsubscribe" for call in shop.calls())

    with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
        process.send(*records(person(0)), stream_state(1))
        if how == "401":
            assert process.finish().error["failure_type"] == "config_error"
        else:
            finish = threading.Thread(target=process._end_input)
            finish.start()
            process.wait_until(lambda: removals() > 5)
            finish.join()
            process.terminate() if how == "terminate" else process.kill()
    shop.set_faults()
    assert "u1" not in subscribed(shop) or len(subscribed(shop)) > 1
    mirror.sync(person(0), person(29))
    assert subscribed(shop) == {"u0": "free", "u29": "free"}


@pytest.mark.parametrize("damage", ["cut", "bytes", "gone", "all gone"])
def test_a_memory_that_was_damaged_removes_nobody_in_its_first_sync(
    shop: Simulator, tmp_path: Path, damage: str
) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(*(person(n) for n in range(4)))
    (file,) = tmp_path.glob("*.db")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "bytes":
        file.write_bytes(file.read_bytes().replace(b"Nat1", b"Nat7"))
    else:
        for path in tmp_path.iterdir():
            if damage == "all gone" or path == file:
                path.unlink()
    result = mirror.sync(person(0), person(1))
    assert [path for path, *_ in mirror.calls()] == ["sync", "sync"]
    assert damage == "all gone" or any("cannot be used" in warning for warning in result.warnings)
    mirror.sync(person(0))
    assert mirror.calls() == [("unsubscribe", "Nat1", None)]


@pytest.mark.slow
def test_kills_and_leavers_between_them_end_as_the_model(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    chance = random.Random(7)
    model = dict.fromkeys(range(30), "free")
    mirror.sync(*(person(n, tier) for n, tier in model.items()))
    shop.set_faults(latency=0.02)
    for _ in range(4):
        mirror.number += 1
        for _ in range(2):
            for number in chance.sample(range(30), 6):
                if model.pop(number, None) is None:
                    model[number] = chance.choice(["free", "gold"])
            with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
                rows = records(*(person(n, tier) for n, tier in sorted(model.items())))
                process.send(*rows[:10], stream_state(1), *rows[10:], stream_state(2))
                time.sleep(chance.uniform(0.2, 1.2))
                process.kill()
        mirror.sync(*(person(n, tier) for n, tier in sorted(model.items())))
        assert subscribed(shop) == {f"u{n}": tier for n, tier in model.items()}


def test_two_objects_share_one_memory_that_holds_no_address(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, subscription_id_kind="external")

    def sync(people: Sequence[int], tagged: Sequence[int]) -> WriteResult:
        mirror.number += 1
        streams = configured(mirror, "people", "tagged", again=True)
        for each, (name, more) in zip(
            streams["streams"], [("subscriptions", ["email", "tier"]), ("tags", ["tags"])], strict=True
        ):
            columns = ["subscription_id", "removed", *more]
            each |= {"destination_object_name": name, "destination_sync_mode": "append_dedup"}
            each["stream"]["json_schema"] = {"properties": {column: {} for column in columns}}
        mirror._calls = len(shop.calls())
        rows = [{"subscription_id": f"u{n}", "tags": ["vip"]} for n in tagged]
        lines = [*records(*map(person, people), stream="people"), *records(*rows, stream="tagged")]
        return run_write(mirror.config, streams, lines)

    first = sync(range(4), range(4))
    assert first.errors == []
    sync(range(3), range(2))
    assert mirror.calls() == [
        ("tag/remove", "Nat2", "vip"),
        ("tag/remove", "Nat3", "vip"),
        ("unsubscribe", "Nat3", None),
    ] or ([path for path, *_ in mirror.calls()].count("unsubscribe") == 1)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"u1" in stored
    for secret in (b"@example", b"free", shop.api_key.encode()):
        assert secret not in stored, secret


def test_put_marked_and_put_again_ends_put(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1))
    for _ in range(2):
        mirror.sync(person(0), person(1), person(1, gone=True), person(1), person(0, "gold"), person(0))
        assert subscribed(shop) | {"u0": "free", "u1": "free"} == subscribed(shop)


def test_a_clear_job_and_an_attempt_that_goes_on_remove_nobody(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(*(person(n) for n in range(6)))
    run_clear(mirror.config, configured(mirror))
    mirror.number += 2
    with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
        process.send(*records(*(person(n) for n in range(3))), stream_state(1))
        process.expect_state()
        process.kill()
    mirror.number -= 1
    mirror.sync(*(person(n) for n in range(3, 5)))
    assert mirror.calls() == [("unsubscribe", "Nat5", None)]


def two_devices(shop: Simulator, folder: Path) -> Mirror:
    """u0 has Nat0 with the tag vip, and since then Nat20, too."""
    shop.behave(lookup="list", unsubscribe_deletes=True)
    mirror = Mirror(shop, folder, "tags", subscription_id_kind="external")
    mirror.sync({"subscription_id": "u0", "tags": ["vip"]})
    mapping = [{"source": "id", "destination": "subscription_id"}, {"source": "user", "destination": "user_id"}]
    other = Mirror(shop, folder, subscription_id_kind="native", field_mapping=mapping, tracking={"name": "other"})
    other.sync({"id": "Nat20", "user": "u0"})
    return mirror


def test_a_device_that_came_since_gets_all_tags_of_a_changed_row(shop: Simulator, tmp_path: Path) -> None:
    mirror = two_devices(shop, tmp_path)
    mirror.sync({"subscription_id": "u0", "tags": ["vip", "news"]})
    held = shop.by_id()
    assert held["Nat0"]["tags"] == held["Nat20"]["tags"] == ["news", "vip"]
    mirror.sync({"subscription_id": "u0", "tags": ["vip", "news"]})
    assert mirror.calls() == []
    mirror.sync({"subscription_id": "u1", "tags": ["vip"]})
    held = shop.by_id()
    assert held["Nat0"]["tags"] == held["Nat20"]["tags"] == []


def test_a_tag_that_only_one_device_took_is_taken_from_it(shop: Simulator, tmp_path: Path) -> None:
    mirror = two_devices(shop, tmp_path)
    refuses = {"route": "/subscription/tag/add", "subscription": "Nat20", "kind": "status", "status": 400}
    shop.set_faults(rules=[refuses])
    mirror.sync({"subscription_id": "u0", "tags": ["news"]})
    assert shop.by_id()["Nat0"]["tags"] == ["news"]
    shop.set_faults()
    mirror.sync({"subscription_id": "u1", "tags": ["vip"]})
    assert shop.by_id()["Nat0"]["tags"] == []


@pytest.mark.slow
def test_an_attribute_that_was_sent_before_a_kill_is_cleared(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, null_values="clear")
    shop.set_faults(rules=[{"route": "/subscription/sync", "kind": "delay", "seconds": 3}])
    mirror.number += 1
    with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
        process.send(*records(person(0, city="Rom")), stream_state(1))
        process.wait_until(lambda: any(tmp_path.glob("*-wal")))
        time.sleep(1.5)
        process.kill()
    time.sleep(3)
    assert shop.by_id()["Nat0"]["customAttributes"]["city"] == "Rom"
    shop.set_faults()
    mirror.sync(person(0, city=None))
    assert "city" not in shop.by_id()["Nat0"]["customAttributes"]


def test_pyairbyte_with_its_constant_ids_removes_late_and_never_early(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(*(person(n) for n in range(4)), caller=PYAIRBYTE)
    mirror.sync(*(person(n) for n in range(3)), caller=PYAIRBYTE)
    assert mirror.calls() == [("unsubscribe", "Nat3", None)]
    with ConnectorProcess(mirror.config, configured(mirror), caller=PYAIRBYTE) as process:
        process.send(*records(person(0), person(1)), stream_state(1))
        process.expect_state()
        process.kill()
    mirror.sync(person(0), caller=PYAIRBYTE)
    assert mirror.calls() == [("unsubscribe", "Nat2", None)], "u1 was read in an attempt that may have been this pass"
    mirror.sync(person(0), caller=PYAIRBYTE)
    assert mirror.calls() == [("unsubscribe", "Nat1", None)]
    mirror.sync(caller=PYAIRBYTE)
    assert mirror.calls() == []


def test_a_tag_that_two_streams_list_goes_with_the_last_of_them(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, "tags", subscription_id_kind="native", row_lists_all_tags=True)

    def sync(a: list[str] | None, b: list[str]) -> list[str]:
        sync_streams(mirror, {name: [{"subscription_id": "Nat0", "tags": t}] for name, t in {"a": a, "b": b}.items()})
        tags: list[str] = shop.by_id()["Nat0"]["tags"]
        return tags

    assert sync(["vip"], ["vip", "news"]) == ["news", "vip"]
    assert sync([], ["vip", "news"]) == ["news", "vip"]
    assert sync([], ["news"]) == ["news"]
    assert sync(["churn"], ["news"]) == ["churn", "news"]
    assert sync(None, []) == ["churn"], "a row without tags is rejected, and its pairs stay"


def test_the_share_itself_is_allowed_and_one_more_is_not(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, max_removal_ratio=0.5)
    people = [person(n) for n in range(201)]
    mirror.sync(*people)
    result = mirror.sync(*people[:100])
    assert "101 of 201 members" in result.error["message"]
    assert mirror.calls() == []
    assert mirror.sync(*people[:101]).errors == []
    assert len(mirror.calls()) == 100


@pytest.mark.slow
def test_a_memory_in_a_bucket_outlasts_kills_and_holds_off_a_second_sync(shop: Simulator, tmp_path: Path) -> None:
    with start_moto(tmp_path) as moto:
        where = "<LocationConstraint>eu-central-1</LocationConstraint>"
        location = f"<CreateBucketConfiguration>{where}</CreateBucketConfiguration>"
        assert requests.put(f"{moto.endpoint}/memory", data=location, timeout=30).status_code == 200
        tracking = {
            "storage_type": "s3",
            "s3_bucket_name": "memory",
            "s3_bucket_region": "eu-central-1",
            "access_key_id": "AKIAPOISON",
            "secret_access_key": "POISON/secret",
            "s3_endpoint": moto.endpoint,
            "allow_http": True,
        }
        mirror = Mirror(shop, tmp_path, tracking=tracking)
        del mirror.config["change_tracking"]["destination_path"]
        first = mirror.sync(*(person(n) for n in range(6)))
        assert first.errors == []
        mirror.number += 1
        with ConnectorProcess(mirror.config, configured(mirror, again=True)) as process:
            process.send(*records(person(0), person(1)), stream_state(1))
            process.expect_state()
            process.kill()
        mirror.number -= 1
        result = mirror.sync(person(2, "gold"), silence_seconds=120, state_gap_seconds=120)
        assert result.errors == []
        assert mirror.calls()[0][0] == "sync"
        assert mirror.calls()[1:] == [("unsubscribe", f"Nat{n}", None) for n in (3, 4, 5)]
        assert_absent(result, "POISON", "@example.com")
        store = opened(S3Settings("memory", "eu-central-1", "", "AKIAPOISON", "POISON/secret", None, moto.endpoint))
        listed = requests.get(f"{moto.endpoint}/memory?list-type=2", timeout=30).text
        store.delete(next(key for key in re.findall("<Key>(.*?)</Key>", listed) if not key.endswith("manifest")))
        damaged = mirror.sync(person(0))
        assert [path for path, *_ in mirror.calls()] == ["sync"]
        assert any("cannot be used" in warning for warning in damaged.warnings)
