"""Files to rows: CSV, JSON lines and Parquet."""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.airbyte.send import messages, open_source, stream_of
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Complete, Row, StreamId

ID = StreamId("people")


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def rows(path: str) -> list[dict[str, Any]]:
    found = [one for batch in messages(ID, open_source(path), complete=False) for one in batch]
    assert all(isinstance(one, Row) for one in found)
    return [dict(one.data) for one in found if isinstance(one, Row)]


def failure(path: str) -> tuple[int, str]:
    """How many rows came before the failure, and what it says."""
    found: list[Row | Complete] = []
    with pytest.raises(Failure) as failed:
        found.extend(one for batch in messages(ID, open_source(path), complete=True) for one in batch)
    assert not any(isinstance(one, Complete) for one in found)
    assert failed.value.kind is FailureKind.CONFIG
    return len(found), failed.value.message.replace(path, "FILE")


def test_csv_text_stays_text_and_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", '\ufeffid, mail ,n\r\n001,"a@b.c, d",1.10\r\n\r\n2,,\r\n3\r\n')
    assert rows(path) == [
        {"id": "001", "mail": "a@b.c, d", "n": "1.10"},
        {"id": "2", "mail": None, "n": None},
        {"id": "3"},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_is_divided_as_its_header_is(tmp_path: Path, delimiter: str) -> None:
    path = written(tmp_path, "a.csv", f"id{delimiter}name\n1{delimiter}ä\n")
    assert rows(path) == [{"id": "1", "name": "ä"}]


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    content = '\ufeff{"id": 1, "tags": ["a"], "x": null}\n\n{"id": "001"}'
    assert rows(written(tmp_path, "a.jsonl", content)) == [{"id": 1, "tags": ["a"], "x": None}, {"id": "001"}]


@pytest.mark.parametrize(("name", "content"), [("a.csv.gz", b"id\n1\n"), ("a.jsonl.gz", b'{"id": "1"}\n')])
def test_files_may_be_packed(tmp_path: Path, name: str, content: bytes) -> None:
    assert rows(written(tmp_path, name, gzip.compress(content))) == [{"id": "1"}]
    broken = written(tmp_path, f"b{name}", gzip.compress(content * 1000)[:-20])
    assert failure(broken)[1] == "The file FILE cannot be read: it is broken."


def test_parquet_has_the_values_of_json(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from datetime import datetime, timezone
    from decimal import Decimal

    from pyarrow import parquet

    day = datetime(2026, 1, 2, tzinfo=timezone.utc)
    data = {"id": ["001", "2"], "at": [day, None], "n": [Decimal("2.00"), Decimal("2.50")], "tags": [["a"], None]}
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(data), path)
    assert open_source(str(path)).columns == ["id", "at", "n", "tags"]
    assert rows(str(path)) == [
        {"id": "001", "at": "2026-01-02T00:00:00+00:00", "n": 2, "tags": ["a"]},
        {"id": "2", "at": None, "n": 2.5, "tags": None},
    ]
    assert failure(written(tmp_path, "b.parquet", "PAR1")) == (0, "The file FILE cannot be read as Parquet.")


def test_rows_are_numbered_over_the_batches_and_only_a_complete_file_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id\n" + "".join(f"{n}\n" for n in range(1, 1001)))
    found = [one for batch in messages(ID, open_source(path), complete=True) for one in batch]
    assert [one.position for one in found if isinstance(one, Row)] == list(range(1, 1001))
    assert found[-1] == Complete(ID)
    assert all(one.size > 0 for one in found if isinstance(one, Row))


@pytest.mark.parametrize(
    ("name", "content", "count", "message"),
    [
        ("a.xlsx", "", 0, "The file FILE is of an unknown kind. Its name must end with one of: .csv, .tsv, "),
        ("rows", "", 0, "The file FILE is of an unknown kind."),
        ("a.csv", "", 0, "The file FILE has no header: its first line must name the columns."),
        ("a.csv", "id,id\n1,2\n", 0, "The file FILE has two columns of the name 'id'. Name each of them once."),
        ("a.csv", "id,n\n1,2\n1,2,3\n", 1, "Line 3 of the file FILE has 3 cells, and the header names 2 columns."),
        (
            "a.csv",
            b"id\n1\n\xe4\n",
            1,
            "The file FILE is not encoded as UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).",
        ),
        ("a.jsonl", '{"id": 1}\n[{"id": 2}]\n', 1, "Line 2 of the file FILE is not a JSON object."),
        ("a.jsonl", b'{"id": 1}\n{"id": "\xe4"}\n', 1, "Line 2 of the file FILE is not a JSON object."),
    ],
)
def test_what_cannot_be_read_is_named_after_the_rows_before_it(
    tmp_path: Path, name: str, content: str | bytes, count: int, message: str
) -> None:
    before, told = failure(written(tmp_path, name, content))
    assert told.startswith(message)
    assert before in (count, 0)  # what is buffered by the decoder may be lost with the line that is broken


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert failure(str(tmp_path / "a.csv")) == (0, "The file FILE cannot be read: No such file or directory.")


def test_the_stream_is_named_as_the_file_is_and_knows_the_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "people.2026.csv", "id,mail\n")
    stream = stream_of(argparse.Namespace(file=path, stream=None, complete=False), open_source(path))
    assert (stream.id, list(stream.schema["properties"]), stream.sync_mode) == (ID, ["id", "mail"], "incremental")
    stream = stream_of(argparse.Namespace(file=path, stream="crm", complete=True), open_source(path))
    assert (stream.id, stream.sync_mode) == (StreamId("crm"), "full_refresh")
