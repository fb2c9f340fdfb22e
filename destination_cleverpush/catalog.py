"""The configured catalog: per stream, everything that is decided once before the first row."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from destination_cleverpush.config import AudienceMode, Config, ObjectType
from destination_cleverpush.errors import config_error
from destination_cleverpush.mapping import RowMapper
from destination_cleverpush.operations import Operation
from destination_cleverpush.protocol import StreamId
from destination_cleverpush.reasons import RowRejected
from destination_cleverpush.values import text
from destination_cleverpush.writers.subscriptions import SubscriptionWriter
from destination_cleverpush.writers.tags import TagWriter


class Writer(Protocol):
    """What a CleverPush object is to a stream: how rows are put and removed."""

    known_fields: frozenset[str]

    def put(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        """Operations that bring the row to CleverPush."""

    def remove(self, subscription_id: str, fields: Mapping[str, Any]) -> list[Operation]:
        """Operations that take the row away."""


class StreamPlan:
    """What becomes of the rows of one stream."""

    def __init__(self, stream: StreamId, config: Config, writer: Writer, schema: Mapping[str, Any]) -> None:
        self.stream = stream
        self._mapper = RowMapper(config, writer.known_fields, schema)
        self._writer = writer
        self._mode = config.audience_mode

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row as CleverPush's fields."""
        return self._mapper.fields(row)

    def operations(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[str, list[Operation]]:
        """The row's subscription ID and its operations: none where a removed row costs no call.

        Raises:
            RowRejected: the row cannot become a call.
        """
        removed = self._mode is not AudienceMode.REMOVE and self._mapper.removed(row)
        if removed and self._mode is not AudienceMode.MIRROR:
            return subscription_id(fields, required=False) or "", []
        act = self._writer.remove if removed or self._mode is AudienceMode.REMOVE else self._writer.put
        found = subscription_id(fields)
        return found, act(found, fields)


def subscription_id(fields: Mapping[str, Any], *, required: bool = True) -> str:
    """The row's `subscription_id` as text; empty if it is not required and missing or unusable.

    Raises:
        RowRejected: it is required and missing, empty or no plain value.
    """
    try:
        if found := text("subscription_id", fields.get("subscription_id", ""), "invalid_subscription_id"):
            return found
        raise RowRejected("missing_subscription_id", "subscription_id is missing or empty.")
    except RowRejected:
        if required:
            raise
        return ""


def plan_streams(config: Config, catalog: Mapping[str, Any]) -> dict[StreamId, StreamPlan]:
    """One plan per configured stream.

    Args:
        catalog: a ConfiguredAirbyteCatalog as JSON.

    Raises:
        AirbyteTracedException: `config_error`: the catalog or the field mapping cannot work.
    """
    writer: Writer = (
        TagWriter() if config.object_type is ObjectType.TAGS else SubscriptionWriter(config.email_opt_in_form_id)
    )
    check_mapping(config)
    plans = {}
    try:
        for configured in catalog["streams"]:
            definition = configured["stream"]
            stream = StreamId(definition["name"], definition.get("namespace") or None)
            if not isinstance(stream.name, str):
                raise TypeError
            plans[stream] = StreamPlan(stream, config, writer, definition.get("json_schema") or {})
    except (KeyError, TypeError, AttributeError):
        raise config_error("The catalog is not a configured Airbyte catalog: it has no list of streams.") from None
    return plans


def check_mapping(config: Config) -> None:
    """Fail before the first row where no row could ever be complete.

    Raises:
        AirbyteTracedException: `config_error` that names the missing destination field.
    """
    if not config.field_mapping or config.unmapped_fields == "send":
        return
    required = {"subscription_id", "tags"} if config.object_type is ObjectType.TAGS else {"subscription_id"}
    if missing := sorted(required - {m.destination for m in config.field_mapping}):
        raise config_error(
            f"The field mapping fills no '{missing[0]}', which {config.object_type.value} need, and columns without a "
            "mapping are ignored. Add a mapping to this field under Field Mapping."
        )


def notices(config: Config, catalog: Mapping[str, Any]) -> list[tuple[int, str]]:
    """What the user should know before the first row: log level and sentence."""
    if config.audience_mode is AudienceMode.MIRROR:
        level = logging.INFO
        advice = f"Mirror removes the rows that the column '{config.removed_field}' marks, and no others."
    else:
        level = logging.WARNING
        advice = "Use the audience sync mode Mirror to remove rows that are marked as removed."
    found = []
    for configured in catalog["streams"]:
        if configured.get("destination_sync_mode") == "overwrite":
            stream = StreamId(configured["stream"]["name"], configured["stream"].get("namespace") or None)
            notice = (
                f"Stream '{stream}' is in overwrite mode, but nothing that is absent from the source is removed from "
                f"CleverPush. {advice}"
            )
            found.append((level, notice))
    return found
