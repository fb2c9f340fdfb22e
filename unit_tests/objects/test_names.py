"""Tags and topics of rows beside those of the channel."""

from __future__ import annotations

from typing import Any

import pytest

from destination_cleverpush.objects.names import MOST_TOLD, Listed, listed_fields
from destination_cleverpush.objects.reasons import INVALID_TAGS
from destination_cleverpush.words import UNKNOWN_TAG, UNKNOWN_TOPIC, Channel, RowRejected

TAGS = {"t1": "VIP", "t2": " News, de ", "t3": "news", "t4": "Twin", "t5": "twin", "t6": ""}


def tags(*, by_name: bool, told: list[str] | None = None) -> Listed:
    heard = [] if told is None else told
    fields = listed_fields(Channel(tags=TAGS), by_name=by_name, tell=lambda _level, sentence: heard.append(sentence))
    return fields["tags"]


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("vip", ["t1"]),
        ("  Vip ", ["t1"]),
        ("NEWS, DE", ["t2"]),
        ("news, vip", ["t3", "t1"]),
        (["News, de", "vip", "VIP"], ["t2", "t1"]),
        ('["vip"]', ["t1"]),
    ],
)
def test_a_name_is_its_id_and_a_whole_text_is_tried_first(value: Any, ids: list[str]) -> None:
    assert tags(by_name=True).ids(value) == ids


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("value", [None, "", " , ", [], "null"])
def test_what_says_nothing_is_left_to_the_object(value: Any, by_name: bool) -> None:
    assert tags(by_name=by_name).ids(value) == value


@pytest.mark.parametrize(
    ("value", "name", "sentence"),
    [
        (["vip", "vipp"], "vipp", "tags has a name that no tag of the channel has (nearest: 'VIP'"),
        ("TWIN", "TWIN", "tags has a name that 2 tags of the channel have."),
        ("t1", "t1", "tags has a name that no tag"),
    ],
)
def test_a_name_that_is_none_or_several_rejects_the_row(value: Any, name: str, sentence: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        tags(by_name=True).ids(value)
    assert (rejected.value.reason, rejected.value.named) == (UNKNOWN_TAG, (name,))
    assert rejected.value.sentence.startswith(sentence)


def test_what_is_no_list_is_rejected_as_ever() -> None:
    with pytest.raises(RowRejected) as rejected:
        tags(by_name=True).ids({"a": 1})
    assert rejected.value.reason is INVALID_TAGS


def test_an_id_that_the_channel_lacks_is_sent_and_told_once() -> None:
    told: list[str] = []
    listed = tags(by_name=False, told=told)
    assert listed.ids("t1, t7") == ["t1", "t7"]
    assert listed.ids(["t7", "vip"]) == ["t7", "vip"]
    assert len(told) == 2
    assert told[0].startswith("The channel has no tag with the ID 't7'. It is sent all the same")
    assert "It is the name of the tag 't1': switch on Tags and Topics Are Given by Name" in told[1]


def test_neither_people_nor_thousands_of_ids_are_told() -> None:
    told: list[str] = []
    listed = tags(by_name=False, told=told)
    listed.ids("ada@example.com")
    assert told == []
    listed.ids([f"x{number}" for number in range(1_000)])
    assert 0 < len(told) <= MOST_TOLD


def test_only_what_could_be_read_is_compared() -> None:
    found = listed_fields(Channel(topics={"a": "Sports"}), by_name=True, tell=lambda *_: None)
    assert list(found) == ["topics"]
    with pytest.raises(RowRejected) as rejected:
        found["topics"].ids("chess")
    assert rejected.value.reason is UNKNOWN_TOPIC
