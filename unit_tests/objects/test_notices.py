"""Given the form, a schema and rows, this is what the user hears about columns."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.objects.plan import StreamPlan, plan_streams
from destination_cleverpush.words import StreamId
from unit_tests.objects.examples import mapped, row, settings, stream

Notices = list[tuple[int, str]]


def plan(columns: list[str] | None = None, /, **fields: Any) -> tuple[StreamPlan, Notices]:
    told: Notices = []
    schema: dict[str, Any] = {"properties": {name: {} for name in columns}} if columns else {}
    plans = plan_streams(
        settings(kind="native", **fields), [stream(schema=schema)], lambda level, said: told.append((level, said))
    )
    return plans[StreamId("users")], told


def test_columns_that_fit_say_nothing() -> None:
    subject, told = plan(["id", "email"], field_mapping=mapped(subscription_id="id"), audience_mode="mirror")
    subject.job(row({"id": "s1", "email": "a@b.example", "_ab_cdc_deleted_at": None}))
    subject.end()
    assert told == []


def test_a_column_that_is_taken_for_another_is_told_once_before_the_first_row() -> None:
    subject, told = plan(["ID", "EMAIL"], field_mapping=mapped(subscription_id="id"))
    expected = (
        "Stream 'users' has columns whose names fit but for blanks or upper and lower case. Taken: 'ID' for 'id', "
        "'EMAIL' for 'email'."
    )
    assert told == [(logging.INFO, expected)]
    for _ in range(3):
        subject.job(row({"ID": "s1", "EMAIL": "a@b.example"}))
    assert len(told) == 1


def test_without_a_schema_it_is_told_at_the_row_that_has_it() -> None:
    subject, told = plan(removed_field="gone", audience_mode="mirror")
    subject.job(row({"subscription_id": "s1"}))
    assert told == []
    subject.job(row({"subscription_id": "s1", "GONE": False}))
    subject.job(row({"subscription_id": "s1", "GONE": False, "other": 1}))
    assert [said for _, said in told] == [
        "Stream 'users' has columns whose names fit but for blanks or upper and lower case. Taken: 'GONE' for 'gone'."
    ]


def test_missing_columns_are_one_warning_with_the_nearest() -> None:
    _, told = plan(
        ["id", "mail", "is_deleted"], field_mapping=mapped(subscription_id="id", email="email"), removed_field="deleted"
    )
    expected = (
        "Stream 'users': columns are missing: its schema has no 'email' (email; nearest: 'mail'), 'deleted' (the "
        "removed marker; nearest: 'is_deleted'). Correct the names under Field Mapping or Removed Marker, or refresh "
        "the connection's schema."
    )
    assert told == [(logging.WARNING, expected)]


@pytest.mark.parametrize(
    "fields",
    [
        {"field_mapping": mapped(subscription_id="uid", email="mail")},
        {"field_mapping": mapped(subscription_id="id", tags="labels"), "object_type": "tags"},
        {"field_mapping": mapped(subscription_id="uid.value")},
        {"removed_field": "gone", "audience_mode": "mirror", "field_mapping": mapped(subscription_id="id")},
    ],
)
def test_without_the_source_of_a_required_field_or_mirrors_marker_the_sync_does_not_start(fields: Any) -> None:
    with pytest.raises(Failure, match="columns are missing: its schema has no '") as failed:
        plan(["id", "mail"], **fields)
    assert failed.value.kind is FailureKind.CONFIG


@pytest.mark.parametrize(
    "fields",
    [
        {"removed_field": "_AB_CDC_deleted_at", "audience_mode": "mirror"},
        {"removed_field": "gone", "audience_mode": "remove"},
    ],
)
def test_a_marker_that_is_airbytes_own_or_that_nobody_reads_may_be_missing(fields: Any) -> None:
    assert plan(["subscription_id"], **fields)[1] == []


def test_one_of_several_sources_of_a_required_field_is_enough() -> None:
    both = (*mapped(subscription_id="id"), *mapped(subscription_id="uid"))
    _, told = plan(["id"], field_mapping=both)
    assert [level for level, _ in told] == [logging.WARNING]


def test_a_nested_column_that_its_schema_lacks_is_warned_of() -> None:
    told: Notices = []
    schema: dict[str, Any] = {"properties": {"id": {}, "home": {"properties": {"city": {}}}}}
    chosen = settings(field_mapping=mapped(subscription_id="id", town="home.ctiy"))
    plan_streams(chosen, [stream(schema=schema)], lambda level, said: told.append((level, said)))
    expected = (
        "Stream 'users': the schema of the column 'home' has no 'ctiy', of which 'home.ctiy' speaks (nearest: 'city')."
    )
    assert told == [(logging.WARNING, expected)]


def test_without_a_schema_the_first_thousand_rows_tell() -> None:
    subject, told = plan(field_mapping=mapped(subscription_id="id", email="mail"))
    for _ in range(999):
        subject.job(row({"id": "s1"}))
    assert told == []
    for _ in range(2):
        subject.job(row({"id": "s1"}))
    subject.end()
    [(level, said)] = told
    assert level == logging.WARNING
    assert "none of the first 1000 rows has 'mail' (email; nearest: 'id')" in said


def test_fewer_rows_tell_when_they_end() -> None:
    subject, told = plan(field_mapping=mapped(subscription_id="id"))
    subject.end()
    assert told == [], "no row shows nothing"
    subject.job(row({"uid": "s1"}))
    subject.end()
    assert "none of the first 1 rows has 'id' (subscription_id; nearest: 'uid')" in told[0][1]


def test_values_that_mean_neither_yes_nor_no_are_told_once() -> None:
    subject, told = plan(removed_field="status", audience_mode="mirror")
    for _ in range(3):
        subject.job(row({"subscription_id": "s1", "status": "active"}))
    [(level, said)] = told
    assert level == logging.WARNING
    assert "the removed marker 'status' holds values that mean neither yes nor no" in said
