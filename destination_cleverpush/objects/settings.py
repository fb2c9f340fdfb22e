"""What this room needs of the form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

AIRBYTES_MARKER = "_ab_cdc_deleted_at"
"""The column that Airbyte's CDC sources fill for deletes: the default of the removed marker."""


class AudienceMode(str, Enum):
    """What is done with rows, and with rows marked as removed."""

    UPSERT = "upsert"
    ADD = "add"
    REMOVE = "remove"
    MIRROR = "mirror"


class SubscriptionIdKind(str, Enum):
    """What the user's column for `subscription_id` holds."""

    BY_CALL = "by_call"  # an ID of the user's own for creating and updating, CleverPush's for all else
    EXTERNAL = "external"  # an ID of the user's own
    NATIVE = "native"  # CleverPush's own


@dataclass(frozen=True)
class FieldMapping:
    """One source column (or dotted path) and the CleverPush field that it fills."""

    source: str
    destination: str


@dataclass(frozen=True)
class Settings:
    """How rows become calls.

    Attributes:
        object_type: a name in :data:`destination_cleverpush.objects.table.OBJECTS`.
        removed_field: the column (or dotted path) that marks a row as removed.
        unmapped_fields: what becomes of columns without a mapping: `known` (those are sent that are attributes of the
            channel), `send` or `ignore`.
        email_opt_in_form_id: sent with every email; None: not sent.
        max_removal_ratio: the highest share of rows that may be marked as removed.
        tags_are_names: tags and topics are given by their names, and not by their IDs.
        removed_values: where given, these values of the removed marker, in any case, mean removed, and no others do.
        subscription_id_kind: what `subscription_id` is.
        mapped_by_platform: columns have the fields' names already, and a removed marker only if one was mapped.
        row_lists_all_tags: a tag that a row does not name is one that its subscription has no more.
        only_existing: subscriptions that the channel does not have are not created.
    """

    object_type: str
    audience_mode: AudienceMode
    removed_field: str
    field_mapping: tuple[FieldMapping, ...]
    unmapped_fields: str
    email_opt_in_form_id: str | None
    max_removal_ratio: float = 0.5
    removed_values: tuple[str, ...] | None = None
    subscription_id_kind: SubscriptionIdKind = SubscriptionIdKind.BY_CALL
    mapped_by_platform: bool = False
    only_existing: bool = False
    tags_are_names: bool = False
    row_lists_all_tags: bool = False
