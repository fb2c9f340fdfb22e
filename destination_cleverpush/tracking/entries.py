"""What is remembered of a member: values, and the record of one member that jobs on their way share."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

NO_TAG = ""
"""In place of the tag for objects without pairs."""


class Standing(IntEnum):
    """How a member (or pair) stands."""

    TAKEN = 0  # CleverPush took it
    DOUBT = 1  # a call for it was begun, and nobody knows what became of it
    REMOVED = 2  # its row says that it is removed, and it was
    OWED = 3  # its stream has it no more, and it is to be removed from CleverPush
    NAMED = 4  # its row was rejected, so that CleverPush never took it; but its stream has it


TAKEN, OWED = Standing.TAKEN, Standing.OWED
"""For what is done for every row: a look into the class costs as much as a small function (Python before 3.12)."""


class Entry(NamedTuple):
    """A member of a stream, or a pair of a member and a tag.

    Attributes:
        standing: a :class:`Standing`.
        fingerprint: of what the row said, as CleverPush took it last; made by the caller, of one size.
        day: when that was sent, in days since 1970-01-01 (UTC).
        sync: the sync id with which it was sent.
        native_text: CleverPush's own ids of it as they are stored, see :attr:`native`.
        names: which attributes were sent, as bits (see :meth:`.memory.Memory.name_bits`).
        slot: its place in the marks of a pass, -1 in what was not stored before.
    """

    standing: int
    fingerprint: bytes = b""
    day: int = 0
    sync: int | None = None
    native_text: str | None = None
    names: bytes = b""
    slot: int = -1

    @property
    def native(self) -> tuple[str, ...]:
        """CleverPush's own ids of it, where they are known and are not the member's id itself."""
        return native_ids(self.native_text)


MEMBERS = (Standing.TAKEN, Standing.DOUBT)
"""What CleverPush has, as far as anybody knows."""

HOLDING = (*MEMBERS, Standing.NAMED)
"""What a stream has: where one of the streams does, it stays in CleverPush."""


class Member:
    """What one stream remembers of one member.

    All jobs of it that are on their way share it, so that each finds what CleverPush took last. Its methods are quick,
    do no I/O and may be called under any lock, by one thread at a time for one member (its lane sees to that).

    Attributes:
        population: whose member.
        id: the member's own id, as mapped.
        pairs: by tag; under :data:`NO_TAG` for objects without tags.
        expected: jobs on their way that were noted as ones that may call (the memory's own).
        dirty: tags whose entry is not stored as it is, None: no one (the memory's own).
        slots: by tag, of what was stored since (the memory's own).
        sent: attributes that rows on their way send, as bits.
    """

    __slots__ = ("__weakref__", "dirty", "expected", "id", "pairs", "population", "sent", "slots")

    def __init__(self, population: int, id: str) -> None:  # noqa: A002
        self.population = population
        self.id = id
        self.pairs: dict[str, Entry] = {}
        self.expected = 0
        self.dirty: set[str] | None = None
        self.slots: dict[str, int] | None = None
        self.sent = b""

    @property
    def entry(self) -> Entry | None:
        """The entry of an object without tags."""
        return self.pairs.get(NO_TAG)

    def is_unchanged(self, fingerprint: bytes, today: int, resend_after_days: int = 0, tag: str = NO_TAG) -> bool:
        """Whether CleverPush took the very same last, and not too long ago."""
        entry = self.pairs.get(tag)
        return (
            entry is not None
            and entry.standing == TAKEN
            and entry.fingerprint == fingerprint
            and not (resend_after_days and is_due(self.id, entry.day, today, resend_after_days))
        )

    def is_removed(self, tag: str = NO_TAG) -> bool:
        """Whether it was removed because its row said so, and nothing was sent since."""
        entry = self.pairs.get(tag)
        return entry is not None and entry.standing == Standing.REMOVED

    def begin(
        self, tags: Iterable[str] = (NO_TAG,), native: str | None = None, names: bytes = b""
    ) -> dict[str, Entry | None]:
        """A call begins: until its end is told, it is in doubt. Returns what was, for :meth:`restore`.

        Args:
            native: CleverPush's id that the row names: it is the member's too from now on, whatever the call's end.
            names: the attributes that are sent, as bits: while it is in doubt, it may have them.
        """
        before: dict[str, Entry | None] = {}
        for tag in tags:
            entry = before[tag] = self.pairs.get(tag)
            begun = in_doubt(entry, names)
            if native is not None and native != self.id and native not in begun.native:
                begun = begun._replace(native_text=native_text((*begun.native, native)))
            self._set(tag, begun)
        return before

    def may_have(self, names: bytes) -> None:
        """Attributes that a row on its way sends: while one is, the stored entry has them; the reader's."""
        self.sent = joined(self.sent, names)

    def took(
        self,
        fingerprint: bytes,
        day: int,
        sync: int | None,
        *,
        native: tuple[str, ...] = (),
        names: bytes = b"",
        tag: str = NO_TAG,
    ) -> None:
        """CleverPush took it. `native` replaces what was known; pass what was known where the answer told nothing."""
        slot = self.pairs.get(tag, _NEW).slot
        self._set(tag, Entry(Standing.TAKEN, fingerprint, day, sync, native_text(native), names, slot))

    def removed(self, day: int, sync: int | None, tag: str = NO_TAG) -> None:
        """It was removed because its row says so, and that is to be remembered while the row stays."""
        entry = self.pairs.get(tag, _NEW)
        self._set(tag, Entry(Standing.REMOVED, b"", day, sync, entry.native_text, b"", entry.slot))

    def owe(self, tag: str = NO_TAG) -> None:
        """Its row says that it is removed, and that cannot be done yet: another stream has it, or no id is known."""
        self._set(tag, self.pairs.get(tag, _NEW)._replace(standing=Standing.OWED))

    def forget(self, tag: str = NO_TAG) -> None:
        """Nothing is to be remembered of it, such as of a tag that was removed since its row does not list it."""
        self.pairs.pop(tag, None)
        self.touch((tag,))

    def restore(self, before: Mapping[str, Entry | None], *, put: bool = False) -> None:
        """The calls were refused for good, so that all is as it was: what :meth:`begin` returned, or a part of it.

        But what was owed is in doubt only: the row takes it off the list. (A removal that was refused is to be owed.)
        So is what the row names by another of CleverPush's ids. And that the stream names what was not known is
        remembered, with that id, so that no other stream's or member's absence removes it.

        Args:
            put: the row is not marked: what was removed is named, too.
        """
        for tag, entry in before.items():
            now = self.pairs.get(tag, _NEW)
            if entry is None:
                self._set(tag, Entry(Standing.NAMED, native_text=now.native_text))
            elif entry.standing == Standing.NAMED or (put and entry.standing == Standing.REMOVED):
                self._set(tag, now._replace(standing=Standing.NAMED))
            elif entry.standing != Standing.OWED and now.native == entry.native:
                self._set(tag, entry)

    def refused(self, tags: Iterable[str] = (NO_TAG,)) -> None:
        """Its row was rejected before any call."""
        before = {tag: self.pairs.get(tag) for tag in tags}
        self.restore({tag: entry for tag, entry in before.items() if entry is None or self.is_removed(tag)}, put=True)

    def slot(self, tag: str) -> int:
        """The entry's place in the marks, -1 where nothing is stored."""
        entry = self.pairs.get(tag)
        if entry is not None and entry.slot >= 0:
            return entry.slot
        return self.slots.get(tag, -1) if self.slots else -1

    def touch(self, tags: Iterable[str]) -> None:
        """Have the entries stored."""
        if self.dirty is None:
            self.dirty = set()
        self.dirty.update(tags)

    def _set(self, tag: str, entry: Entry) -> None:
        self.pairs[tag] = entry
        self.touch((tag,))


_NEW = Entry(Standing.DOUBT)


def in_doubt(entry: Entry | None, names: bytes = b"") -> Entry:
    """An entry, None for a new one, of which a call is about to be made that sends these attributes."""
    entry = entry or _NEW
    return entry._replace(standing=Standing.DOUBT, names=joined(entry.names, names) if names else entry.names)


def joined(one: bytes, other: bytes) -> bytes:
    """Two sets of bits together."""
    if not (one and other):
        return one or other
    bits = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def is_due(id: str, sent: int, today: int, days: int) -> bool:  # noqa: A002
    """Whether what was sent on the day `sent` is to be sent again: between half of `days` and all of them later.

    Where in between hangs on the id alone, so that what was sent on one day comes again spread over many.
    """
    age = today - sent
    half = days // 2
    return age >= days or (age >= days - half and age >= days - zlib.crc32(as_bytes(id)) % (half + 1))


def as_bytes(text: str) -> bytes:
    """An id or tag as it is stored; half characters, which JSON can write, included."""
    return text.encode("utf-8", "surrogatepass")


def as_text(stored: bytes) -> str:
    """The reverse of :func:`as_bytes`."""
    return stored.decode("utf-8", "surrogatepass")


def native_text(native: tuple[str, ...]) -> str | None:
    """CleverPush's ids in one column: the only one as it is, where that can be told from a list of them."""
    if not native:
        return None
    if len(native) == 1 and native[0] and native[0][0] != "[" and native[0].isascii() and native[0].isprintable():
        return native[0]
    return json.dumps(native)


def native_ids(stored: str | None) -> tuple[str, ...]:
    """The reverse of :func:`native_text`."""
    if stored is None:
        return ()
    return tuple(json.loads(stored)) if stored[0] == "[" else (stored,)
