"""Values of a row in the form that CleverPush takes. Pure; each raises RowRejected for a value that cannot be sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from destination_cleverpush.objects.reasons import INVALID_VALUE
from destination_cleverpush.words import Reason, RowRejected

_EXACT_FLOAT = 2**53
_PLAIN = (str, bool, int)
_DECIMAL = (float, Decimal)
_MOMENT = (datetime, date, time)
_NESTED = (list, Mapping)


def text(field: str, value: Any, reason: Reason = INVALID_VALUE) -> str:
    """One plain value as text, blanks around it trimmed; whole numbers without a trailing `.0`.

    Raises:
        RowRejected: with `reason`, for a list, an object, a boolean, or a number too large to have been read exactly.
    """
    if isinstance(value, str):
        return value.strip()
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


def texts(field: str, value: Any, reason: Reason = INVALID_VALUE) -> list[str]:
    """Several values: a list, a comma-separated text, or a list in JSON text; trimmed, no empties, no repeats.

    Raises:
        RowRejected: with `reason`, for an object, or for a list that holds anything but plain values.
    """
    if isinstance(value, str):
        found = _json_list(value)
        value = value.split(",") if found is None else found
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


def _json_list(value: str) -> list[Any] | None:
    if not value.lstrip().startswith("["):
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, list) else None


def _iso(value: Any) -> Any:
    if isinstance(value, _MOMENT):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError
