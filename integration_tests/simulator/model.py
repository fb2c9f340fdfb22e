"""The CleverPush API as a pure state machine: a request in, a status and a JSON body out.

Facts and their public sources are those of `destination_cleverpush.client`. Where no source speaks, the simulator
chooses the stricter behaviour. Choices of its own: error bodies are `{"error": text}`; unsubscribing twice succeeds
twice; a sync updates an unsubscribed subscription and leaves it unsubscribed; unknown body fields are refused, and so
is an opt-in form without the email address that its mail would go to. Paths are taken as they stand: no trailing slash.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CONTACT_FIELDS = frozenset({"emailAddress", "phoneNumber", "pushToken"})
SYNC_TEXT_FIELDS = CONTACT_FIELDS | {"emailOptInFormId", "country", "language"}
SYNC_FIELDS = SYNC_TEXT_FIELDS | {"channelId", "topics", "customAttributes"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

DEFAULT_ACCOUNT: dict[str, Any] = {
    "api_key": "private-key-of-the-simulator",
    "public_key": "public-key-of-the-simulator",
    "channels": [
        {
            "_id": "5f3c1e7a9b2d4c0012ab34cd",
            "name": "Demo",
            "tags": ["vip", "newsletter", "churn-risk"],
            "attributes": ["user_id", "city", "loyalty_tier", "visits", "active"],
            "topics": ["news", "sports", "offers"],
            "subscriptions": ["sub-1", "sub-2", "sub-3"],
        }
    ],
}


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class Request(NamedTuple):
    """One HTTP request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Subscription:
    """A subscription: CleverPush's own ID, profile fields as sent, attributes, tags, topics."""

    id: str
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    topics: list[str] = field(default_factory=list)
    subscribed: bool = True

    def as_json(self) -> dict[str, Any]:
        """As the inspection routes show it."""
        return {
            "id": self.id,
            "subscribed": self.subscribed,
            **self.fields,
            "customAttributes": self.attributes,
            "tags": sorted(self.tags),
            "topics": self.topics,
        }


class Channel:
    """A channel and what was created in its settings.

    Args:
        settings: `_id`, `name`, and lists of IDs or of `{"_id", "name"}`: `tags`, `topics`, `attributes` (by default
            `user_id` alone), and `subscriptions`: IDs, or objects as the inspection routes show them, in which
            `user_id` is short for that custom attribute.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.id: str = settings["_id"]
        self.name: str = settings.get("name", self.id)
        self.tags = _named(settings.get("tags", ()))
        self.topics = _named(settings.get("topics", ()))
        self.attributes = _named(settings.get("attributes", ("user_id",)))
        self.subscriptions: dict[str, Subscription] = {}
        self.by_user: dict[str, Subscription] = {}
        for given in settings.get("subscriptions", ()):
            subscription = _subscription({"id": given} if isinstance(given, str) else given)
            self.subscriptions[subscription.id] = subscription
            if user := subscription.attributes.get("user_id"):
                self.by_user[user] = subscription


@dataclass(frozen=True)
class Account:
    """An account: its keys, what the private one may do, and its channels by ID."""

    api_key: str
    public_key: str
    permissions: frozenset[str]
    channels: dict[str, Channel]


class CleverPush:
    """All accounts.

    Args:
        accounts: as :data:`DEFAULT_ACCOUNT`; `permissions` is a list of `subscriptions` and `tags`, by default both.
    """

    def __init__(self, accounts: Iterable[Mapping[str, Any]] = (DEFAULT_ACCOUNT,)) -> None:
        self.accounts = [
            Account(
                settings["api_key"],
                settings.get("public_key", f"public-{settings['api_key']}"),
                frozenset(settings.get("permissions", ("subscriptions", "tags"))),
                {channel["_id"]: Channel(channel) for channel in settings["channels"]},
            )
            for settings in accounts
        ]
        self._writes: dict[str, tuple[str, Callable[[Channel, Mapping[str, Any]], dict[str, Any]]]] = {
            "/subscription/sync": ("subscriptions", _sync),
            "/subscription/unsubscribe": ("subscriptions", _unsubscribe),
            "/subscription/tag/add": ("tags", _add_tag),
            "/subscription/tag": ("tags", _add_tag),
            "/subscription/tag/remove": ("tags", _remove_tag),
            "/subscription/untag": ("tags", _remove_tag),
        }

    def handle(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Answer a request: HTTP status and JSON body."""
        try:
            return 200, self._write(request) if request.path in self._writes else self._read(request)
        except Refused as refused:
            return refused.status, {"error": refused.words}

    def _write(self, request: Request) -> dict[str, Any]:
        _only(request, "POST")
        permission, act = self._writes[request.path]
        account = self._account(request, permission)
        body = _json_body(request)
        return act(_channel(account, _text(body, "channelId")), body)

    def _read(self, request: Request) -> dict[str, Any]:
        match request.path.split("/"):
            case ["", "channels"]:
                _only(request, "GET")
                account = self._account(request)
                return {"channels": [{"_id": c.id, "name": c.name} for c in account.channels.values()]}
            case ["", "subscription"]:
                _only(request, "GET")
                return _find(self._account(request, "subscriptions"), request.query)
            case ["", "channel", channel_id, "tags"]:
                _only(request, "GET")
                return _page_of_tags(_channel(self._account(request, "tags"), channel_id), request.query)
            case ["", "channel", channel_id, "subscription-count"]:
                _only(request, "GET")
                channel = _channel(self._account(request, "subscriptions"), channel_id)
                active = sum(s.subscribed for s in channel.subscriptions.values())
                return {"subscriptions": active, "inactiveSubscriptions": len(channel.subscriptions) - active}
            case ["", "channel", channel_id, "config"]:
                _only(request, "GET")
                return self._public_config(channel_id)
        raise Refused(404, "Route not found")

    def _account(self, request: Request, permission: str | None = None) -> Account:
        key = request.headers.get("authorization")
        account = next((a for a in self.accounts if a.api_key == key), None)
        if account is None:
            raise Refused(401, "Invalid API key")
        if permission and permission not in account.permissions:
            raise Refused(403, f"The API key has no access to {permission}")
        return account

    def _public_config(self, channel_id: str) -> dict[str, Any]:
        channel = next((a.channels[channel_id] for a in self.accounts if channel_id in a.channels), None)
        if channel is None:
            raise Refused(404, "Channel not found")
        return {
            "channelTags": [{"_id": i, "name": n} for i, n in channel.tags.items()],
            "channelTopics": [{"_id": i, "name": n} for i, n in channel.topics.items()],
            "customAttributes": [{"_id": i, "name": n} for i, n in channel.attributes.items()],
        }


def _sync(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    _exactly(body, SYNC_FIELDS)
    attributes, fields, topics = _attributes(channel, body), _fields(body), _topics(channel, body)
    user = _text(attributes, "user_id")
    subscription = channel.by_user.get(user)
    if subscription is None:
        if not fields.keys() & CONTACT_FIELDS:
            raise Refused(400, "An email address, phone number or push token is required for a new subscription")
        native = hashlib.sha256(f"{channel.id}/{user}".encode()).hexdigest()[:24]
        subscription = channel.by_user[user] = channel.subscriptions[native] = Subscription(native)
    confirm = "emailOptInFormId" in fields and fields["emailAddress"] != subscription.fields.get("emailAddress")
    subscription.fields |= fields
    subscription.attributes |= attributes
    if topics is not None:
        subscription.topics = topics
    return {"id": subscription.id, "emailConfirmationNeeded": confirm}


def _attributes(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    attributes = body.get("customAttributes", {})
    if not isinstance(attributes, dict):
        raise Refused(400, "customAttributes must be an object")
    for name, value in attributes.items():
        if name not in channel.attributes:
            raise Refused(400, f"Custom attribute {name} does not exist")
        if not isinstance(value, str | int | float | bool):
            raise Refused(400, f"Custom attribute {name} must be a text, a number or a boolean")
    return attributes


def _fields(body: Mapping[str, Any]) -> dict[str, str]:
    fields = {name: _text(body, name) for name in SYNC_TEXT_FIELDS if name in body}
    if "emailAddress" in fields and not _EMAIL.fullmatch(fields["emailAddress"]):
        raise Refused(400, f"emailAddress {fields['emailAddress']} is not an email address")
    if "emailOptInFormId" in fields and "emailAddress" not in fields:
        raise Refused(400, "emailOptInFormId needs an emailAddress")
    return fields


def _topics(channel: Channel, body: Mapping[str, Any]) -> list[str] | None:
    topics = body.get("topics", [])
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise Refused(400, "topics must be a list of topic IDs")
    if unknown := [topic for topic in topics if topic not in channel.topics]:
        raise Refused(400, f"Topic {unknown[0]} does not exist")
    return topics if "topics" in body else None


def _find(account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    channel = _channel(account, _text(query, "channelId"))
    if _text(query, "attributeId") != "user_id":
        raise Refused(400, "attributeId must be user_id")
    found = channel.by_user.get(_text(query, "attribute_value"))
    if found is None:
        raise Refused(404, "Subscription not found")
    return found.as_json()


def _unsubscribe(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    _exactly(body, {"channelId", "subscriptionId"})
    _native(channel, body).subscribed = False
    return {"success": True}


def _add_tag(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    subscription, tag = _tagging(channel, body)
    subscription.tags.add(tag)
    return {"success": True}


def _remove_tag(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    subscription, tag = _tagging(channel, body)
    subscription.tags.discard(tag)
    return {"success": True}


def _tagging(channel: Channel, body: Mapping[str, Any]) -> tuple[Subscription, str]:
    _exactly(body, {"channelId", "subscriptionId", "tagId"})
    subscription, tag = _native(channel, body), _text(body, "tagId")
    if tag not in channel.tags:
        raise Refused(400, f"Tag {tag} does not exist")
    return subscription, tag


def subject(body: bytes) -> str | None:
    """The subscription that a request is about: its native ID, or its `user_id`."""
    try:
        content = json.loads(body)
        found = content.get("subscriptionId") or content.get("customAttributes", {}).get("user_id")
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise Refused(405, "Method not allowed")


def _json_body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "Content-Type must be application/json")
    try:
        text = request.body.decode()  # JSON between systems is UTF-8 (RFC 8259, section 8.1)
        body = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if "\\ud" in text.lower():
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body is not a JSON object")
    return body


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number


def _channel(account: Account, channel_id: str) -> Channel:
    if channel_id not in account.channels:
        raise Refused(404, "Channel not found")
    return account.channels[channel_id]


def _native(channel: Channel, body: Mapping[str, Any]) -> Subscription:
    subscription = channel.subscriptions.get(_text(body, "subscriptionId"))
    if subscription is None:
        raise Refused(404, "Subscription not found")
    return subscription


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} must be a text")
    return value


def _exactly(body: Mapping[str, Any], names: Set[str]) -> None:
    if unknown := sorted(set(body) - names):
        raise Refused(400, f"Unknown field {unknown[0]}")


def _page_of_tags(channel: Channel, query: Mapping[str, str]) -> dict[str, Any]:
    given = query.get("limit", "100"), query.get("skip", "0")
    if not all(re.fullmatch("[0-9]{1,9}", number) for number in given):
        raise Refused(400, "limit and skip must be whole numbers from 0")
    limit, skip = map(int, given)
    if not 1 <= limit <= 100:
        raise Refused(400, "limit must be 1 to 100")
    page = list(channel.tags.items())[skip : skip + limit]
    return {"tags": [{"_id": i, "name": n} for i, n in page]}


def _named(given: Iterable[Any]) -> dict[str, str]:
    return {i if isinstance(i, str) else i["_id"]: i if isinstance(i, str) else i.get("name", i["_id"]) for i in given}


def _subscription(given: Mapping[str, Any]) -> Subscription:
    known = {"id", "_id", "user_id", "customAttributes", "tags", "topics", "subscribed", *SYNC_TEXT_FIELDS}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"a subscription has no {unknown[0]}")
    attributes = dict(given.get("customAttributes", {}))
    if "user_id" in given:
        attributes["user_id"] = given["user_id"]
    return Subscription(
        given["id"] if "id" in given else given["_id"],
        {name: given[name] for name in given if name in SYNC_TEXT_FIELDS},
        attributes,
        set(given.get("tags", ())),
        list(given.get("topics", ())),
        given.get("subscribed", True),
    )
