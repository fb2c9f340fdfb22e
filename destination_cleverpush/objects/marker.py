"""Whether a row is marked as removed. Removing cannot be undone: what is not plain is neither."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from destination_cleverpush.objects.meanings import (
    EMPTY_CELLS,
    ENDLESS,
    WORDS_FOR_NO,
    WORDS_FOR_NOTHING,
    WORDS_FOR_REMOVED,
)
from destination_cleverpush.objects.moments import epoch, is_date_key, is_past, moments
from destination_cleverpush.objects.settings import AIRBYTES_MARKER
from destination_cleverpush.objects.values import trim, word

Clock = Callable[[], datetime]
"""The time, aware."""

_NOT_REMOVED = WORDS_FOR_NOTHING | EMPTY_CELLS | WORDS_FOR_NO | ENDLESS
_NUMBER = re.compile(r"[+-]?(0+|[1-9]\d{0,29})(\.\d*)?", re.ASCII)  # "01" is a code
_NINES = re.compile("9{9}(9{3})?")  # a filler that reads as a moment of 2001


def is_airbytes_marker(column: str) -> bool:
    """Whether a column is the one that Airbyte's CDC sources fill for deletes, in any case."""
    return column.lower() == AIRBYTES_MARKER


def says_removed(value: Any, now: Clock, *, airbytes: bool = False) -> bool | None:
    """Whether a marker says that its row is removed; None where it says neither.

    Text counts by what it says (:mod:`destination_cleverpush.objects.meanings`), without outer blanks, a pair of
    quotes, and case; numbers, also as text, are 0 or 1, or epoch seconds or milliseconds.

    Args:
        airbytes: the column is Airbyte's own: any text that does not mean no is a mark.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):
        return _text_says_removed(value, now, airbytes)
    if isinstance(value, int | float | Decimal):
        return _number_says_removed(value, now)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
        return is_past(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc), now())
    if isinstance(value, list | Mapping) and not value:
        return False
    return None


def is_listed(value: Any, removed_values: frozenset[str]) -> bool:
    """Whether a marker is one of the user's own values for removed.

    Args:
        removed_values: as :func:`listed_values` makes them.
    """
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    return isinstance(value, str | int | float | Decimal) and trim(str(value)).casefold() in removed_values


def listed_values(removed_values: tuple[str, ...] | None) -> frozenset[str]:
    """The user's own values for removed, without outer blanks and case."""
    return frozenset(trim(value).casefold() for value in removed_values or ())


def _text_says_removed(value: str, now: Clock, airbytes: bool) -> bool | None:
    said = word(value)
    if said in _NOT_REMOVED:
        return False
    if said in WORDS_FOR_REMOVED:
        return True
    if _NUMBER.fullmatch(said):
        verdict = _number_says_removed(float(said), now)
    else:
        # Where a date can be read in two ways and these say different things, it says neither.
        verdicts = {is_past(moment, now()) for moment in moments(said)}
        verdict = verdicts.pop() if len(verdicts) == 1 else None
    return True if airbytes and verdict is None else verdict


def _number_says_removed(value: float | Decimal, now: Clock) -> bool | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    if number in (0, 1):
        return number == 1
    if not math.isfinite(number):
        return None
    moment = epoch(number)
    if moment is None or _NINES.fullmatch(f"{number:.0f}"):
        return None
    removed = is_past(moment, now())
    return None if removed is False and is_date_key(number) else removed
