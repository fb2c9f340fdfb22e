"""The plan per stream: everything that is decided once before the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.mapping import RowMapper
from destination_cleverpush.objects.reasons import INVALID_SUBSCRIPTION_ID, MISSING_SUBSCRIPTION_ID
from destination_cleverpush.objects.settings import AudienceMode, Settings
from destination_cleverpush.objects.table import OBJECTS
from destination_cleverpush.objects.values import text
from destination_cleverpush.words import (
    Answer,
    Job,
    Operation,
    Row,
    RowRejected,
    Stream,
    StreamId,
    Verdict,
    one_by_one,
)

_LONGEST_IDENTIFIER = 10_000


class StreamPlan:
    """What becomes of the rows of one stream."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        self.stream = stream.id
        self._settings = settings
        self._object = OBJECTS[settings.object_type]
        self._mapper = RowMapper(settings, self._object.known_fields, stream.schema)

    def job(self, row: Row) -> Job:
        """The row as a job: its calls, or none where it is removed and that costs no call, or the refusal."""
        try:
            lane, operations = self._operations(row.data)
        except RowRejected as rejected:
            refusal = Answer(Verdict.REJECTED, rejected.reason, rejected.sentence)
            return Job(row.stream, "", None, row, row.size, refusal)
        return Job(row.stream, lane, one_by_one(operations) if operations else None, row, row.size)

    def identifiers(self, data: Mapping[str, Any]) -> tuple[str | None, list[str]]:
        """The row's subscription ID, None where it has none that can be used, and which texts of the row may be told.

        These are the names of its fields, and the values of those that hold IDs.
        """
        fields = self._mapper.fields(data)
        told = [str(fields.get(name, ""))[:_LONGEST_IDENTIFIER] for name in self._object.told_fields]
        try:
            found = _subscription_id(fields)
        except RowRejected:
            found = None
        return found, [*fields, *told]

    def _operations(self, data: Mapping[str, Any]) -> tuple[str, list[Operation]]:
        mode = self._settings.audience_mode
        removed = mode is not AudienceMode.REMOVE and self._mapper.removed(data)
        if removed and mode is not AudienceMode.MIRROR:
            return "", []
        fields = self._mapper.fields(data)
        act = self._object.remove if removed or mode is AudienceMode.REMOVE else self._object.put
        found = _subscription_id(fields)
        return found, act(found, fields, self._settings)


def _subscription_id(fields: Mapping[str, Any]) -> str:
    if found := text("subscription_id", fields.get("subscription_id", ""), INVALID_SUBSCRIPTION_ID):
        return found
    raise RowRejected(MISSING_SUBSCRIPTION_ID, "subscription_id is missing or empty.")


def plan_streams(settings: Settings, streams: Sequence[Stream]) -> dict[StreamId, StreamPlan]:
    """One plan per stream.

    Raises:
        Failure: `config_error`: the field mapping cannot work.
    """
    check_mapping(settings)
    return {stream.id: StreamPlan(settings, stream) for stream in streams}


def check_mapping(settings: Settings) -> None:
    """Fail before the first row where no row could ever be complete.

    Raises:
        Failure: `config_error` that names the missing destination field.
    """
    if not settings.field_mapping or settings.unmapped_fields == "send":
        return
    filled = {m.destination for m in settings.field_mapping}
    if missing := sorted(set(OBJECTS[settings.object_type].required_fields) - filled):
        raise config_error(
            f"The field mapping fills no '{missing[0]}', which {settings.object_type} need, and columns without a "
            "mapping are ignored. Add a mapping to this field under Field Mapping."
        )
