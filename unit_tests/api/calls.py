"""Calls for tests of the room: settings, actions, and one call to a server that answers as it is told."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator

from destination_cleverpush.api.client import Client
from destination_cleverpush.api.settings import Settings
from destination_cleverpush.words import Action, Answer, Operation, Underway, Verdict
from unit_tests.server import Asked, Canned, Server, said

CHANNEL = "5f3c1e7a9b2d4c0012ab34cd"
KEY = "private-key-4711"
EITHER_SYNC = Operation(
    Action(
        "sync",
        {"plain": "/subscription/sync", "with_channel": "/subscription/sync/{channel_id}"},
        "sync_endpoint",
    ),
    {"customAttributes": {"user_id": "u1"}},
)
SYNC = Operation(Action("sync", {"plain": "/subscription/sync"}), {"customAttributes": {"user_id": "u1"}})
TAG = Operation(
    Action("add_tag", {"add_remove": "/subscription/tag/add", "tag_untag": "/subscription/tag"}, "tag_endpoints"),
    {"subscriptionId": "s1", "tagId": "t1"},
)
UNTAG = Operation(
    Action(
        "remove_tag", {"add_remove": "/subscription/tag/remove", "tag_untag": "/subscription/untag"}, "tag_endpoints"
    ),
    {"subscriptionId": "s1", "tagId": "t1"},
)


def settings(base_url: str, timeout: float = 5.0, **endpoints: str) -> Settings:
    return Settings(base_url, CHANNEL, KEY, timeout, 8, endpoints)


def answer_to(answer: Callable[[Asked], Canned] | Canned, operation: Operation = SYNC, timeout: float = 5.0) -> Answer:
    with Server(answer) as server:
        return Client(settings(server.url, timeout)).send(operation)


def channels(asked: Asked) -> Canned:
    if asked.path == "/channels":
        return said(200, {"channels": [{"_id": CHANNEL, "name": "News"}]})
    return said(200, {"tags": []}) if asked.path == f"/channel/{CHANNEL}/tags?limit=1&skip=0" else said(404, "no")


def begun(client: Client, operation: Operation = SYNC) -> Underway:
    """A second call, over the connection of the first."""
    assert client.send(operation).verdict is Verdict.DELIVERED
    call = client.begin(operation)
    assert call is not None
    assert not isinstance(call, Answer)
    return call


def land(call: Underway) -> Iterator[Answer | None]:
    """What each look at the call says, whenever something comes or it is due."""
    while not call.blocks:
        select.select([call.fileno()], [], [], max(0.0, call.due - time.monotonic()))
        answer = call.look()
        yield answer
        if answer is not None:
            return
