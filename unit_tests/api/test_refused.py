"""What CleverPush has refused as unknown is not called for again."""

from __future__ import annotations

from typing import Any

from destination_cleverpush.api.refused import BELIEVED_SECONDS, Refused
from destination_cleverpush.words import (
    DELIVERED,
    NOTHING_READ,
    UNKNOWN_TAG,
    UNKNOWN_TOPIC,
    Action,
    Answer,
    Channel,
    Operation,
    Verdict,
)

ADD = Action("add_tag", {})


def add(tag: str) -> Operation:
    return Operation(ADD, {"subscriptionId": "s1", "tagId": tag})


def sync(*topics: str) -> Operation:
    return Operation(ADD, {"topics": list(topics), "customAttributes": {}})


class CleverPush:
    """Refuses the tag and the topic `x`."""

    def __init__(self) -> None:
        self.asked: list[Operation] = []

    def send(self, operation: Operation) -> Answer:
        self.asked.append(operation)
        if operation.payload.get("tagId") == "x":
            return Answer(Verdict.REJECTED, UNKNOWN_TAG, "answered 400", 400, named=("x",))
        if "x" in operation.payload.get("topics", ()):
            return Answer(Verdict.REJECTED, UNKNOWN_TOPIC, "answered 400", 400, named=("x",))
        return DELIVERED


def test_a_refused_tag_is_called_for_once() -> None:
    server = CleverPush()
    refused = Refused(server.send, Channel(tags={"a": ""}))
    answers = [refused.send(add(tag)) for tag in ("a", "x", "a", "x", "x")]
    assert server.asked == [add("a"), add("x"), add("a")]
    assert [answer.verdict for answer in answers[2:]] == [Verdict.DELIVERED, Verdict.REJECTED, Verdict.REJECTED]
    assert (answers[4].reason, answers[4].named, answers[4].status) == (UNKNOWN_TAG, ("x",), None)
    assert refused.send(sync("x")).status == 400  # a topic of the same ID is something else


def test_a_refused_topic_is_not_sent_again() -> None:
    server = CleverPush()
    refused = Refused(server.send)
    answers = [refused.send(sync(*topics)) for topics in (("x",), ("a", "x"), ("a",))]
    assert server.asked == [sync("x"), sync("a")]
    assert (answers[1].reason, answers[1].named) == (UNKNOWN_TOPIC, ("x",))
    assert answers[1].summary == "The row has a topic that CleverPush has refused before in this sync."


def test_a_tag_that_the_channel_has_is_never_taken_for_unknown() -> None:
    server = CleverPush()
    refused = Refused(server.send, Channel(tags={"x": ""}))
    assert [refused.send(add("x")).status for _ in range(2)] == [400, 400]


def test_the_list_is_read_again_at_most_every_five_minutes_before_it_is_believed() -> None:
    now, reads, there = 0.0, 0, dict[str, str]()

    def read() -> Channel:
        nonlocal reads
        reads += 1
        return Channel(tags=dict(there))

    server = CleverPush()
    refused = Refused(server.send, Channel(tags={}), read, lambda: now)

    def calls(tag: str) -> int:
        before = len(server.asked)
        refused.send(add(tag))
        return len(server.asked) - before

    assert [calls("x"), calls("x"), reads] == [1, 0, 0]
    now = BELIEVED_SECONDS
    assert [calls("a"), reads] == [1, 0]  # nothing of it was refused
    assert [calls("x"), calls("x"), reads] == [0, 0, 1]
    there["x"] = "created meanwhile"
    now += BELIEVED_SECONDS - 1
    assert [calls("x"), reads] == [0, 1]
    now += 1
    assert [calls("x"), calls("x"), reads] == [1, 1, 2]


def test_a_list_that_cannot_be_read_again_changes_nothing() -> None:
    now = 0.0
    server = CleverPush()
    refused = Refused(server.send, NOTHING_READ, Channel, lambda: now)
    refused.send(add("x"))
    now = BELIEVED_SECONDS
    refused.send(add("x"))
    assert server.asked == [add("x")]


def test_other_threads_do_not_wait_while_the_list_is_read() -> None:
    now = 0.0
    server = CleverPush()
    nested: list[Any] = []

    def read() -> Channel:
        nested.append(refused.send(add("x")).status)
        return NOTHING_READ

    refused = Refused(server.send, Channel(tags={}), read, lambda: now)
    refused.send(add("x"))
    now = BELIEVED_SECONDS
    refused.send(add("x"))
    assert nested == [None]
