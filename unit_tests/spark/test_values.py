"""Values of Spark become those of JSON."""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.spark.values import converters

CET = timezone(timedelta(hours=1))
LIST = {"type": "array", "elementType": "decimal(10,2)", "containsNull": True}
MAP = {"type": "map", "keyType": "integer", "valueType": "date", "valueContainsNull": True}


def field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}}


def converted(kind: Any, value: Any) -> Any:
    convert = converters([field("x", kind)])["x"]
    return value if convert is None else convert(value)


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", " a ", " a "),
        ("string collate UTF8_LCASE", "a", "a"),
        ("varchar(3)", "a", "a"),
        ("long", 2**60, 2**60),
        ("boolean", False, False),
        ("double", 0.1, 0.1),
        ("float", struct.unpack("f", struct.pack("f", 0.1))[0], 0.1),
        ("float", struct.unpack("f", struct.pack("f", 16777216.0))[0], 16777216.0),
        ("float", 3.4028234663852886e38, 3.40282347e38),
        ("float", math.inf, math.inf),
        ("decimal(38,0)", Decimal(12345678901234567890), 12345678901234567890),
        ("decimal(10,2)", Decimal("1.10"), 1.1),
        ("decimal(10,2)", Decimal("5.00"), 5.0),
        ("date", date(2026, 11, 26), "2026-11-26"),
        ("timestamp", datetime(2026, 11, 26, 8, 0, tzinfo=timezone.utc), "2026-11-26T08:00:00.000Z"),
        ("timestamp", datetime(2026, 11, 26, 8, 0, 0, 250_000, tzinfo=CET), "2026-11-26T08:00:00.250+01:00"),
        ("timestamp", datetime(2026, 11, 26, 8, 0, 0, 1, tzinfo=CET), "2026-11-26T08:00:00.000001+01:00"),
        ("timestamp_ntz", datetime(2026, 11, 26, 8, 0), "2026-11-26T08:00:00.000"),  # noqa: DTZ001
        ("binary", b"\xff\x00", "/wA="),
        (LIST, [Decimal("1.50"), None], [1.5, None]),
        (MAP, [(1, date(2026, 1, 2)), (2, None)], {"1": "2026-01-02", "2": None}),
        ({"type": "struct", "fields": [field("a", LIST), field("b", "long")]}, {"a": [], "b": None}, {"a": []}),
    ],
)
def test_a_value_is_what_it_is_in_json(kind: Any, value: Any, found: Any) -> None:
    assert converted(kind, value) == found
    assert type(converted(kind, value)) is type(found)


def test_nan_stays_a_number_so_that_its_row_is_rejected() -> None:
    assert math.isnan(converted("float", math.nan))


@pytest.mark.parametrize(
    "kind",
    [
        "interval day to second",
        "variant",
        {"type": "udt", "class": "x"},
        {**MAP, "keyType": "date"},
        {**LIST, "elementType": "time(6)"},
    ],
)
def test_types_that_json_lacks_are_refused_by_the_name_of_their_column(kind: Any) -> None:
    with pytest.raises(Failure, match=r"The column 'x' is of the type .* Cast it to a text") as failed:
        converters([field("ok", "long"), field("x", kind)])
    assert failed.value.kind is FailureKind.CONFIG


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(Failure, match="Two columns have the name 'x'"):
        converters([field("x", "long"), field("x", "string")])
