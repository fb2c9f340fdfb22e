"""Given a row's tags, these are the calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.reasons import RowRejected
from destination_cleverpush.writers.tags import TagWriter
from unit_tests.strategies import JSON_VALUES, judge


def test_one_call_per_tag() -> None:
    fields = {"subscription_id": "s1", "tags": "t1, t2,,t1", "email": "not sent"}
    assert TagWriter().put("s1", fields) == [
        Operation(Action.ADD_TAG, {"subscriptionId": "s1", "tagId": "t1"}),
        Operation(Action.ADD_TAG, {"subscriptionId": "s1", "tagId": "t2"}),
    ]
    assert TagWriter().remove("s1", fields) == [
        Operation(Action.REMOVE_TAG, {"subscriptionId": "s1", "tagId": "t1"}),
        Operation(Action.REMOVE_TAG, {"subscriptionId": "s1", "tagId": "t2"}),
    ]


def test_tags_may_be_a_list_of_texts_and_numbers() -> None:
    assert [o.payload["tagId"] for o in TagWriter().put("s1", {"tags": [" t1 ", 7, 8.0, "", None]})] == ["t1", "7", "8"]


@pytest.mark.parametrize(
    "fields", [{}, {"tags": ""}, {"tags": " , "}, {"tags": []}, {"tags": [None, ""]}, {"tags": "[]"}]
)
def test_a_row_without_tags_is_rejected(fields: dict[str, Any]) -> None:
    for act in (TagWriter().put, TagWriter().remove):
        with pytest.raises(RowRejected) as rejected:
            act("s1", fields)
        assert (rejected.value.code, rejected.value.reason) == ("missing_tags", "tags is missing or empty.")


@pytest.mark.parametrize("tags", [{"id": "t1"}, [["t1"]], True, [{"id": "t1"}]])
def test_tags_that_are_no_plain_values_are_rejected(tags: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        TagWriter().put("s1", {"tags": tags})
    assert rejected.value.code == "invalid_tags"


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_whatever_the_tags_hold_each_call_has_one_or_the_row_is_rejected(tags: Any) -> None:
    try:
        operations = TagWriter().put("s1", {"tags": tags})
    except RowRejected as rejected:
        judge(rejected, tags)
        return
    found = [operation.payload["tagId"] for operation in operations]
    assert len(found) == len(set(found)) > 0
    assert all(tag and tag == tag.strip() for tag in found)
    json.dumps(found)
