"""A user's own ID becomes CleverPush's, or there is definitely no such subscription, or it cannot be told."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.errors import FailureKind
from destination_cleverpush.words import Action, Answer, Operation, Verdict
from unit_tests.api.calls import CHANNEL, settings
from unit_tests.api.test_client import PAGE
from unit_tests.server import Asked, Canned, Server, said

LOOK_UP = Operation(
    Action("look_up", {"by_attribute": "GET /subscription"}), {"attributeId": "user_id", "attribute_value": "ü 1&2"}
)


def answer_to(canned: Canned) -> Answer:
    def answer(asked: Asked) -> Canned:
        return canned if asked.path.startswith("/subscription?") else said(404, "Not found")

    with Server(answer) as server:
        return Client(settings(server.url)).send(LOOK_UP)


def test_it_asks_as_the_documentation_says() -> None:
    with Server(said(200, {"subscription": {"_id": "a1"}})) as server:
        Client(settings(server.url)).send(LOOK_UP)
    asked = server.asked[0]
    assert (asked.method, urlsplit(asked.path).path, asked.body) == ("GET", "/subscription", b"")
    query = parse_qs(urlsplit(asked.path).query)
    assert query == {"channelId": [CHANNEL], "attributeId": ["user_id"], "attribute_value": ["ü 1&2"]}


@pytest.mark.parametrize(
    ("canned", "ids"),
    [
        (said(200, {"subscription": {"_id": "a1"}}), ("a1",)),
        (said(200, {"_id": "a1", "channel": "c"}), ("a1",)),
        (said(200, {"id": "a1"}), ("a1",)),
        (said(200, {"subscriptions": [{"_id": "a1"}, {"id": "a2"}, {"_id": "a1"}]}), ("a1", "a2")),
        (said(200, [{"_id": "a1"}]), ("a1",)),
        (said(200, {"subscription": None}), ()),
        (said(200, {"subscriptions": []}), ()),
        (said(200, []), ()),
        (Canned(200, b"null"), ()),
        (said(404, "Subscription not found"), ()),
        (said(410, "no such subscription"), ()),
    ],
)
def test_what_is_found(canned: Canned, ids: tuple[str, ...]) -> None:
    answer = answer_to(canned)
    assert (answer.verdict, answer.ids) == (Verdict.DELIVERED, ids)


@pytest.mark.parametrize(
    "canned",
    [
        said(404, "Not found"),
        said(404, ""),
        Canned(404, b"<html>subscription</html>"),
        said(405),
        said(400, "attributeId unknown"),
        said(403, "no"),
        said(200, "no"),
        said(200, {"found": 1}),
        said(200, {"subscription": {"name": "x"}}),
        Canned(200, b"what"),
        Canned(200, b"{}"),
        Canned(200, b""),
    ],
)
def test_what_cannot_be_told_ends_the_sync(canned: Canned) -> None:
    answer = answer_to(canned)
    assert answer.verdict is Verdict.FATAL
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.CONFIG
    assert "ü" not in answer.failure.message


def test_a_server_that_answers_everything_alike_cannot_tell() -> None:
    with Server(said(404, "Subscription not found")) as server:
        assert Client(settings(server.url)).send(LOOK_UP).verdict is Verdict.FATAL


@pytest.mark.parametrize(
    ("canned", "verdict"),
    [
        (said(429), Verdict.THROTTLED),
        (said(500), Verdict.RETRY),
        (Canned(200, b"<html>"), Verdict.RETRY),
        (Canned(silence=0, raw=b""), Verdict.RETRY),
        (PAGE, Verdict.RETRY),
    ],
)
def test_what_may_pass_is_tried_again(canned: Canned, verdict: Verdict) -> None:
    assert answer_to(canned).verdict is verdict
