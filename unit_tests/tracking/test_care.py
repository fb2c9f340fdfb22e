"""Check's probe, and what the console command shows, forgets and gives out."""

from __future__ import annotations

from pathlib import Path

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.care import Exported, _probe_store, export, forget, open_place, probe, show
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
