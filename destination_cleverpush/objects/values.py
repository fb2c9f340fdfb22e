"""Values of a row in the form that CleverPush takes. Pure; each raises RowRejected for a value that cannot be sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from destination_cleverpush.objects.meanings import EDGES, EMPTY_CELLS, SEPARATORS, WORDS_FOR_NOTHING
from destination_cleverpush.objects.reasons import INVALID_VALUE
from destination_cleverpush.words import Reason, RowRejected

_EXACT_FLOAT = 2**53
_PLAIN = (str, bool, int)
_DECIMAL = (float, Decimal)
_MOMENT = (datetime, date, time)
_NESTED = (list, Mapping)
_LONGEST_NOTHING = max(map(len, WORDS_FOR_NOTHING | EMPTY_CELLS)) + 2  # in quotes

_QUOTES = "'\""
_BRACKETS = {"[": "]", "{": "}"}
_BOUNDS = re.compile(r"(\[-?\d+:-?\d+\])+=(?=\{)")  # of Postgres arrays that do not begin at 1
_QUOTED = re.compile(r"""\s*(["'])((?:\\.|\1\1|(?!\1)[^\\])*)\1\s*""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def trim(text: str) -> str:
    """A text without blanks at its ends, also those that have no width."""
    return text.strip(EDGES)


def word(text: str) -> str:
    """A text as it stands in :mod:`destination_cleverpush.objects.meanings`: without outer blanks, quotes and case."""
    found = trim(text).lower()
    return trim(found[1:-1]) if len(found) > 1 and found[0] == found[-1] and found[0] in _QUOTES else found


def is_nothing(text: str) -> bool:
    """Whether a trimmed text, as an ID, says that there is none."""
    if len(text) > _LONGEST_NOTHING:
        return False
    found = word(text)
    return found in WORDS_FOR_NOTHING or found in EMPTY_CELLS


def text(field: str, value: Any, reason: Reason = INVALID_VALUE) -> str:
    """One plain value as text, blanks around it trimmed; whole numbers without a trailing `.0`.

    Raises:
        RowRejected: with `reason`, for a list, an object, a boolean, or a number too large to have been read exactly.
    """
    if isinstance(value, str):
        return value.strip(EDGES)
    if isinstance(value, bool):
        raise RowRejected(reason, f"{field} is a boolean, and one text or number is needed.")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, _DECIMAL):
        if not math.isfinite(value):
            raise RowRejected(reason, f"{field} is not a finite number.")
        if isinstance(value, float) and abs(value) >= _EXACT_FLOAT:
            raise RowRejected(
                reason,
                f"{field} is a decimal number too large to be read exactly. Cast it to text in the source.",
            )
        return str(int(value)) if value == int(value) else str(value)
    if isinstance(value, _NESTED):
        kind = "a list" if isinstance(value, list) else "an object"
        raise RowRejected(reason, f"{field} is {kind}, and one text or number is needed.")
    return str(attribute(field, value))


def texts(field: str, value: Any, reason: Reason = INVALID_VALUE) -> list[str] | None:
    r"""Several values, trimmed, no empties, no repeats; None for a text that says nothing.

    A list, or a text in one of these forms, of which the first that fits wins:

    - blank, or a word for nothing (`null`): None, since it does not say that there are no values
    - JSON: a list; a text, which is read in turn; an object is refused
    - a list, array, set or tuple as Postgres, Spark, ClickHouse, Python and JavaScript print them: in brackets or
      braces (`['a', 'b']`, `[a, b]`, `{"a b",NULL}`, `[0:1]={a,b}`), or in parentheses where the items are quoted
    - items with the first of these between them that occurs at all: comma, semicolon, bar, line break, tab, \x02.
      Blanks separate nothing, and within quotes nothing does
    - one item

    In a text, a bare word for nothing is no item, and a quoted one is a text.

    Raises:
        RowRejected: with `reason`, for an object, or for a list that holds anything but plain values.
    """
    if isinstance(value, str):
        found = _items(trim(value))
        if found is None:
            return None
        value = found
    items = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(t for item in items if item is not None and (t := text(field, item, reason))))


def attribute(field: str, value: Any) -> Any:
    """A custom attribute: numbers and booleans keep their type, dates are ISO-8601, nested values become JSON text.

    Raises:
        RowRejected: for numbers that JSON cannot hold, and types that no JSON has.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, _DECIMAL):
        if not math.isfinite(value):
            raise RowRejected(INVALID_VALUE, f"{field} is not a finite number.")
        return value if isinstance(value, float) else int(value) if value == int(value) else float(value)
    if isinstance(value, _MOMENT):
        return value.isoformat()
    if isinstance(value, _NESTED):
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_iso)
        except (ValueError, TypeError, RecursionError):
            raise RowRejected(INVALID_VALUE, f"{field} holds a value that JSON cannot hold.") from None
    raise RowRejected(INVALID_VALUE, f"{field} is of a type that CleverPush cannot take.")


def parsed(text: str) -> Any:
    """What stands in JSON text, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _items(text: str) -> Any:
    """The items of a trimmed text; anything else but a list is refused by the caller."""
    if text.isalnum() and text.lower() not in WORDS_FOR_NOTHING:
        return [text]
    if (first := text[:1]) in ("[", "{", '"') and (found := parsed(text)) is not None:
        if isinstance(found, str):
            return _items(trim(found))
        return [] if found == {} else found
    text = _BOUNDS.sub("", text, 1)
    first, last, inner = text[:1], text[-1:], trim(text[1:-1])
    if len(text) > 1 and (
        _BRACKETS.get(first) == last or (first == "(" and last == ")" and inner[:1] in _QUOTES != "")
    ):
        # A list in a list is refused by the caller, as it is in JSON.
        return [[item] if bare and item[:1] in _BRACKETS else item for item, bare in _split(inner, ",") if item]
    if not text or text.lower() in WORDS_FOR_NOTHING:
        return None
    separator = next((sign for sign in SEPARATORS if sign in text), ",")
    return [item for item, _ in _split(text, separator) if item] or None


def _split(text: str, separator: str) -> Iterator[tuple[str, bool]]:
    """Items between separators, and whether each is bare; a bare word for nothing is none."""
    position = 0
    while position <= len(text):
        quoted = _QUOTED.match(text, position)
        if quoted and text[quoted.end() : quoted.end() + 1] in ("", separator):
            quote = quoted[1]
            yield _ESCAPED.sub(r"\1", quoted[2].replace(quote * 2, quote)), False
            position = quoted.end() + 1
            continue
        end = text.find(separator, position)
        end = len(text) if end < 0 else end
        item = trim(text[position:end])
        if item and item.lower() not in WORDS_FOR_NOTHING:
            yield item, True
        position = end + 1


def _iso(value: Any) -> Any:
    if isinstance(value, _MOMENT):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError
