"""What CleverPush holds: accounts, channels, subscriptions; and what the API does where the facts leave a choice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

CONTACT_FIELDS = frozenset({"emailAddress", "phoneNumber", "pushToken"})
SYNC_TEXT_FIELDS = CONTACT_FIELDS | {"emailOptInFormId", "country", "language"}
POISON = "secret-of-the-account"
"""Part of each of the account's secrets that `GET /channels` tells; it must be found nowhere else."""
READS = ("channels", "config", "segments", "subscription", "subscription-count", "subscriptions", "tags", "topics")
ROUTES = ("description", "cleverpush", "both", "none")
_LOOKUPS = ("wrapped", "bare", "bare_id", "list")
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"

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
            "subscriptions": [
                {"id": "Qm3xT8vLr2KpWz9Ya", "user_id": "u-ada"},
                {"id": "b7NhGd4fXsE6tRj5C", "user_id": "u-bob"},
                {"id": "Zk9wPc2yMoQv3LuA8", "user_id": "u-cid"},
            ],
        }
    ],
}


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


@dataclass(frozen=True)
class Behaviour:
    """What no source tells for certain, so that a test chooses.

    Attributes:
        routes: which server it plays, see :data:`ROUTES`: with the routes of the destination's description, with those
            of CleverPush's own code, with both, or with neither; or `{"sync": ..., "tags": ...}`, each one of these.
        forbidden: reads that are answered 403, see :data:`READS`.
        lacking: reads that are no routes.
        open_writes: writes are taken without a look at the key, as from CleverPush's own SDKs.
        copies: a sync by `user_id` never finds a subscription, and creates another one where it may.
        unsubscribe_deletes: a subscription is gone once it is unsubscribed, and not only inactive.
        gone_status: what an unknown subscription is answered with, 404 or 410.
        lookup: the answer to `GET /subscription`: `{"subscription": {"_id"}}` (wrapped), the object itself (bare), the
            same with `id` (bare_id), or all that there are as `{"subscriptions": [...]}` (list).
        page_size: of `GET /channel/{id}/subscriptions`.
        inclusive_cursor: whether a page begins with `startId` itself.
        lossy_tag_seconds: a tag write reads the subscription's tags, waits so long, and writes them back with its own
            change, so that another one meanwhile is lost; 0: writes do not overlap.
    """

    routes: str | Mapping[str, str] = "description"
    forbidden: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()
    open_writes: bool = False
    copies: bool = False
    unsubscribe_deletes: bool = False
    gone_status: int = 404
    lookup: str = "wrapped"
    page_size: int = 100
    inclusive_cursor: bool = False
    lossy_tag_seconds: float = 0.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Behaviour:
        """The behaviour that JSON describes.

        Raises:
            ValueError: a setting or a value that there is not.
        """
        if unknown := sorted(settings.keys() - {known.name for known in fields(cls)}):
            raise ValueError(f"behaviour cannot have {unknown[0]!r}")
        made = cls(
            **{**settings, **{name: frozenset(settings[name]) for name in ("forbidden", "lacking") if name in settings}}
        )
        for name, value, allowed in (
            *(("routes", made.routes_of(of), ROUTES) for of in ("sync", "tags")),
            *(("forbidden and lacking", read, READS) for read in made.forbidden | made.lacking),
            ("lookup", made.lookup, _LOOKUPS),
            ("gone_status", made.gone_status, (404, 410)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} cannot be {value!r}, only {allowed}")
        return made

    def routes_of(self, what: str) -> str:
        """Which routes there are for `sync` or `tags`."""
        return self.routes if isinstance(self.routes, str) else self.routes.get(what, "description")


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
        settings: `_id`, `name`, and lists of IDs or of `{"_id", "name"}`: `tags`, `topics` (these may have an
            `externalId`), `segments`, `attributes` (by default `user_id` alone), and `subscriptions`: CleverPush's IDs,
            or objects as the inspection routes show them, in which `user_id` is short for that custom attribute; where
            they have no `id`, one is made up. With `any_attribute`, every attribute is taken.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.id: str = settings["_id"]
        self.name: str = settings.get("name", self.id)
        self.tags = _named(settings.get("tags", ()))
        self.topics = _named(settings.get("topics", ()))
        self.segments = _named(settings.get("segments", ()))
        self.attributes = _named(settings.get("attributes", ("user_id",)))
        self.any_attribute = bool(settings.get("any_attribute"))
        self.subscriptions: dict[str, Subscription] = {}
        self.by_user: dict[str, dict[str, Subscription]] = {}
        for given in settings.get("subscriptions", ()):
            self._add(_subscription({"id": given} if isinstance(given, str) else given, self))

    def create(self, user: str) -> Subscription:
        """A new subscription, with an ID as CleverPush's are, of a person."""
        subscription = Subscription(native_id(self.id, user, len(self.by_user.get(user, ()))))
        self.subscriptions[subscription.id] = subscription
        self.rename(subscription, user)
        return subscription

    def rename(self, subscription: Subscription, user: str) -> None:
        """Make a subscription one of this person's."""
        before = subscription.attributes.get("user_id")
        if before != user:
            self._forget(subscription)
            subscription.attributes["user_id"] = user
            self.by_user.setdefault(user, {})[subscription.id] = subscription

    def delete(self, subscription: Subscription) -> None:
        """Remove a subscription for good."""
        del self.subscriptions[subscription.id]
        self._forget(subscription)

    def _add(self, subscription: Subscription) -> None:
        self.subscriptions[subscription.id] = subscription
        if user := subscription.attributes.get("user_id"):
            self.by_user.setdefault(user, {})[subscription.id] = subscription

    def _forget(self, subscription: Subscription) -> None:
        user = subscription.attributes.get("user_id", "")
        if user in self.by_user:
            del self.by_user[user][subscription.id]
            if not self.by_user[user]:
                del self.by_user[user]


@dataclass(frozen=True)
class Account:
    """An account: its keys, what the private one may do, and its channels by ID."""

    api_key: str
    public_key: str
    permissions: frozenset[str]
    channels: dict[str, Channel]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Account:
        """The account that JSON describes, as :data:`DEFAULT_ACCOUNT` does.

        `permissions` is a list of `subscriptions` and `tags`, by default both.
        """
        return cls(
            settings["api_key"],
            settings.get("public_key", f"public-{settings['api_key']}"),
            frozenset(settings.get("permissions", ("subscriptions", "tags"))),
            {channel["_id"]: Channel(channel) for channel in settings["channels"]},
        )


def native_id(channel: str, user: str, number: int) -> str:
    """An ID as CleverPush hands out: 17 letters and digits; the same for the same channel, person and number."""
    left = int.from_bytes(hashlib.sha256(f"{channel}/{user}/{number}".encode("utf-8", "replace")).digest()[:14], "big")
    letters = []
    for _ in range(17):
        left, letter = divmod(left, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return "".join(letters)


def _named(given: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """What a list of settings holds, by ID: `{"_id", "name", ...}`."""
    described = [{"_id": item} if isinstance(item, str) else item for item in given]
    return {item["_id"]: {"name": item["_id"], **item} for item in described}


def _subscription(given: Mapping[str, Any], channel: Channel) -> Subscription:
    known = {"id", "_id", "user_id", "customAttributes", "tags", "topics", "subscribed", *SYNC_TEXT_FIELDS}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"a subscription has no {unknown[0]}")
    attributes = dict(given.get("customAttributes", {}))
    if "user_id" in given:
        attributes["user_id"] = given["user_id"]
    native = given.get("id") or given.get("_id")
    if not native:
        user = attributes["user_id"]
        native = native_id(channel.id, user, len(channel.by_user.get(user, ())))
    return Subscription(
        native,
        {name: given[name] for name in given if name in SYNC_TEXT_FIELDS},
        attributes,
        set(given.get("tags", ())),
        list(given.get("topics", ())),
        given.get("subscribed", True),
    )
