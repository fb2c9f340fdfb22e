"""Given a row's tags, these are the calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from destination_cleverpush.objects.reasons import INVALID_TAGS, MISSING_TAGS
from destination_cleverpush.objects.tags import ADD_TAG, OBJECT, REMOVE_TAG
from destination_cleverpush.words import Operation, RowRejected
from unit_tests.objects.examples import settings
from unit_tests.strategies import JSON_VALUES, judge

TAGS = settings("tags")


def test_one_call_per_tag() -> None:
    fields = {"subscription_id": "s1", "tags": "t1, t2,,t1", "email": "not sent"}
    assert OBJECT.put(fields, TAGS) == [
        Operation(ADD_TAG, {"tagId": "t1"}),
        Operation(ADD_TAG, {"tagId": "t2"}),
    ]
    assert OBJECT.remove(fields, TAGS) == [
        Operation(REMOVE_TAG, {"tagId": "t1"}),
        Operation(REMOVE_TAG, {"tagId": "t2"}),
    ]


def test_tags_may_be_a_list_of_texts_and_numbers() -> None:
    assert [o.payload["tagId"] for o in OBJECT.put({"tags": [" t1 ", 7, 8.0, "", None]}, TAGS)] == [
        "t1",
        "7",
        "8",
    ]


@pytest.mark.parametrize(
    "fields", [{}, {"tags": ""}, {"tags": " , "}, {"tags": []}, {"tags": [None, ""]}, {"tags": "[]"}]
)
def test_a_row_without_tags_is_rejected(fields: dict[str, Any]) -> None:
    for act in (OBJECT.put, OBJECT.remove):
        with pytest.raises(RowRejected) as rejected:
            act(fields, TAGS)
        assert (rejected.value.reason, rejected.value.sentence) == (MISSING_TAGS, "tags is missing or empty.")


@pytest.mark.parametrize("tags", [{"id": "t1"}, [["t1"]], True, [{"id": "t1"}]])
def test_tags_that_are_no_plain_values_are_rejected(tags: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        OBJECT.put({"tags": tags}, TAGS)
    assert rejected.value.reason == INVALID_TAGS


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_whatever_the_tags_hold_each_call_has_one_or_the_row_is_rejected(tags: Any) -> None:
    try:
        operations = OBJECT.put({"tags": tags}, TAGS)
    except RowRejected as rejected:
        judge(rejected, tags)
        return
    found = [operation.payload["tagId"] for operation in operations]
    assert len(found) == len(set(found)) > 0
    assert all(tag and tag == tag.strip() for tag in found)
    json.dumps(found)
