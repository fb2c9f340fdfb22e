"""Subscriptions (Attributes): a mapped row to one `sync` or one `unsubscribe` (CleverPush API, Subscriptions)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.values import attribute, text, texts

KNOWN_FIELDS = frozenset({"subscription_id", "email", "phone", "topics", "country", "language"})

_WIRE_NAMES = {
    "email": "emailAddress",
    "phone": "phoneNumber",  # assumed by analogy with emailAddress: no public source names it
    "country": "country",
    "language": "language",
}


class SubscriptionWriter:
    """Rows as subscriptions.

    Args:
        email_opt_in_form_id: sent with every email, so that CleverPush sends its double opt-in mail; None: not sent.
    """

    known_fields = KNOWN_FIELDS

    def __init__(self, email_opt_in_form_id: str | None) -> None:
        self._form = email_opt_in_form_id

    def put(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        """Create or update the subscription; `subscription_id` goes as the attribute `user_id`, by which it is found.

        Blank contact and profile fields are left out; an empty list of topics is sent, since it says that there are
        none.

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
                payload["topics"] = texts(name, value)
            elif name != "subscription_id":
                attributes[name] = attribute(name, value)
        if self._form and "emailAddress" in payload:
            payload["emailOptInFormId"] = self._form
        payload["customAttributes"] = attributes | {"user_id": subscription_id}
        return [Operation(Action.SYNC, payload)]

    def remove(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:  # noqa: ARG002
        """Unsubscribe; here `subscription_id` is CleverPush's own ID."""
        return [Operation(Action.UNSUBSCRIBE, {"subscriptionId": subscription_id})]
