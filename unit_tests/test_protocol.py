"""Lines in and out: states kept to the letter, records read exactly, nothing lost unnoticed."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.errors import config_error
from destination_cleverpush.protocol import (
    Output,
    OutputLogHandler,
    Record,
    State,
    StateKind,
    StreamId,
    UnreadableLine,
    error_trace,
    parse_lines,
    read_lines,
    with_stats,
)


def parse(*lines: bytes) -> list[Any]:
    return [message for batch in parse_lines([list(lines)]) for message in batch]


def exact(text: str) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_int=lambda n: f"int {n}", parse_float=lambda n: f"float {n}")


def state(line: str) -> State:
    (found,) = parse(line.encode())
    assert isinstance(found, State)
    return found


# --- states


def test_a_state_comes_back_to_the_letter_with_its_counts() -> None:
    line = '{"type": "STATE", "state": {"id": 7, "type": "LEGACY", "x": 1.10, "n": 123456789012345678901234567890}}'
    assert with_stats(state(line), 3, 1) == (
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
    stamped = json.loads(with_stats(state(line), 1, 0))
    assert stamped.pop("state") == content
    assert stamped == {key: value for key, value in json.loads(line).items() if key != "state"}


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
    stamped = exact(with_stats(State(StateKind.LEGACY, None, line, is_last=not first or not around), 2, 5))
    stats = stamped["state"].pop("destinationStats")
    assert stats == {"recordCount": "float 2.0", "rejectedRecordCount": "float 5.0"}
    original = exact(line)
    original["state"].pop("destinationStats", None)
    assert stamped == original


# --- lines


def test_records_and_states_are_read_and_other_types_are_passed_over() -> None:
    found = parse(
        b'{"type":"RECORD","record":{"stream":"users","namespace":"crm","emitted_at":5,"data":{"id":1}}}',
        b'{"type":"LOG","log":{}}',
        b"  ",
        b'{"type":"SOMETHING_NEW"}',
        b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users"}}}}',
        b'{"type":"STATE","state":{"type":"GLOBAL","global":{}}}',
        b'{"type":"STATE","state":{"data":{}}}',
    )
    assert found[0] == Record(StreamId("users", "crm"), {"id": 1}, 5, found[0].size)
    assert [(s.kind, s.stream) for s in found[1:]] == [
        (StateKind.STREAM, StreamId("users")),
        (StateKind.GLOBAL, None),
        (StateKind.LEGACY, None),
    ]
    assert isinstance(found[1], State)


def test_whole_numbers_are_read_exactly() -> None:
    (record,) = parse(b'{"type":"RECORD","record":{"stream":"s","data":{"id":123456789012345678901234567890}}}')
    assert record.data["id"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    "line",
    [
        b"bob@example.com",
        b"[]",
        b'"x"',
        b"{}",
        b'{"type":5}',
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":{"stream":"s"}}',
        b'{"type":"RECORD","record":{"data":{}}}',
        b'{"type":"RECORD","record":{"stream":"s","data":null}}',
        b'{"type":"RECORD","record":{"stream":"s","data":{"email":NaN}}}',
        b'{"type":"STATE"}',
        b'{"type":"STATE","state":{"type":"STREAM"}}',
        b'{"type":"STATE","state":{"type":"ODD"}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"RECORD","record":{"stream":"s","data":{"n":' + b"9" * 5000 + b"}}}",
    ],
)
def test_an_unreadable_line_is_a_failure_that_names_its_number_and_nothing_of_it(line: bytes) -> None:
    good = b'{"type":"RECORD","record":{"stream":"s","data":{}}}'
    batches = parse_lines([[good, b""], [good, line, good]])
    assert len(next(batches)) == 1
    assert len(next(batches)) == 1, "the rows before it are handed on"
    with pytest.raises(UnreadableLine) as failure:
        next(batches)
    assert "Line 4 " in str(failure.value.message)
    assert "example.com" not in str(failure.value.message)
    assert failure.value.failure_type is FailureType.system_error


def test_lines_leave_a_pipe_as_soon_as_they_are_whole() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        batches = read_lines(stream)
        os.write(writing, b"one\ntw")
        assert next(batches) == [b"one"]

        def go_on() -> None:
            os.write(writing, b"o\nthree")
            os.close(writing)

        threading.Timer(0.05, go_on).start()
        assert next(batches) == [b"two"]
        assert list(batches) == [[b"three"]]


def test_a_stream_without_a_file_is_read_too() -> None:
    assert [line.strip() for batch in read_lines(io.BytesIO(b"a\nb")) for line in batch] == [b"a", b"b"]


@given(st.lists(st.binary().filter(lambda line: b"\n" not in line), max_size=20))
def test_no_line_is_lost_or_cut(lines: list[bytes]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        with os.fdopen(writing, "wb") as sink:
            sink.write(b"".join(line + b"\n" for line in lines))
        assert [line for batch in read_lines(stream) for line in batch] == lines


def test_a_log_line_may_hold_half_a_character(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    record = logging.LogRecord("airbyte", logging.WARNING, "", 0, "Rejected: '%s'", ("a\ud800 b",), None)
    OutputLogHandler(Output()).emit(record)
    told = json.loads(capfdbinary.readouterr().out)
    assert told == {"type": "LOG", "log": {"level": "WARN", "message": "Rejected: 'a\\ud800 b'"}}
    assert record.args == ("a\ud800 b",), "other handlers get the record too"


def test_a_failure_as_a_trace() -> None:
    trace = json.loads(error_trace(config_error("Do this."), 12.5))
    assert trace == {
        "type": "TRACE",
        "trace": {
            "type": "ERROR",
            "emitted_at": 12500,
            "error": {"message": "Do this.", "internal_message": "Do this.", "failure_type": "config_error"},
        },
    }
