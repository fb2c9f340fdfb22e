"""Given a row and a mapping, these are the CleverPush fields."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.objects.mapping import RowMapper
from destination_cleverpush.objects.subscriptions import OBJECT
from unit_tests.objects.examples import mapped, settings
from unit_tests.strategies import ROWS

C_00_TO_29 = [f"c{n:02}" for n in range(30)]
TIMED = {"properties": {"at": {"type": "string", "format": "date-time"}, "day": {"format": "date"}, "odd": True}}


def mapper(schema: dict[str, Any] | None = None, **fields: Any) -> RowMapper:
    return RowMapper(settings(**fields), OBJECT.known_fields, schema or {})


def mark(row: dict[str, Any], removed_field: str = "_ab_cdc_deleted_at") -> Any:
    return mapper(removed_field=removed_field).layout(row).mark(row)


# --- columns to fields


def test_without_a_mapping_columns_keep_their_names() -> None:
    row = {"subscription_id": "u1", "email": "a@b.example", "tier": "gold"}
    assert mapper().fields(row) == row


def test_nulls_and_airbytes_own_columns_and_the_removed_marker_are_left_out() -> None:
    row = {
        "subscription_id": "u1",
        "email": None,
        "_airbyte_raw_id": "x",
        "_airbyte_extracted_at": 1,
        "_ab_cdc_deleted_at": None,
        "_ab_cdc_lsn": 7,
        "gone": False,
    }
    assert mapper(removed_field="gone").fields(row) == {"subscription_id": "u1"}


def test_a_mapped_column_goes_under_its_new_name_and_not_under_its_own() -> None:
    found = mapper(field_mapping=mapped(subscription_id="id", loyalty="tier")).fields(
        {"id": "u1", "tier": "gold", "city": "Kiel"}
    )
    assert found == {"subscription_id": "u1", "loyalty": "gold", "city": "Kiel"}


def test_an_airbyte_column_is_sent_where_it_is_mapped_by_name() -> None:
    found = mapper(field_mapping=mapped(changed="_ab_cdc_updated_at")).fields({"_ab_cdc_updated_at": "2024-05-01"})
    assert found == {"changed": "2024-05-01"}


def test_a_column_does_not_take_the_place_of_a_mapped_one() -> None:
    config = mapped(email="work_email")
    assert mapper(field_mapping=config).fields({"email": "old@b.example", "work_email": "new@b.example"}) == {
        "email": "new@b.example"
    }
    assert mapper(field_mapping=config).fields({"email": "old@b.example", "work_email": None}) == {}


def test_one_column_may_fill_two_fields() -> None:
    config = mapped(subscription_id="id", crm_id="id")
    assert mapper(field_mapping=config).fields({"id": 7}) == {"subscription_id": 7, "crm_id": 7}


def test_a_dotted_path_reaches_into_nested_columns_and_the_rest_of_them_is_not_sent() -> None:
    row = {"id": "u1", "profile": {"address": {"city": "Kiel"}, "born": "1990"}, "tier": "gold"}
    found = mapper(field_mapping=mapped(subscription_id="id", city="profile.address.city")).fields(row)
    assert found == {"subscription_id": "u1", "city": "Kiel", "tier": "gold"}


@pytest.mark.parametrize("profile", [None, "text", 5, [], {}, {"city": None}, {"town": "Kiel"}])
def test_a_path_that_leads_nowhere_leaves_the_field_out(profile: Any) -> None:
    assert mapper(field_mapping=mapped(city="profile.city")).fields({"profile": profile}) == {}


def test_a_column_whose_name_has_dots_is_preferred_to_a_path() -> None:
    subject = mapper(field_mapping=mapped(x="a.b", y="a.c"), unmapped_fields="ignore")
    assert subject.fields({"a": {"b": 2}}) == {"x": 2}
    assert subject.fields({"a.b": 1, "a": {"b": 2}}) == {"x": 1}


def test_columns_without_a_mapping_can_be_ignored() -> None:
    found = mapper(field_mapping=mapped(subscription_id="id"), unmapped_fields="ignore").fields(
        {"id": "u1", "email": "a@b.example", "tier": "gold"}
    )
    assert found == {"subscription_id": "u1"}


def test_without_any_mapping_ignoring_keeps_the_fields_that_cleverpush_knows() -> None:
    found = mapper(unmapped_fields="ignore").fields({"subscription_id": "u1", "email": "a@b.example", "tier": "gold"})
    assert found == {"subscription_id": "u1", "email": "a@b.example"}


@pytest.mark.parametrize(
    ("column", "value", "sent"),
    [
        ("at", "2024-05-01 12:30:00", "2024-05-01T12:30:00"),
        ("at", "2024-05-01 12:30:00.5 +02:00", "2024-05-01T12:30:00.5+02:00"),
        ("at", "2024-05-01T12:30:00Z", "2024-05-01T12:30:00Z"),
        ("at", "yesterday at noon", "yesterday at noon"),
        ("at", 5, 5),
        ("day", "2024-05-01", "2024-05-01"),
        ("note", "2024-05-01 12:30:00", "2024-05-01 12:30:00"),  # a text that only looks like a time
    ],
)
def test_timestamps_are_sent_as_iso_8601(column: str, value: Any, sent: Any) -> None:
    assert mapper(TIMED).fields({column: value}) == {column: sent}
    assert mapper(TIMED, field_mapping=mapped(renamed=column)).fields({column: value}) == {"renamed": sent}


@pytest.mark.parametrize("schema", [{"properties": None}, {"properties": []}, {"properties": {"at": "string"}}])
def test_a_strange_schema_names_no_timestamps(schema: dict[str, Any]) -> None:
    assert mapper(schema).fields({"at": "2024-05-01 12:30"}) == {"at": "2024-05-01 12:30"}


def test_times_become_iso_8601_by_columns_that_the_schema_has_in_another_case() -> None:
    schema = {"properties": {"AT": {"format": "date-time"}}}
    assert mapper(schema, field_mapping=mapped(seen="at")).fields({"AT": "2024-05-01 12:30:00 UTC"}) == {
        "seen": "2024-05-01T12:30:00Z"
    }


# --- names that fit but for blanks or case


def test_mapped_columns_are_found_without_regard_to_blanks_and_case() -> None:
    found = mapper(field_mapping=mapped(subscription_id="id", email="Email", town="profile.city")).fields(
        {"ID": "u1", "Email ": "a@b.example", "PROFILE": {"city": "Kiel"}}
    )
    assert found == {"subscription_id": "u1", "email": "a@b.example", "town": "Kiel"}


def test_fields_without_a_mapping_are_found_so_too() -> None:
    row = {"SUBSCRIPTION_ID": "u1", "Email ": "a@b.example", "TIER": "gold"}
    assert mapper().fields(row) == {"subscription_id": "u1", "email": "a@b.example", "TIER": "gold"}
    assert mapper(unmapped_fields="ignore").fields(row) == {"subscription_id": "u1", "email": "a@b.example"}


def test_an_exact_name_wins_also_if_it_comes_later() -> None:
    subject = mapper()
    assert subject.fields({"EMAIL": "a@b.example"}) == {"email": "a@b.example"}
    both = {"EMAIL": "a@b.example", "email": "c@d.example"}
    assert subject.fields(both) == both
    assert subject.fields({"EMAIL": "a@b.example"}) == {"EMAIL": "a@b.example"}


def test_a_name_that_the_schema_has_is_not_replaced_where_a_row_leaves_it_out() -> None:
    subject = mapper({"properties": {"Mail": {}, "mail": {}}}, field_mapping=mapped(email="Mail"))
    assert subject.fields({"mail": "a@b.example"}) == {"mail": "a@b.example"}


def test_a_column_that_is_mapped_to_something_else_is_not_taken() -> None:
    assert mapper(field_mapping=mapped(crm_mail="EMAIL")).fields({"EMAIL": "a@b.example"}) == {
        "crm_mail": "a@b.example"
    }


def test_airbytes_own_columns_are_left_out_in_any_case() -> None:
    row = {"_AIRBYTE_RAW_ID": "r1", "_Airbyte_Meta": "{}", "_AB_CDC_DELETED_AT": None, "_AB_CDC_LSN": 7, "tier": "gold"}
    assert mapper().fields(row) == {"tier": "gold"}


def test_which_columns_are_taken_for_others() -> None:
    subject = mapper(field_mapping=mapped(subscription_id="id", city="profile.city"), removed_field="gone")
    subject.layout({"ID": 1, "PROFILE": {}, "GONE": False, "EMAIL": "", "tier": ""})
    assert subject.taken == {"id": "ID", "profile.city": "PROFILE", "gone": "GONE", "email": "EMAIL"}


def test_many_sets_of_columns_are_mapped_all_the_same() -> None:
    subject = mapper()
    for number in range(2_500):
        row = {"subscription_id": "u1", f"c{number}": number}
        assert subject.fields(row) == row


# --- JSON text


@pytest.mark.parametrize(
    "profile",
    ['{"home": {"city": "Kiel"}}', ' {"home": "{\\"city\\": \\"Kiel\\"}"}', {"home": '{"city": "Kiel"}'}],
)
def test_a_path_leads_into_json_text(profile: Any) -> None:
    row = {"id": "u1", "profile": profile}
    assert mapper(field_mapping=mapped(subscription_id="id", city="profile.home.city")).fields(row) == {
        "subscription_id": "u1",
        "city": "Kiel",
    }


@pytest.mark.parametrize("profile", ["", "{", "null", "5", '"text"', "[1]", "[" * 100_000, '{"home": null}'])
def test_a_text_that_holds_nothing_at_the_path_leaves_the_field_out(profile: str) -> None:
    assert mapper(field_mapping=mapped(city="profile.home.city")).fields({"profile": profile}) == {}


# --- the removed marker


def test_the_marker_is_airbytes_own_by_default_in_any_case() -> None:
    assert mark({"_ab_cdc_deleted_at": "2024-05-01"}) == "2024-05-01"
    assert mark({"_AB_CDC_DELETED_AT": "2024-05-01"}) == "2024-05-01"
    assert mark({"subscription_id": "u1"}) is None


def test_the_marker_may_be_nested() -> None:
    assert mark({"meta": {"gone": True}}, "meta.gone") is True
    assert mark({"META": '{"gone": true}'}, "meta.gone") is True
    assert mark({"meta": None}, "meta.gone") is None


# --- whatever the row holds


@given(ROWS, st.sampled_from(["send", "ignore"]), st.booleans())
def test_fields_are_the_rows_own_values_without_nulls_and_airbytes_columns(
    row: dict[str, Any], unmapped: str, with_mapping: bool
) -> None:
    mapping = mapped(subscription_id="profile.id", tier="a.b") if with_mapping else ()
    subject = mapper(field_mapping=mapping, unmapped_fields=unmapped)
    before = copy.deepcopy(row)
    found = subject.fields(row)
    subject.layout(row).mark(row)
    assert repr(row) == repr(before), "a row is never changed"
    assert repr(subject.fields(row)) == repr(found), "the same row gives the same fields"
    assert None not in found.values()
    assert not any(name.startswith(("_airbyte_", "_ab_")) for name in found)
    if not with_mapping:
        assert all(found[name] is row[name] for name in found)
        assert subject.fields(found) == found


@pytest.mark.parametrize(
    ("schema", "fields", "told"),
    [
        ({}, {}, "columns under their own names"),
        ({}, {"field_mapping": mapped(email="mail")}, "columns mail as email; other columns under their own names"),
        (
            {},
            {"field_mapping": mapped(email="mail"), "unmapped_fields": "ignore"},
            "columns mail as email; no other columns",
        ),
        (
            {"properties": {"b": {}, "a": {}, "mail": {}}},
            {"field_mapping": mapped(email="mail")},
            "columns mail as email, a, b",
        ),
        (
            {"properties": {f"c{n:02}": {} for n in range(40)}},
            {},
            f"columns {', '.join(f'c{n:02}' for n in range(30))} and 10 more",
        ),
    ],
)
def test_which_columns_become_what_can_be_told(schema: dict[str, Any], fields: dict[str, Any], told: str) -> None:
    assert mapper(schema, **fields).described == told
