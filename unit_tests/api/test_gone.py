"""A subscription that is not there, told from a route that is not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.words import Action, Operation, Verdict
from unit_tests.api.calls import TAG, settings
from unit_tests.server import Asked, Canned, Server, said

UNSUBSCRIBE = Operation(Action("unsubscribe", {"plain": "/subscription/unsubscribe"}), {"subscriptionId": "s1"})


def control_and(canned: Canned, control: Canned) -> Callable[[Asked], Canned]:
    """A server that answers the control like this, and all else like that."""
    return lambda asked: control if "control" in asked.path else canned


@pytest.mark.parametrize(
    ("canned", "control", "gone"),
    [
        (said(404, "Subscription not found"), said(404, "Not found"), True),
        (said(410, "Subscription not found"), said(404, "Not found"), True),
        (said(404, "No such id"), said(404, "Not found"), True),
        (said(404, "Subscription not found"), said(500), True),
        (said(404, "Not found"), said(404, "Not found"), False),
        (said(404, "Not found"), said(500), False),
        (said(410, ""), said(410, ""), False),
        (said(400, "Subscription is odd"), said(404, "Not found"), False),
        (said(404, "Tag not found"), said(404, "Not found"), False),
    ],
)
def test_what_is_gone(canned: Canned, control: Canned, gone: bool) -> None:
    with Server(control_and(canned, control)) as server:
        answer = Client(settings(server.url)).send(UNSUBSCRIBE)
    assert (answer.verdict, answer.gone) == (Verdict.REJECTED, gone)


def test_a_route_that_has_taken_a_call_is_there_whatever_the_words() -> None:
    def answer(asked: Asked) -> Canned:
        known = "control" not in asked.path and asked.json["subscriptionId"] == "s1"
        return said(200, {"success": True}) if known else said(404, "Not found")

    with Server(answer) as server:
        client = Client(settings(server.url))
        gone = [client.send(UNSUBSCRIBE._replace(payload={"subscriptionId": s})).gone for s in ("s2", "s1", "s2")]
    assert gone == [False, False, True]
    assert [asked.path.endswith("control") for asked in server.asked].count(True) == 1


def test_of_two_routes_too() -> None:
    with Server(control_and(said(404, "Subscription not found"), said(404, "Not found"))) as server:
        client = Client(settings(server.url))
        assert [client.send(TAG).gone for _ in range(2)] == [True, True]
    assert len(server.asked) == 3, "the control is asked once"
