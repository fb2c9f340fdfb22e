"""A memory in a directory: held by one, found again after a kill, and never trusted when it is damaged."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking import database
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.entries import Entry
from destination_cleverpush.tracking.local import LocalPlace
from destination_cleverpush.tracking.place import Spared
from unit_tests.tracking.places import Clock
from unit_tests.tracking.world import Attempt, Load, World, put

ENTRY = Entry(0, b"12345678", 20_000, 7, "N", b"", 0)


def opened(folder: Path, name: str = "default", channel: str = "channel", clock: Clock | None = None) -> LocalPlace:
    clock = clock or Clock()
    return LocalPlace(LocalSettings(str(folder)), name, channel, clock=clock, sleep=clock.sleep)


def one(number: int) -> Changes:
    return Changes(entries={(1, str(number).encode(), b""): ENTRY})


def file(folder: Path, kind: str = ".db") -> Path:
    return next(path for path in folder.iterdir() if path.name.endswith(kind))


def test_what_was_committed_is_found_again(tmp_path: Path) -> None:
    place = opened(tmp_path)
    assert (place.new, place.lost) == (True, "")
    place.commit(one(1))
    place.close()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
    place = opened(tmp_path)
    assert (place.new, place.lost) == (False, "")
    assert place.database.find(1, [b"1"]) == [(b"1", b"", ENTRY)]
    place.close()


def test_channels_and_names_have_files_of_their_own(tmp_path: Path) -> None:
    for name, channel in (("a", "b"), ("A", "b"), ("a", "B"), ("a-b", ""), ("../x", "y/z")):
        place = opened(tmp_path, name, channel)
        assert (place.new, place.lost) == (True, "")
        place.close()
    assert len(list(tmp_path.glob("*.db"))) == 5


def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    code = f"""
from unit_tests.tracking.test_local import opened, one
from pathlib import Path
place = opened(Path({str(tmp_path)!r}))
for number in range(10_000):
    place.commit(one(number))
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    place = opened(tmp_path)
    assert not place.lost
    assert place.database.size_of_all() in (told[-1] + 1, told[-1] + 2)
    place.close()


def test_a_second_sync_waits_a_minute_and_says_since_when_the_first_holds_it(tmp_path: Path) -> None:
    code = f"""
from unit_tests.tracking.test_local import opened
from pathlib import Path
place = opened(Path({str(tmp_path)!r}))
print("open", flush=True)
input()
"""
    clock = Clock()
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        with pytest.raises(Failure, match=r"another sync has held the memory since 20\d\d-\d\d-\d\dT") as error:
            opened(tmp_path, clock=clock)
        assert error.value.kind is FailureKind.TRANSIENT
        assert 60 <= clock.now < 70
        process.kill()
    opened(tmp_path, clock=clock).close()
    assert clock.now < 70


def test_the_second_goes_on_when_the_first_has_ended(tmp_path: Path) -> None:
    first = opened(tmp_path)
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now > 10:
            first.close()

    LocalPlace(LocalSettings(str(tmp_path)), "default", "channel", clock=clock, sleep=sleep).close()
    assert 10 < clock.now < 15


def remembered(folder: Path) -> World:
    world = World()
    place = opened(folder)
    Attempt(
        world, place, [Load("users", put([f"{n:04d}" for n in range(2_000)]), 1, 101)], batch=2_000, often=False
    ).run()
    return world


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_or_cut_off_file_removes_nobody(tmp_path: Path, closed: bool) -> None:
    """Closed: any flipped byte is found. After a kill: what SQLite cannot read is."""
    folder = tmp_path / "whole"
    folder.mkdir()
    world = remembered(folder)
    if not closed:
        file(folder, ".sum").unlink()
    size = file(folder).stat().st_size
    offsets = [0, 17, 30, 99, *range(100, size, size // 6), size - 1]
    for number, offset in enumerate(offsets):
        for cut in (True, False) if closed else (True,):
            damaged = tmp_path / f"{number}-{cut}"
            shutil.copytree(folder, damaged)
            with file(damaged).open("r+b") as handle:
                if cut:
                    handle.truncate(offset)
                else:
                    byte = (handle.seek(offset) and handle.read(1)) or handle.read(1)
                    handle.seek(offset)
                    handle.write(bytes([byte[0] ^ 0x55]))
            place = opened(damaged)
            assert "cannot be used: it is damaged" in place.lost or (cut and offset == 0), offset
            world.log.clear()
            rows = put([f"{n:04d}" for n in range(1_000)])
            found = Attempt(world, place, [Load("users", rows, 2, 102)], batch=1_000, often=False).run()
            assert found.done
            assert len(world.log) == 1_000  # everything is sent again, and nobody removed
            assert {call[0] for call in world.log} == {"put"}


def test_a_file_that_went_missing_is_told(tmp_path: Path) -> None:
    opened(tmp_path).close()
    file(tmp_path).unlink()
    place = opened(tmp_path)
    assert place.new
    assert "it is missing" in place.lost
    place.close()


def newer(folder: Path) -> None:
    """A memory that another version has written and closed."""
    remembered(folder)
    connection = sqlite3.connect(file(folder))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    data = file(folder).read_bytes()
    file(folder, ".sum").write_text(json.dumps({"size": len(data), "crc32": zlib.crc32(data)}))


@pytest.mark.parametrize("closed", [True, False])
def test_who_only_looks_leaves_what_cannot_be_used_as_it_is(tmp_path: Path, closed: bool) -> None:
    newer(tmp_path)
    if not closed:
        file(tmp_path, ".sum").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".lock"}
    for _ in range(2):
        with pytest.raises(Spared, match=r"a newer version of the connector wrote it .* It was left as it is"):
            LocalPlace(LocalSettings(str(tmp_path)), "default", "channel", spare=True)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".lock"} == before


def test_a_newer_version_is_set_aside_whole(tmp_path: Path) -> None:
    remembered(tmp_path)
    file(tmp_path, ".sum").unlink()
    connection = sqlite3.connect(file(tmp_path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file(tmp_path).read_bytes()
    place = opened(tmp_path)
    assert "a newer version of the connector wrote it (format 99" in place.lost
    assert place.new
    place.close()
    assert file(tmp_path, ".set-aside").read_bytes() == before
    place = opened(tmp_path)
    assert not place.lost
    place.close()


def test_an_older_format_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(tmp_path)

    def migrate(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE entry ADD COLUMN added")

    migrations: Mapping[int, object] = {database.FORMAT: migrate}
    monkeypatch.setattr(database, "MIGRATIONS", migrations)
    monkeypatch.setattr(database, "FORMAT", database.FORMAT + 1)
    place = opened(tmp_path)
    assert not place.lost
    assert place.database._all("SELECT count(*) FROM entry WHERE added IS NULL") == [(2_000,)]
    place.close()
    opened(tmp_path).close()


def test_the_memory_of_another_channel_is_not_used(tmp_path: Path) -> None:
    opened(tmp_path, channel="one").close()
    mine = file(tmp_path)
    other = opened(tmp_path, channel="two")
    other.close()
    for kind in (".db", ".sum"):
        one_, two = sorted(tmp_path.glob(f"*{kind}"), key=lambda path: "-one-" not in path.name)
        shutil.copy(one_, two)
    assert mine.exists()
    place = opened(tmp_path, channel="two")
    assert "belongs to another channel" in place.lost
    place.close()


def test_a_directory_that_is_missing_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not exist") as error:
        opened(tmp_path / "nowhere")
    assert error.value.kind is FailureKind.CONFIG


def test_a_file_that_was_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    place = opened(tmp_path)
    path = file(tmp_path)
    path.rename(tmp_path / "moved")
    path.write_bytes(b"")
    with pytest.raises(Failure, match="not the one any more"):
        place.commit(one(1))
    place.database.close()
    os.close(place._lock)


def test_the_lock_is_free_after_a_failure_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path).close()
    monkeypatch.setattr(LocalPlace, "_verified", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        opened(tmp_path)
    with file(tmp_path, ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
