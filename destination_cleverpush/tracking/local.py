"""A memory in a directory: the SQLite database itself, a lock, and a checksum between syncs.

The checksum of the whole file is written when it is closed and taken away before the first write, so that any damage in
between is found; after a kill SQLite looks the file through instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from destination_cleverpush.errors import Failure, config_error, transient_error
from destination_cleverpush.storage.local import local_failure
from destination_cleverpush.storage.settings import LocalSettings
from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.database import PAGE_BYTES, Database, Unreadable
from destination_cleverpush.tracking.place import LOCK_WAIT_SECONDS, NAME, Spared, about, label, unusable

_BLOCK = 1 << 22


class LocalPlace:
    """The memory of a channel and name in a directory, which must exist.

    Args:
        wait_seconds: for another sync to end.
        spare: leave a memory that cannot be used as it is.

    Raises:
        Spared: where `spare` says so.
        Failure: `config_error`: the directory cannot be used; `transient_error`: another sync holds the memory, or the
            disk does not work.
    """

    def __init__(
        self,
        settings: LocalSettings,
        name: str,
        channel: str,
        *,
        wait_seconds: float = LOCK_WAIT_SECONDS,
        spare: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._directory = settings.destination_path
        base = Path(self._directory, label(name, channel))
        self._file = base.with_name(base.name + ".db")
        self._sum = base.with_name(base.name + ".sum")
        self.lost = ""
        try:
            lock = base.with_name(base.name + ".lock")
            used_before = lock.exists()
            self._lock = _lock(lock, wait_seconds, clock, sleep)
            try:
                self.database, self.new = self._open(about(name, channel), used_before, spare)
                self._identity = _identity(self._file)
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise local_failure(error, NAME, self._directory) from None

    def commit(self, changes: Changes) -> None:
        """One transaction, synced to disk; and the file is still where it was opened."""
        self.database.apply(changes)
        try:
            there = _identity(self._file) == self._identity
        except OSError:
            there = False
        if not there:
            raise config_error(
                f"{NAME}'s file in '{self._directory}' is not the one any more that was opened: its directory was "
                "unmounted, removed or replaced meanwhile. Bring it back, and see to it that it stays while the "
                "connector runs.",
                f"{NAME}, local: file replaced",
            )

    def close(self) -> None:
        """Leave one file and its checksum."""
        try:
            self.database.close()
            if self.database.sound:
                _write(self._sum, json.dumps(_checksum(self._file)).encode())
        except OSError as error:
            raise local_failure(error, NAME, self._directory) from None
        finally:
            os.close(self._lock)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.database.size

    def _open(self, wanted: dict[str, str], used_before: bool, spare: bool) -> tuple[Database, bool]:
        """The database, and whether it is a new one."""
        if not self._file.exists():
            if used_before:
                self.lost = unusable(f"'{self._directory}'", "it is missing")
            return self._make(wanted), True
        checksum = None
        try:
            if verified := self._verified():
                checksum = self._sum.read_bytes()
            self._sum.unlink(missing_ok=True)
            _sync_folder(self._file.parent)
            database = Database(self._file, wanted, durable=True, verify=not verified)
        except Unreadable as error:
            if spare:
                if checksum is not None:
                    _write(self._sum, checksum)
                raise Spared(f"'{self._file}'", error.why) from None
            self.lost = unusable(f"'{self._file}'", error.why, f"'{self._set_aside().name}'")
            return self._make(wanted), True
        return database, False

    def _verified(self) -> bool:
        """Whether the file is as it was closed; False where it was not closed.

        Raises:
            Unreadable: it is not.
        """
        if self._file.stat().st_size % PAGE_BYTES:
            raise Unreadable("it is damaged or cut off")  # SQLite would take the rest of the last page for zeros
        try:
            text = self._sum.read_bytes()
        except FileNotFoundError:
            return False
        if self._journal().exists():
            return False
        try:
            known = json.loads(text)
        except ValueError:
            return False
        if known != _checksum(self._file):
            raise Unreadable("it is damaged or cut off")
        return True

    def _make(self, wanted: dict[str, str]) -> Database:
        for leftover in (self._sum, self._journal()):
            leftover.unlink(missing_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_folder(self._file.parent)
        return Database(self._file, wanted, durable=True)

    def _set_aside(self) -> Path:
        """Move what cannot be used out of the way, in place of what was moved there before."""
        aside = self._file.with_name(self._file.name + ".set-aside")
        with suppress(FileNotFoundError):
            self._journal().rename(aside.with_name(aside.name + "-wal"))
        self._file.rename(aside)
        _sync_folder(self._file.parent)
        return aside

    def _journal(self) -> Path:
        return self._file.with_name(self._file.name + "-wal")


def _lock(path: Path, wait_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> int:
    """Hold the lock until the handle is closed, as the end of the process does too."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = clock() + wait_seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock() >= until:
                    raise held(os.pread(handle, 100, 0).decode("ascii", "replace")) from None
            sleep(min(1.0, wait_seconds / 10))
        os.ftruncate(handle, 0)
        os.pwrite(handle, now().encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def held(since: str) -> Failure:
    """What ends a sync that has waited long enough for another one."""
    return transient_error(
        f"{NAME}: another sync has held the memory since {since or 'some time ago'} and did not end while this one "
        "waited. Two syncs must not use one memory at once: give each connection a name of its own under Change "
        "Tracking, or wait until the other one has ended. Airbyte will try again later."
    )


def now() -> str:
    """The time, in UTC, for people."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _checksum(path: Path) -> dict[str, int]:
    size = check = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            check = zlib.crc32(block, check)
    return {"size": size, "crc32": check}


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
