"""The reading calls: a channel and a query in, the answer's body out.

Each raises :class:`.model.Refused` where the API says no.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping
from typing import Any

from integration_tests.simulator.model import POISON, Account, Behaviour, Channel, Refused, Subscription
from integration_tests.simulator.writes import text

Query = Mapping[str, list[str]]

_SECRETS = ("vapidPrivateKey", "fcmCredentials", "apnsAuthKey")


def single(query: Query) -> dict[str, str]:
    """The last value of each parameter."""
    return {name: values[-1] for name, values in query.items()}


def channels(account: Account) -> dict[str, Any]:
    """All channels of an account, and, as the real answer may, its secrets."""
    secrets = {name: f"{POISON}-{name}" for name in _SECRETS}
    return {"channels": [{"_id": c.id, "name": c.name, **secrets} for c in account.channels.values()]}


def page(what: str, items: Mapping[str, Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of tags, topics or segments."""
    given = query.get("limit", "100"), query.get("skip", "0")
    if not all(re.fullmatch("[0-9]{1,9}", number) for number in given):
        raise Refused(400, "limit and skip must be whole numbers from 0")
    limit, skip = map(int, given)
    if not 1 <= limit <= 100:
        raise Refused(400, "limit must be 1 to 100")
    return {what: list(items.values())[skip : skip + limit]}


def public_config(channel: Channel) -> dict[str, Any]:
    """What everybody may read of a channel; attributes have an `id`, and all else an `_id`."""
    attributes = channel.attributes.values()
    return {
        "channelTags": list(channel.tags.values()),
        "channelTopics": list(channel.topics.values()),
        "customAttributes": [{"id": attribute["_id"], "name": attribute["name"]} for attribute in attributes],
    }


def count(channel: Channel) -> dict[str, Any]:
    """How many subscriptions there are, active and not."""
    active = sum(s.subscribed for s in channel.subscriptions.values())
    return {"subscriptions": active, "inactiveSubscriptions": len(channel.subscriptions) - active}


def subscriptions(channel: Channel, query: Query, behaviour: Behaviour) -> dict[str, Any]:
    """A page of subscriptions in the order of their IDs, after `startId`; without `fields` the IDs alone."""
    if unknown := sorted(query.keys() - {"fields", "startId"}):
        raise Refused(400, f"Unknown parameter {unknown[0]}")
    start = query.get("startId", [""])[-1]
    later = (i for i in channel.subscriptions if i > start or (i == start and behaviour.inclusive_cursor))
    wanted = {"_id", *query.get("fields", ())}
    shown = (_shown(channel, channel.subscriptions[i]) for i in heapq.nsmallest(behaviour.page_size, later))
    return {"subscriptions": [{name: one[name] for name in one if name in wanted} for one in shown]}


def find(channel: Channel, query: Mapping[str, str], behaviour: Behaviour) -> dict[str, Any]:
    """The subscription, or subscriptions, of a `user_id`."""
    if text(query, "attributeId") != "user_id":
        raise Refused(400, "attributeId must be user_id")
    found = [_shown(channel, one) for one in channel.by_user.get(text(query, "attribute_value"), {}).values()]
    if not found:
        raise Refused(404, "Subscription not found")
    if behaviour.lookup == "list":
        return {"subscriptions": found}
    if behaviour.lookup == "bare_id":
        return {"id": found[0].pop("_id"), **found[0]}
    return found[0] if behaviour.lookup == "bare" else {"subscription": found[0]}


def _shown(channel: Channel, subscription: Subscription) -> dict[str, Any]:
    return {
        "_id": subscription.id,
        "channel": channel.id,
        "inactive": not subscription.subscribed,
        **subscription.fields,
        "topics": subscription.topics,
        "tags": sorted(subscription.tags),
        "customAttributes": subscription.attributes,
    }
