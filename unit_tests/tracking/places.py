"""Places to remember in that survive whoever used them, and a store in memory that fails as it is told."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from destination_cleverpush.errors import transient_error
from destination_cleverpush.storage.objects import Conflict, Version
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.local import LocalPlace
from destination_cleverpush.tracking.place import Place
from destination_cleverpush.tracking.remote import RemotePlace
from unit_tests.tracking.world import SamePlace


class OnePlace:
    """A bare database, in memory."""

    examples = 300

    def __init__(self, folder: Path) -> None:
        self._place = SamePlace(Path(":memory:"))

    def open(self) -> Place:
        return self._place


class DirectoryPlaces:
    """A directory; what is opened is a copy of it as a kill would have left it."""

    examples = 15

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._open: list[LocalPlace] = []
        (folder / "0").mkdir()

    def open(self) -> Place:
        before = self._folder / str(self._number)
        self._number += 1
        after = self._folder / str(self._number)
        shutil.copytree(before, after)
        place = LocalPlace(LocalSettings(str(after)), "default", "channel", wait_seconds=0)
        self._open.append(place)  # a killed one is not tidied
        return place


class Store:
    """Objects in memory.

    Attributes:
        fails: called with each request's number and what it does; True: its answer is lost, after it took effect, or
            before where `before` says so.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, Version]] = {}
        self.requests = 0
        self.fails: Callable[[int, str], str | None] = lambda number, what: None
        self._versions = itertools.count()

    def put(self, name: str, data: bytes) -> None:
        with_effect = self._begin("put")
        self.objects[name] = bytes(data), self._version()
        self._end(with_effect)

    def put_if(self, name: str, data: bytes, version: Version | None) -> Version:
        lost = self._begin("put_if")
        found = self.objects.get(name)
        if (found[1] if found else None) != version:
            raise Conflict
        new = self._version()
        self.objects[name] = bytes(data), new
        self._end(lost)
        if lost == "repeated":  # the client tried again by itself, and met its own first try
            raise Conflict
        return new

    def delete(self, name: str) -> None:
        lost = self._begin("delete")
        self.objects.pop(name, None)
        self._end(lost)

    def names(self, folder: str = "") -> list[str]:
        self._begin("names")
        return [name for name in self.objects if not folder or name.startswith(f"{folder}/")]

    def read(self, name: str) -> BinaryIO:
        return io.BytesIO(self.objects[name][0])

    def find(self, name: str) -> tuple[bytes, Version] | None:
        self._begin("find")
        return self.objects.get(name)

    def _begin(self, what: str) -> str | None:
        self.requests += 1
        lost = self.fails(self.requests, what)
        if lost == "before":
            raise transient_error("the store did not answer")
        return lost

    def _end(self, lost: str | None) -> None:
        if lost == "after":
            raise transient_error("the store did not answer")

    def _version(self) -> Version:
        return str(next(self._versions)), None


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class BucketPlaces:
    """A store; who was killed holds its memory until it counts as dead."""

    examples = 60

    def __init__(self, folder: Path) -> None:
        self.store = Store()
        self.clock = Clock()

    def open(self) -> Place:
        return RemotePlace(
            self.store, "default", "channel", renew_seconds=None, clock=self.clock, sleep=self.clock.sleep
        )
