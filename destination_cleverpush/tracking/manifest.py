"""The one object that says which others make up a memory in a cloud store, and who holds it. Values only.

It is written only on condition that it is as it was read, so that whoever has lost the memory to another sync cannot
write it any more: what it still stores under other names belongs to nothing.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, replace

from destination_cleverpush.tracking.database import FORMAT, Unreadable

MERGED_AT_ONCE = 16
"""So many segments of one level become one of the next."""
LARGEST_MERGED_BYTES = 16 << 20
"""Segments that would become larger together stay as they are."""
REWRITTEN_SHARE = 0.2
"""The base is written anew where the segments hold more than this share of its rows."""
REWRITTEN_ROWS = 10_000
"""Fewer rows in segments are never worth a new base."""


@dataclass(frozen=True)
class Piece:
    """An object of the memory: a part of the base, or a segment.

    Attributes:
        rows: entries that a segment changes.
        level: 0 for a segment as it was written, one more each time that it was merged.
    """

    name: str
    size: int
    crc32: int
    rows: int = 0
    level: int = 0

    def fits(self, data: bytes) -> bool:
        """Whether these are the object's bytes."""
        return len(data) == self.size and zlib.crc32(data) == self.crc32


def piece(name: str, data: bytes, rows: int = 0, level: int = 0) -> Piece:
    """The object that the bytes are to become."""
    return Piece(name, len(data), zlib.crc32(data), rows, level)


@dataclass(frozen=True)
class Manifest:
    """What makes up a memory.

    Attributes:
        name, channel: whose.
        lineage: folder of its objects: a memory that begins anew has another one.
        term: one more with each holder; the names of what a holder stores begin with it.
        beat: one more with each writing.
        holder: a token of who holds it, empty where nobody does.
        since: since when, for people.
        base: parts of a compressed database, in order.
        base_rows: entries in it.
        segments: changes since, in order.
    """

    name: str
    channel: str
    lineage: str
    term: int = 0
    beat: int = 0
    holder: str = ""
    since: str = ""
    base: tuple[Piece, ...] = ()
    base_rows: int = 0
    segments: tuple[Piece, ...] = ()

    @property
    def segment_rows(self) -> int:
        """Entries that the segments change."""
        return sum(segment.rows for segment in self.segments)

    @property
    def size(self) -> int:
        """Bytes that are stored."""
        return sum(found.size for found in (*self.base, *self.segments))

    @property
    def wants_new_base(self) -> bool:
        """Whether reading it would take much longer than reading a new base."""
        return self.segment_rows > max(REWRITTEN_ROWS, REWRITTEN_SHARE * self.base_rows)

    def beaten(self) -> Manifest:
        """As it is to be written next."""
        return replace(self, beat=self.beat + 1)

    def mergeable(self) -> tuple[Piece, ...]:
        """The newest segments that are to become one, none where it is too early."""
        level = self.segments[-1].level if self.segments else 0
        tail = self.segments[-MERGED_AT_ONCE:]
        alike = len(tail) == MERGED_AT_ONCE and all(segment.level == level for segment in tail)
        return tail if alike and sum(segment.size for segment in tail) <= LARGEST_MERGED_BYTES else ()

    def encode(self) -> bytes:
        """As JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()


def decode(text: bytes, wanted: dict[str, str]) -> Manifest:
    """The reverse of :meth:`Manifest.encode`.

    Raises:
        Unreadable: damaged, of a newer version, or not of the wanted name and channel.
    """
    try:
        found = json.loads(text)
        version = int(found.pop("format"))
        if version > FORMAT:
            raise Unreadable(f"a newer version of the connector wrote it (format {version}, this one knows {FORMAT})")
        found["base"] = tuple(Piece(**part) for part in found["base"])
        found["segments"] = tuple(Piece(**part) for part in found["segments"])
        manifest = Manifest(**found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable("it is damaged or cut off") from error
    if {"name": manifest.name, "channel": manifest.channel} != wanted:
        raise Unreadable("it belongs to another channel, or to another name of change tracking")
    return manifest
