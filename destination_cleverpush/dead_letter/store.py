"""The dead letter store: rows gather while an upload runs, and are stored together (group commit)."""

from __future__ import annotations

import gzip
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from destination_cleverpush.dead_letter.rows import encode, folder, part_name
from destination_cleverpush.errors import Failure, system_error, transient_error
from destination_cleverpush.storage.local import ephemeral_warning
from destination_cleverpush.storage.objects import CHECK_PATIENCE, SYNC_PATIENCE, Objects, open_objects
from destination_cleverpush.storage.settings import GcsSettings, LocalSettings, S3Settings, Settings
from destination_cleverpush.words import Job, RejectedRow, StreamId

NAME = "The dead letter store"
"""As messages call it."""

_LOGGER = logging.getLogger("airbyte")
_ROWS_PER_FLUSH = 5_000


@dataclass
class _Part:
    """The object that a stream's rows go to now: gzip members, one after the other, are one gzip file (RFC 1952)."""

    folder: str
    token: str
    number: int = 1
    content: bytearray = field(default_factory=bytearray)


class DeadLetterStore:
    """Keeps rejected rows in one object per stream, rolled by size.

    A thread of its own takes the rows that have gathered, appends them to their stream's object, and writes the whole
    object again: a crash leaves the last complete version. A flush begins `flush_interval_seconds` after the first row
    waiting for it, or when many rows wait.

    Args:
        settings: where to.
        sync_label: names the sync's folder, see :func:`.rows.sync_label`.
        on_kept: called from the store's thread once rows are durable: one call for the jobs of each stream in a flush.
        on_failure: called once, from the store's thread, when the store cannot be written; no row is stored afterwards.
        flush_interval_seconds: how long a row waits for company.
        roll_bytes: compressed bytes after which a stream's next object begins. Per stream, the store holds at most
            this and the rows of one flush in memory.
        patience: how long a request to a cloud store may be tried again.

    Raises:
        Failure: `config_error` where the settings cannot work. Nothing is written yet.
    """

    def __init__(
        self,
        settings: Settings,
        sync_label: str,
        on_kept: Callable[[list[Job]], None],
        on_failure: Callable[[Failure], None],
        *,
        flush_interval_seconds: float = 2.0,
        roll_bytes: int = 8 * 1024 * 1024,
        patience: timedelta = SYNC_PATIENCE,
    ) -> None:
        self._objects = _opened(settings, patience)
        self._label = sync_label
        self._on_kept = on_kept
        self._on_failure = on_failure
        self._flush_interval = flush_interval_seconds
        self._roll_bytes = roll_bytes
        self._started = datetime.now(timezone.utc)
        self._parts: dict[StreamId, _Part] = {}
        self._changed = threading.Condition()
        self._pending: list[tuple[Job, RejectedRow]] = []
        self._closing = False
        self._failure: Failure | None = None
        self._deadline = float("inf")
        self._ended = True  # the thread, or it has not begun

    def keep(self, outcomes: Sequence[tuple[Job, RejectedRow | None]]) -> list[Job]:
        """Take the rejected rows, to be stored soon; never waits for the store. Returns the jobs that wait for them.

        Jobs whose rows come after a failure or :meth:`close` are never told as kept. Memory is the caller's to bound:
        rows that were not told as kept yet are held.
        """
        rows = [(job, rejected) for job, rejected in outcomes if rejected is not None]
        jobs = [job for job, _ in rows]
        with self._changed:
            if not rows or self._closing or self._failure is not None:
                return jobs
            if self._ended:
                self._ended = False
                threading.Thread(target=self._run, name="dead-letter-store", daemon=True).start()
            before = len(self._pending)
            self._pending += rows
            if not before or before < _ROWS_PER_FLUSH <= len(self._pending):
                self._changed.notify_all()
        return jobs

    def close(self) -> None:
        """Store what waits, and tell of it. Rows that come later are not taken.

        It waits until the store's own retries have ended (some minutes), but for :meth:`hurry`.

        Raises:
            Failure: the store's; `transient_error` when the time is up.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while not self._ended:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise transient_error("The dead letter store did not take the last rejected rows in time.")
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        if self._failure is not None:
            raise self._failure

    def hurry(self, seconds: float) -> None:
        """Have :meth:`close`, now or later, wait for so many seconds from now at most; from any thread."""
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while batch := self._gather():
                self._store(batch)
        except Failure as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 (nobody waits for this thread: it must tell of any failure)
            self._fail(
                system_error(
                    "The dead letter store failed for a reason that the connector does not know.",
                    f"Dead letter store: {type(error).__name__}",
                )
            )
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _fail(self, error: Failure) -> None:
        with self._changed:
            self._failure = error
            self._pending = []
        self._on_failure(error)

    def _gather(self) -> list[tuple[Job, RejectedRow]]:
        """The rows of the next flush; none when the store is closing and all are stored."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            self._changed.wait_for(
                lambda: self._closing or len(self._pending) >= _ROWS_PER_FLUSH, timeout=self._flush_interval
            )
            batch, self._pending = self._pending, []
            return batch

    def _store(self, batch: list[tuple[Job, RejectedRow]]) -> None:
        streams: dict[StreamId, list[tuple[Job, RejectedRow]]] = {}
        for job, row in batch:
            streams.setdefault(row.stream, []).append((job, row))
        for stream, rows in streams.items():
            self._write(stream, (encode(row) for _, row in rows))
            self._on_kept([job for job, _ in rows])

    def _write(self, stream: StreamId, lines: Iterator[bytes]) -> None:
        if stream not in self._parts:
            # The token also keeps folders apart that a file system takes for one (upper and lower case).
            self._parts[stream] = _Part(folder(stream, self._label), secrets.token_hex(4))
        part = self._parts[stream]
        for text in _slices(lines, self._roll_bytes):
            if len(part.content) >= self._roll_bytes:
                self._put(part)
                part.number += 1
                part.content.clear()
            part.content += gzip.compress(text, mtime=0)
        self._put(part)

    def _put(self, part: _Part) -> None:
        name = part_name(part.folder, self._started, part.token, part.number)
        self._objects.put(name, bytes(part.content))


def told_place(settings: Settings) -> str:
    """Where rejected rows are kept, for the log."""
    if isinstance(settings, LocalSettings):
        return settings.destination_path
    if isinstance(settings, S3Settings):
        root = f"s3://{settings.s3_bucket_name}"
    elif isinstance(settings, GcsSettings):
        root = f"gs://{settings.gcs_bucket_name}"
    else:
        root = f"the container {settings.azure_blob_storage_container_name} of "
        root += settings.azure_blob_storage_account_name
    return f"{root}/{settings.bucket_path.strip('/')}".rstrip("/")


def probe(settings: Settings, patience: timedelta = CHECK_PATIENCE) -> None:
    """Write an object and delete it again.

    The store itself never deletes, so writing is enough: an object that cannot be deleted stays, and the log tells.

    Raises:
        Failure: `config_error` or `transient_error`, saying what to do.
    """
    objects = _opened(settings, patience)
    name = f"connection-check-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.txt"
    objects.put(name, b"Written by the connection check of destination-cleverpush; safe to delete.\n")
    try:
        objects.delete(name)
    except Failure:
        _LOGGER.warning(
            "The dead letter store can be written, but the check could not delete its object '%s' again. It can be "
            "deleted by hand; the store itself needs no right to delete.",
            name,
        )


def _opened(settings: Settings, patience: timedelta) -> Objects:
    """The store's objects, to be written; the log tells where they will not last."""
    if isinstance(settings, LocalSettings) and (warning := ephemeral_warning(settings.destination_path, NAME)):
        _LOGGER.warning(warning)
    return open_objects(settings, NAME, patience)


def _slices(lines: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The lines joined into texts of about `size` bytes."""
    gathered: list[bytes] = []
    total = 0
    for line in lines:
        gathered.append(line)
        total += len(line)
        if total >= size:
            yield b"".join(gathered)
            gathered, total = [], 0
    if gathered:
        yield b"".join(gathered)
