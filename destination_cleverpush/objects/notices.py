"""What the user is told about the columns of one stream: which are taken for others, and which are missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from destination_cleverpush.errors import config_error
from destination_cleverpush.objects.columns import Columns, lacking
from destination_cleverpush.objects.marker import is_airbytes_marker
from destination_cleverpush.objects.settings import AudienceMode, Settings
from destination_cleverpush.words import Stream

Tell = Callable[[int, str], None]
"""Takes what the user should know, also while a row is planned: a level of :mod:`logging`, and a sentence."""

JUDGED_FROM_ROWS = 1_000
"""Rows of a stream without a schema after which a column that none of them had is told to be missing."""

_MARKER = "the removed marker"


class ColumnNotices:
    """Notices about the columns of one stream, each told once.

    Args:
        required: the fields of the object without which no row can be sent.
        columns: the stream's, as they are known by now.

    Raises:
        Failure: `config_error`: the stream's schema lacks the only source of a required field, or the removed marker
            by which Mirror removes.
    """

    def __init__(
        self, settings: Settings, stream: Stream, required: Iterable[str], columns: Columns, tell: Tell
    ) -> None:
        self._stream = stream.id
        self._columns = columns
        self._tell = tell
        self._sources = _sources(settings)
        self._taken: Mapping[str, str] = {}
        self._rows = 0
        self._watching = not columns.names
        if not self._watching:
            needed = {*required, _MARKER} if settings.audience_mode is AudienceMode.MIRROR else {*required}
            self._judge_schema(stream.schema, needed)

    def taken(self, taken: Mapping[str, str]) -> None:
        """Tell of the columns that are taken for names which they do not have.

        Args:
            taken: the name that was looked for to the column.
        """
        new = [f"'{column}' for '{name}'" for name, column in taken.items() if self._taken.get(name) != column]
        self._taken = taken
        if new:
            self._tell(
                logging.INFO,
                f"Stream '{self._stream}' has columns whose names fit but for blanks or upper and lower case. "
                f"Taken: {', '.join(new)}.",
            )

    def row(self, taken: Mapping[str, str]) -> None:
        """Take note of a row, and of the columns that are taken since: the same object as before if nothing changed."""
        if self._taken is not taken:
            self.taken(taken)
        if self._watching:
            self._rows += 1
            if self._rows == JUDGED_FROM_ROWS:
                self._judge_rows()

    def end(self) -> None:
        """Say what is to be said after the last row."""
        if self._watching and self._rows:
            self._judge_rows()

    def _judge_rows(self) -> None:
        self._watching = False
        if missing := self._missing():
            self._tell(logging.WARNING, self._say(missing, f"none of the first {self._rows} rows has "))

    def _judge_schema(self, schema: Mapping[str, Any], needed: set[str]) -> None:
        missing = self._missing()
        there = {role for name, role in self._sources if (name, role) not in missing}
        if any(role in needed - there for _, role in missing):
            raise config_error(f"{self._say(missing, 'its schema has no ')} Rows cannot be synced as they are meant.")
        if missing:
            self._tell(logging.WARNING, self._say(missing, "its schema has no "))
        for name, _ in self._sources:
            place = self._columns.place(name)
            column = schema["properties"].get(place.column) if place else None
            if place and isinstance(column, Mapping) and (lack := lacking(column, place.path)):
                part, nearest = lack
                self._tell(
                    logging.WARNING,
                    f"Stream '{self._stream}': the schema of the column '{place.column}' has no '{part}', of which "
                    f"'{name}' speaks ({_like(nearest)}).",
                )

    def _missing(self) -> list[tuple[str, str]]:
        return [(name, role) for name, role in self._sources if self._columns.place(name) is None]

    def _say(self, missing: list[tuple[str, str]], who: str) -> str:
        columns = ", ".join(f"'{name}' ({role}; {_like(self._columns.nearest(name))})" for name, role in missing)
        return (
            f"Stream '{self._stream}': columns are missing: {who}{columns}. Correct the names under Field Mapping "
            "or Removed Marker, or refresh the connection's schema."
        )


def _sources(settings: Settings) -> list[tuple[str, str]]:
    """The columns that the user named, and the field or the purpose of each."""
    named = [(m.source, m.destination) for m in settings.field_mapping]
    optional = settings.mapped_by_platform or is_airbytes_marker(settings.removed_field)
    if settings.audience_mode is not AudienceMode.REMOVE and not optional:
        named.append((settings.removed_field, _MARKER))
    return named


def _like(nearest: Iterable[str]) -> str:
    names = ", ".join(f"'{name}'" for name in nearest)
    return f"nearest: {names}"
