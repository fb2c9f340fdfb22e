"""The dead letter store: rows gather while an upload runs, and are stored together (group commit)."""

from __future__ import annotations

import gzip
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from destination_cleverpush.dead_letter.rows import encode, folder, part_name
from destination_cleverpush.errors import Failure
from destination_cleverpush.storage.group_commit import GroupCommit
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
        self._roll_bytes = roll_bytes
        self._started = datetime.now(timezone.utc)
        self._parts: dict[StreamId, _Part] = {}
        self._waiting: GroupCommit[tuple[Job, RejectedRow]] = GroupCommit(
            NAME,
            self._store,
            on_failure,
            flush_seconds=flush_interval_seconds,
            most=_ROWS_PER_FLUSH,
            late=f"{NAME} did not take the last rejected rows in time.",
            thread="dead-letter-store",
        )
        self.close = self._waiting.close
        self.hurry = self._waiting.hurry

    def keep(self, outcomes: Sequence[tuple[Job, RejectedRow | None]]) -> list[Job]:
        """Take the rejected rows, to be stored soon; never waits for the store. Returns the jobs that wait for them.

        Jobs whose rows come after a failure or :meth:`close` are never told as kept. Memory is the caller's to bound:
        rows that were not told as kept yet are held.
        """
        rows = [(job, rejected) for job, rejected in outcomes if rejected is not None]
        self._waiting.take(rows)
        return [job for job, _ in rows]

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
