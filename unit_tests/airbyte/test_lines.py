"""Lines in: records read exactly, nothing lost unnoticed, and what the source counted held against what came."""

from __future__ import annotations

import io
import json
import os
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.airbyte.lines import LineParser, UnreadableLine, read_lines
from destination_cleverpush.errors import FailureKind
from destination_cleverpush.words import Complete, PassedOver, Row, State, StreamId

Difference = tuple[StreamId | None, float, int]


def parse(*lines: bytes, differences: list[Difference] | None = None) -> list[Any]:
    parser = LineParser((), lambda *found: None if differences is None else differences.append(found))
    return [message for batch in parser.parse([list(lines)]) for message in batch]


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
    assert found[0] == Row(StreamId("users", "crm"), {"id": 1}, 5, size=94, position=1)
    assert [(type(s), s.stream) for s in found[1:]] == [(State, StreamId("users")), (State, None), (State, None)]


def test_whole_numbers_are_read_exactly() -> None:
    (record,) = parse(b'{"type":"RECORD","record":{"stream":"s","data":{"id":123456789012345678901234567890}}}')
    assert record.data["id"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    "line",
    [
        b'{"bob@example.com',
        b"{}",
        b'{"type":5}',
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":{"stream":"s"}}',
        b'{"type":"RECORD","record":{"data":{}}}',
        b'{"type":"RECORD","record":{"stream":"s","data":null}}',
        b'{"type":"STATE","state":{"n":NaN}}',
        b'{"type":"STATE"}',
        b'{"type":"STATE","state":{"type":"STREAM"}}',
        b'{"type":"STATE","state":{"type":"ODD"}}',
        b'{"\xff\xfe',
        b'{"type":' + b"[" * 100_000,
        b'{"type":"RECORD","record":{"stream":"s","data":{"n":' + b"9" * 5000 + b"}}}",
    ],
)
def test_an_unreadable_line_is_a_failure_that_names_its_number_and_nothing_of_it(line: bytes) -> None:
    good = b'{"type":"RECORD","record":{"stream":"s","data":{}}}'
    batches = LineParser((), lambda *_: None).parse([[good, b""], [good, line, good]])
    assert len(next(batches)) == 1
    assert len(next(batches)) == 1, "the rows before it are handed on"
    with pytest.raises(UnreadableLine) as failure:
        next(batches)
    assert "Line 4 " in str(failure.value.message)
    assert "example.com" not in str(failure.value.message)
    assert failure.value.kind is FailureKind.SYSTEM


RECORD = b'{"type":"RECORD","record":{"stream":"s","data":{"n":1}}}'


@pytest.mark.parametrize(
    "stray", [b"INFO:root:hello", b"[1, 2]", b"null", b"\xff\xfe", b"  Traceback (most recent call last):"]
)
def test_a_line_that_does_not_begin_with_a_brace_is_passed_over_and_counted(stray: bytes) -> None:
    parser = LineParser((), lambda *_: None)
    found = [message for batch in parser.parse([[stray, RECORD, b"", stray, RECORD]]) for message in batch]
    assert [row.position for row in found if isinstance(row, Row)] == [1, 2]
    assert parser.passed_over == 2


def test_a_byte_order_mark_may_begin_the_input_and_no_other_line() -> None:
    parser = LineParser((), lambda *_: None)
    mark = b"\xef\xbb\xbf"
    found = [m for batch in parser.parse([[mark + RECORD], [RECORD, mark + RECORD]]) for m in batch]
    assert [type(message) for message in found] == [Row, Row, PassedOver]
    assert parser.passed_over == 1


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_json_does_not_have_is_left_to_the_row_to_judge(value: bytes) -> None:
    found = parse(b'{"type":"RECORD","record":{"stream":"s","data":{"n":' + value + b"}}}", RECORD)
    assert [message.data["n"] == message.data["n"] and abs(message.data["n"]) < 2 for message in found] == [False, True]


def of(*lines: bytes, streams: list[StreamId]) -> list[StreamId | None]:
    """The streams that the lines are taken to speak of."""
    parser = LineParser(streams, lambda *_: None)
    found = [message for batch in parser.parse([list(lines)]) for message in batch]
    return [message.stream for message in found if not isinstance(message, PassedOver)]


COMPLETE = (
    b'{"type":"TRACE","trace":{"type":"STREAM_STATUS",'
    b'"stream_status":{"stream_descriptor":{"name":"s"},"status":"COMPLETE"}}}'
)
NAMELESS = [
    RECORD,
    b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"s"}}}}',
    COMPLETE,
]


def test_without_a_namespace_the_only_stream_of_that_name_is_meant() -> None:
    only = StreamId("s", "crm")
    assert of(*NAMELESS, streams=[only, StreamId("t", "crm")]) == [only] * 3


@pytest.mark.parametrize(
    "others", [[StreamId("s", "crm"), StreamId("s", "shop")], [StreamId("s"), StreamId("s", "crm")]]
)
def test_of_two_namesakes_none_is_guessed(others: list[StreamId]) -> None:
    assert of(*NAMELESS, streams=others) == [StreamId("s")] * 3


def test_a_namespace_that_is_given_is_kept() -> None:
    line = b'{"type":"RECORD","record":{"stream":"s","namespace":"web","data":{}}}'
    assert of(line, streams=[StreamId("s", "crm")]) == [StreamId("s", "web")]


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


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def send() -> None:
        os.write(writing, b"one\n")
        os.close(writing)

    with os.fdopen(reading, "rb") as stream:
        threading.Timer(0.05, send).start()
        assert list(read_lines(stream)) == [[b"one"]]


def test_rows_are_numbered_by_stream_and_a_states_memory_is_counted() -> None:
    record = b'{"type":"RECORD","record":{"stream":"%s","data":{}}}'
    line = b'{"type":"STATE","state":{}}'
    *rows, state = parse(record % b"a", record % b"b", record % b"a", line)
    assert [(str(row.stream), row.position) for row in rows] == [("a", 1), ("b", 1), ("a", 2)]
    assert state.size > len(line)


# --- the end of a stream


def status(status: str, **more: Any) -> bytes:
    found = {"stream_descriptor": {"name": "users", "namespace": "crm"}, "status": status, **more}
    trace = {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": found}
    return json.dumps({"type": "TRACE", "trace": trace}).encode()


def test_the_end_of_a_stream_is_read() -> None:
    assert parse(status("COMPLETE")) == [Complete(StreamId("users", "crm"))]


@pytest.mark.parametrize(
    "line",
    [
        *(status("STARTED"), status("RUNNING"), status("INCOMPLETE"), status("COMPLETE", stream_descriptor=None)),
        b'{"type":"TRACE"}',
        b'{"type":"TRACE","trace":{"type":"ESTIMATE","estimate":{"name":"users"}}}',
        b'{"type":"TRACE","trace":{"type":"ERROR","error":{"message":"no"}}}',
        b'{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":null}}',
    ],
)
def test_what_else_a_trace_says_is_passed_over(line: bytes) -> None:
    assert parse(line) == []


# --- the source's own count


def row(stream: str = "users") -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": stream, "data": {}}}).encode()


def counted(count: Any, stream: str | None = "users") -> bytes:
    """A state with what the source counted since the one before."""
    state: dict[str, Any] = {"sourceStats": {"recordCount": count}}
    if stream is not None:
        state |= {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}}}
    return json.dumps({"type": "STATE", "state": state}).encode()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([row(), row(), counted(2.0), row(), counted(1.0), counted(0.0)], []),
        ([row(), counted(2.0)], [(StreamId("users"), 2.0, 1)]),
        ([row(), row(), counted(1)], [(StreamId("users"), 1, 2)]),
        ([counted(2.0), row(), counted(3.0)], [(StreamId("users"), 2.0, 0)]),  # once per stream
        ([row("orders"), row(), counted(1.0), counted(5.0, "orders")], [(StreamId("orders"), 5.0, 1)]),
        ([row("orders"), row(), counted(2.0, None), row(), counted(1.0, None)], []),
        ([row("orders"), row(), counted(1.0), counted(2.0, None)], [(None, 2.0, 1)]),
        ([row(), counted("two"), counted(None)], []),
        ([row(), b'{"type":"STATE","state":{"sourceStats":7}}'], []),
    ],
)
def test_a_difference_to_what_the_source_counted_is_told_once(lines: list[bytes], told: list[Difference]) -> None:
    differences: list[Difference] = []
    parse(*lines, differences=differences)
    assert differences == told
