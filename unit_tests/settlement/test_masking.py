"""CleverPush's words, without what may come from the row."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from destination_cleverpush.api.reasons import LONGEST_WORDS
from destination_cleverpush.settlement import masking
from destination_cleverpush.settlement.masking import masked, named, without_values
from destination_cleverpush.words import may_be_told

ROW = {
    "id": "u-17", "mail": "ada_k@example.com", "name": "King-Lovelace", "born": "1815-12-10", "score": 42.0,
    "nested": {"city": ["Bonn"]}, "login": "adak1815",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Tag vip not found", "Tag vip not found"),
        ("Invalid email: ada_k@example.com", "Invalid email: …"),
        ("The mailbox ada_k is full", "The mailbox … is full"),
        ("The domain example is unknown", "The domain … is unknown"),
        ("Value 'King-Lovelace' too long (13)", "Value '…' too long (13)"),
        ("Value 'Lovelace' too long (8)", "Value '…' too long (8)"),
        ("Value 'lovelace_king' refused", "Value '…' refused"),
        ("42 is above 40", "… is above 40"),
        ("Login 'adak' is taken", "Login '…' is taken"),
        ("LOVELACE is no number", "… is no number"),
        ("born=1815-12-10", "born=…"),
        ("the city of Bonn.", "the city of …"),
        ("ada@example.org", "…"),
        ("called from 49301234567", "called from …"),
        ("no user u-17", "no user u-17"),
        ("custom attribute mail does not exist", "custom attribute mail does not exist"),
    ],
)
def test_what_may_come_from_the_row_is_hidden(words: str, told: str) -> None:
    assert without_values(words, ROW, ["u-17", "vip"]) == told


def test_a_value_that_was_cut_off_is_hidden_too() -> None:
    words = ("x" * (LONGEST_WORDS - 10) + " Lovelace")[:LONGEST_WORDS]
    cut = "x " * ((LONGEST_WORDS - 6) // 2) + "Lovela"
    assert len(cut) == LONGEST_WORDS
    assert "Lovela" not in without_values(cut, ROW)
    assert "Lovelace" not in without_values(words, ROW)


def test_an_id_that_is_a_phone_number_is_hidden_in_the_words_too() -> None:
    number = "+491701234567"
    assert "170" not in without_values(f"Subscription {number} not found", {"id": number}, [number])


def test_a_row_nested_beyond_all_limits_hides_all_words() -> None:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    assert without_values("Invalid value", {"nested": value}) == "…"


def test_a_row_too_large_to_look_through_hides_all_words() -> None:
    assert without_values("Invalid value", {"text": "a" * 200_000}) == "…"


@given(
    secret=st.from_regex(r"[A-Za-z0-9@.+_-]{4,20}", fullmatch=True),
    frame=st.sampled_from(["Invalid value {}", '{{"value": "{}"}}', "('{}',)", "<b>{}</b>", "field={};", "`{}`", "{}"]),
    shape=st.sampled_from([lambda v: v, lambda v: [v], lambda v: {"inner": [{"deep": v}]}, lambda v: f"a {v} b"]),
    upper=st.booleans(),
)
def test_a_value_is_hidden_however_it_is_quoted(secret: str, frame: str, shape: Any, upper: bool) -> None:
    assume(secret.lower() not in frame.format("").lower() and secret not in ("column", "inner", "deep"))
    words = frame.format(secret.upper() if upper else secret)
    shown = without_values(words, {"column": shape(secret)})
    assert secret.lower() not in shown.lower()


@given(
    value=st.from_regex(r"[A-Za-z0-9@.+_-]{4,20}", fullmatch=True) | st.floats(-999, 999).map(str),
    frame=st.sampled_from(["{}", "'{}'", "<{}>", "({},)"]),
    data=st.data(),
)
def test_a_part_of_a_value_is_hidden_too(value: str, frame: str, data: st.DataObject) -> None:
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", value) if part]
    assume(parts)
    start = data.draw(st.integers(0, len(parts) - 1))
    words = frame.format("_".join(parts[start : data.draw(st.integers(start + 1, len(parts)))]))
    assert without_values(words, {"column": value}) == frame.format("…")


def test_words_are_taken_as_cut_off_where_the_client_cuts_them() -> None:
    assert masking._LONGEST_WORDS == LONGEST_WORDS


@pytest.mark.parametrize(
    ("identifier", "told"),
    [("s-1", True), ("4917012345", True), ("ada@example.com", False), ("+49 170 1234567", False), ("a\n@b", False)],
)
def test_an_id_that_is_a_person_is_not_told(identifier: str, told: bool) -> None:
    assert may_be_told(identifier) is told


def test_what_cleverpush_names_of_a_row_is_found() -> None:
    identifiers = ["plan", "first_name", "ada@example.com", "vip"]
    assert named("Attribute first_name does not exist, nor plan. (first_name)", identifiers) == ["first_name", "plan"]
    assert named("Nothing of ada@example.com", identifiers) == []


def test_a_body_is_told_with_its_ids_and_without_its_values() -> None:
    attributes = {"user_id": "u1", "tier": "gold", "nested": {"user_id": "+49 170 1234567"}}
    body = {"channelId": "c", "emailAddress": "a@b.c", "topics": ["t1", "x@y.z"], "customAttributes": attributes}
    assert masked(body) == {
        "channelId": "c",
        "emailAddress": "…",
        "topics": ["t1", "…"],
        "customAttributes": {"user_id": "u1", "tier": "…", "nested": {"user_id": "…"}},
    }
