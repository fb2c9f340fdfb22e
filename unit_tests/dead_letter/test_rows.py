"""Rejected rows as lines, and the names of their objects."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_cleverpush.dead_letter.rows import encode, folder, order, part_name, sync_label
from destination_cleverpush.words import StreamId
from unit_tests.dead_letter.rejected import NOW, a_row


def test_a_line_tells_all_about_a_row() -> None:
    row = a_row(7, "users", "crm", email="a@example.com")
    line = encode(row)
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "stream": "users",
        "namespace": "crm",
        "position": 7,
        "subscription_id": "sub-7",
        "code": "unknown_tag",
        "reason": "The tag is unknown.",
        "status": 404,
        "answer": "Tag not found: vip",
        "rejected_at": "2026-01-02T03:04:05.678Z",
        "attempts": 1,
        "emitted_at": 1_700_000_000_000,
        "data": {"email": "a@example.com"},
    }


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda values: st.lists(values) | st.dictionaries(st.text(st.characters(codec=None)), values),
)


@given(JSON_VALUES)
def test_a_row_reads_back_as_it_came(value: Any) -> None:
    line = encode(a_row(value=value))
    assert b"Infinity" not in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)
    assert line.count(b"\n") == 1
    assert repr(json.loads(line)["data"]["value"]) == repr(value)


def test_a_number_beyond_doubles_stays_json() -> None:
    line = encode(a_row(n=json.loads("[1e400, -1e400]"), text='"Infinity" \\', whole=2**70))
    assert b'"n":[1e999,-1e999]' in line
    assert json.loads(line)["data"] == {"n": [float("inf"), -float("inf")], "text": '"Infinity" \\', "whole": 2**70}


def test_whatever_nesting_is_read_can_be_stored() -> None:
    """Both sides meet Python's limit for nesting; the row must not be the one that only reading survives."""
    depth, read = 50, {}
    with contextlib.suppress(RecursionError):
        while depth < 100_000:
            line = '{"type":"RECORD","record":{"stream":"s","data":{"x":' + "[" * depth + "]" * depth + "}}}"
            read = json.loads(line)["record"]["data"]
            depth += 50
    results: list[bytes] = []
    thread = threading.Thread(target=lambda: results.append(encode(a_row(**read))))
    thread.start()
    thread.join()
    assert results, "a row that was read could not be stored"


@pytest.mark.parametrize(
    ("stream", "namespace", "expected"),
    [
        ("users", None, "users"),
        ("users", "crm", "crm.users"),
        ("crm.users", None, "crm=2Eusers"),
        ("a/b", None, "a=2Fb"),
        ("..", None, "=2E=2E"),
        ("Größe", None, "Gr=C3=B6=C3=9Fe"),
        ("", None, "="),
        ("=2F", None, "=3D2F"),
    ],
)
def test_a_folder_is_named_after_the_stream(stream: str, namespace: str | None, expected: str) -> None:
    assert folder(StreamId(stream, namespace), "sync-12") == f"{expected}/sync-12"


NAMES = st.text(st.characters(codec=None), max_size=200)


@given(NAMES, st.none() | NAMES.filter(bool), NAMES, st.none() | NAMES.filter(bool))
def test_different_streams_have_different_folders(
    stream: str, namespace: str | None, other_stream: str, other_namespace: str | None
) -> None:
    one, other = (folder(StreamId(*parts), "x") for parts in ((stream, namespace), (other_stream, other_namespace)))
    assert (one == other) == ((stream, namespace) == (other_stream, other_namespace))
    assert re.fullmatch(r"[A-Za-z0-9_=.-]+/x", one)
    assert len(one) < 255


def test_parts_sort_by_attempt_and_number() -> None:
    names = [
        part_name("s/a", NOW, "ffffffff", 1),
        part_name("s/a", NOW, "ffffffff", 2),
        part_name("s/a", NOW, "ffffffff", 99_999),
        part_name("s/a", NOW, "ffffffff", 100_000),
        part_name("s/0", NOW + timedelta(seconds=1), "00000000", 1),
    ]
    shuffled = names[::-1]
    assert sorted(shuffled, key=order) == names
    assert names[0] == "s/a/20260102T030405.678900Z-ffffffff-part-00001.jsonl.gz"


def test_a_sync_is_labelled_by_its_id_or_its_start() -> None:
    assert sync_label(12, NOW) == "sync-12"
    assert sync_label(None, NOW) == "20260102T030405Z"
