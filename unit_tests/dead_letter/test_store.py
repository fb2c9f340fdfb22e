"""The dead letter store: rows gather, are stored together in a real directory, and are told of."""

from __future__ import annotations

import gzip
import json
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.dead_letter import store as store_module
from destination_cleverpush.dead_letter.rows import order
from destination_cleverpush.dead_letter.store import DeadLetterStore, probe, told_place
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import AzureSettings, GcsSettings, LocalSettings, S3Settings, Settings
from destination_cleverpush.words import Job, RejectedRow
from unit_tests.dead_letter.rejected import a_row


def stored_lines(root: Path) -> list[dict[str, Any]]:
    """All stored rows under a directory, part by part."""
    files = sorted(root.rglob("*.jsonl.gz"), key=lambda path: order(str(path)))
    return [json.loads(line) for file in files for line in gzip.open(file)]


class Notes:
    """What a store has told, with the thread that it came from."""

    def __init__(self) -> None:
        self.kept: list[list[int]] = []
        self.failures: list[Failure] = []
        self.threads: set[str] = set()
        self.told = threading.Event()

    def keep(self, jobs: list[Job]) -> None:
        self.kept.append([job.origin for job in jobs])
        self.threads.add(threading.current_thread().name)
        self.told.set()

    def fail(self, error: Failure) -> None:
        self.failures.append(error)
        self.told.set()

    def positions(self) -> list[int]:
        return [position for kept in self.kept for position in kept]


def no_failure(error: Failure) -> None:
    raise AssertionError(error.message)


def a_store(place: Path, notes: Notes | None = None, **options: Any) -> DeadLetterStore:
    """A store that must not fail, unless its failures are noted."""
    on_kept, on_failure = (notes.keep, notes.fail) if notes else (lambda jobs: None, no_failure)
    return DeadLetterStore(LocalSettings(str(place)), "sync-1", on_kept, on_failure, **options)


def waiting(*rows: RejectedRow) -> list[tuple[Job, RejectedRow]]:
    """Rows with the jobs that wait for them."""
    return [(Job(row.stream, "", None, origin=row.position), row) for row in rows]


def test_rows_are_stored_by_stream_and_told(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes)
    for position in range(1, 101):
        store.keep(waiting(a_row(position, "tags" if position % 2 else "users", "crm")))
    store.close()
    assert sorted(notes.positions()) == list(range(1, 101))
    assert notes.threads == {"dead-letter-store"}
    assert {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.gz")} == {
        "crm.tags/sync-1",
        "crm.users/sync-1",
    }
    users = [line["position"] for line in stored_lines(tmp_path / "crm.users")]
    tags = [line["position"] for line in stored_lines(tmp_path / "crm.tags")]
    assert (users, tags) == (list(range(2, 101, 2)), list(range(1, 101, 2)))


def test_a_batch_is_told_once_per_stream(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes)
    store.keep(waiting(a_row(1), a_row(2, "tags"), a_row(3)))
    store.keep([])
    store.close()
    assert notes.kept == [[1, 3], [2]]


def test_many_rows_do_not_wait_for_company(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes, flush_interval_seconds=600.0)
    store.keep(waiting(a_row(1)))
    store.keep(waiting(*map(a_row, range(2, 6_001))))
    assert notes.told.wait(60)
    assert notes.positions() == list(range(1, 6_001))
    store.close()


def test_rows_are_stored_before_the_store_is_closed(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes, flush_interval_seconds=0.01)
    for position in (1, 2):
        notes.told.clear()
        store.keep(waiting(a_row(position)))
        assert notes.told.wait(60)
        assert [line["position"] for line in stored_lines(tmp_path)] == list(range(1, position + 1))
    assert len(list(tmp_path.rglob("*"))) == 3, "two flushes, one object, no draft left"
    store.close()


def test_others_cannot_read_the_files(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.keep(waiting(a_row()))
    store.close()
    modes = {
        path.relative_to(tmp_path).as_posix().count("/"): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert modes == {0: 0o700, 1: 0o700, 2: 0o600}


def test_objects_are_rolled_by_size(tmp_path: Path) -> None:
    roll_bytes = 2_000
    store = a_store(tmp_path, roll_bytes=roll_bytes)
    store.keep(waiting(*map(a_row, range(1, 1_001))))
    store.close()
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.gz")]
    assert len(sizes) > 2
    assert max(sizes) < 2 * roll_bytes
    assert [line["position"] for line in stored_lines(tmp_path)] == list(range(1, 1_001))


def test_a_second_attempt_keeps_what_the_first_has_stored(tmp_path: Path) -> None:
    for position in (1, 2):
        store = a_store(tmp_path)
        store.keep(waiting(a_row(position)))
        store.close()
    assert [line["position"] for line in stored_lines(tmp_path)] == [1, 2]


def test_nothing_is_written_without_rejected_rows(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.close()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_rows_after_the_end_are_not_told_as_kept(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes)
    store.close()
    store.keep(waiting(a_row()))
    store.close()
    assert notes.kept == []
    assert stored_lines(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [("missing", "does not exist. Create it"), ("file", "is not a directory"), ("file/below", "directory")],
)
def test_a_store_that_cannot_be_written_fails_once(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    notes = Notes()
    store = a_store(tmp_path / place, notes, flush_interval_seconds=0.01)
    store.keep(waiting(a_row(1)))
    assert notes.told.wait(60)
    store.keep(waiting(a_row(2)))
    with pytest.raises(Failure) as closing:
        store.close()
    assert notes.failures == [closing.value]
    assert closing.value.kind is FailureKind.CONFIG
    assert closing.value.message.startswith("The dead letter store's directory '")
    assert words in closing.value.message
    assert notes.kept == []


def test_a_directory_that_is_replaced_meanwhile_is_not_told_as_kept(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    notes = Notes()
    store = a_store(place, notes)
    place.rename(tmp_path / "moved")
    place.mkdir()
    store.keep(waiting(a_row(1)))
    with pytest.raises(Failure, match="unmounted, removed or replaced"):
        store.close()
    assert notes.kept == []
    assert list(place.iterdir()) == []


def test_an_unforeseen_failure_in_the_thread_is_told(tmp_path: Path) -> None:
    notes = Notes()
    store = a_store(tmp_path, notes)
    store.keep(waiting(a_row(1, secret={1, 2})))
    with pytest.raises(Failure) as closing:
        store.close()
    assert closing.value.kind is FailureKind.SYSTEM
    assert notes.failures == [closing.value]
    assert notes.kept == []


def test_the_probe_writes_and_leaves_nothing(tmp_path: Path) -> None:
    probe(LocalSettings(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Failure, match="does not exist") as missing:
        probe(LocalSettings(str(tmp_path / "no")))
    assert missing.value.kind is FailureKind.CONFIG


def test_a_directory_that_does_not_last_is_told_before_the_first_row_and_by_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a_store(tmp_path)
    probe(LocalSettings(str(tmp_path)))
    assert caplog.messages == []
    monkeypatch.setattr(store_module, "ephemeral_warning", lambda directory, what: f"{what}: {directory} goes away.")
    a_store(tmp_path)
    probe(LocalSettings(str(tmp_path)))
    assert caplog.messages == [f"The dead letter store: {tmp_path} goes away."] * 2


KEEPS_ROWS = """
import sys, time
from destination_cleverpush.dead_letter.store import DeadLetterStore
from destination_cleverpush.storage.settings import AzureSettings, GcsSettings, LocalSettings, S3Settings, Settings
from unit_tests.dead_letter.test_store import a_row, waiting

def tell(jobs):
    for job in jobs:
        print(job.origin, flush=True)

store = DeadLetterStore(
    LocalSettings(sys.argv[1]), "sync-1", tell, lambda error: None, flush_interval_seconds=0.0, roll_bytes=3000
)
position = 0
while True:
    position += 1
    store.keep(waiting(a_row(position)))
    if position % 50 == 0:
        time.sleep(0.001)
"""


@pytest.mark.parametrize("reports", [1, 100, 3_000])
def test_what_was_told_as_kept_survives_a_kill(tmp_path: Path, reports: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPS_ROWS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(reports)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    told += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    kept = [line["position"] for line in stored_lines(tmp_path)]
    assert kept == list(range(1, len(kept) + 1)), "each row once, in order, and no object is damaged"
    assert told == kept[: len(told)]


IMPORTS = """
import sys
import destination_cleverpush.dead_letter.replay, destination_cleverpush.dead_letter.store
import destination_cleverpush.storage.local, destination_cleverpush.storage.settings
assert not {"airbyte_cdk", "obstore", "requests", "jsonschema"} & sys.modules.keys(), "heavy"
"""


def test_no_cloud_library_is_loaded_for_a_directory() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (LocalSettings("/local/rejected"), "/local/rejected"),
        (S3Settings("bucket", "eu-central-1", "a/b/"), "s3://bucket/a/b"),
        (GcsSettings("bucket"), "gs://bucket"),
        (AzureSettings("account", "box", "a"), "the container box of account/a"),
    ],
)
def test_where_rows_are_kept_can_be_told(settings: Settings, told: str) -> None:
    assert told_place(settings) == told
