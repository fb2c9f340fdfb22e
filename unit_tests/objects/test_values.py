"""Given a row's value, this is what CleverPush gets."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date, datetime, time, timezone
from decimal import Decimal
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.objects.reasons import INVALID_SUBSCRIPTION_ID, INVALID_TAGS, INVALID_VALUE
from destination_cleverpush.objects.values import attribute, is_nothing, text, texts
from destination_cleverpush.words import RowRejected
from unit_tests.strategies import JSON_VALUES, judge


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("  u-1 ", "u-1"),
        ("\ufeff u-1\u200b\n", "u-1"),
        ("\u202a+49 431\u202c", "+49 431"),
        ("u\u200b1", "u\u200b1"),
        ("", ""),
        ("007", "007"),
        ("12.0", "12.0"),  # a text is a text: it may be a version number
        (17, "17"),
        (17.0, "17"),
        (-0.0, "0"),
        (17.25, "17.25"),
        (2**60, "1152921504606846976"),
        (Decimal("17.00"), "17"),
        (Decimal("1e3"), "1000"),
        (date(2024, 2, 29), "2024-02-29"),
    ],
)
def test_one_value_as_text(value: Any, sent: str) -> None:
    assert text("subscription_id", value) == sent


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (True, "email is a boolean, and one text or number is needed."),
        (["a@b.example"], "email is a list, and one text or number is needed."),
        ({"a": 1}, "email is an object, and one text or number is needed."),
        (float("inf"), "email is not a finite number."),
        (float("nan"), "email is not a finite number."),
        (9007199254740993.0, "email is a decimal number too large to be read exactly. Cast it to text in the source."),
        (b"bytes", "email is of a type that CleverPush cannot take."),
    ],
)
def test_a_value_that_is_no_single_text_is_rejected_with_its_reason(value: Any, sentence: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        text("email", value)
    assert (rejected.value.reason, rejected.value.sentence) == (INVALID_VALUE, sentence)


def test_the_caller_chooses_the_reason() -> None:
    with pytest.raises(RowRejected) as rejected:
        text("subscription_id", [1], INVALID_SUBSCRIPTION_ID)
    assert rejected.value.reason == INVALID_SUBSCRIPTION_ID


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("news, sports ,news,,", ["news", "sports"]),
        (["news", " sports ", "", None, "news"], ["news", "sports"]),
        ('["news", "a, b"]', ["news", "a, b"]),
        (' [1, 2.0, "3"] ', ["1", "2", "3"]),
        ("[]", []),
        ("[ ]", []),
        ('["", null]', []),
        ("[not json", ["[not json"]),
        ("[" * 100_000, ["[" * 100_000]),
        ("", None),
        ([], []),
        (42, ["42"]),
        ([1.0, "1"], ["1"]),
    ],
)
def test_several_values(value: Any, sent: list[str] | None) -> None:
    assert texts("topics", value) == sent


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        # Postgres, Redshift, DuckDB
        ("{t1,t2}", ["t1", "t2"]),
        ("{}", []),
        ('{"a b","c,d","e\\"f",NULL,"NULL"}', ["a b", "c,d", 'e"f', "NULL"]),
        ("{NULL}", []),
        ("[0:1]={t1,t2}", ["t1", "t2"]),
        ('{"t1"}', ["t1"]),
        # Python, JavaScript, ClickHouse, Spark
        ("['a', 'b']", ["a", "b"]),
        ("['it\\'s', \"b, c\", None]", ["it's", "b, c"]),
        ("[1, 2.5, nan]", ["1", "2.5"]),
        ("('a', 'b')", ["a", "b"]),
        ("('a',)", ["a"]),
        ("{'a', 'b'}", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("[NULL]", []),
        # JSON
        ('"[\\"a\\", \\"b\\"]"', ["a", "b"]),
        ('"t1"', ["t1"]),
        ('["null", null]', ["null"]),
        # separators
        ("a;b; c", ["a", "b", "c"]),
        ("a|b", ["a", "b"]),
        ("a\nb\r\n", ["a", "b"]),
        ("a\tb", ["a", "b"]),
        ("a\x02b", ["a", "b"]),
        ("a;b,c|d", ["a;b", "c|d"]),
        ('"a, b",c,"d ""e"""', ["a, b", "c", 'd "e"']),
        ("a,null,b,", ["a", "b"]),
        # no separator
        ("breaking news", ["breaking news"]),
        ("news-de_1.2/x", ["news-de_1.2/x"]),
        ("it's", ["it's"]),
        ("(news)", ["(news)"]),
        ("{half", ["{half"]),
        ("'quoted'", ["quoted"]),
        # nothing
        (" ", None),
        ("null", None),
        ("None", None),
        ("\\N", None),
        (" , ", None),
        ("''", None),
    ],
)
def test_lists_in_the_forms_in_which_databases_and_languages_print_them(value: str, sent: list[str] | None) -> None:
    assert texts("topics", value) == sent


@pytest.mark.parametrize("value", ["{{a,b},{c,d}}", "[['a'], ['b']]", "[{'id': 1}]", '{"id": 1}', '[{"id": 1}]'])
def test_lists_in_lists_are_rejected_in_any_form(value: str) -> None:
    with pytest.raises(RowRejected) as rejected:
        texts("tags", value, INVALID_TAGS)
    assert rejected.value.reason == INVALID_TAGS


@pytest.mark.parametrize(
    "value", ['"a,' * 50_000, "'" * 100_001, "{" * 100_000 + "}" * 100_000, ',"' * 50_000, "['" * 50_000]
)
def test_long_odd_texts_are_read_quickly(value: str) -> None:
    started = perf_counter()
    with suppress(RowRejected):
        texts("tags", value)
    assert perf_counter() - started < 2


@pytest.mark.parametrize(
    "value",
    ["", "null", "NULL", "None", "NaN", "nil", "undefined", "<null>", "\\N", "(null)", "NaT", "n/a", "-", '"null"'],
)
def test_a_word_for_nothing_is_no_id(value: str) -> None:
    assert is_nothing(value)


@pytest.mark.parametrize("value", ["0", "nullable", "none1", "s1", "a-b", "xNull", "null null"])
def test_an_id_is_not_nothing(value: str) -> None:
    assert not is_nothing(value)


@pytest.mark.parametrize("value", [{"id": "news"}, [["news"]], [{"id": "news"}], [True], "[true]", "[NaN]", '[["a"]]'])
def test_a_list_of_anything_but_plain_values_is_rejected(value: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        texts("tags", value, INVALID_TAGS)
    assert rejected.value.reason == INVALID_TAGS


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("gold", "gold"),
        (" kept as it is ", " kept as it is "),
        ("", ""),
        (True, True),
        (7, 7),
        (7.5, 7.5),
        (Decimal("7.50"), 7.5),
        (Decimal("7.00"), 7),
        (datetime(2024, 5, 1, 12, 30, tzinfo=timezone.utc), "2024-05-01T12:30:00+00:00"),
        (date(2024, 5, 1), "2024-05-01"),
        (time(12, 30), "12:30:00"),
        ({"city": "Köln", "zip": None}, '{"city":"Köln","zip":null}'),
        ([1, "a", {"b": date(2024, 5, 1)}, Decimal("1.5")], '[1,"a",{"b":"2024-05-01"},1.5]'),
    ],
)
def test_an_attribute_keeps_its_type_and_nested_values_become_json_text(value: Any, sent: Any) -> None:
    found = attribute("tier", value)
    assert found == sent
    assert type(found) is type(sent)


@pytest.mark.parametrize("value", [float("inf"), [1, float("nan")], {"a": {1, 2}}, object(), Decimal("Infinity")])
def test_an_attribute_that_json_cannot_hold_is_rejected(value: Any) -> None:
    with pytest.raises(RowRejected) as rejected:
        attribute("tier", value)
    assert rejected.value.reason == INVALID_VALUE


def test_an_attribute_nested_beyond_all_limits_is_rejected() -> None:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(RowRejected, match="holds a value that JSON cannot hold"):
        attribute("tier", value)


# --- whatever the row holds


@given(JSON_VALUES)
def test_text_is_trimmed_or_the_row_is_rejected(value: Any) -> None:
    try:
        sent = text("field", value)
    except RowRejected as rejected:
        judge(rejected, value)
        return
    assert sent == sent.strip()
    if not isinstance(value, str):
        assert not sent.endswith(".0")
        assert (int(sent) if isinstance(value, int) else float(sent)) == value


@given(JSON_VALUES)
def test_texts_hold_no_blanks_and_no_repeats_or_the_row_is_rejected(value: Any) -> None:
    try:
        sent = texts("field", value)
    except RowRejected as rejected:
        judge(rejected, value)
        return
    if sent is None:
        assert isinstance(value, str)
        return
    assert all(item and item == item.strip() for item in sent)
    assert len(set(sent)) == len(sent)
    assert texts("field", sent) == sent


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_an_attribute_is_a_plain_json_value_or_the_row_is_rejected(value: Any) -> None:
    try:
        sent = attribute("field", value)
    except RowRejected as rejected:
        judge(rejected, value)
        return
    assert isinstance(sent, str | bool | int | float)
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent
    if isinstance(value, list | dict):
        assert json.loads(str(sent)) == value
    else:
        assert sent == value


@given(st.lists(st.sampled_from(["a", "b", "c d", "4"])))
def test_a_list_its_json_text_and_its_comma_separated_text_mean_the_same(items: list[str]) -> None:
    assert texts("tags", items) == (texts("tags", ",".join(items)) or []) == texts("tags", json.dumps(items))
