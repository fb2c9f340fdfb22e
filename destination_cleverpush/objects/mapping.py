"""Field mapping: a row's columns to CleverPush's fields. Pure, and decided once per stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from destination_cleverpush.objects.settings import Settings

_SPACED_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


class RowMapper:
    """Maps rows of one stream.

    Args:
        settings: the mapping, what becomes of unmapped columns, and the column that marks removed rows.
        known_fields: the fields that the object has besides custom attributes.
        schema: the stream's JSON schema; columns of format `date-time` are sent as ISO-8601.
    """

    def __init__(self, settings: Settings, known_fields: frozenset[str], schema: Mapping[str, Any]) -> None:
        self._paths = [(m.source, m.source.split("."), m.destination) for m in settings.field_mapping]
        # A mapped column, or one that holds a mapped nested column, is not sent a second time under its own name.
        self._used = {m.source for m in settings.field_mapping} | {path[0] for _, path, _ in self._paths}
        self._taken = {m.destination for m in settings.field_mapping}
        self._removed_field = settings.removed_field
        self._removed_path = settings.removed_field.split(".")
        self._send_unmapped = settings.unmapped_fields == "send"
        self._keep = known_fields if not settings.field_mapping else frozenset()
        self._keeps_its_name = lru_cache(maxsize=4096)(self._decide)
        columns = schema.get("properties")
        self._timestamps = {
            name
            for name, column in (columns.items() if isinstance(columns, Mapping) else ())
            if isinstance(column, Mapping) and column.get("format") == "date-time"
        }

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Destination field to value, nulls left out. Airbyte's own columns and the removed marker never appear."""
        fields = {
            destination: self._dated(source, value)
            for source, path, destination in self._paths
            if (value := look_up(row, source, path)) is not None
        }
        for column, value in row.items():
            if value is not None and self._keeps_its_name(column):
                fields[column] = self._dated(column, value)
        return fields

    def _decide(self, column: str) -> bool:
        """Whether a column without a mapping is sent under its own name."""
        return (
            (self._send_unmapped or column in self._keep)
            and column not in self._used
            and column not in self._taken
            and column != self._removed_field
            and not column.startswith(("_airbyte_", "_ab_"))
        )

    def removed(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is marked as removed: its marker is neither null, false, 0 nor empty, nor such a text."""
        marker = look_up(row, self._removed_field, self._removed_path)
        if isinstance(marker, str):
            return marker.strip().lower() not in ("", "false", "0", "null")
        return bool(marker)

    def _dated(self, column: str, value: Any) -> Any:
        if column in self._timestamps and isinstance(value, str) and _SPACED_TIMESTAMP.match(value):
            return value.replace(" ", "T", 1).replace(" ", "")
        return value


def look_up(row: Mapping[str, Any], name: str, path: list[str]) -> Any:
    """The value of a column, or of a dotted path into nested columns; None where there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for part in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
