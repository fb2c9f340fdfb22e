"""Custom attributes that the channel does not have: which columns wait for one, and what becomes of these."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from destination_cleverpush.objects.columns import nearest
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.settings import Settings
from destination_cleverpush.words import StreamId

_MOST_NAMED = 20


def mapped_in_vain(settings: Settings, known_fields: Collection[str], attributes: Collection[str]) -> dict[str, str]:
    """The destinations of the mapping that are neither a field nor an attribute, and what becomes of them."""
    destinations = [m.destination for m in settings.field_mapping]
    return {
        destination: "mapped, and sent all the same"
        for destination in destinations
        if destination not in known_fields and destination not in attributes
    }


def say_missing(missing: Mapping[str, str], attributes: Collection[str]) -> str:
    """A sentence about attributes that there are not.

    Args:
        missing: the wanted ID, and what becomes of its column.
    """
    named = [
        f"'{name}' ({fate}; nearest: {', '.join(map(repr, nearest(name, attributes))) or 'there are none'})"
        for name, fate in list(missing.items())[:_MOST_NAMED]
    ]
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return (
        f"the channel has no custom attribute with the ID {', '.join(named)}{more}. Create it in CleverPush under "
        "Settings > Custom Attributes, map the column to one of its IDs under Field Mapping, or set Columns Without a "
        "Mapping to Ignore."
    )


class AttributeNotices:
    """What one stream has no attributes for: told before its first call, and what comes later at its end.

    Args:
        attributes: the IDs that the channel has, None where nobody knows or where the rows fill none.
    """

    def __init__(
        self,
        stream: StreamId,
        settings: Settings,
        known_fields: Collection[str],
        attributes: Collection[str] | None,
        tell: Tell,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._attributes = attributes
        self._tell = tell
        self._begun = False
        self._unmapped: Collection[str] = ()
        self._told: set[str] = set()
        self._missing = {} if attributes is None else mapped_in_vain(settings, known_fields, attributes)

    def begin(self, unmapped: Collection[str]) -> None:
        """Before the first row of a stream with a schema. `unmapped`: its columns that could only be attributes."""
        self._take(unmapped)
        self._say()

    def row(self, unmapped: Collection[str]) -> None:
        """Take note of a row; `unmapped` is the same object as before if nothing changed."""
        if unmapped is not self._unmapped:
            self._take(unmapped)
        if not self._begun:
            self._begun = True
            self._say()

    def end(self) -> None:
        """After the last row."""
        self._say()

    def _take(self, unmapped: Collection[str]) -> None:
        self._unmapped = unmapped
        if self._attributes is None or self._settings.unmapped_fields == "ignore":
            return
        fate = "left out" if self._settings.unmapped_fields == "known" else "sent all the same"
        self._missing |= {column: fate for column in sorted(unmapped) if column not in self._attributes}

    def _say(self) -> None:
        new = {name: fate for name, fate in self._missing.items() if name not in self._told}
        if new and self._attributes is not None:
            self._told |= new.keys()
            self._tell(logging.WARNING, f"Stream '{self._stream}': {say_missing(new, self._attributes)}")
