"""Tags: a mapped row to one call per tag, adding or removing it (CleverPush API, subscription tags)."""

from __future__ import annotations

from destination_cleverpush.objects.reasons import INVALID_TAGS, MISSING_TAGS
from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.objects.shape import CleverPushObject, Fields, IdKind
from destination_cleverpush.objects.values import texts
from destination_cleverpush.words import Action, Operation, RowRejected

ADD_TAG = Action(
    "add_tag",
    {"add_remove": "/subscription/tag/add", "tag_untag": "/subscription/tag"},
    option="tag_endpoints",
    done="tags added",
)
REMOVE_TAG = Action(
    "remove_tag",
    {"add_remove": "/subscription/tag/remove", "tag_untag": "/subscription/untag"},
    option="tag_endpoints",
    done="tags removed",
)


def put(fields: Fields, settings: Settings) -> list[Operation]:
    """Add each of the row's tags to the subscription. Where a row lists all of them, an empty list says "none".

    Raises:
        RowRejected: no tags, or tags that are not plain values.
    """
    if settings.row_lists_all_tags and fields.get("tags") in ([], "[]"):
        return []
    return _each(ADD_TAG, fields)


def remove(fields: Fields, settings: Settings) -> list[Operation]:  # noqa: ARG001
    """Remove each of the row's tags from the subscription.

    Raises:
        RowRejected: no tags, or tags that are not plain values.
    """
    return _each(REMOVE_TAG, fields)


def _each(action: Action, fields: Fields) -> list[Operation]:
    tags = texts("tags", fields.get("tags", []), INVALID_TAGS)
    if not tags:
        raise RowRejected(MISSING_TAGS, "tags is missing or empty.")
    return [Operation(action, {"tagId": tag}) for tag in tags]


OBJECT = CleverPushObject(
    name="tags",
    title="Tags",
    known_fields=frozenset({"subscription_id", "cleverpush_id", "tags"}),
    required_fields=("subscription_id", "tags"),
    told_fields=("subscription_id", "cleverpush_id", "tags"),
    put_id=IdKind.NATIVE,
    remove_id=IdKind.NATIVE,
    lists=("tags",),
    actions=(ADD_TAG, REMOVE_TAG),
    put=put,
    remove=remove,
    pair="tagId",
)
