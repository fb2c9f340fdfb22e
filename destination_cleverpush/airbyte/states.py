"""States as the text that came in.

The platform gives each state an `id` and finds its bookkeeping by it when the state comes back (airbyte-platform
repository, `StateWithId`); the CDK's message classes drop every field that they do not know. So a state is kept as its
line, and only `destinationStats` is put into it. msgspec could keep raw values, too, but not the text between them,
repeated names, or half characters: this keeps every byte.
"""

from __future__ import annotations

import json
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

from destination_cleverpush.words import DueState

JSON_SPACE = " \t\r\n"
_EMPTY_BEFORE = "{" + JSON_SPACE

STATE_BYTES = 1_000
"""What a waiting state takes besides its text, in bytes: its epoch, tally and ticket (measured, rounded up)."""


class StateText(NamedTuple):
    """A state's line; `is_last`: nothing follows the state in it."""

    line: str
    is_last: bool = False


def with_stats(due: DueState) -> str:
    """The state's line as it came in, to the letter, with `destinationStats` put into its state.

    The platform compares `recordCount + rejectedRecordCount` with its own count of the rows since the previous state
    (airbyte-platform repository, `StateCheckSumCountEventHandler`); both are decimals on the wire.
    """
    text: StateText = due.state.content
    stats = f'"destinationStats":{{"recordCount":{float(due.delivered)},"rejectedRecordCount":{float(due.rejected)}}}'
    line, has_stats = text.line, "destinationStats" in text.line
    if text.is_last and not has_stats and line[-2] == "}" and line[-3] not in _EMPTY_BEFORE:  # nearly always
        return f"{line[:-2]},{stats}}}}}"
    found = [member for member in _members(line, line.index("{")) if member.key == "state"][-1]
    if not has_stats:
        close = found.end - 1
        comma = "," if _skip(line, found.value + 1) < close else ""
        return f"{line[:close]}{comma}{stats}{line[close:]}".strip()
    kept = [line[m.start : m.end] for m in _members(line, found.value) if m.key != "destinationStats"]
    return f"{line[: found.value]}{{{','.join([*kept, stats])}}}{line[found.end :]}".strip()


class _Member(NamedTuple):
    """A member of a JSON object: where it starts, where its value starts, and where both end."""

    key: str
    start: int
    value: int
    end: int


_SCANNER = json.JSONDecoder(parse_int=len, parse_float=len)  # finds where a value ends; numbers are never converted


def _members(text: str, start: int) -> list[_Member]:
    """The members of the JSON object that starts at `start`, in a text known to be JSON."""
    members: list[_Member] = []
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, after = scanstring(text, position + 1, False)
        value = _skip(text, _skip(text, after) + 1)
        _, end = _SCANNER.raw_decode(text, value)
        members.append(_Member(key, position, value, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return members


def _skip(text: str, position: int) -> int:
    while text[position] in JSON_SPACE:
        position += 1
    return position
