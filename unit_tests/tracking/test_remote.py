"""A memory in a store: one holder, commits on condition, and whatever the store does with requests and objects."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage.settings import S3Settings
from destination_cleverpush.tracking import manifest
from destination_cleverpush.tracking.care import open_place, probe
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.entries import Entry
from destination_cleverpush.tracking.place import Spared
from destination_cleverpush.tracking.remote import RemotePlace
from destination_cleverpush.tracking.settings import Settings
from unit_tests.tracking.places import Clock, Store
from unit_tests.tracking.world import Attempt, Load, World, put


def opened(store: Store, clock: Clock | None = None, channel: str = "channel") -> RemotePlace:
    clock = clock or Clock()
    return RemotePlace(store, "default", channel, renew_seconds=None, clock=clock, sleep=clock.sleep)


def some(*ids: str, fingerprint: bytes = b"12345678") -> Changes:
    return Changes(entries={(1, id_.encode(), b""): Entry(0, fingerprint) for id_ in ids})


def known(place: RemotePlace) -> list[str]:
    return [key[1].decode() for page in place.database.pages(1) for key, _ in page]


def the_manifest(store: Store) -> str:
    return next(name for name in store.objects if name.endswith("/manifest"))


def test_what_was_committed_is_found_again_closed_or_killed() -> None:
    store, clock = Store(), Clock()
    place = opened(store, clock)
    assert (place.new, place.lost) == (True, "")
    place.commit(some("a"))
    place.close()
    place = opened(store, clock)
    assert clock.now == 0
    assert (place.new, known(place)) == (False, ["a"])
    place.commit(some("b"))  # and is killed
    place = opened(store, clock)
    assert 60 <= clock.now < 70
    assert known(place) == ["a", "b"]


def test_a_second_sync_ends_after_a_minute_where_the_first_lives() -> None:
    store, clock = Store(), Clock()
    first = opened(store, clock)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        first.commit(some(str(clock.now)))

    with pytest.raises(Failure, match=r"another sync has held the memory since 20\d\d-") as error:
        RemotePlace(store, "default", "channel", renew_seconds=None, clock=clock, sleep=sleep)
    assert error.value.kind is FailureKind.TRANSIENT
    assert 60 <= clock.now < 70
    first.commit(some("still"))


def test_one_that_comes_to_life_again_cannot_write() -> None:
    store, clock = Store(), Clock()
    first = opened(store, clock)
    first.commit(some("a"))
    second = opened(store, clock)
    second.commit(some("b"))
    for _ in range(2):
        with pytest.raises(Failure, match="another sync has taken the memory") as error:
            first.commit(some("wrong"))
    assert error.value.kind is FailureKind.TRANSIENT
    first._failure = None
    with pytest.raises(Failure, match="another sync has taken"):
        first._write_base()
    second.commit(some("c"))
    second.close()
    assert known(opened(store, clock)) == ["a", "b", "c"]


def test_the_holder_gives_signs_of_life() -> None:
    store = Store()
    beaten = threading.Event()

    def watch(number: int, what: str) -> None:
        if what == "put_if" and number > 10:
            beaten.set()

    store.fails = watch
    place = RemotePlace(store, "default", "channel", renew_seconds=0.01)
    assert beaten.wait(10)
    place.commit(some("a"))
    place.close()


def test_a_sign_of_life_whose_answer_is_lost_ends_nothing() -> None:
    store = Store()
    place = opened(store)
    for lost in ("after", "before"):
        store.fails = lambda number, what, lost=lost: lost if what == "put_if" else None  # type: ignore[misc]
        with pytest.raises(Failure):
            place._write(place._manifest)
        store.fails = lambda number, what: None
        place.commit(some(lost))
    place.close()
    assert known(opened(store)) == ["after", "before"]


def test_an_answer_that_was_lost_and_repeated_is_no_conflict() -> None:
    store = Store()
    store.fails = lambda number, what: "repeated" if what == "put_if" else None
    place = opened(store)
    place.commit(some("a"))
    place.close()
    store.fails = lambda number, what: None
    assert known(opened(store)) == ["a"]


@pytest.mark.parametrize("lost", ["before", "after"])
def test_whichever_request_fails_what_was_committed_is_there_and_no_more_than_was_tried(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "MERGED_AT_ONCE", 3)
    monkeypatch.setattr(manifest, "REWRITTEN_ROWS", 4)
    for number in range(1, 60):
        store, clock = Store(), Clock()
        store.fails = lambda n, what, number=number: lost if n == number else None  # type: ignore[misc]
        sure: list[str] = []
        tried: list[str] = []
        for sync in range(3):
            with suppress(Failure):
                place = opened(store, clock)
                for commit in range(4):
                    tried.append(f"{sync}{commit}")
                    place.commit(some(tried[-1]))
                    sure.append(tried[-1])
                place.close()
        store.fails = lambda n, what: None
        place = opened(store, clock)
        assert not place.lost
        found = known(place)
        assert set(sure) <= set(found) <= set(tried)
        place.close()
        kept = json.loads(store.objects[the_manifest(store)][0])
        named = {part["name"] for part in (*kept["base"], *kept["segments"])}
        left_over = store.objects.keys() - named - {the_manifest(store)}
        assert not any(name < f"{the_manifest(store)[:-8]}{kept['lineage']}/{kept['term']:08d}" for name in left_over)


def test_segments_are_merged_and_the_base_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "REWRITTEN_ROWS", 50)
    store = Store()
    place = opened(store)
    for number in range(40):
        place.commit(some(f"{number:02d}"))
    assert [segment.level for segment in place._manifest.segments] == [1, 1, *[0] * 8]
    assert len(store.objects) == 11
    place.close()
    assert not place._manifest.base
    place = opened(store)
    for number in range(40, 60):
        place.commit(some(f"{number:02d}"))
    place.close()
    assert (len(place._manifest.base), place._manifest.base_rows, place._manifest.segments) == (1, 60, ())
    assert len(store.objects) == 2
    assert len(known(opened(store))) == 60


def test_a_base_of_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("destination_cleverpush.tracking.remote._PART_BYTES", 10_000)
    monkeypatch.setattr(manifest, "REWRITTEN_ROWS", 50)
    store = Store()
    place = opened(store)
    place.commit(some(*[f"{number:05d}" for number in range(2_000)]))
    place.close()
    assert len(place._manifest.base) > 3
    assert len(known(opened(store))) == 2_000


def remembered(store: Store, clock: Clock) -> World:
    world = World()
    for number in (1, 2):
        rows = put([f"{n:03d}" for n in range(100 * number)])
        Attempt(world, opened(store, clock), [Load("users", rows, number, 100 + number)], batch=200).run()
    return world


def test_whatever_object_is_missing_damaged_or_cut_off_nobody_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "REWRITTEN_ROWS", 50)
    store, clock = Store(), Clock()
    world = remembered(store, clock)
    with_segments = Attempt(world, opened(store, clock), [Load("users", put(["000"]), 3, 103, complete=False)])
    with_segments.run()
    assert len(store.objects) > 2
    whole = dict(store.objects)
    for name, (data, version) in whole.items():
        for bad in (None, b"", data[: len(data) // 2], data[:-1], data[:9] + b"?" + data[10:], b"\0" * len(data)):
            store.objects = dict(whole)
            if bad is None:
                del store.objects[name]
            else:
                store.objects[name] = bad, version
            place = opened(store, clock)
            missing_whole = bad is None and name.endswith("/manifest")
            assert place.new
            assert missing_whole or "cannot be used" in place.lost
            world.log.clear()
            Attempt(world, place, [Load("users", put(["000", "001"]), 4, 104)]).run()
            assert [call[0] for call in world.log] == ["put", "put"]
            assert known(opened(store, clock)) == ["000", "001"]


def test_a_newer_version_or_another_channels_is_not_used_and_kept() -> None:
    for field, value, words in (("format", 99, "a newer version"), ("channel", "other", "belongs to another channel")):
        store, clock = Store(), Clock()
        remembered(store, clock)
        name = the_manifest(store)
        changed = json.dumps(json.loads(store.objects[name][0]) | {field: value}).encode()
        store.objects[name] = changed, store.objects[name][1]
        before = set(store.objects)
        place = opened(store, clock)
        assert words in place.lost
        place.commit(some("a"))
        place.close()
        opened(store, clock).close()
        assert before <= set(store.objects)
        assert changed in [data for data, _ in store.objects.values()]


def test_who_only_looks_leaves_what_cannot_be_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = Store(), Clock()
    remembered(store, clock)
    name = the_manifest(store)
    text, version = store.objects[name]
    store.objects[name] = json.dumps(json.loads(text) | {"format": 99}).encode(), version
    before = dict(store.objects)
    with pytest.raises(Spared, match=r"a newer version of the connector wrote it .* It was left as it is"):
        spared(store)
    assert store.objects == before
    store.objects[name] = text, version
    part = next(other for other in store.objects if not other.endswith("/manifest"))
    store.objects[part] = b"damaged", store.objects[part][1]
    before = dict(store.objects)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Spared, match="damaged or cut off"):
        spared(store)
    assert store.objects.keys() == before.keys()
    found = json.loads(store.objects[name][0])
    assert found["holder"] == ""
    assert [found[key] for key in ("base", "segments")] == [json.loads(text)[key] for key in ("base", "segments")]
    assert not list(tmp_path.iterdir())


def spared(store: Store) -> RemotePlace:
    clock = Clock()
    return RemotePlace(store, "default", "channel", renew_seconds=None, spare=True, clock=clock, sleep=clock.sleep)


def test_the_scratch_folder_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store()
    place = opened(store)
    place.commit(some("a"))
    assert len(list(tmp_path.iterdir())) == 1
    place.close()
    assert not list(tmp_path.iterdir())
    store.fails = lambda number, what: "before" if what == "names" else None
    with pytest.raises(Failure):
        opened(store)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    requests.put(f"{address}/memories", timeout=30).raise_for_status()
    yield Settings(S3Settings("memories", "us-east-1", "some/path", "a", "b", None, address))
    server.stop()


def test_a_memory_in_s3(bucket: Settings) -> None:
    probe(bucket)
    place = open_place(bucket, "channel")
    place.commit(some("a", "b"))
    second = open_place(bucket, "channel", wait_seconds=0)  # without patience the first counts as dead at once
    with pytest.raises(Failure, match="another sync has taken the memory"):
        place.commit(some("c"))
    second.commit(some("d"))
    second.close()
    place = open_place(bucket, "channel")
    assert not place.lost
    assert [key[1] for page in place.database.pages(1) for key, _ in page] == [b"a", b"b", b"d"]
    place.close()
