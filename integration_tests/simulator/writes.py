"""The writing calls: a channel and a body in, the answer's body out.

Each raises :class:`.model.Refused` where the API says no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

from integration_tests.simulator.model import (
    CONTACT_FIELDS,
    SYNC_TEXT_FIELDS,
    Behaviour,
    Channel,
    Refused,
    Subscription,
)

SYNC_FIELDS = SYNC_TEXT_FIELDS | {"channelId", "subscriptionId", "topics", "topicsVersion", "customAttributes"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def sync(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Update the subscription that `subscriptionId` names, else one of the `user_id`, else create one."""
    _exactly(body, SYNC_FIELDS)
    attributes, fields, topics = _attributes(channel, body), _fields(body), _topics(channel, body)
    if "subscriptionId" in body:
        subscription = _native(channel, body, behaviour)
        if "user_id" in attributes:
            channel.rename(subscription, text(attributes, "user_id"))
    else:
        user = text(attributes, "user_id")
        known = None if behaviour.copies else channel.by_user.get(user)
        if known is None and not fields.keys() & CONTACT_FIELDS:
            raise Refused(400, "An email address, phone number or push token is required for a new subscription")
        subscription = next(iter(known.values())) if known else channel.create(user)
    confirm = "emailOptInFormId" in fields and fields["emailAddress"] != subscription.fields.get("emailAddress")
    subscription.fields |= fields
    subscription.attributes |= attributes
    if topics is not None:
        subscription.topics = topics
    return {"id": subscription.id, "emailConfirmationNeeded": confirm}


def unsubscribe(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Unsubscribe the subscription with this native ID."""
    _exactly(body, {"channelId", "subscriptionId"})
    subscription = _native(channel, body, behaviour)
    subscription.subscribed = False
    if behaviour.unsubscribe_deletes:
        channel.delete(subscription)
    return {"success": True}


def add_tag(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Give a tag of the channel to the subscription with this native ID."""
    subscription, tag = _tagging(channel, body, behaviour)
    subscription.tags.add(tag)
    return {"success": True}


def remove_tag(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Take a tag of the channel from the subscription with this native ID, whether or not it has it."""
    subscription, tag = _tagging(channel, body, behaviour)
    subscription.tags.discard(tag)
    return {"success": True}


def clear_attribute(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Empty a custom attribute of the subscription with this native ID."""
    _exactly(body, {"channelId", "subscriptionId", "attributeId"})
    subscription, attribute = _native(channel, body, behaviour), text(body, "attributeId")
    _attributes(channel, {"customAttributes": {attribute: ""}})
    subscription.attributes.pop(attribute, None)
    return {"success": True}


def text(body: Mapping[str, Any], name: str) -> str:
    """A field that must be a text, and not an empty one."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} must be a text")
    return value


def _tagging(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> tuple[Subscription, str]:
    _exactly(body, {"channelId", "subscriptionId", "tagId"})
    subscription, tag = _native(channel, body, behaviour), text(body, "tagId")
    if tag not in channel.tags:
        raise Refused(400, f"Tag {tag} does not exist")
    return subscription, tag


def _native(channel: Channel, body: Mapping[str, Any], behaviour: Behaviour) -> Subscription:
    subscription = channel.subscriptions.get(text(body, "subscriptionId"))
    if subscription is None:
        raise Refused(behaviour.gone_status, "Subscription not found")
    return subscription


def _attributes(channel: Channel, body: Mapping[str, Any]) -> dict[str, Any]:
    attributes = body.get("customAttributes", {})
    if not isinstance(attributes, dict):
        raise Refused(400, "customAttributes must be an object")
    for name, value in attributes.items():
        if name not in channel.attributes and not channel.any_attribute:
            raise Refused(400, f"Custom attribute {name} does not exist")
        if not isinstance(value, str | int | float | bool):
            raise Refused(400, f"Custom attribute {name} must be a text, a number or a boolean")
    return attributes


def _fields(body: Mapping[str, Any]) -> dict[str, str]:
    fields = {name: text(body, name) for name in SYNC_TEXT_FIELDS if name in body}
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
    if not isinstance(body.get("topicsVersion", 1), int):
        raise Refused(400, "topicsVersion must be a whole number")
    return topics if "topics" in body else None


def _exactly(body: Mapping[str, Any], names: Set[str]) -> None:
    if unknown := sorted(set(body) - names):
        raise Refused(400, f"Unknown field {unknown[0]}")
