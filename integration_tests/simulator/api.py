"""The CleverPush API without a socket: a request in, a status and a JSON body out.

What is known of it, and from where, is told in `docs/cleverpush.md` and beside the connector's routes. Where no source
speaks, the simulator chooses the stricter behaviour, or lets a test choose (:class:`.model.Behaviour`). Choices of its
own: unsubscribing twice succeeds twice, and so does removing a tag that a subscription has not; a sync updates an
unsubscribed subscription and leaves it unsubscribed; unknown body fields are refused, and so is an opt-in form without
the email address that its mail would go to; a known path by a wrong method is answered 405; a path that is no route is
told before the key is looked at. Paths are taken as they stand: no trailing slash.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from integration_tests.simulator import reads, writes
from integration_tests.simulator.model import DEFAULT_ACCOUNT, READS, Account, Behaviour, Channel, Refused, Subscription

_SYNC, _SYNC_OF_CHANNEL = "/subscription/sync", "/subscription/sync/"
_TAG_ROUTES = {
    "description": {"/subscription/tag/add": writes.add_tag, "/subscription/tag/remove": writes.remove_tag},
    "cleverpush": {"/subscription/tag": writes.add_tag, "/subscription/untag": writes.remove_tag},
}
_PERMISSIONS = {"tags": "tags"} | dict.fromkeys(
    ("subscription", "subscriptions", "subscription-count"), "subscriptions"
)
_OF_CHANNELS = frozenset(READS) - {"channels", "subscription"}

Body = Mapping[str, Any] | Refused
_Act = Callable[[Channel, Mapping[str, Any], Behaviour], dict[str, Any]]


class Request(NamedTuple):
    """One HTTP request.

    `query` is without the question mark, headers are found by their names in lower case, and the body is as
    :func:`read_body` gives it.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body


def read_body(body: bytes) -> Body:
    """A JSON object, or why it is none."""
    try:
        text = body.decode()  # JSON between systems is UTF-8 (RFC 8259, section 8.1)
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return Refused(400, "The body is not JSON")
    return content if isinstance(content, dict) else Refused(400, "The body is not a JSON object")


class CleverPush:
    """All accounts.

    Args:
        accounts: as :data:`.model.DEFAULT_ACCOUNT`.
    """

    def __init__(
        self, accounts: Iterable[Mapping[str, Any]] = (DEFAULT_ACCOUNT,), behaviour: Behaviour | None = None
    ) -> None:
        self.accounts = [Account.of(settings) for settings in accounts]
        self.behave(behaviour or Behaviour())

    def behave(self, behaviour: Behaviour) -> None:
        """Play another server from now on; what the channels hold stays."""
        self.behaviour = behaviour
        played = behaviour.routes_of("tags")
        self._tag_writes: dict[str, _Act] = {}
        for name, routes in _TAG_ROUTES.items():
            if played in (name, "both"):
                self._tag_writes |= routes
        self._syncs = behaviour.routes_of("sync")

    def handle(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Answer a request: HTTP status and JSON body."""
        try:
            found = self._find_write(request.path)
            return 200, self._write(request, *found) if found else self._read(request)
        except Refused as refused:
            return refused.status, {"error": refused.words}

    def subject(self, request: Request) -> str | None:
        """The subscription that a request is about, as sent: its native ID, or its `user_id`."""
        if isinstance(request.body, Refused):
            if request.path == "/subscription":
                return parse_qs(request.query).get("attribute_value", [None])[0]
            return None
        attributes = request.body.get("customAttributes")
        user = attributes.get("user_id") if isinstance(attributes, dict) else None
        found = request.body.get("subscriptionId") or user
        return found if isinstance(found, str) else None

    def native(self, request: Request, subject: str) -> str:
        """CleverPush's ID of whom a request is about, where there is one, so that calls can be told to meet."""
        if isinstance(request.body, Refused):
            channel = self._any_channel((parse_qs(request.query).get("channelId") or [""])[0])
        elif "subscriptionId" in request.body:
            return subject
        else:
            channel = self._any_channel(request.body.get("channelId"))
        return next(iter(channel.by_user.get(subject, {subject: None}))) if channel else subject

    def tagged(self, request: Request) -> Subscription | None:
        """The subscription whose tags a request would change, None where it would change none."""
        if request.path not in self._tag_writes or isinstance(request.body, Refused):
            return None
        channel = self._any_channel(request.body.get("channelId"))
        subscription = request.body.get("subscriptionId")
        return channel.subscriptions.get(subscription) if channel and isinstance(subscription, str) else None

    def _any_channel(self, channel_id: Any) -> Channel | None:
        if not isinstance(channel_id, str):
            return None
        return next((a.channels[channel_id] for a in self.accounts if channel_id in a.channels), None)

    def _find_write(self, path: str) -> tuple[str, _Act, str | None] | None:
        """The permission that a path needs, what it does, and the channel that it names."""
        if path == _SYNC and self._syncs in ("description", "both"):
            return "subscriptions", writes.sync, None
        if path in self._tag_writes:
            return "tags", self._tag_writes[path], None
        if path == "/subscription/unsubscribe":
            return "subscriptions", writes.unsubscribe, None
        if path == "/subscription/attribute/clear":
            return "subscriptions", writes.clear_attribute, None
        if path.startswith(_SYNC_OF_CHANNEL) and self._syncs in ("cleverpush", "both"):
            channel_id = path.removeprefix(_SYNC_OF_CHANNEL)
            if channel_id and "/" not in channel_id:
                return "subscriptions", writes.sync, channel_id
        return None

    def _write(self, request: Request, permission: str, act: _Act, named: str | None) -> dict[str, Any]:
        _only(request, "POST")
        account = None if self.behaviour.open_writes else self._account(request, permission)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "Content-Type must be application/json")
        body = request.body
        if isinstance(body, Refused):
            raise body
        channel_id = writes.text(body, "channelId")
        if named not in (None, channel_id):
            _channel(account, named, self._any_channel)
            raise Refused(400, "channelId is not that of the path")
        return act(_channel(account, channel_id, self._any_channel), body, self.behaviour)

    def _read(self, request: Request) -> dict[str, Any]:
        channel_id = ""
        match request.path.split("/"):
            case ["", "channels" | "subscription" as what]:
                pass
            case ["", "channel", channel_id, what] if what in _OF_CHANNELS:
                pass
            case _:
                raise Refused(404, "Not found")
        if what in self.behaviour.lacking:
            raise Refused(404, "Not found")
        _only(request, "GET")
        account = None if what == "config" else self._account(request, _PERMISSIONS.get(what))  # that needs no key
        if what in self.behaviour.forbidden:
            raise Refused(403, "Forbidden")
        query = parse_qs(request.query, keep_blank_values=True)
        if account and what == "channels":
            return reads.channels(account)
        if what == "subscription":
            channel = _channel(account, writes.text(reads.single(query), "channelId"), self._any_channel)
            return reads.find(channel, reads.single(query), self.behaviour)
        channel = _channel(account, channel_id, self._any_channel)
        if what == "subscriptions":
            return reads.subscriptions(channel, query, self.behaviour)
        if what == "config":
            return reads.public_config(channel)
        if what == "subscription-count":
            return reads.count(channel)
        return reads.page(what, getattr(channel, what), reads.single(query))

    def _account(self, request: Request, permission: str | None = None) -> Account:
        key = request.headers.get("authorization")
        account = next((a for a in self.accounts if a.api_key == key), None)
        if account is None:
            raise Refused(401, "Invalid API key")
        if permission and permission not in account.permissions:
            raise Refused(403, f"The API key has no access to {permission}")
        return account


def _channel(account: Account | None, channel_id: str | None, anybodys: Callable[[Any], Channel | None]) -> Channel:
    """A channel of this account, or, without one, of any."""
    channel = account.channels.get(channel_id or "") if account else anybodys(channel_id)
    if channel is None:
        raise Refused(404, "channel not found")
    return channel


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise Refused(405, "Method not allowed")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number
