"""A memory in a cloud store: a compressed base, segments of changes since, and a manifest that names them.

```
<label>/manifest                     written on condition; also the lock
<label>/<lineage>/<term>-base-...    parts of the database, zlib
<label>/<lineage>/<term>-...         segments, see changes.py
```

At the start all of it becomes a scratch database in a temporary folder (disk: some 140 bytes a member), which only a
kill leaves behind. A commit stores a segment, then names it in the manifest; both are done when it returns. zlib is in
Python; zstd would be a wheel more, for a base that is smaller by some hundredths and written once in many syncs.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from destination_cleverpush.errors import Failure, transient_error
from destination_cleverpush.storage.objects import Conflict, Objects, Version
from destination_cleverpush.tracking.changes import Changes, encode, merge
from destination_cleverpush.tracking.changes import decode as decode_segment
from destination_cleverpush.tracking.database import Database, Unreadable
from destination_cleverpush.tracking.local import held, now
from destination_cleverpush.tracking.manifest import Manifest, Piece, decode, piece
from destination_cleverpush.tracking.place import LOCK_WAIT_SECONDS, NAME, Spared, about, label, unusable

RENEW_SECONDS = 15.0
"""How often the holder gives a sign of life where it has nothing to store."""
_POLL_SECONDS = 2.0
_PART_BYTES = 32 << 20


class RemotePlace:
    """The memory of a channel and name in a store.

    Args:
        objects: the store.
        wait_seconds: for another sync to end, or, where it gives no sign of life, until it counts as dead.
        renew_seconds: see :data:`RENEW_SECONDS`; None: never, for tests.
        spare: leave a memory that cannot be used as it is.

    Raises:
        Spared: where `spare` says so.
        Failure: of the store; `transient_error`: another sync holds the memory.
    """

    def __init__(
        self,
        objects: Objects,
        name: str,
        channel: str,
        *,
        wait_seconds: float = LOCK_WAIT_SECONDS,
        renew_seconds: float | None = RENEW_SECONDS,
        spare: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects = objects
        self._about = about(name, channel)
        self._folder = label(name, channel)
        self._spare = spare
        self._token = secrets.token_hex(8)
        self._numbers = 0
        self._writing = threading.RLock()
        self._failure: Failure | None = None
        self._attempts: list[bytes] = []
        self._version: Version | None = None
        self.lost = ""
        self._manifest = self._hold(wait_seconds, clock, sleep)
        self._closed = threading.Event()
        self._scratch = Path(tempfile.mkdtemp(prefix="change-tracking-"))
        try:
            self.new = not (self._manifest.base or self._manifest.segments)
            self.database = self._restore()
            self._sweep()
            if self._manifest.wants_new_base:
                self._write_base()
            if renew_seconds is not None:
                threading.Thread(
                    target=self._renew, args=(renew_seconds,), name="change-tracking-lock", daemon=True
                ).start()
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def commit(self, changes: Changes) -> None:
        """A segment, then the manifest that names it; then the scratch database."""
        data = encode(changes)
        with self._writing:
            self._raise_failure()
            try:
                segment = piece(self._new_name(""), data, len(changes.entries))
                self._objects.put(segment.name, data)
                self._write(replace(self._manifest, segments=(*self._manifest.segments, segment)))
                self.database.apply(changes)
                self._merge()
            except Failure as failure:
                self._failure = failure
                raise

    def close(self) -> None:
        """Write a new base where that is worth it, and let others have the memory."""
        self._closed.set()
        try:
            with self._writing:
                if self._failure is None:
                    try:
                        if self._manifest.wants_new_base:
                            self._write_base()
                    finally:
                        self._write(replace(self._manifest, holder="", since=""))
                        self._failure = transient_error(f"{NAME}: the memory is closed.")
        finally:
            self.database.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def size(self) -> int:
        """Bytes that are stored."""
        return self._manifest.size

    # --- who holds it

    def _hold(self, wait_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> Manifest:
        """Take the memory from nobody, or from who gives no sign of life. Clocks of two machines are never compared."""
        begun = changed = clock()
        seen: tuple[bytes, Version] | None = None
        while True:
            found = self._objects.find(self._path)
            now_ = clock()
            if seen is None or found is None or found[1] != seen[1]:
                changed = now_
            seen = found
            before, unreadable = self._read(found)
            if unreadable and self._spare:
                raise Spared("the store", unreadable)
            if not self._is_held(found, before) or now_ - changed >= wait_seconds:
                try:
                    return self._take(found, before, unreadable)
                except Conflict:
                    changed = now_
            elif now_ - begun >= wait_seconds and changed > begun:
                raise held(before.since if before else "")
            sleep(_POLL_SECONDS)

    def _is_held(self, found: tuple[bytes, Version] | None, before: Manifest | None) -> bool:
        if found is None:
            return False
        return before is None or bool(before.holder)  # nobody can say who holds what cannot be read

    def _read(self, found: tuple[bytes, Version] | None) -> tuple[Manifest | None, str]:
        if found is None:
            return None, ""
        try:
            return decode(found[0], self._about), ""
        except Unreadable as error:
            return None, error.why

    def _take(self, found: tuple[bytes, Version] | None, before: Manifest | None, unreadable: str) -> Manifest:
        if before is None:
            before = self._anew()
            if found is not None:
                aside = f"{self._folder}/manifest-set-aside-{self._token}"
                self._objects.put(aside, found[0])
                self.lost = unusable("the store", unreadable, f"'{aside}'")
        manifest = replace(before, term=before.term + 1, beat=before.beat + 1, holder=self._token, since=now())
        self._version = found and found[1]
        self._put(manifest)
        return manifest

    def _anew(self) -> Manifest:
        return Manifest(self._about["name"], self._about["channel"], lineage=secrets.token_hex(4))

    def _renew(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            with self._writing:
                if self._failure is not None or self._closed.is_set():
                    return
                with suppress(Failure):  # the next writing will find out what became of this one
                    self._write(self._manifest)

    # --- the manifest

    @property
    def _path(self) -> str:
        return f"{self._folder}/manifest"

    def _write(self, manifest: Manifest) -> None:
        """Replace the manifest that was written last.

        Raises:
            Failure: `transient_error`: another sync has it.
        """
        self._raise_failure()
        manifest = manifest.beaten()
        try:
            self._put(manifest)
        except Conflict:
            raise transient_error(
                f"{NAME}: another sync has taken the memory, since this one gave no sign of life for a minute or was "
                "started beside it. What it has not stored is sent again. Two syncs must not use one memory at once: "
                "give each connection a name of its own under Change Tracking."
            ) from None
        self._manifest = manifest

    def _put(self, manifest: Manifest) -> None:
        """Write on condition. What is there after an answer that was lost on the way is known by its text.

        Raises:
            Conflict: another sync's was there.
        """
        text = manifest.encode()
        self._attempts.append(text)
        while True:
            try:
                self._version = self._objects.put_if(self._path, text, self._version)
                break
            except Conflict:
                found = self._objects.find(self._path)
                if found is None or found[0] not in self._attempts or found[1] == self._version:
                    raise
                self._version = found[1]
                if found[0] == text:
                    break
        self._attempts = [text]

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- what it names

    def _new_name(self, kind: str) -> str:
        self._numbers += 1
        return f"{self._folder}/{self._manifest.lineage}/{self._manifest.term:08d}-{kind}{self._numbers:08d}"

    def _restore(self) -> Database:
        """The scratch database as the manifest says; a new one where what it names is not as it was stored."""
        path = self._scratch / "memory.db"
        try:
            with path.open("wb") as file:
                for part in self._manifest.base:
                    unpacker = zlib.decompressobj()
                    file.write(unpacker.decompress(self._get(part)))
                    file.write(unpacker.flush())
            database = Database(path, self._about, durable=False)
            for segment in self._manifest.segments:
                for changes in decode_segment(self._get(segment)):
                    database.apply(changes)
        except (ValueError, zlib.error):
            return self._begin_anew("it is damaged or cut off")
        except Unreadable as error:
            return self._begin_anew(error.why)
        return database

    def _begin_anew(self, why: str) -> Database:
        if self._spare:
            self._write(replace(self._manifest, holder="", since=""))
            raise Spared("the store", why)
        aside = f"{self._folder}/manifest-set-aside-{self._token}"
        self._objects.put(aside, self._manifest.encode())
        anew = replace(self._anew(), term=self._manifest.term, beat=self._manifest.beat)
        self._write(replace(anew, holder=self._manifest.holder, since=self._manifest.since))
        self.lost = unusable("the store", why, f"'{aside}'")
        self.new = True
        return Database(self._scratch / "anew.db", self._about, durable=False)

    def _get(self, part: Piece) -> bytes:
        found = self._objects.find(part.name)
        if found is None:
            raise Unreadable("a part of it is missing")
        if not part.fits(found[0]):
            raise Unreadable("it is damaged or cut off")
        return found[0]

    def _sweep(self) -> None:
        """Delete what former holders stored and no manifest names: of earlier terms only, whatever became of us."""
        folder = f"{self._folder}/{self._manifest.lineage}"
        ours = {part.name for part in (*self._manifest.base, *self._manifest.segments)}
        before = f"{folder}/{self._manifest.term:08d}-"
        for name in self._objects.names(folder):
            if name not in ours and name < before:
                self._objects.delete(name)

    def _merge(self) -> None:
        if not (tail := self._manifest.mergeable()):
            return
        data = merge(self._get(segment) for segment in tail)
        merged = piece(self._new_name(""), data, sum(s.rows for s in tail), tail[0].level + 1)
        self._objects.put(merged.name, data)
        self._write(replace(self._manifest, segments=(*self._manifest.segments[: -len(tail)], merged)))
        self._delete(tail)

    def _write_base(self) -> None:
        before = self._manifest
        rows = self.database.size_of_all()
        parts = tuple(self._base_parts())
        self._write(replace(self._manifest, base=parts, base_rows=rows, segments=()))
        self._delete((*before.base, *before.segments))

    def _base_parts(self) -> Iterator[Piece]:
        copy = self._scratch / "base.db"
        copy.unlink(missing_ok=True)
        self.database.copy_to(copy)
        with copy.open("rb") as file:
            while block := file.read(_PART_BYTES):
                data = zlib.compress(block, 1)
                part = piece(self._new_name("base-"), data)
                self._objects.put(part.name, data)
                yield part
        copy.unlink()

    def _delete(self, parts: tuple[Piece, ...]) -> None:
        for part in parts:
            self._objects.delete(part.name)
