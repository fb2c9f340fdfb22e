"""What docs/values.md says of values is what becomes of them: each sample of its tables is tried."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from destination_cleverpush.objects import meanings
from destination_cleverpush.objects.marker import says_removed
from destination_cleverpush.objects.moments import as_iso
from destination_cleverpush.objects.values import is_nothing, texts
from unit_tests.test_docs import VALUES, section, table

NOW = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)
SAYS = {"removed": True, "not removed": False, "unclear": None}


def samples(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


WORDS = table(section(VALUES, "## What the marker says"), "Kind")
MOMENTS = table(section(VALUES, "## What the marker says"), "Date, time or number")
LISTS = table(section(VALUES, "## Lists"), "Text")
TIMES = table(section(VALUES, "## Times"), "In the row")


def test_the_table_of_words_is_that_of_the_code() -> None:
    told = {row[0]: set(samples(row[1])) for row in WORDS}
    sets = {
        "nothing": meanings.WORDS_FOR_NOTHING,
        "empty": meanings.EMPTY_CELLS,
        "no": meanings.WORDS_FOR_NO,
        "never": meanings.ENDLESS,
        "yes": meanings.WORDS_FOR_REMOVED,
    }
    assert [*told] == [*sets, "other"]
    for kind, words in sets.items():
        assert told[kind] == {word for word in words if word and word.isprintable()}
    assert told["other"].isdisjoint(frozenset().union(*sets.values()))


@pytest.mark.parametrize("row", WORDS, ids=lambda row: row[0])
def test_each_word_means_what_the_table_says(row: list[str]) -> None:
    _, words, marker, as_id, in_list = row
    for word in samples(words):
        assert says_removed(word.upper(), lambda: NOW) is SAYS[marker], word
        assert is_nothing(word) is (as_id == "missing"), word
        if in_list:
            assert texts("tags", f"a,{word}") == (["a"] if in_list == "left out" else ["a", word]), word


@pytest.mark.parametrize("row", MOMENTS, ids=lambda row: row[0][:30])
def test_each_date_and_number_means_what_the_table_says(row: list[str]) -> None:
    for sample in samples(row[0]):
        assert says_removed(sample, lambda: NOW) is SAYS[row[1]], sample
        if re.fullmatch(r"(0|-?[1-9]\d*)(\.\d+)?", sample):
            assert says_removed(Decimal(sample), lambda: NOW) is SAYS[row[1]], sample


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row[0][:30])
def test_each_list_is_read_as_the_table_says(row: list[str]) -> None:
    assert samples(row[0])
    for sample in samples(row[0]):
        assert texts("tags", sample) == json.loads(samples(row[1])[0]), sample


def test_the_separators_are_those_of_the_code() -> None:
    assert meanings.SEPARATORS[:5] == (",", ";", "|", "\n", "\t")


def test_each_time_is_sent_as_the_table_says() -> None:
    for came, sent in TIMES:
        for sample in samples(came):
            assert as_iso(sample) == (sample if sent == "as it came" else samples(sent)[0])
