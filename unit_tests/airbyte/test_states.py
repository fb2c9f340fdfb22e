"""States as text: they come back to the letter, with their counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.airbyte.lines import LineParser
from destination_cleverpush.airbyte.states import StateText, with_stats
from destination_cleverpush.words import DueState, State


def exact(text: str) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_int=lambda n: f"int {n}", parse_float=lambda n: f"float {n}")


def stamped(line: str, delivered: int, rejected: int) -> str:
    """The line as it comes back."""
    parser = LineParser((), lambda *_: None)
    ((state,),) = parser.parse([[line.encode()]])
    assert isinstance(state, State)
    return with_stats(DueState(state, delivered, rejected))


def test_a_state_comes_back_to_the_letter_with_its_counts() -> None:
    line = '{"type": "STATE", "state": {"id": 7, "type": "LEGACY", "x": 1.10, "n": 123456789012345678901234567890}}'
    assert stamped(line, 3, 1) == (
        '{"type": "STATE", "state": {"id": 7, "type": "LEGACY", "x": 1.10, "n": 123456789012345678901234567890'
        ',"destinationStats":{"recordCount":3.0,"rejectedRecordCount":1.0}}}'
    )


@pytest.mark.parametrize(
    ("line", "content"),
    [
        (
            '{"type":"STATE","state":{"n":1}}',
            {"n": 1, "destinationStats": {"recordCount": 1.0, "rejectedRecordCount": 0.0}},
        ),
        ('{"type":"STATE","state":{}}', {"destinationStats": {"recordCount": 1.0, "rejectedRecordCount": 0.0}}),
        (
            '{"state":{"destinationStats":{"recordCount":9.0},"id":1},"type":"STATE","later":2}\r',
            {"id": 1, "destinationStats": {"recordCount": 1.0, "rejectedRecordCount": 0.0}},
        ),
        (
            '{"type":"STATE","state":{"data":{"destinationStats":5}}}',
            {"data": {"destinationStats": 5}, "destinationStats": {"recordCount": 1.0, "rejectedRecordCount": 0.0}},
        ),
    ],
)
def test_stats_take_the_place_of_what_was_there(line: str, content: dict[str, Any]) -> None:
    found = json.loads(stamped(line, 1, 0))
    assert found.pop("state") == content
    assert found == {key: value for key, value in json.loads(line).items() if key != "state"}


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.text(),
        st.integers(-(10**40), 10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.just("destinationStats"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(), st.just("destinationStats"), st.just("state")), inner, max_size=4),
    ),
    max_leaves=10,
)


@given(
    state=st.dictionaries(st.text(), JSON, max_size=5),
    around=st.dictionaries(st.text().filter(lambda key: key != "state"), JSON, max_size=3),
    first=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_whatever_a_state_holds_it_comes_back(
    state: dict[str, Any], around: dict[str, Any], first: bool, indent: int | None, ascii_only: bool
) -> None:
    message = {"state": state, **around} if first else {**around, "state": state}
    line = json.dumps(message, indent=indent, ensure_ascii=ascii_only)
    waiting = State(None, len(line), StateText(line, is_last=not first or not around))
    found = exact(with_stats(DueState(waiting, 2, 5)))
    stats = found["state"].pop("destinationStats")
    assert stats == {"recordCount": "float 2.0", "rejectedRecordCount": "float 5.0"}
    original = exact(line)
    original["state"].pop("destinationStats", None)
    assert found == original
