"""What one commit changes in the memory, and the same as bytes: a segment.

A segment is a sequence of frames, each a kind, two numbers, a length and a payload; one segment after another is a
segment too. Segments are read in the order in which they were written, and may be read twice.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from destination_cleverpush.tracking.entries import Entry, as_bytes, as_text

Key: TypeAlias = tuple[int, bytes, bytes]
"""Population, id, tag: the order in which the database keeps entries."""

CHUNK_BYTES = 4096
"""Marks are stored in pieces of so many bytes, eight slots a byte."""

_HEAD = struct.Struct(">cIII")
_ENTRIES, _ABOUT, _MARKS, _CLEARED, _DROPPED = b"E", b"A", b"M", b"C", b"D"


@dataclass
class Changes:
    """What is to become durable at once; carried out in the order of the fields.

    Attributes:
        dropped: populations that are forgotten with all that belongs to them.
        cleared: populations whose marks are wiped, since a pass begins.
        about: what is known of a population, as JSON text.
        entries: None: the entry is forgotten.
        marks: by population and number of the chunk.
    """

    dropped: set[int] = field(default_factory=set)
    cleared: set[int] = field(default_factory=set)
    about: dict[int, str] = field(default_factory=dict)
    entries: dict[Key, Entry | None] = field(default_factory=dict)
    marks: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.dropped or self.cleared or self.about or self.entries or self.marks)


def encode(changes: Changes) -> bytes:
    """The changes as a segment."""
    frames = [_frame(_DROPPED, number) for number in changes.dropped]
    frames += [_frame(_CLEARED, number) for number in changes.cleared]
    frames += [_frame(_ABOUT, number, payload=text.encode()) for number, text in changes.about.items()]
    if changes.entries:
        rows = [_row(key, entry) for key, entry in sorted(changes.entries.items())]
        frames.append(_frame(_ENTRIES, payload=json.dumps(rows, separators=(",", ":")).encode("ascii")))
    frames += [_frame(_MARKS, number, chunk, marks) for (number, chunk), marks in changes.marks.items()]
    return b"".join(frames)


def decode(segment: bytes) -> Iterator[Changes]:
    """The changes in a segment, one frame at a time.

    Raises:
        ValueError: it is damaged or cut off.
    """
    try:
        for kind, first, second, packed in _frames(segment):
            payload = zlib.decompress(packed) if packed else b""
            changes = Changes()
            if kind == _ENTRIES:
                changes.entries = dict(map(_parse, json.loads(payload)))
            elif kind == _ABOUT:
                changes.about[first] = payload.decode()
            elif kind == _MARKS:
                changes.marks[first, second] = payload
            elif kind == _CLEARED:
                changes.cleared.add(first)
            elif kind == _DROPPED:
                changes.dropped.add(first)
            else:
                raise ValueError("unknown frame")
            yield changes
    except (struct.error, zlib.error, TypeError, KeyError, IndexError) as error:
        raise ValueError("unreadable segment") from error


def merge(segments: Iterable[bytes]) -> bytes:
    """Segments as one; of what is stored whole each time only the newest is kept.

    Raises:
        ValueError: one of them is damaged or cut off.
    """
    frames = [frame for segment in segments for frame in _frames(segment)]
    newest = {frame[:3]: number for number, frame in enumerate(frames)}
    return b"".join(
        _HEAD.pack(kind, first, second, len(packed)) + packed
        for number, (kind, first, second, packed) in enumerate(frames)
        if kind not in (_MARKS, _ABOUT) or newest[kind, first, second] == number
    )


def _frame(kind: bytes, first: int = 0, second: int = 0, payload: bytes = b"") -> bytes:
    packed = zlib.compress(payload, 1) if payload else b""
    return _HEAD.pack(kind, first, second, len(packed)) + packed


def _frames(segment: bytes) -> Iterator[tuple[bytes, int, int, bytes]]:
    at = 0
    while at < len(segment):
        if at + _HEAD.size > len(segment):
            raise ValueError("cut off")
        kind, first, second, length = _HEAD.unpack_from(segment, at)
        at += _HEAD.size + length
        if at > len(segment):
            raise ValueError("cut off")
        yield kind, first, second, segment[at - length : at]


_Row: TypeAlias = "list[int | str | None]"


def _row(key: Key, entry: Entry | None) -> _Row:
    population, id_, tag = key
    place: _Row = [population, as_text(id_), as_text(tag)]
    if entry is None:
        return place
    standing, fingerprint, day, sync, native, names, slot = entry
    return [*place, int(standing), fingerprint.hex(), day, sync, native, names.hex(), slot]


def _parse(row: list[int | str | None]) -> tuple[Key, Entry | None]:
    population, id_, tag, *rest = row
    assert isinstance(population, int)
    key = population, as_bytes(str(id_)), as_bytes(str(tag))
    if not rest:
        return key, None
    standing, fingerprint, day, sync, native, names, slot = rest
    assert isinstance(standing, int)
    assert isinstance(day, int)
    assert isinstance(slot, int)
    assert sync is None or isinstance(sync, int)
    assert native is None or isinstance(native, str)
    return key, Entry(standing, bytes.fromhex(str(fingerprint)), day, sync, native, bytes.fromhex(str(names)), slot)
