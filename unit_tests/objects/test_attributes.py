"""Columns that wait for a custom attribute which the channel does not have."""

from __future__ import annotations

from typing import Any

import pytest

from destination_cleverpush.objects.plan import StreamPlan, needed_lists, plan_streams, wanted_lists
from destination_cleverpush.words import Channel, StreamId
from unit_tests.objects.examples import mapped, row, settings, stream

CHANNEL = Channel(attributes={"user_id": "", "city": "City", "tier": "Tier"})
DATA = {"subscription_id": "u1", "email": "a@b.c", "city": "Rom", "plan": "gold"}
SCHEMA: dict[str, Any] = {"properties": {name: {} for name in DATA}}


def plan(
    told: list[str], channel: Channel = CHANNEL, schema: dict[str, Any] | None = None, **fields: Any
) -> StreamPlan:
    plans = plan_streams(
        settings(**fields), [stream(schema=schema)], lambda _level, sentence: told.append(sentence), channel=channel
    )
    return plans[StreamId("users")]


def sent(plan: StreamPlan, data: dict[str, Any]) -> dict[str, Any]:
    job = plan.job(row(data))
    assert job.script is not None
    return dict(next(job.script).payload["customAttributes"])


@pytest.mark.parametrize(
    ("unmapped", "channel", "attributes"),
    [
        ("known", CHANNEL, {"city": "Rom", "user_id": "u1"}),
        ("known", Channel(), {"city": "Rom", "plan": "gold", "user_id": "u1"}),
        ("send", CHANNEL, {"city": "Rom", "plan": "gold", "user_id": "u1"}),
        ("ignore", CHANNEL, {"user_id": "u1"}),
    ],
)
def test_an_unmapped_column_is_sent_where_the_channel_has_its_attribute(
    unmapped: str, channel: Channel, attributes: dict[str, Any]
) -> None:
    assert sent(plan([], channel, unmapped_fields=unmapped), DATA) == attributes


def test_a_mapped_column_is_sent_in_any_case() -> None:
    fields = mapped(subscription_id="subscription_id", tierr="plan")
    assert sent(plan([], field_mapping=fields, unmapped_fields="known"), DATA) == {
        "city": "Rom", "tierr": "gold", "user_id": "u1",
    }  # fmt: skip


@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_one_warning_names_all_before_the_first_call(schema: dict[str, Any] | None) -> None:
    told: list[str] = []
    made = plan(
        told, schema=schema, unmapped_fields="known", field_mapping=mapped(subscription_id="subscription_id", tierr="x")
    )
    made.job(row(DATA))
    made.job(row(DATA))
    made.end()
    (warning,) = [sentence for sentence in told if "custom attribute" in sentence]
    assert "'tierr' (mapped, and sent all the same; nearest: 'tier')" in warning
    assert "'plan' (left out; nearest: " in warning
    assert "Settings > Custom Attributes" in warning


def test_columns_that_come_later_are_told_at_the_end() -> None:
    told: list[str] = []
    made = plan(told, unmapped_fields="send")
    made.job(row(DATA))
    for number in range(50):
        made.job(row({**DATA, f"late{number}": 1}))
    assert len(told) == 1
    assert "'plan' (sent all the same" in told[0]
    made.end()
    assert len(told) == 2
    assert "'late0' (sent" in told[1]
    assert "and 30 more" in told[1]


@pytest.mark.parametrize(
    "fields", [{"object_type": "tags"}, {"audience_mode": "remove"}, {"unmapped_fields": "ignore"}]
)
def test_nothing_is_told_where_no_column_is_to_be_an_attribute(fields: dict[str, Any]) -> None:
    told: list[str] = []
    made = plan(told, **fields)
    made.job(row({**DATA, "tags": "t1"}))
    made.end()
    assert told == []


@pytest.mark.parametrize(
    ("fields", "wanted", "needed"),
    [
        ({}, {"topics", "attributes"}, set()),
        ({"audience_mode": "remove"}, set(), set()),
        ({"object_type": "tags"}, {"tags"}, set()),
        ({"object_type": "tags", "audience_mode": "remove", "tags_are_names": True}, {"tags"}, {"tags"}),
        ({"tags_are_names": True}, {"topics", "attributes"}, {"topics"}),
    ],
)
def test_only_what_is_compared_is_read(fields: dict[str, Any], wanted: set[str], needed: set[str]) -> None:
    assert (wanted_lists(settings(**fields)), needed_lists(settings(**fields))) == (wanted, needed)
