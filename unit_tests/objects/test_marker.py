"""Given a removed marker, this is what it says: yes, no, or neither."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.objects.marker import is_airbytes_marker, is_listed, listed_values, says_removed
from destination_cleverpush.objects.meanings import (
    EMPTY_CELLS,
    ENDLESS,
    WORDS_FOR_NO,
    WORDS_FOR_NOTHING,
    WORDS_FOR_REMOVED,
)
from destination_cleverpush.objects.values import word
from unit_tests.strategies import JSON_VALUES

NOW = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)
NO = sorted(WORDS_FOR_NOTHING | EMPTY_CELLS | WORDS_FOR_NO | ENDLESS)


def says(value: Any, **options: bool) -> bool | None:
    return says_removed(value, lambda: NOW, **options)


def forms(words: list[str]) -> list[str]:
    return [form for w in words for form in (w, w.upper(), w.title(), f"  {w}\t", f'"{w}"', f"\ufeff{w}\u200b")]


def test_the_words_stand_as_they_are_looked_up_and_none_means_both() -> None:
    assert all(w == word(w) for w in [*NO, *WORDS_FOR_REMOVED] if w not in ("''", '""'))
    assert WORDS_FOR_REMOVED.isdisjoint(NO)


@pytest.mark.parametrize("value", forms(NO))
def test_words_for_no_for_nothing_and_for_empty_mean_not_removed(value: str) -> None:
    assert says(value) is False
    assert says(value, airbytes=True) is False


@pytest.mark.parametrize("value", forms(sorted(WORDS_FOR_REMOVED)))
def test_words_for_yes_mean_removed(value: str) -> None:
    assert says(value) is True


@pytest.mark.parametrize(
    "value",
    [None, False, 0, 0.0, -0.0, Decimal("0.00"), "0", "0.0", "-0", "000", "\0", [], {}, "f", "F", "NULL", "\\N", "NaT"],
)
def test_what_databases_write_for_false_and_null_is_not_removed(value: Any) -> None:
    assert says(value) is False


@pytest.mark.parametrize("value", [True, 1, 1.0, Decimal(1), "1", "1.0", "T", "Y", "TRUE", "Deleted"])
def test_what_databases_write_for_true_is_removed(value: Any) -> None:
    assert says(value) is True


@pytest.mark.parametrize(
    "value",
    [
        *("active", "inactive", "not deleted", "x", "unsubscribed"),
        *("delete", "unknown", "?", "false positive", "yesterday"),
        *(2, -1, 0.5, 42, "2", "-1", "0.5", "1e0"),
        *("1,000", "0x1", "12:30", "2026", "2026-01", "2026-13-45", "30.02.2026"),
        *(20240115, "20240115", 45292, 1_700_000_000_000_000, "1700000000000000", 2**63 - 1, 10**400, "9" * 30),
        *(float("nan"), float("inf"), float("-inf"), Decimal("NaN"), [0], [None], {"at": None}, b"1"),
        "08/02/2026 18:00",  # past as 8 February, ahead as 2 August
        # zeros of software that counts from 1980, 2000 or 2001, and milliseconds that were read as seconds
        *("1970-01-21T15:14:52Z", "1980-01-01", "1999-12-31", "2000-01-01T00:00:00Z", 946_684_800, 978_307_200),
        *("01", "001", 999_999_999, "999999999999"),  # codes and fillers
        *("20260701080000", 20260701080000, "202607010800", 2026070108),  # a date and hour: no epoch of years to come
    ],
)  # fmt: skip
def test_anything_else_is_neither(value: Any) -> None:
    assert says(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *("2026-07-01", "2026-07-01T08:00:00Z", "2026-07-01 08:00:00.123456+02", "2026-07-01 08:00:00 UTC"),
        *("2026-07-01 08:00:00.000 +0200", "2026-07-01 08:00:00 Europe/Berlin"),
        *("2026-07-01T08:00:00+02:00[Europe/Berlin]",),
        *("2026/07/01", "01.07.2026 08:00", "07/01/2026", "1/7/2026 8:00 AM", "01-JUL-2026", "20260701T080000Z"),
        *("Wed, 01 Jul 2026 08:00:00 GMT", "2005-05-05", "2026-08-02T12:00:00Z", "2026-08-02T13:00:00+02:00"),
        *(1_700_000_000, 1_700_000_000.25, 1_700_000_000_000, "1700000000", "1700000000000", 1_000_000_000),
        *(date(2026, 7, 1), datetime.fromisoformat("2026-07-01T08:00:00")),
        *(datetime(2026, 7, 1, 8, tzinfo=timezone.utc),),
    ],
)  # fmt: skip
def test_a_moment_is_a_mark(value: Any) -> None:
    assert says(value) is True


@pytest.mark.parametrize(
    "value",
    [
        # zero dates, and what connectors make of them
        *("0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00.000Z", "00.00.0000", "00000000", "0000-01-01"),
        *("-0001-11-30", "-0001-11-30T00:00:00+00:00", "0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00+01"),
        *("0002-11-30", "0001-01-01 00:00:00 BC", "4713-11-24 BC", "1753-01-01", "1899-12-30", "1900-01-01T00:00:00"),
        *("1970-01-01", "1970-01-01T00:00:00Z", "1970-01-01 01:00:00", "1969-12-31 19:00:00", "01.01.1970", "1/1/1970"),
        *(-62_135_596_800, -62_135_596_800_000, -62_170_005_208_000, "-62135596800000", -2_208_988_800),
        # ends of time, and plans
        *("9999-12-31", "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59-12:00"),
        *("31.12.9999", "12/31/9999", "31-DEC-9999"),
        *("2999-01-01", "294276-12-31", "+292278994-08-17T07:12:55Z", "2026-08-02T12:00:01Z"),
        *("12/11/2026", "2027-01-01", "infinity"),
        *(253_402_300_799, 253_402_300_799_000, "253402300799", 2_147_483_647),
        *(4_102_444_800_000, 99_991_231, "99991231"),
        *(date(9999, 12, 31), datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))), date(1, 1, 1)),
    ],
)  # fmt: skip
def test_a_moment_at_which_nothing_can_have_been_removed_is_none(value: Any) -> None:
    assert says(value) is False


@pytest.mark.parametrize("value", ["yesterday", "delete", "2026-13-45", "42", "2026-07-01"])
def test_in_airbytes_own_column_any_text_that_does_not_mean_no_is_a_mark(value: str) -> None:
    assert says(value, airbytes=True) is True
    assert says(42, airbytes=True) is None


def test_airbytes_own_column_in_any_case() -> None:
    assert is_airbytes_marker("_AB_CDC_DELETED_AT")
    assert not is_airbytes_marker("_ab_cdc_updated_at")


@pytest.mark.parametrize(
    ("value", "removed"),
    [
        *(("inactive", True), (" InActive ", True), ("2", True), (2, True)),
        *((2.0, True), (Decimal(2), True), (True, True)),
        *(("true", True), ("active", False), ("yes", False), (1, False), (False, False), (None, False), ([2], False)),
        *((float("nan"), False), (0, False), ("2026-07-01", False)),
    ],
)  # fmt: skip
def test_the_users_own_values_are_the_only_ones(value: Any, removed: bool) -> None:
    assert is_listed(value, listed_values(("Inactive", " 2", "TRUE"))) is removed


def test_without_values_none_are_listed() -> None:
    assert listed_values(None) == listed_values(()) == frozenset()


WILD = """
pandas, Python:  pd.NA|numpy.nan|NaT|Timestamp('2026-01-01 00:00:00')|False.|numpy.bool_(False)|[false]|None
Postgres:        f|{}|{f}|NULL|-infinity|0001-01-01 00:00:00 BC|2000-01-01 00:00:00|\\x|00:00:00
MySQL, MariaDB:  0000-00-00|0|\\0|b'0'|1970-01-01 00:00:01|2038-01-19 03:14:07|1000-01-01|-999
SQL Server:      1753-01-01|1900-01-01 00:00:00.000|0x00|0x01|2079-06-06|9999-12-31 23:59:59.9999999
Snowflake:       \\\\N|DELETE|INSERT|9999-12-31 00:00:00.000 +0000|{"deleted":false}|1970-01-01 00:00:00.000 Z
BigQuery:        0001-01-01T00:00:00|253402300799999999|AA==|AQ==|9999-12-31 23:59:59.999999 UTC
Oracle, DB2:     N|31-DEC-99|01-JAN-01|31-DEC-4712|0001-01-01-00.00.00.000000|12/31/99|99991231|20991231
Excel, Sheets:   FALSCH|FAUX|#N/A|#REF!|#NULL!|#DIV/0!|0|00.01.1900|1/0/1900|0-Jan-00|45292|46204.33
JSON, JS, Java:  undefined|{}|[]|1e0|+292278994-08-17T07:12:55.807Z|9223372036854775807|8640000000000000
Go, .NET, Mongo: 0001-01-01 00:00:00 +0000 UTC|<nil>|1/1/0001 12:00:00 AM|{"$date":1782892800000}|ObjectId("0")
SAP, Salesforce: 01|0001|00000000|10000101|1700-12-31|4000-12-31|18000101|99991231235959
Statuses:        active|inactive|enabled|x|D|I|unsubscribed|not deleted|undeleted|0 - No|1 - Yes|UNK
Fillers:         999999999|999999999999|9999999999|1111111111111111|-1|99|2|?|...|1980-01-06|1904-01-01
Other columns:   a@example.com|4915112345678|f47ac10b-58cc-4372-a567-0e02b2c3d479|12345|20240115|2026-07|1.7828928E9
"""


@pytest.mark.parametrize("value", [value for line in WILD.split("\n")[1:-1] for value in line[17:].split("|")])
def test_nothing_that_is_met_in_warehouses_removes_by_mistake(value: str) -> None:
    assert says(value.strip()) is not True


@pytest.mark.parametrize(
    "value", [value for line in WILD.split("\n")[1:-1] for value in re.findall(r"-?[1-9]\d+(?=[|]|$)", line)]
)
def test_nor_as_a_number(value: str) -> None:
    assert all(says(number) is not True for number in (int(value), float(value), Decimal(value)))


@given(JSON_VALUES | st.floats())
def test_whatever_the_marker_holds_only_plain_signs_remove(value: Any) -> None:
    found = says(value)
    if found and isinstance(value, str):
        assert word(value) in WORDS_FOR_REMOVED or any(sign.isdigit() for sign in value)
    elif found:
        assert value is True or value == 1 or value > 978_307_200


@given(st.text("0123456789-/.:TZ +", max_size=24))
def test_odd_dates_are_read_or_left(value: str) -> None:
    says(value)


@given(st.datetimes(datetime(2001, 1, 3), datetime(2026, 7, 30)), st.sampled_from(["T", " "]))  # noqa: DTZ001
def test_every_past_moment_is_a_mark_in_its_own_text(moment: datetime, sign: str) -> None:
    assert says(moment.isoformat(sign)) is True
    assert says(moment.strftime("%d.%m.%Y %H:%M")) is True
