"""Stored rows turned back into records: from files, directories, patterns, and the configured store."""

from __future__ import annotations

import argparse
import errno
import gzip
import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.airbyte.lines import LineParser
from destination_cleverpush.dead_letter.replay import add_arguments, run
from destination_cleverpush.dead_letter.store import DeadLetterStore
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import LocalSettings, Settings, parse
from destination_cleverpush.words import Job, RejectedRow, Row, StreamId


def keep(root: Path, label: str, *rows: RejectedRow, roll_bytes: int = 8 << 20) -> None:
    """Store the rows as one attempt of a sync."""
    store = DeadLetterStore(LocalSettings(str(root)), label, lambda jobs: None, _fail, roll_bytes=roll_bytes)
    store.keep([(Job(row.stream, "", None), row) for row in rows])
    store.close()


def _fail(error: Failure) -> None:
    raise AssertionError(error.message)


def a_row(n: int, stream: str = "users", namespace: str | None = None, code: str = "c", **data: Any) -> RejectedRow:
    rejected_at = datetime.now(timezone.utc)
    return RejectedRow(
        StreamId(stream, namespace), n, None, code, "r", None, None, data or {"n": n}, 1000 + n, rejected_at, 0
    )


def configured(path: str) -> Settings | None:
    """Where a configuration file keeps rejected rows."""
    return parse(json.loads(Path(path).read_bytes()), "rejected_records")


def lines(*arguments: str) -> Iterator[str]:
    """What the command prints."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(arguments), configured)


def replay(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(*arguments)]


def numbers(messages: list[dict[str, Any]]) -> list[int]:
    return [message["record"]["data"]["n"] for message in messages]


def test_a_stored_row_becomes_the_record_that_it_was(tmp_path: Path) -> None:
    data = {"id": 2**70, "ratio": 0.1, "name": "Zoë \ud800", "beyond": json.loads("1e999"), "deep": [{"x": None}]}
    keep(tmp_path, "sync-1", a_row(1, "users", "crm", **data), a_row(2, "users"))
    assert replay("--from", str(tmp_path), "--stream", "crm.users") == [
        {"type": "RECORD", "record": {"stream": "users", "namespace": "crm", "data": data, "emitted_at": 1001}}
    ]
    assert [list(m["record"]) for m in replay("--from", str(tmp_path / "users"))] == [["stream", "data", "emitted_at"]]


def test_the_connector_reads_what_is_replayed(tmp_path: Path) -> None:
    data: dict[str, Any] = {"id": 2**70, "ratio": 0.1, "name": "Zoë"}
    keep(tmp_path, "sync-1", a_row(1, "users", "crm", **data))
    replayed = [line.encode() for line in lines("--from", str(tmp_path))]
    stream = StreamId("users", "crm")
    ((row,),) = LineParser([stream], lambda *_: None).parse([replayed])
    assert row == Row(stream, data, 1001, len(replayed[0]), 1)


def test_rows_come_in_the_order_in_which_they_were_stored(tmp_path: Path) -> None:
    keep(tmp_path, "sync-9", *(a_row(n) for n in range(500)), roll_bytes=500)
    keep(tmp_path, "sync-10", *(a_row(n) for n in range(500, 600)))
    keep(tmp_path, "sync-1", *(a_row(n) for n in range(600, 700)))
    assert len(list(tmp_path.rglob("*.gz"))) > 4
    assert numbers(replay("--from", str(tmp_path))) == list(range(700))


def test_rows_are_chosen_by_stream_and_code(tmp_path: Path) -> None:
    rows = [
        a_row(n, stream, code=code) for n, (stream, code) in enumerate([("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")])
    ]
    keep(tmp_path, "sync-1", *rows)
    source = ("--from", str(tmp_path))
    assert numbers(replay(*source, "--stream", "a")) == [0, 1]
    assert sorted(numbers(replay(*source, "--code", "x", "--code", "z"))) == [0, 2, 3]
    assert numbers(replay(*source, "--stream", "b", "--code", "z")) == [3]
    with pytest.raises(Failure, match="No stored row"):
        replay(*source, "--stream", "c")


def test_files_and_patterns_can_be_named(tmp_path: Path) -> None:
    keep(tmp_path, "sync-1", a_row(1))
    keep(tmp_path, "sync-2", a_row(2))
    (file,) = (tmp_path / "users" / "sync-2").iterdir()
    assert numbers(replay("--from", str(file))) == [2]
    assert numbers(replay("--from", str(file), "--from", str(tmp_path))) == [1, 2]
    assert numbers(replay("--from", f"{tmp_path}/*/sync-1/*.gz")) == [1]
    assert numbers(replay("--from", f"{tmp_path}/**/*.gz")) == [1, 2]


def test_other_files_in_a_directory_are_left_alone(tmp_path: Path) -> None:
    keep(tmp_path, "sync-1", a_row(1))
    (packed,) = tmp_path.rglob("*.gz")
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.with_name(f".{packed.name}.tmp").write_bytes(b"a draft of a crash")
    (tmp_path / "other.jsonl.gz").write_bytes(gzip.compress(b"[]"))
    assert numbers(replay("--from", str(tmp_path))) == [1]
    with pytest.raises(Failure, match="not a stored row"):
        replay("--from", f"{tmp_path}/*.gz")


def test_rows_mended_by_hand_can_be_replayed_unpacked(tmp_path: Path) -> None:
    keep(tmp_path, "sync-1", a_row(1))
    (packed,) = tmp_path.rglob("*.gz")
    line = gzip.decompress(packed.read_bytes()).replace(b'{"n":1}', b'{"n":7}')
    (tmp_path / "mended.jsonl").write_bytes(line + b"\n")
    assert numbers(replay("--from", str(tmp_path / "mended.jsonl"))) == [7]


def test_a_row_without_its_time_gets_the_present_one(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"stream": "s", "data": {}, "emitted_at": null}')
    (message,) = replay("--from", str(tmp_path / "x.jsonl"))
    assert message["record"]["emitted_at"] > 1_700_000_000_000


def test_the_configured_store_is_read(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    keep(store, "sync-1", a_row(1), a_row(2, "tags"))
    keep(store, "sync-2", a_row(3))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage_type": "local", "destination_path": str(store)}))
    assert sorted(numbers(replay("--config", str(config)))) == [1, 2, 3]
    assert numbers(replay("--config", str(config), "--from", "users")) == [1, 3]
    assert numbers(replay("--config", str(config), "--from", "users/sync-2/")) == [3]
    assert numbers(replay("--config", str(config), "--from", "*/sync-1/*", "--stream", "tags")) == [2]
    with pytest.raises(Failure, match="nothing to replay"):
        replay("--config", str(config), "--from", "users/sync-3")
    config.write_text(json.dumps({"storage_type": "none"}))
    with pytest.raises(Failure, match="keeps no rejected rows"):
        replay("--config", str(config))


@pytest.mark.parametrize("from_config", [True, False])
def test_a_folder_that_may_not_be_read_is_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_config: bool
) -> None:
    keep(tmp_path, "sync-1", a_row(1))
    keep(tmp_path, "sync-2", a_row(2))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"storage_type": "local", "destination_path": str(tmp_path)}))
    scan = os.scandir

    def refuse(place: str | Path) -> Any:  # as it is for a user without the right; the tests may run as root
        if Path(place).name == "sync-1":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(Failure, match=r"cannot be read|may not be used"):
        replay(*(["--config", str(config)] if from_config else ["--from", str(tmp_path)]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Say what to replay"),
        (["--from", "{}/empty"], "no stored rows were found under"),
        (["--from", "{}/nothing*"], "no stored rows were found under"),
    ],
)
def test_what_cannot_be_replayed_is_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Failure, match=words) as error:
        replay(*(argument.format(tmp_path) for argument in arguments))
    assert error.value.kind is FailureKind.CONFIG


def cut_off(packed: bytes) -> bytes:
    return packed[:-9]


def flipped(packed: bytes) -> bytes:
    return packed[:20] + bytes([packed[20] ^ 0xFF]) + packed[21:]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut_off, "damaged or cut off"),
        (flipped, "damaged or cut off"),
        (lambda packed: b"", "damaged or cut off"),
        (lambda packed: packed + b"POISON", "damaged or cut off"),
        (lambda packed: b"POISON", "damaged or cut off"),
        (lambda packed: packed + gzip.compress(b'{"stream": "users", "data"'), "line 4 .it is not a stored row"),
        (lambda packed: packed + gzip.compress(b'{"stream": "users"}\n'), "line 4 .it is not a stored row"),
        (lambda packed: packed + gzip.compress(b"[" * 100_000), "line 4 .it is not a stored row"),
        (lambda packed: packed + gzip.compress(b"\xff\n"), "line 4 .it is not a stored row"),
    ],
)
def test_a_damaged_object_is_never_passed_over(tmp_path: Path, damage: Any, words: str) -> None:
    keep(tmp_path, "sync-1", a_row(1), a_row(2), a_row(3))
    (packed,) = tmp_path.rglob("*.gz")
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(Failure, match=words) as error:
        replay("--from", str(tmp_path))
    assert packed.name in error.value.message
    assert "POISON" not in error.value.message


def test_the_rows_before_the_damage_are_replayed(tmp_path: Path) -> None:
    keep(tmp_path, "sync-1", a_row(1), a_row(2))
    (packed,) = tmp_path.rglob("*.gz")
    packed.write_bytes(packed.read_bytes() + gzip.compress(b"nonsense\n"))
    records = lines("--from", str(tmp_path))
    assert numbers([json.loads(next(records)), json.loads(next(records))]) == [1, 2]
    with pytest.raises(Failure, match="line 3"):
        next(records)
