"""Values of Spark as JSON has them, so that a row becomes what the same row is as a line of JSON. Pure.

Types come as Spark tells them in JSON (`StructType.jsonValue()`), values as Arrow gives them to Python.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from destination_cleverpush.errors import config_error

Convert = Callable[[Any], Any]
"""What becomes of a value that is not null."""

_AS_THEY_STAND = ("boolean", "byte", "short", "integer", "long", "double", "void", "string", "char", "varchar")
_KEYS = ("byte", "short", "integer", "long", "string", "char", "varchar")


def converters(fields: Iterable[Mapping[str, Any]]) -> dict[str, Convert | None]:
    """How the values of each column become JSON; None: as they stand.

    Args:
        fields: of the rows, each with its `name` and its `type`.

    Raises:
        Failure: `config_error`: a column is of a type that JSON cannot hold, or two have one name.
    """
    found: dict[str, Convert | None] = {}
    for each in fields:
        name = each["name"]
        if name in found:
            raise config_error(f"Two columns have the name '{name}'. Name each of them once.")
        try:
            found[name] = _converter(each["type"])
        except _Unknown as unknown:
            raise config_error(
                f"The column '{name}' is of the type {unknown}, which has no form in JSON. Cast it to a text, or "
                "leave it out."
            ) from None
    return found


class _Unknown(Exception):
    """A type that JSON cannot hold, by its name."""


def _converter(kind: Any) -> Convert | None:
    if isinstance(kind, Mapping):
        return _nested(kind)
    if _is_one_of(kind, _AS_THEY_STAND):
        return None
    if kind == "float":
        return _shortest
    if kind.startswith("decimal"):
        return int if kind.endswith(",0)") else float
    if kind in ("timestamp", "timestamp_ntz", "timestamp_ltz"):
        return _moment
    if kind == "date":
        return lambda value: value.isoformat()
    if kind == "binary":
        return lambda value: base64.b64encode(value).decode("ascii")
    raise _Unknown(kind)


def _nested(kind: Mapping[str, Any]) -> Convert:
    if kind["type"] == "array":
        item = _with_nulls(_converter(kind["elementType"]))
        return lambda values: [item(value) for value in values]
    if kind["type"] == "map":
        if not _is_one_of(kind["keyType"], _KEYS):
            raise _Unknown("map with keys that are no texts and no whole numbers")
        part = _with_nulls(_converter(kind["valueType"]))
        return lambda pairs: {str(key): part(value) for key, value in pairs}
    if kind["type"] == "struct":
        parts = {field["name"]: _with_nulls(_converter(field["type"])) for field in kind["fields"]}
        # Spark's JSON leaves the nulls of a struct out, and keeps those of lists and maps.
        return lambda value: {name: part(value[name]) for name, part in parts.items() if value[name] is not None}
    raise _Unknown(kind["type"])


def _is_one_of(kind: Any, names: Iterable[str]) -> bool:
    """Whether a type is one of these, which may have a length or a collation."""
    return isinstance(kind, str) and kind.partition("(")[0].partition(" ")[0] in names


def _with_nulls(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _shortest(value: float) -> float:
    """The shortest decimal number that is this one in 32 bits: 0.1, and not 0.10000000149011612."""
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) < 3.4e38 and struct.pack("f", short) == struct.pack("f", value):
            return short
    return float(f"{value:.9g}")


def _moment(value: datetime) -> str:
    """As Spark writes it into JSON, with milliseconds; microseconds are kept where there are some."""
    told = value.isoformat(timespec="microseconds" if value.microsecond % 1000 else "milliseconds")
    return told.removesuffix("+00:00") + "Z" if told.endswith("+00:00") else told
