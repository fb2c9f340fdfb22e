"""Given a subscription's fields, these are the calls."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from destination_cleverpush.objects.reasons import INVALID_VALUE
from destination_cleverpush.objects.subscriptions import OBJECT, SYNC, UNSUBSCRIBE
from destination_cleverpush.words import Operation, RowRejected
from unit_tests.objects.examples import settings
from unit_tests.strategies import ROWS, judge

FORM = settings(email_opt_in_form_id="form1")


def put(form: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """The body of the one call that brings a subscription with these fields to CleverPush."""
    [operation] = OBJECT.put({"subscription_id": "u1", **fields}, settings(email_opt_in_form_id=form))
    assert operation.action is SYNC
    return operation.payload


def test_the_ids_name_the_subscription_and_are_no_attributes() -> None:
    assert put() == {}
    assert put(cleverpush_id="n1", user_id="someone else", tier="gold") == {"customAttributes": {"tier": "gold"}}


def test_contact_and_profile_fields_have_names_of_their_own_and_all_else_is_an_attribute() -> None:
    assert put(
        email=" a@b.example ", phone=4943112345, topics="news, sports", country="DE", language="de", tier="gold", age=34
    ) == {
        "emailAddress": "a@b.example",
        "phoneNumber": "4943112345",
        "topics": ["news", "sports"],
        "country": "DE",
        "language": "de",
        "customAttributes": {"tier": "gold", "age": 34},
    }


def test_the_opt_in_form_is_sent_with_an_email_and_with_nothing_else() -> None:
    assert put("form1", email="a@b.example")["emailOptInFormId"] == "form1"
    assert "emailOptInFormId" not in put("form1", phone="+49431")
    assert "emailOptInFormId" not in put("form1", email=" ")
    assert "emailOptInFormId" not in put(None, email="a@b.example")


def test_blank_contact_fields_and_topics_are_not_known_and_are_left_out() -> None:
    assert put(email="", phone=" \u200b", country="", topics="", tier="") == {"customAttributes": {"tier": ""}}


@pytest.mark.parametrize("topics", [[], "[]", "{}", "{NULL}", [None]])
def test_an_empty_list_of_topics_says_that_there_are_none(topics: Any) -> None:
    assert put(topics=topics)["topics"] == []


@pytest.mark.parametrize("topics", ["", " ", "null", "None", "\\N"])
def test_a_text_without_topics_does_not_say_that_there_are_none(topics: str) -> None:
    assert "topics" not in put(topics=topics)


def test_attributes_keep_their_type_and_nested_ones_become_text() -> None:
    attributes = put(vip=True, score=7.5, visits=3, address={"city": "Kiel"}, seen=["a", 1])["customAttributes"]
    assert attributes == {
        "vip": True, "score": 7.5, "visits": 3, "address": '{"city":"Kiel"}', "seen": '["a",1]',
    }  # fmt: skip


@pytest.mark.parametrize("field", ["email", "phone", "country", "language"])
def test_a_list_where_one_value_belongs_rejects_the_row(field: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        put(**{field: ["a", "b"]})
    assert (rejected.value.reason, rejected.value.sentence) == (
        INVALID_VALUE,
        f"{field} is a list, and one text or number is needed.",
    )


def test_removing_unsubscribes() -> None:
    assert OBJECT.remove({"email": ["not looked at"]}, FORM) == [Operation(UNSUBSCRIBE, {})]


@given(ROWS)
def test_whatever_the_fields_hold_the_call_is_json_or_the_row_is_rejected(row: dict[str, Any]) -> None:
    fields = {name: value for name, value in row.items() if value is not None}
    before = copy.deepcopy(fields)
    try:
        [operation] = OBJECT.put(fields, FORM)
    except RowRejected as rejected:
        judge(rejected, fields)
        return
    assert repr(fields) == repr(before)
    assert OBJECT.put(fields, FORM) == [operation]
    json.dumps(operation.payload, allow_nan=False)
    attributes = operation.payload.get("customAttributes", {})
    assert not attributes.keys() & {"subscription_id", "cleverpush_id", "user_id"}
    assert all(value is not None for value in [*operation.payload.values(), *attributes.values()])
    assert all(topic and topic == topic.strip() for topic in operation.payload.get("topics", []))
