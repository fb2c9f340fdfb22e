"""Field mapping: a row's columns to CleverPush's fields. Pure, and decided once per stream and set of columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from destination_cleverpush.objects.columns import Columns, Place
from destination_cleverpush.objects.moments import as_iso
from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.objects.values import parsed

_MOST_LAYOUTS = 1_000
_MOST_TOLD = 30
_AIRBYTES_OWN = ("_airbyte_", "_ab_")


Read = Callable[[Any], Any]
"""How the value of a column is read; None where it says nothing."""


class Layout(NamedTuple):
    """What is read from rows that have a certain set of columns.

    Attributes:
        steps: column, the field that it fills, and how its value is read; None: as it stands.
        marker: the column of the removed marker, None where the rows have none.
        read_marker: how its value is read; None: as it stands.
    """

    steps: tuple[tuple[str, str, Read | None], ...]
    marker: str | None
    read_marker: Read | None

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Destination field to value, nulls left out. Airbyte's own columns and the removed marker never appear."""
        fields = {}
        for column, destination, read in self.steps:
            value = row[column]
            if value is not None and (read is None or (value := read(value)) is not None):
                fields[destination] = value
        return fields

    def mark(self, row: Mapping[str, Any]) -> Any:
        """The value of the row's removed marker, None where it has none."""
        if self.marker is None:
            return None
        value = row[self.marker]
        return value if self.read_marker is None or value is None else self.read_marker(value)


class RowMapper:
    """Maps rows of one stream.

    Args:
        settings: the mapping, what becomes of unmapped columns, and the column that marks removed rows.
        known_fields: the fields that the object has besides custom attributes.
        schema: the stream's JSON schema; columns of format `date-time` are sent as ISO-8601.
        attributes: the IDs of the custom attributes that the channel has; None where nobody knows.

    Attributes:
        columns: those that are known of so far.
        unmapped: the columns that can only be custom attributes, under their own names.
        taken: pairs of the name that was looked for and the column that is taken for it, where these differ.
        filled: the fields that a mapping or a column of their own name fills, as far as columns are known.
    """

    def __init__(
        self,
        settings: Settings,
        known_fields: frozenset[str],
        schema: Mapping[str, Any],
        attributes: Collection[str] | None = None,
    ) -> None:
        self._mapping = [(m.source, m.destination) for m in settings.field_mapping]
        self._destinations = {m.destination for m in settings.field_mapping}
        self._removed_field = settings.removed_field
        self._send_unmapped = settings.unmapped_fields != "ignore"
        self._sendable = attributes if settings.unmapped_fields == "known" else None
        implied = self._send_unmapped or not settings.field_mapping
        self._implied = sorted(known_fields - self._destinations) if implied else []
        properties = schema.get("properties")
        columns = properties if isinstance(properties, Mapping) else {}
        self._timestamps = {
            name
            for name, column in columns.items()
            if isinstance(column, Mapping) and column.get("format") == "date-time"
        }
        sources = [source for source, _ in self._mapping]
        self.columns = Columns(columns, [*sources, self._removed_field, *self._implied])
        self.taken: dict[str, str] = {}
        self.filled: frozenset[str] = frozenset()
        self.unmapped: frozenset[str] = frozenset()
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._decide()

    def layout(self, row: Mapping[str, Any]) -> Layout:
        """How rows with this row's columns are read."""
        key = tuple(row)
        found = self._layouts.get(key)
        if found is None:
            if self.columns.add(key):
                self._decide()
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[key] = self._lay_out(row)
        return found

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row as CleverPush's fields."""
        return self.layout(row).fields(row)

    @property
    def described(self) -> str:
        """Which columns become which fields, as far as they are known before the first row."""
        steps = [(column, field) for column, field, _ in self._lay_out(dict.fromkeys(sorted(self.columns.names))).steps]
        if not self.columns.names:
            steps = self._mapping
        told = [column if column == field else f"{column} as {field}" for column, field in steps]
        named = ", ".join(told[:_MOST_TOLD]) + (f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else "")
        if self.columns.names:
            return f"columns {named}" if told else "no column"
        others = "other columns under their own names" if self._send_unmapped else "no other columns"
        return f"columns {named}; {others}" if told else "columns under their own names"

    def _decide(self) -> None:
        """Work out, for all names that are looked for, which column is meant."""
        self._layouts.clear()
        self._found = {name: self.columns.place(name) for name in (self._removed_field, *(s for s, _ in self._mapping))}
        marker = self._found[self._removed_field]
        used = {place.column for source, _ in self._mapping if (place := self._found[source])}
        # A column that holds a mapped nested column, or the marker, is not sent a second time under its own name.
        self._used = used | {source for source, _ in self._mapping} | {self._removed_field}
        if marker and not marker.path:
            self._used.add(marker.column)
        self._known = {}
        for field in self._implied:
            column = self.columns.find(field)
            if column is not None and column not in self._used and not _is_airbytes_own(column):
                self._known[column] = field
        self.filled = frozenset(self._destinations.union(self._known.values()))
        self.taken = {name: place.column for name, place in self._found.items() if place and _differs(name, place)}
        self.taken |= {field: column for column, field in self._known.items() if field != column}
        self.unmapped = frozenset(filter(self._is_unmapped, self.columns.names - self._known.keys()))

    def _lay_out(self, row: Mapping[str, Any]) -> Layout:
        steps: list[tuple[str, str, Read | None]] = []
        for source, destination in self._mapping:
            place = self._found[source]
            if place and place.column in row:
                steps.append((place.column, destination, self._reader(place)))
        for column in row:
            field = self._known.get(column)
            if field is not None or (
                self._send_unmapped
                and self._is_unmapped(column)
                and (self._sendable is None or column in self._sendable)
            ):
                steps.append((column, field or column, self._reader(Place(column))))
        marker = self._found[self._removed_field]
        if marker is None or marker.column not in row:
            return Layout(tuple(steps), None, None)
        return Layout(tuple(steps), marker.column, _path_reader(marker.path) if marker.path else None)

    def _is_unmapped(self, column: str) -> bool:
        return column not in self._used and column not in self._destinations and not _is_airbytes_own(column)

    def _reader(self, place: Place) -> Read | None:
        if place.path:
            return _path_reader(place.path)
        return _as_iso if place.column in self._timestamps else None


def _differs(name: str, place: Place) -> bool:
    return ".".join((place.column, *place.path)) != name


def _is_airbytes_own(column: str) -> bool:
    return column.lower().startswith(_AIRBYTES_OWN)


def _as_iso(value: Any) -> Any:
    return as_iso(value) if isinstance(value, str) else value


def _path_reader(path: tuple[str, ...]) -> Read:
    """The value at a path within a nested column, or within JSON text; None where there is none."""

    def read(value: Any) -> Any:
        for part in path:
            if isinstance(value, str):
                value = parsed(value)
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        return value

    return read
