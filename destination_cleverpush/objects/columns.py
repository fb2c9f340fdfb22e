"""Which column is meant by a name. Pure; what was found for a name is worked out once per set of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from destination_cleverpush.objects.values import trim

_MOST_COLUMNS = 10_000
_NEAREST = 3


class Place(NamedTuple):
    """Where a value stands: a column, and the path into it, which is empty where the value is the column's own."""

    column: str
    path: tuple[str, ...] = ()


class Columns:
    """The columns of a stream: those of its schema, and those seen in its rows.

    Args:
        names: those of the schema.
        wanted: the names that will be looked for. Beyond 10,000 columns, only such are remembered.
    """

    def __init__(self, names: Iterable[str], wanted: Iterable[str] = ()) -> None:
        self.names: set[str] = set()
        self._wanted = {_folded(part) for name in wanted for part in (name, name.split(".", 1)[0])}
        self._alike: dict[str, set[str]] = {}
        self.add(names)

    def add(self, names: Iterable[str]) -> bool:
        """Remember these, too; tell whether any was not yet."""
        before = len(self.names)
        for name in names:
            if name not in self.names and (len(self.names) < _MOST_COLUMNS or _folded(name) in self._wanted):
                self.names.add(name)
                for form in {trim(name), _folded(name)}:
                    self._alike.setdefault(form, set()).add(name)
        return len(self.names) > before

    def find(self, name: str) -> str | None:
        """The column of this name: exactly, else without outer blanks, else without case, where one alone fits so."""
        if name in self.names:
            return name
        bare = trim(name)
        for fits in (
            [column for column in self._alike.get(bare, ()) if trim(column) == bare],
            [column for column in self._alike.get(_folded(name), ()) if _folded(column) == _folded(name)],
        ):
            if fits:
                return fits[0] if len(fits) == 1 else None
        return None

    def place(self, name: str) -> Place | None:
        """The column of this name, or of the first part of a dotted path; exact names go first."""
        head, *path = name.split(".")
        inside = Place(head, tuple(path))
        if name in self.names or not path:
            found = self.find(name)
            return Place(found) if found is not None else None
        if head in self.names:
            return inside
        if (found := self.find(name)) is not None:
            return Place(found)
        if (found := self.find(head)) is not None:
            return inside._replace(column=found)
        return None

    def nearest(self, name: str) -> list[str]:
        """The columns whose names are most like this one, else the first of all in alphabetical order."""
        return nearest(name.split(".", maxsplit=1)[0], self.names)


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Those names that are most like this one, without regard to case; the first in alphabetical order if none is."""
    by_form = {_folded(found): found for found in sorted(names)}
    close = get_close_matches(_folded(name), by_form, _NEAREST, 0.5)
    return [by_form[form] for form in close] or list(by_form.values())[:_NEAREST]


def lacking(schema: Mapping[str, Any], path: Iterable[str]) -> tuple[str, list[str]] | None:
    """The first part of a path that a nested schema does not have, and what it has nearest; None where it may lead on.

    A schema that lists no properties may have any.
    """
    for part in path:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return None
        if part not in properties:
            return part, nearest(part, properties)
        schema = properties[part] if isinstance(properties[part], Mapping) else {}
    return None


def _folded(name: str) -> str:
    return trim(name).casefold()
