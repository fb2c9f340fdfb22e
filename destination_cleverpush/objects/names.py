"""Tags and topics of rows, compared with those of the channel: names become IDs, and unknown IDs are told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from destination_cleverpush.objects.columns import nearest
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.reasons import INVALID_TAGS, INVALID_VALUE
from destination_cleverpush.objects.values import text, texts, trim
from destination_cleverpush.words import UNKNOWN_TAG, UNKNOWN_TOPIC, Channel, Reason, RowRejected, may_be_told

MOST_TOLD = 20
"""Unknown IDs of one field that are told one by one."""

_BY_NAME = "Tags and Topics Are Given by Name"


class Listed:
    """A field whose values are IDs, or names, of what the channel has a list of.

    Args:
        field: of the row, such as `tags`.
        things: ID to name.
        by_name: whether rows hold names.
        unknown, invalid: for which a row is rejected whose name is none of them, and whose value is no list of them.
        tell: takes a notice about each ID that the channel has not.
    """

    def __init__(
        self, field: str, things: Mapping[str, str], unknown: Reason, invalid: Reason, *, by_name: bool, tell: Tell
    ) -> None:
        self._field = field
        self._things = things
        self._unknown = unknown
        self._invalid = invalid
        self._by_name = by_name
        self._tell = tell
        self._told: set[str] = set()
        self._ids: dict[str, list[str]] = {}
        for identifier, name in things.items():
            self._ids.setdefault(_form(name), []).append(identifier)

    def ids(self, value: Any) -> Any:
        """The IDs that a field's value means; the value itself where it says nothing.

        Given by name, a text is tried as one name before it is taken for several.

        Raises:
            RowRejected: a name that nothing has, or that several things have; or a value that is no list.
        """
        if self._by_name and isinstance(value, str) and (form := _form(value)) and form in self._ids:
            return [self._id(value)]
        found = texts(self._field, value, self._invalid)
        if not found:
            return value
        if self._by_name:
            return list(dict.fromkeys(map(self._id, found)))
        for identifier in found:
            if identifier not in self._things and identifier not in self._told and len(self._told) < MOST_TOLD:
                self._say_unknown(identifier)
        return found

    def _id(self, name: str) -> str:
        found = self._ids.get(_form(name), ())
        if len(found) == 1:
            return found[0]
        if found:
            sentence = f"{self._field} has a name that {len(found)} {self._field} of the channel have."
        else:
            sentence = (
                f"{self._field} has a name that no {self._field[:-1]} of the channel has (nearest: {self._like(name)})."
            )
        raise RowRejected(self._unknown, sentence, [text(self._field, name)])

    def _say_unknown(self, identifier: str) -> None:
        self._told.add(identifier)
        if not may_be_told(identifier):
            return
        one = self._field[:-1]
        if namesakes := self._ids.get(_form(identifier)):
            hint = f"It is the name of the {one} '{namesakes[0]}': switch on {_BY_NAME}, or send the ID."
        else:
            hint = (
                f"Nearest: {self._like(identifier)}. Compare the IDs in your data with the {self._field} in CleverPush."
            )
        self._tell(
            logging.WARNING,
            f"The channel has no {one} with the ID '{identifier}'. It is sent all the same, since CleverPush decides. "
            f"{hint}",
        )

    def _like(self, wanted: str) -> str:
        candidates = [name for name in self._things.values() if name] if self._by_name else self._things
        return ", ".join(f"'{near}'" for near in nearest(wanted, candidates)) or "there are none"


def listed_fields(channel: Channel, *, by_name: bool, tell: Tell) -> dict[str, Listed]:
    """By field, those whose list could be read."""
    fields = (
        ("tags", channel.tags, UNKNOWN_TAG, INVALID_TAGS),
        ("topics", channel.topics, UNKNOWN_TOPIC, INVALID_VALUE),
    )
    return {
        field: Listed(field, things, unknown, invalid, by_name=by_name, tell=tell)
        for field, things, unknown, invalid in fields
        if things is not None
    }


def _form(name: str) -> str:
    return trim(name).casefold()
