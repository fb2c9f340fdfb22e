"""Subscriptions (Attributes): a mapped row to one `sync` or one `unsubscribe` (CleverPush API, Subscriptions)."""

from __future__ import annotations

from typing import Any

from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.objects.shape import CleverPushObject, Fields, IdKind
from destination_cleverpush.objects.values import attribute, text, texts
from destination_cleverpush.words import Action, Operation

SYNC = Action(
    "sync",
    {"plain": "/subscription/sync", "with_channel": "/subscription/sync/{channel_id}"},
    option="sync_endpoint",
    done="created or updated",
)
UNSUBSCRIBE = Action("unsubscribe", {"plain": "/subscription/unsubscribe"}, done="unsubscribed")
CLEAR_ATTRIBUTE = Action("clear_attribute", {"plain": "/subscription/attribute/clear"}, done="attributes cleared")

_WIRE_NAMES = {
    "email": "emailAddress",
    "phone": "phoneNumber",  # assumed by analogy with emailAddress: no public source names it
    "country": "country",
    "language": "language",
}


_NOT_ATTRIBUTES = frozenset({"subscription_id", "cleverpush_id", "user_id"})


def put(fields: Fields, settings: Settings) -> list[Operation]:
    """Create or update the subscription.

    Blank contact and profile fields and blank topics are left out, since they are not known; an empty list of topics is
    sent, since it says that there are none.
    The opt-in form goes with every email, so that CleverPush sends its double opt-in mail.

    Raises:
        RowRejected: a field's value cannot be sent.
    """
    payload: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, value in fields.items():
        if wire_name := _WIRE_NAMES.get(name):
            if plain := text(name, value):
                payload[wire_name] = plain
        elif name == "topics":
            if (topics := texts(name, value)) is not None:
                payload["topics"] = topics
        elif name not in _NOT_ATTRIBUTES:
            attributes[name] = attribute(name, value)
    if settings.email_opt_in_form_id and "emailAddress" in payload:
        payload["emailOptInFormId"] = settings.email_opt_in_form_id
    if attributes:
        payload["customAttributes"] = attributes
    return [Operation(SYNC, payload)]


def remove(fields: Fields, settings: Settings) -> list[Operation]:  # noqa: ARG001
    """Unsubscribe."""
    return [Operation(UNSUBSCRIBE, {})]


OBJECT = CleverPushObject(
    name="subscriptions",
    title="Subscriptions (Attributes)",
    known_fields=frozenset({"subscription_id", "cleverpush_id", "email", "phone", "topics", "country", "language"}),
    required_fields=("subscription_id",),
    told_fields=("subscription_id", "cleverpush_id", "topics"),
    put_id=IdKind.EXTERNAL,
    remove_id=IdKind.NATIVE,
    lists=("topics", "attributes"),
    actions=(SYNC, UNSUBSCRIBE),
    put=put,
    remove=remove,
    absent_is_removed=True,
    has_attributes=True,
    can_update=True,
    clear=CLEAR_ATTRIBUTE,
)
