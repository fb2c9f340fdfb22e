"""Check's probe, and what the console command shows, forgets and gives out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from destination_cleverpush import DestinationCleverpush
from destination_cleverpush.errors import Failure, FailureKind, transient_error
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.care import (
    Exported,
    _probe_store,
    export,
    forget,
    open_copy,
    open_place,
    probe,
    show,
)
from destination_cleverpush.tracking.command import run
from destination_cleverpush.tracking.database import Database
from destination_cleverpush.tracking.settings import Settings
from destination_cleverpush.words import StreamId
from unit_tests.tracking.places import Store
from unit_tests.tracking.world import Attempt, Load, Row, World, put

USERS = StreamId("users")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(LocalSettings(str(tmp_path)))
    world = World(silent={8: True})
    Attempt(world, open_place(found, "c"), [Load("users", put("ab"), 1, 101, signature="old")]).run()
    loads = [Load("users", [*put("cde"), Row("x", does="mark")], 2, 102), Load("leads", put("d"), 2, 102)]
    Attempt(world, open_place(found, "c"), loads).run()
    return found


def test_what_is_remembered_is_shown_by_stream(settings: Settings) -> None:
    place = open_place(settings, "c")
    users, leads = show(place)
    assert (users.stream, users.members, users.removed, users.owed, users.set_aside) == (USERS, 3, 1, 0, 2)
    assert (users.about.day, users.about.sync) == (20_000, 102)
    assert (leads.members, leads.doubtful) == (1, 0) if not leads.doubtful else (1, 1)
    assert place.size > 0
    place.close()


def test_a_stream_is_forgotten_with_what_was_set_aside(settings: Settings) -> None:
    place = open_place(settings, "c")
    assert forget(place, StreamId("unknown")) == 0
    assert forget(place, USERS) == 6
    place.close()
    place = open_place(settings, "c")
    assert [report.stream.name for report in show(place)] == ["leads"]
    place.close()


def test_ids_are_given_out(settings: Settings) -> None:
    place = open_place(settings, "c")
    found = list(export(place))
    place.close()
    assert Exported(USERS, "subscriptions", "a", "", (), "taken", True) in found
    assert Exported(USERS, "subscriptions", "x", "", (), "removed", False) in found
    assert len(found) == 7


def make_newer(folder: Path) -> dict[str, bytes]:
    """Have the memory be of a version that is not known yet; returns what is in the folder."""
    (file,) = folder.glob("*.db")
    (checksum,) = folder.glob("*.sum")
    checksum.unlink()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("action", [["show"], ["export"], ["forget", "--stream", "users"]])
def test_the_command_leaves_a_memory_of_a_newer_version_alone(
    settings: Settings, tmp_path: Path, action: list[str]
) -> None:
    before = make_newer(tmp_path)
    arguments = DestinationCleverpush().parse_args(["tracking", *action, "--config", "c"])
    with pytest.raises(Failure, match=r"a newer version .* It was left as it is\. Use the version") as error:
        list(run(arguments, settings, "c"))
    assert error.value.kind is FailureKind.CONFIG
    assert files(tmp_path) == before


def test_a_copy_of_what_cannot_be_used_is_empty_and_leaves_it_alone(settings: Settings, tmp_path: Path) -> None:
    before = make_newer(tmp_path)
    copy = open_copy(settings, "c")
    assert "It was left as it is. A sync would set it aside" in copy.lost
    assert copy.new
    assert not copy.database.populations()
    copy.close()
    assert files(tmp_path) == before


def test_a_copy_that_cannot_be_made_leaves_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(Database, "copy_to", lambda *_: (_ for _ in ()).throw(transient_error("the disk is full")))
    with pytest.raises(Failure, match="the disk is full"):
        open_copy(settings, "c")
    assert not list(scratch.iterdir())


def test_the_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    probe(Settings(LocalSettings(str(tmp_path))))
    assert not list(tmp_path.iterdir())
    with pytest.raises(Failure, match="does not exist"):
        probe(Settings(LocalSettings(str(tmp_path / "nowhere"))))
    store = Store()
    _probe_store(store, "probe")
    assert not store.objects


def test_a_store_that_does_not_heed_conditions_is_refused() -> None:
    class Heedless(Store):
        def put_if(self, name: str, data: bytes, version: object) -> tuple[str | None, str | None]:
            found = self.objects.get(name)
            return super().put_if(name, data, found[1] if found else None)

    store = Heedless()
    with pytest.raises(Failure, match="does not heed the condition") as error:
        _probe_store(store, "probe")
    assert error.value.kind is FailureKind.CONFIG
    assert not store.objects
