"""The user's own IDs and CleverPush's: rows in, and at CleverPush the right subscriptions changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from integration_tests.messages import Message, Row, catalog, record, records, stream_state
from integration_tests.platform_double import WriteResult, run_check, run_write
from integration_tests.simulator.process import Simulator, start_simulator

LOOK_UP = "/subscription"
TAGS = ["vip", "news", "churn"]


def shop(people: int, *more: dict[str, Any]) -> dict[str, Any]:
    """An account with a channel in which so many people have one subscription each: `u0` has `Nat0`."""
    held = [{"id": f"Nat{n}", "user_id": f"u{n}"} for n in range(people)]
    channel = {"_id": "Shop", "attributes": ["user_id", "tier"], "tags": TAGS, "subscriptions": [*held, *more]}
    return {"api_key": "private-key", "channels": [channel]}


@pytest.fixture
def shop_of_thirty(connector: Sequence[str]) -> Iterator[Simulator]:
    with start_simulator(accounts=[shop(30)]) as simulator:
        yield simulator


def write(simulator: Simulator, rows: Sequence[Row], object_type: str = "subscriptions", **form: Any) -> WriteResult:
    config = simulator.connector_config(object_type, **form)
    return run_write(config, catalog(), [*records(*rows), stream_state(1)])


def tag_rows(number: int, people: int, subscription_id: str) -> Iterator[Row]:
    for n in range(number):
        person = n * n % people
        row = {"subscription_id": subscription_id.format(person), "tags": [TAGS[n % 3]]}
        yield row | ({"gone": True} if n % 5 == 4 else {})


def tagged_alike(number: int, people: int, **faults: Any) -> None:
    """Tag by the user's own IDs and by CleverPush's; both end alike, with one look-up per subscription at most."""
    ends = []
    for kind, subscription_id in (("external", "u{}"), ("native", "Nat{}")):
        with start_simulator(accounts=[shop(people)], faults=faults) as simulator:
            config = simulator.connector_config(
                "tags", subscription_id_kind=kind, audience_mode="mirror", removed_field="gone"
            )
            rows: list[Message] = [record(row) for row in tag_rows(number, people, subscription_id)]
            result = run_write(config, catalog(), [*rows, stream_state(1)])
            assert result.counts == [(float(number), 0.0)], result.errors
            ends.append({s["id"]: s["tags"] for s in simulator.state()["subscriptions"]})
            asked = [call["query"] for call in simulator.calls() if call["path"] == LOOK_UP and call["status"] == 200]
            assert len(asked) == len({str(query) for query in asked})
            assert (len(asked) > 0) is (kind == "external")
            assert simulator.stats()["most_in_flight_per_subscription"] == 1
    assert ends[0] == ends[1]
    assert any(tags for tags in ends[0].values())


def test_tagging_by_the_users_own_ids_ends_as_by_cleverpushs(connector: Sequence[str]) -> None:
    tagged_alike(300, 40)


def test_look_ups_obey_a_limit_as_all_calls_do(connector: Sequence[str]) -> None:
    tagged_alike(250, 60, rate_limit={"rate": 100, "retry_after": 1})


@pytest.mark.slow
def test_ten_thousand_rows_with_tags(connector: Sequence[str]) -> None:
    tagged_alike(10_000, 4_000)


@pytest.mark.slow
def test_ten_thousand_rows_with_tags_at_a_hundred_calls_per_second(connector: Sequence[str]) -> None:
    began = time.monotonic()
    tagged_alike(2_000, 1_000, rate_limit={"rate": 100, "retry_after": 1})
    assert time.monotonic() - began > 45


def test_mirror_with_the_users_own_ids_keeps_one_subscription_per_person(connector: Sequence[str]) -> None:
    phone = {"id": "Phone1", "user_id": "u1"}
    with start_simulator(accounts=[shop(3, phone)], behaviour={"lookup": "list"}) as simulator:
        rows: list[Row] = [
            {"subscription_id": "u0", "tier": "gold", "gone": False},
            {"subscription_id": "u1", "gone": True},
            {"subscription_id": "nobody", "gone": True},
            {"subscription_id": "new", "email": "new@example.com", "gone": False},
        ]
        form: dict[str, Any] = {"audience_mode": "mirror", "removed_field": "gone", "subscription_id_kind": "external"}
        for _ in range(2):
            result = write(simulator, rows, **form)
            assert result.counts == [(4.0, 0.0)], result.errors
            assert result.warnings == []
        held = simulator.by_id()
        assert len(held) == 5
        assert {name: s["subscribed"] for name, s in held.items() if name in ("Nat0", "Nat1", "Phone1", "Nat2")} == {
            "Nat0": True, "Nat1": False, "Phone1": False, "Nat2": True,
        }  # fmt: skip
        assert held["Nat0"]["customAttributes"]["tier"] == "gold"
        assert "1 not in the channel" in result.stdout


def test_mirror_with_both_ids_keeps_one_subscription_per_person(shop_of_thirty: Simulator) -> None:
    rows: list[Row] = [
        {"id": "u0", "cp": "Nat0", "tier": "gold", "gone": False},
        {"id": "u1", "cp": "Nat1", "gone": True},
        {"id": None, "cp": "Nat2", "gone": True},
        {"id": "u3", "cp": None, "gone": True},
    ]
    mapping = [
        {"source": source, "destination": destination}
        for source, destination in (("id", "subscription_id"), ("cp", "cleverpush_id"), ("tier", "tier"))
    ]
    result = write(shop_of_thirty, rows, audience_mode="mirror", removed_field="gone", field_mapping=mapping)
    assert result.counts == [(4.0, 0.0)], result.errors
    assert result.warnings == []
    held = shop_of_thirty.by_id()
    assert len(held) == 30
    assert [name for name, s in held.items() if not s["subscribed"]] == ["Nat1", "Nat2", "Nat3"]
    assert held["Nat0"]["customAttributes"] == {"user_id": "u0", "tier": "gold"}


def test_own_ids_given_for_cleverpushs_end_the_sync_before_a_state_leaves(shop_of_thirty: Simulator) -> None:
    rows: list[Row] = [{"subscription_id": f"u{n}"} for n in range(30)]
    result = write(shop_of_thirty, rows, audience_mode="remove")
    assert result.states == []
    assert result.error["failure_type"] == "config_error"
    assert "external" in result.error["message"]
    assert all(s["subscribed"] for s in shop_of_thirty.state()["subscriptions"])


def test_what_is_gone_already_is_delivered_when_it_is_sent_again(shop_of_thirty: Simulator) -> None:
    shop_of_thirty.behave(unsubscribe_deletes=True)
    rows: list[Row] = [{"subscription_id": f"Nat{n}"} for n in range(25)]
    first, second = (write(shop_of_thirty, rows, audience_mode="remove") for _ in range(2))
    assert first.counts == second.counts == [(25.0, 0.0)], second.errors
    assert first.warnings == []
    assert any("25 of 25 rows to be removed had no subscription any more" in said for said in second.warnings)
    assert "25 gone already" in second.stdout
    assert len(shop_of_thirty.by_id()) == 5


@pytest.mark.parametrize("hidden", ["forbidden", "lacking"])
def test_where_nothing_can_be_looked_up_no_row_is_rejected_for_it(shop_of_thirty: Simulator, hidden: str) -> None:
    shop_of_thirty.behave(**{hidden: ["subscription"]})
    rows: list[Row] = [{"subscription_id": f"u{n}", "tags": "vip"} for n in range(30)]
    result = write(shop_of_thirty, rows, "tags", subscription_id_kind="external")
    assert result.states == []
    assert result.error["failure_type"] == "config_error"
    assert not any("Rejected" in said for said in result.warnings)
    again = write(shop_of_thirty, [{"subscription_id": "u0", "tier": "gold"}], subscription_id_kind="by_call")
    assert again.counts == [(1.0, 0.0)], again.errors


def test_a_channel_that_fills_with_copies_is_told_and_ends_the_sync(shop_of_thirty: Simulator) -> None:
    shop_of_thirty.behave(copies=True)
    rows: list[Row] = [{"subscription_id": f"u{n % 15}", "email": f"{n}@example.com"} for n in range(60)]
    result = write(shop_of_thirty, rows)
    assert result.error["failure_type"] == "config_error"
    assert "filling with copies" in result.error["message"]
    assert sum("filling with copies" in said for said in result.warnings) == 1


def test_mirror_by_call_is_warned_of_in_check_and_in_write(shop_of_thirty: Simulator) -> None:
    form = {"audience_mode": "mirror", "removed_field": "gone"}
    check = run_check(shop_of_thirty.connector_config("subscriptions", **form))
    assert check.status == "SUCCEEDED"
    result = write(shop_of_thirty, [{"subscription_id": "u0", "gone": False}], **form)
    for told in (check.output, result.stdout):
        assert told.count("as two kinds of ID") == 1
        assert "subscription_id_kind" in told
