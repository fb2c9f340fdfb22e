"""Tags: a mapped row to one call per tag, adding or removing it (CleverPush API, subscription tags)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.reasons import RowRejected
from destination_cleverpush.values import texts

KNOWN_FIELDS = frozenset({"subscription_id", "tags"})


class TagWriter:
    """Rows as tags of a subscription; `subscription_id` is CleverPush's own ID."""

    known_fields = KNOWN_FIELDS

    def put(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        """Add each of the row's tags.

        Raises:
            RowRejected: no tags, or tags that are not plain values.
        """
        return self._each(Action.ADD_TAG, subscription_id, fields)

    def remove(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        """Remove each of the row's tags.

        Raises:
            RowRejected: no tags, or tags that are not plain values.
        """
        return self._each(Action.REMOVE_TAG, subscription_id, fields)

    def _each(self, action: Action, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        tags = texts("tags", fields.get("tags", []), "invalid_tags")
        if not tags:
            raise RowRejected("missing_tags", "tags is missing or empty.")
        return [Operation(action, {"subscriptionId": subscription_id, "tagId": tag}) for tag in tags]
