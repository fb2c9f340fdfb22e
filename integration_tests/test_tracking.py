"""Change tracking with the real command: only changes are sent, and a true Mirror removes who left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from integration_tests.messages import Message, Row, catalog, record, records, stream, stream_state
from integration_tests.platform_double import AIRBYTE, PIPE, PYAIRBYTE, WriteResult, run_check, run_write
from integration_tests.simulator.process import Simulator, start_simulator
from tools.refreshes import KINDS, OBJECTS, Refreshes, run

TAGS = ["vip", "news", "churn"]
ATTRIBUTES = ["user_id", "tier", "city"]
COMPLETE = {"stream_descriptor": {"name": "users"}, "status": "COMPLETE"}


@pytest.fixture
def shop(connector: Sequence[str]) -> Iterator[Simulator]:
    """A channel with subscriptions Nat0 to Nat29, which no user has yet but the first ten: u0 has Nat0."""
    held = [{"id": f"Nat{n}", **({"user_id": f"u{n}"} if n < 10 else {})} for n in range(30)]
    channel = {"_id": "Shop", "attributes": ATTRIBUTES, "tags": TAGS, "subscriptions": held}
    with start_simulator(
        accounts=[{"api_key": "private-key", "channels": [channel]}], behaviour={"unsubscribe_deletes": True}
    ) as simulator:
        yield simulator


class Mirror:
    """One connection that is synced over and over, each time with a generation and a sync of its own.

    Attributes:
        told: warnings of the last sync.
    """

    def __init__(self, simulator: Simulator, folder: Path, object_type: str = "subscriptions", **form: Any) -> None:
        form = {"audience_mode": "mirror", "removed_field": "gone", "max_removal_ratio": 1, **form}
        tracking = {"storage_type": "local", "destination_path": str(folder), **form.pop("tracking", {})}
        self.simulator = simulator
        self.config = simulator.connector_config(object_type, change_tracking=tracking, **form)
        self.number = 0
        self._calls = 0

    def sync(
        self, *rows: Row, catalog_: Message | None = None, lines: Sequence[Any] = (), **options: Any
    ) -> WriteResult:
        self.number += 1
        ids: dict[str, Any] = {"generation_id": self.number, "sync_id": 100 + self.number}
        configured = catalog_ or catalog(stream(mode="overwrite", **ids))
        self._calls = len(self.simulator.calls())
        return run_write(self.config, configured, [*lines, *records(*rows), stream_state(self.number)], **options)

    def calls(self) -> list[tuple[str, Any, Any]]:
        """What the last sync wrote: path, ID, and the attributes or tag."""
        made = [
            call for call in self.simulator.calls()[self._calls :] if call["method"] == "POST" and call["status"] == 200
        ]
        found = []
        for call in made:
            body = call["json"]
            who = body.get("subscriptionId") or body["customAttributes"]["user_id"]
            found.append((call["path"].rpartition("/subscription/")[2], who, body.get("tagId")))
        return sorted(found, key=str)


def person(number: int, tier: str = "free", **more: Any) -> Row:
    return {"subscription_id": f"u{number}", "email": f"u{number}@example.com", "tier": tier, **more}


def subscribed(simulator: Simulator) -> dict[str, Any]:
    """The tier of each user who is subscribed."""
    held = simulator.state()["subscriptions"]
    return {
        s["customAttributes"]["user_id"]: s["customAttributes"].get("tier")
        for s in held
        if s["subscribed"] and "user_id" in s["customAttributes"]
    }


def test_only_changes_are_sent_and_who_left_is_unsubscribed(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    first = mirror.sync(*(person(n) for n in range(5)))
    assert first.counts == [(5.0, 0.0)], first.errors
    assert len(mirror.calls()) == 5
    again = mirror.sync(*(person(n) for n in range(5)))
    assert (again.counts, mirror.calls()) == ([(5.0, 0.0)], [])
    assert "5 unchanged" in again.stdout
    changed = mirror.sync(person(0), person(1, "gold"), person(3), person(20))
    assert changed.counts == [(4.0, 0.0)], changed.errors
    assert [path for path, *_ in mirror.calls()] == ["sync", "sync", "unsubscribe", "unsubscribe"]
    assert {who for path, who, _ in mirror.calls() if path == "unsubscribe"} == {"Nat2", "Nat4"}
    left = subscribed(shop)
    assert {name: left[name] for name in ("u0", "u1", "u3", "u20")} == {
        "u0": "free",
        "u1": "gold",
        "u3": "free",
        "u20": "free",
    }
    assert {"u2", "u4"}.isdisjoint(left)
    assert left.keys() >= {"u5", "u9"}, "whom tracking has not added stays"


def test_who_comes_back_as_before_is_sent_again(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1))
    mirror.sync(person(0))
    assert "u1" not in subscribed(shop)
    mirror.sync(person(0), person(1))
    assert [path for path, *_ in mirror.calls()] == ["sync"]
    assert subscribed(shop)["u1"] == "free"


def test_a_marked_row_is_removed_once_by_cleverpushs_id(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1), person(2))
    mirror.sync(person(0), person(1, gone=True), {"subscription_id": "Nat2", "gone": True})
    assert mirror.calls() == [("unsubscribe", "Nat1", None), ("unsubscribe", "Nat2", None)]
    still = mirror.sync(person(0), person(1, gone=True), {"subscription_id": "Nat2", "gone": True})
    assert (still.counts, mirror.calls()) == ([(3.0, 0.0)], [])
    assert "2 removed before" in still.stdout
    mirror.sync(person(0), person(1), person(2))
    assert [path for path, *_ in mirror.calls()] == ["sync", "sync"]
    assert subscribed(shop).keys() >= {"u0", "u1", "u2"}


@pytest.mark.parametrize("kind", ["native", "external"])
def test_tags_that_left_are_taken_from_those_who_had_them(shop: Simulator, tmp_path: Path, kind: str) -> None:
    who = ("Nat{}" if kind == "native" else "u{}").format
    mirror = Mirror(shop, tmp_path, "tags", subscription_id_kind=kind)
    rows = [{"subscription_id": who(n), "tags": ["vip", "news"]} for n in range(4)]
    mirror.sync(*rows)
    assert len(mirror.calls()) == 8
    mirror.sync(*rows)
    assert mirror.calls() == []
    mirror.sync(rows[0], {"subscription_id": who(1), "tags": ["vip", "churn"]}, rows[2])
    assert mirror.calls() == [
        ("tag/add", "Nat1", "churn"),
        ("tag/remove", "Nat1", "news"),
        ("tag/remove", "Nat3", "news"),
        ("tag/remove", "Nat3", "vip"),
    ]


def test_a_row_that_lists_all_tags_removes_the_others_at_once(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, "tags", subscription_id_kind="native", row_lists_all_tags=True)
    mirror.sync({"subscription_id": "Nat0", "tags": ["vip", "news"]}, {"subscription_id": "Nat1", "tags": ["vip"]})
    mirror.sync({"subscription_id": "Nat0", "tags": ["churn"]}, {"subscription_id": "Nat1", "tags": []}, caller=PIPE)
    assert mirror.calls() == [
        ("tag/add", "Nat0", "churn"),
        ("tag/remove", "Nat0", "news"),
        ("tag/remove", "Nat0", "vip"),
        ("tag/remove", "Nat1", "vip"),
    ]
    twice = mirror.sync({"subscription_id": "Nat0", "tags": ["vip"]}, {"subscription_id": "Nat0", "tags": ["churn"]})
    assert mirror.calls() == [("tag/add", "Nat0", "vip")]
    assert any("came in more than one row" in warning for warning in twice.warnings)


def test_a_pipe_without_complete_never_ends_its_pass_so_that_every_tag_it_listed_counts_as_seen(
    shop: Simulator, tmp_path: Path
) -> None:
    mirror = Mirror(shop, tmp_path, "tags", subscription_id_kind="native", row_lists_all_tags=True)
    pipe: dict[str, Any] = {"catalog_": catalog(stream(mode="overwrite")), "caller": PIPE}
    mirror.sync({"subscription_id": "Nat0", "tags": ["vip", "news"]}, **pipe)
    for _ in range(2):
        result = mirror.sync({"subscription_id": "Nat0", "tags": ["vip"]}, **pipe)
        assert mirror.calls() == []
        assert any("COMPLETE" in warning for warning in result.warnings)
    complete = [{"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 0, "stream_status": COMPLETE}}]
    mirror.sync({"subscription_id": "Nat0", "tags": ["vip"]}, lines=complete, **pipe)
    assert mirror.calls() == []
    mirror.sync({"subscription_id": "Nat0", "tags": ["vip"]}, lines=complete, **pipe)
    assert mirror.calls() == [("tag/remove", "Nat0", "news")]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"caller": PIPE}, "COMPLETE"),
        ({"lines": ["a line of some library"]}, "could not be read"),
        ({"rows": [person(0), {"tier": "gold"}]}, "no usable subscription_id"),
        ({"rows": []}, "sent no row"),
    ],
)
def test_where_anything_is_unclear_nobody_who_is_absent_is_removed(
    shop: Simulator, tmp_path: Path, what: dict[str, Any], says: str
) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(*(person(n) for n in range(3)))
    result = mirror.sync(*what.pop("rows", [person(0)]), **what)
    assert mirror.calls() == []
    assert any(says in warning for warning in result.warnings), result.warnings
    assert subscribed(shop).keys() >= {"u0", "u1", "u2"}


def test_more_than_the_share_of_members_ends_the_sync_before_the_first_removal(shop: Simulator, tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path, max_removal_ratio=0.5)
    people = [person(n) for n in range(250)]
    mirror.sync(*people)
    result = mirror.sync(*people[:50])
    assert result.error["failure_type"] == "config_error"
    assert "200 of 250 members would be removed" in result.error["message"]
    assert result.counts == [(50.0, 0.0)]
    assert mirror.calls() == []
    marked = mirror.sync(*people[:100], *({**row, "gone": True} for row in people[100:]))
    assert marked.error["failure_type"] == "config_error"
    assert "126 of 250 members would be removed, 125 of them because" in marked.error["message"]
    assert len(mirror.calls()) <= 125


@pytest.mark.parametrize("caller", [AIRBYTE, PYAIRBYTE])
def test_attributes_that_became_null_are_cleared(shop: Simulator, tmp_path: Path, caller: Any) -> None:
    mirror = Mirror(shop, tmp_path, null_values="clear")
    mirror.sync(person(0, city="Rom"), person(1, city="Rom"), caller=caller)
    mirror.sync(person(0, city=None), person(1, city="Rom"), caller=caller)
    assert [path for path, *_ in mirror.calls()] == ["attribute/clear", "sync"]
    held = shop.by_id()
    assert "city" not in held["Nat0"]["customAttributes"]
    assert held["Nat1"]["customAttributes"]["city"] == "Rom"
    mirror.sync(person(0, city=None), person(1, city="Rom"), caller=caller)
    assert mirror.calls() == []


def test_a_dry_run_tells_who_would_be_removed_and_changes_nothing(
    shop: Simulator, connector: Sequence[str], tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    mirror = Mirror(shop, memory)
    mirror.sync(person(0), person(1))
    before = {path: path.read_bytes() for path in memory.iterdir() if path.suffix != ".lock"}
    (tmp_path / "config.json").write_text(json.dumps(mirror.config))
    configured = catalog(stream(mode="append", generation_id=2, minimum_generation_id=2, sync_id=102))
    (tmp_path / "catalog.json").write_text(json.dumps(configured))
    complete = {
        "type": "STREAM_STATUS",
        "stream_status": {"status": "COMPLETE", "stream_descriptor": {"name": "users"}},
    }
    lines = [record(person(0)), {"type": "TRACE", "trace": complete}]
    calls = len(shop.calls())
    done = subprocess.run(
        [
            *connector,
            "write",
            "--config",
            tmp_path / "config.json",
            "--catalog",
            tmp_path / "catalog.json",
            "--dry-run",
        ],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 unchanged, 1 removed, since the source has them no more" in done.stdout
    assert "POST /subscription/unsubscribe" in done.stdout
    assert {call["method"] for call in shop.calls()[calls:]} == {"GET"}
    assert {path: path.read_bytes() for path in memory.iterdir() if path.suffix != ".lock"} == before


def test_the_memory_is_shown_exported_and_forgotten(shop: Simulator, connector: Sequence[str], tmp_path: Path) -> None:
    mirror = Mirror(shop, tmp_path)
    mirror.sync(person(0), person(1), person(2))
    mirror.sync(person(0), person(1, gone=True))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(mirror.config))

    def tracking(*arguments: str) -> str:
        command = [*connector, "tracking", *arguments, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (shown,) = map(json.loads, tracking("show", "--json").splitlines())
    assert {name: shown[name] for name in ("stream", "members", "removed", "owed", "last_sync")} == {
        "stream": "users",
        "members": 1,
        "removed": 1,
        "owed": 0,
        "last_sync": 102,
    }
    assert "1 members" in tracking("show")
    exported = [json.loads(line) for line in tracking("export").splitlines()]
    assert {entry["id"]: entry["standing"] for entry in exported} == {"u0": "taken", "u1": "removed"}
    assert "@" not in tracking("export")
    assert "2 entries" in tracking("forget", "--stream", "users")
    assert tracking("export") == ""
    mirror.sync(person(0))
    assert len(mirror.calls()) == 1


def test_check_tries_the_memory(shop: Simulator, tmp_path: Path) -> None:
    config = Mirror(shop, tmp_path).config
    found = run_check(config)
    assert found.status == "SUCCEEDED", found.message
    assert "Tracking: 'default' can be kept" in found.output
    missing = run_check({**config, "change_tracking": {**config["change_tracking"], "destination_path": "/no/where"}})
    assert missing.status == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize("object_type", OBJECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_refreshes_end_as_the_model_says_though_the_process_is_killed(object_type: str, kind: str) -> None:
    run(Refreshes(object_type, kind, people=600, refreshes=4, kills=3, seed=5))
