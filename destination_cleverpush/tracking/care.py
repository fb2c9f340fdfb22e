"""A memory opened, tried, shown, forgotten and given out: for a sync, for check, and for the console command."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from destination_cleverpush.errors import config_error
from destination_cleverpush.storage.local import ephemeral_warning, local_failure
from destination_cleverpush.storage.objects import CHECK_PATIENCE, SYNC_PATIENCE, Conflict, Objects, open_objects
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.database import Database
from destination_cleverpush.tracking.entries import MEMBERS, Standing, as_text
from destination_cleverpush.tracking.memory import About, decode_about
from destination_cleverpush.tracking.place import LOCK_WAIT_SECONDS, NAME, Place, Spared, about, label
from destination_cleverpush.tracking.settings import Settings
from destination_cleverpush.words import StreamId


def open_place(
    settings: Settings,
    channel: str,
    *,
    patience: timedelta = SYNC_PATIENCE,
    wait_seconds: float = LOCK_WAIT_SECONDS,
    spare: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Place:
    """The memory that the settings name, held until it is closed.

    Args:
        patience: how long a request to a cloud store may be tried again.
        wait_seconds: for another sync to end.
        spare: leave a memory that cannot be used as it is; else it is set aside, and another one begins.
        sleep: waits; what it raises is raised.

    Raises:
        Spared: where `spare` says so.
        Failure: `config_error`, or `transient_error`: the store fails, or another sync holds the memory.
    """
    if isinstance(settings.storage, LocalSettings):
        from destination_cleverpush.tracking.local import LocalPlace  # noqa: PLC0415

        return LocalPlace(settings.storage, settings.name, channel, wait_seconds=wait_seconds, spare=spare, sleep=sleep)
    from destination_cleverpush.tracking.remote import RemotePlace  # noqa: PLC0415

    objects = open_objects(settings.storage, NAME, patience)
    return RemotePlace(objects, settings.name, channel, wait_seconds=wait_seconds, spare=spare, sleep=sleep)


class _Copy:
    """A copy of a memory, that is gone when it is closed: nothing that is told to it lasts.

    Args:
        original: None: there is none that can be used.
        lost: why it cannot be used, a sentence; empty where there is none.
    """

    def __init__(self, original: Place | None, about_: Mapping[str, str], lost: str = "") -> None:
        self._folder = tempfile.mkdtemp(prefix="change-tracking-")
        file = Path(self._folder, "copy.db")
        self.lost = lost
        self.new = original is None or original.new
        try:
            if original is not None:
                original.database.copy_to(file)
            self.database = Database(file, about_, durable=False)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def commit(self, changes: Changes) -> None:
        self.database.apply(changes)

    def close(self) -> None:
        self.database.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def size(self) -> int:
        return self.database.size


def open_copy(settings: Settings, channel: str, *, sleep: Callable[[float], None] = time.sleep) -> Place:
    """A copy of the memory that the settings name, for a dry run. Where there is none, none is made.

    One that cannot be used is left as it is, and the copy is empty, as the memory of a sync would be.

    Raises:
        Failure: as :func:`open_place`.
    """
    original, lost = None, ""
    try:
        if exists(settings, channel):
            original = open_place(settings, channel, spare=True, sleep=sleep)
    except Spared as spared:
        lost = f"{spared.why} A sync would set it aside, send everything again and remove nobody for being absent."
    try:
        return _Copy(original, about(settings.name, channel), lost)
    finally:
        if original is not None:
            original.close()


def exists(settings: Settings, channel: str) -> bool:
    """Whether anything is stored under this name.

    Raises:
        Failure: the store fails.
    """
    name = label(settings.name, channel)
    if isinstance(settings.storage, LocalSettings):
        return Path(settings.storage.destination_path, f"{name}.db").exists()
    return open_objects(settings.storage, NAME, CHECK_PATIENCE).find(f"{name}/manifest") is not None


def probe(settings: Settings, patience: timedelta = CHECK_PATIENCE) -> None:
    """Write, read and delete, and see that what keeps two syncs apart works; memories are not touched.

    Raises:
        Failure: `config_error` or `transient_error`, saying what to do.
    """
    name = f"change-tracking-check-{secrets.token_hex(8)}"
    if isinstance(settings.storage, LocalSettings):
        _probe_directory(settings.storage.destination_path, name)
    else:
        _probe_store(open_objects(settings.storage, NAME, patience), name)


def ephemeral(settings: Settings) -> str | None:
    """What to tell the user where the memory would not last, in a container that is thrown away."""
    place = settings.storage
    return ephemeral_warning(place.destination_path, NAME) if isinstance(place, LocalSettings) else None


class StreamReport(NamedTuple):
    """What is remembered of a stream.

    Attributes:
        members: members (tags: pairs) that CleverPush has.
        doubtful: those among them of which nobody knows what became of the last call.
        removed: members whose row says that they are removed.
        owed: that are still to be removed from CleverPush.
        set_aside: entries of former mappings.
        about: what is known of it, with its last pass, sync and day.
    """

    stream: StreamId
    members: int
    doubtful: int
    removed: int
    owed: int
    set_aside: int
    about: About


def show(place: Place) -> list[StreamReport]:
    """What is remembered, by object and stream."""
    set_aside: Counter[tuple[str, StreamId]] = Counter()
    current: dict[tuple[str, StreamId], tuple[About, dict[int, int]]] = {}
    for number, text in place.database.populations():
        about = decode_about(text)
        counts = place.database.count(number)
        key = about.object_name, about.stream
        if about.set_aside:
            set_aside[key] += sum(counts.values())
        else:
            current[key] = about, counts
    return [
        StreamReport(
            about.stream,
            sum(counts.get(standing, 0) for standing in MEMBERS),
            counts.get(Standing.DOUBT, 0),
            counts.get(Standing.REMOVED, 0),
            counts.get(Standing.OWED, 0),
            set_aside[key],
            about,
        )
        for key, (about, counts) in current.items()
    ]


def forget(place: Place, stream: StreamId) -> int:
    """Forget a stream, what was set aside of it included; returns how many entries. Nothing is removed from CleverPush.

    Raises:
        Failure: it could not be stored.
    """
    numbers = [number for number, text in place.database.populations() if decode_about(text).stream == stream]
    count = sum(sum(place.database.count(number).values()) for number in numbers)
    if numbers:
        place.commit(Changes(dropped=set(numbers)))
    return count


class Exported(NamedTuple):
    """One entry: ids only."""

    stream: StreamId
    object_name: str
    id: str
    tag: str
    cleverpush_ids: tuple[str, ...]
    standing: str
    set_aside: bool


def export(place: Place) -> Iterator[Exported]:
    """All that is remembered, entry by entry."""
    for number, text in place.database.populations():
        about = decode_about(text)
        for page in place.database.pages(number):
            for (_, id_, tag), entry in page:
                standing = Standing(entry.standing).name.lower()
                ids = as_text(id_), as_text(tag), entry.native
                yield Exported(about.stream, about.object_name, *ids, standing, about.set_aside)


def _probe_store(objects: Objects, name: str) -> None:
    first = objects.put_if(name, b"1", None)
    try:
        if not (_refuses(objects, name, None) and objects.find(name) == (b"1", first)):
            raise _unconditional()
        objects.put_if(name, b"2", first)
        if not _refuses(objects, name, first):
            raise _unconditional()
    finally:
        objects.delete(name)
    if objects.find(name) is not None:
        raise config_error(f"{NAME}: the store has taken a deletion, and the object is still there.")


def _refuses(objects: Objects, name: str, version: tuple[str | None, str | None] | None) -> bool:
    try:
        objects.put_if(name, b"3", version)
    except Conflict:
        return True
    return False


def _unconditional() -> Exception:
    return config_error(
        f"{NAME}: the store does not heed the condition of a write (If-Match, If-None-Match), so that two syncs could "
        "not be kept apart. Use a store that does, such as S3, Google Cloud Storage, Azure or a recent MinIO."
    )


def _probe_directory(directory: str, name: str) -> None:
    path = Path(directory, name)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, b"1")
            os.fsync(handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with path.open("rb") as other:
                read = other.read()
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    locked = True
                else:
                    locked = False
        finally:
            os.close(handle)
            path.unlink()
    except OSError as error:
        raise local_failure(error, NAME, directory) from None
    if read != b"1" or not locked:
        raise config_error(
            f"{NAME}'s directory '{directory}' keeps no locks, so that two syncs could not be kept apart. Use a "
            "directory on a disk, or a cloud store."
        )
