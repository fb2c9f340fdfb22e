"""The memory of one sync: what CleverPush took last, which rows a pass has seen, and who is to be removed.

How it meets the pipe (nothing here is called under delivery's lock but the methods of :class:`.entries.Member`):

```
reader      open_stream once a stream; meet() a batch of rows ─► members; note_in_doubt() those that may call
its turn    member.is_unchanged(...)? no call : member.begin() ─ call ─ member.took() / removed() / restore()
settlement  settle() ─► commit(): durable, by the keeper (committer.py) ─► the state may leave
the end     absent(), decide(...), let_go(), owed() ─ calls ─ gone(), end_pass()
```

Everything is durable in the order in which it is told: a commit holds all that was met and settled before it began.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple
from weakref import ref

from destination_cleverpush.errors import Failure, system_error
from destination_cleverpush.tracking.changes import CHUNK_BYTES, Changes, Key
from destination_cleverpush.tracking.entries import (
    HOLDING,
    MEMBERS,
    NO_TAG,
    OWED,
    Entry,
    Member,
    Standing,
    as_bytes,
    as_text,
    in_doubt,
)
from destination_cleverpush.tracking.passes import Pass, is_continued, next_pass
from destination_cleverpush.tracking.place import Place
from destination_cleverpush.words import Stream, StreamId

_ABSENT_STANDINGS = (*MEMBERS, Standing.REMOVED, Standing.NAMED)
_NATIVES_AT_ONCE = 50_000
_SWEPT_FROM = 50_000
"""Members on their way are found again by id; who is not any more is swept out from so many on."""


@dataclass(frozen=True)
class About:
    """What is known of a population: the members of one stream, as one mapping names them.

    Attributes:
        object_name: of CleverPush, such as `tags`.
        kind: which kind of id the members have; only members of one kind can be the same in two streams.
        signature: of the mapping of the id and its kind; another one makes another population.
        set_aside: another population of the stream took its place; nothing of it is removed.
        next_slot: for the next entry.
        names: of attributes, in the order of the bits in entries.
        last: the stream's last pass.
        day: when something of it was stored last, in days since 1970-01-01.
        sync: the sync id that it was stored with.
    """

    object_name: str
    stream: StreamId
    kind: str
    signature: str
    set_aside: bool = False
    next_slot: int = 0
    names: tuple[str, ...] = ()
    last: Pass | None = None
    day: int = 0
    sync: int | None = None

    def encode(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), separators=(",", ":"))


def decode_about(text: str) -> About:
    """The reverse of :meth:`About.encode`."""
    found = json.loads(text)
    found["stream"] = StreamId(*found["stream"])
    found["names"] = tuple(found["names"])
    found["last"] = None if found["last"] is None else Pass(**found["last"])
    return About(**found)


@dataclass(eq=False)
class _Population:
    """An open one, with the marks of its pass."""

    number: int
    about: About
    marking: bool
    reading: Pass
    next_slot: int
    bits: bytearray = field(default_factory=bytearray)
    marked: set[int] = field(default_factory=set)
    touched: bool = False  # something of this pass is to be stored
    cleared: bool = False  # the marks of the pass before are still stored
    read: int = 0
    members: dict[str, ref[Member]] = field(default_factory=dict)  # those on their way, and some that were
    swept_from: int = _SWEPT_FROM
    instead_of: int | None = None  # the population that is to be set aside

    def mark(self, slots: Iterable[int]) -> None:
        """The entries with the slots were seen; -1 is none's."""
        bits, marked = self.bits, self.marked
        for slot in slots:
            byte, bit = slot >> 3, 1 << (slot & 7)
            if byte >= len(bits):
                bits.extend(bytes((byte // CHUNK_BYTES + 1) * CHUNK_BYTES - len(bits)))
            if byte >= 0 and not bits[byte] & bit:
                bits[byte] |= bit
                marked.add(byte // CHUNK_BYTES)

    def member(self, id: str) -> Member | None:  # noqa: A002
        """The member, if it is on its way."""
        found = self.members.get(id)
        return found() if found is not None else None

    def has_seen(self, slot: int) -> bool:
        """Whether the entry with the slot was seen."""
        byte = slot >> 3
        return byte < len(self.bits) and bool(self.bits[byte] & (1 << (slot & 7)))


class Removal(NamedTuple):
    """A member (for tags: a pair) that is to be removed from CleverPush, since no stream has it any more.

    Attributes:
        stream: one of those that had it.
        id: the member's own id.
        tag: the tag of a pair, :data:`.entries.NO_TAG` for other objects.
        native: CleverPush's ids, as far as they are known and no other member has them; empty: the id itself, or to be
            looked up, as the kind says.
        shared: CleverPush's ids that another member has by now: nothing is to be done to them.
    """

    stream: StreamId
    id: str
    tag: str
    native: tuple[str, ...]
    shared: tuple[str, ...] = ()


class Memory:
    """What is remembered, open for one sync. Thread-safe.

    Args:
        place: see :class:`.local.LocalPlace` and :class:`.remote.RemotePlace`; closed by :meth:`close`, and where this
            fails.
        today: days since 1970-01-01, in UTC.
        sync: the sync id of the catalog.
    """

    def __init__(self, place: Place, today: int = 0, sync: int | None = None) -> None:
        self._place = place
        self._database = place.database
        self._today = today
        self._sync = sync
        self._lock = place.database.lock
        self._committing = threading.Lock()
        self._failure: Failure | None = None
        try:
            self._known = {number: decode_about(text) for number, text in self._database.populations()}
        except BaseException:
            place.close()
            raise
        self._open: dict[StreamId, _Population] = {}
        self._by_number: dict[int, _Population] = {}
        self._unsaved: dict[int, Member] = {}  # by identity: keeps them alive until they are stored
        self._others: dict[Key, Entry | None] = {}  # changes of entries that are no member's on its way

    # --- the streams

    @property
    def lost(self) -> str:
        """Why what was stored before cannot be used, a sentence; empty where all is well."""
        return self._place.lost

    @property
    def new(self) -> bool:
        """Whether nothing was known at the start of this sync."""
        return self._place.new

    def open_stream(self, stream: Stream, object_name: str, kind: str, signature: str) -> list[str]:
        """Make a stream of the catalog known: each of them, before the first row. Returns sentences for the user.

        Nothing is stored yet: a stream of which no row comes leaves no trace.

        Args:
            kind: which kind of id the members have; see :class:`About`.
            signature: of the mapping of the id and its kind; another one than before makes another population.
        """
        notices: list[str] = []
        instead_of = None
        last_number, before = self._last_population(object_name, stream.id)
        if before is not None and (before.kind, before.signature) != (kind, signature):
            notices.append(
                f"Stream '{stream.id}': subscription_id is mapped in another way than before, or is another kind of "
                "ID. So its rows are new members. Those known so far are set aside: they stay in CleverPush, and "
                "nothing of them is removed by itself, until they are forgotten "
                "(destination-cleverpush tracking forget)."
            )
            before, instead_of = None, last_number
        if before is None:
            number = max(self._known, default=0) + 1
            about = About(object_name, stream.id, kind, signature)
            self._known[number] = about
        else:
            number, about = last_number, before
        marking = stream.sync_mode == "full_refresh"
        continued = is_continued(about.last, stream.generation_id, stream.sync_id)
        members = 0
        if not (marking and continued) and before is not None:
            counts = self._database.count(number)
            members = sum(counts.get(standing, 0) for standing in MEMBERS)
        # A stream that is not read whole has no passes; what each sync removes is judged by itself.
        reading = next_pass(about.last if marking else None, stream.generation_id, stream.sync_id, members)
        population = _Population(
            number, about, marking, reading, about.next_slot, cleared=marking and not continued, instead_of=instead_of
        )
        if marking and continued:
            for chunk, bits in self._database.marks(number):
                end = (chunk + 1) * CHUNK_BYTES
                if len(population.bits) < end:
                    population.bits.extend(bytes(end - len(population.bits)))
                population.bits[end - CHUNK_BYTES : end] = bits
        self._open[stream.id] = population
        self._by_number[number] = population
        return notices

    def left_out(self) -> list[StreamId]:
        """Streams that are known and not open: not in this catalog any more. They keep what they have."""
        here = {*self._by_number, *(population.instead_of for population in self._open.values())}
        found = {
            known.stream: None for number, known in self._known.items() if not known.set_aside and number not in here
        }
        return list(found)

    def reading(self, stream: StreamId) -> Pass:
        """The stream's pass, with what was counted so far."""
        return self._open[stream].reading

    def read(self, stream: StreamId) -> int:
        """Rows of the stream that were met in this attempt."""
        return self._open[stream].read

    def mixed_kinds(self, stream: StreamId) -> bool:
        """Whether another stream of the catalog with the same object has another kind of id."""
        about = self._open[stream].about
        return any(
            other.about.object_name == about.object_name and other.about.kind != about.kind
            for other in self._open.values()
        )

    def _last_population(self, object_name: str, stream: StreamId) -> tuple[int, About | None]:
        for number, known in self._known.items():
            if not known.set_aside and known.stream == stream and known.object_name == object_name:
                return number, known
        return 0, None

    # --- rows

    def meet(
        self, stream: StreamId, rows: Sequence[tuple[str, Iterable[str] | None]], *, are_rows: bool = True
    ) -> list[Member]:
        """Look members up, in the order of the rows, and have the pass see them; some hundreds at once.

        A row that will be rejected, but for want of an id, is met too: with None for its tags.

        Args:
            rows: the member's id, and the tags that the row names; None: all that is known of the member is seen.
            are_rows: False where no row has the member's own id, but one may mean it: it is seen, and not counted.
        """
        population = self._open[stream]
        on_their_way = population.members
        met: list[Member] = []
        new: dict[str, Member] = {}
        with self._lock:
            self._raise_failure()
            for id_, _ in rows:
                found = on_their_way.get(id_)
                member = found() if found is not None else None
                if member is None and (member := new.get(id_)) is None:
                    member = new[id_] = Member(population.number, id_)
                met.append(member)
            owing = self._load(population, new) if new else False
            count = len(rows) if are_rows else 0
            population.read += count
            if population.marking and rows:
                population.reading = replace(population.reading, rows=population.reading.rows + count)
                population.touched = True
                population.mark(
                    [
                        member.slot(tag)
                        for member, (_, tags) in zip(met, rows, strict=True)
                        for tag in (tuple(member.pairs) if tags is None else tags)
                    ]
                )
            if owing:
                self._take_off(met, rows, new)
        return met

    def count(self, stream: StreamId, *, without_id: int = 0, removed: int = 0, lines_lost: int = 0) -> None:
        """Add to what the stream's pass counts; durable with the next commit, so before the state behind it leaves.

        Args:
            without_id: rows rejected for want of a usable id.
            removed: members that were removed since their row says so.
            lines_lost: lines that were passed over; they count for every stream of the catalog.
        """
        with self._lock:
            population = self._open[stream]
            reading = population.reading
            population.reading = replace(
                reading,
                without_id=reading.without_id + without_id,
                removed=reading.removed + removed,
                lines_lost=reading.lines_lost + lines_lost,
            )
            population.touched = population.marking or population.touched

    def name_bits(self, stream: StreamId, names: Iterable[str]) -> bytes:
        """The names of attributes as bits, for :attr:`.entries.Entry.names`."""
        with self._lock:
            population = self._open[stream]
            wanted, known = set(names), population.about.names
            if wanted - set(known):
                known = (*known, *sorted(wanted - set(known)))
                population.about = replace(population.about, names=known)
            bits = sum(1 << place for place, name in enumerate(known) if name in wanted)
            return bits.to_bytes((bits.bit_length() + 7) // 8, "little")

    def names(self, stream: StreamId, bits: bytes) -> list[str]:
        """The names of attributes that the bits stand for."""
        number = int.from_bytes(bits, "little")
        return [name for place, name in enumerate(self._open[stream].about.names) if number >> place & 1]

    def bits_without(self, stream: StreamId, bits: bytes, names: Collection[str]) -> bytes:
        """The bits without those that stand for these names."""
        number = int.from_bytes(bits, "little")
        for place, name in enumerate(self._open[stream].about.names):
            if name in names:
                number &= ~(1 << place)
        return number.to_bytes((number.bit_length() + 7) // 8, "little")

    def seen(self, stream: StreamId, member: Member, tags: Iterable[str]) -> set[str]:
        """Those of a member's tags that the pass has seen; none where the stream is not read whole."""
        population = self._open[stream]
        if not population.marking:
            return set()
        slots = {tag: member.slot(tag) for tag in tags}
        return {tag for tag, slot in slots.items() if slot < 0 or population.has_seen(slot)}

    def which_are_known(self, stream: StreamId, ids: Collection[str]) -> set[str]:
        """Those of the ids that are of members of the stream."""
        population = self._open[stream]
        with self._lock:
            on_their_way = {id_ for id_ in ids if (found := population.member(id_)) is not None and found.pairs}
            asked = [as_bytes(id_) for id_ in ids if id_ not in on_their_way]
            return on_their_way | {as_text(id_) for id_, _, _ in self._database.find(population.number, asked)}

    def ids_of(self, stream: StreamId, natives: Collection[str]) -> dict[str, str]:
        """The stored members of the stream that have these of CleverPush's ids, as far as there are any."""
        found = self._database.ids_of(self._open[stream].number, natives)
        return {native: as_text(id_) for native, id_ in found.items()}

    def held_elsewhere(self, rows: Iterable[tuple[Member, Iterable[str]]]) -> set[tuple[Member, str]]:
        """Those members (and tags) that another stream of the catalog has too.

        Where a row says that one of them is removed, no call is due, and :meth:`.entries.Member.owe` is to be told.
        """
        with self._lock:
            return {
                (member, as_text(tag))
                for other, member, tag, entry in self._elsewhere(rows)
                if other in self._by_number and entry.standing in HOLDING
            }

    def note_in_doubt(
        self,
        rows: Iterable[tuple[Member, Iterable[str]]],
        *,
        removing: bool = False,
        kept: Collection[tuple[Member, str]] = (),
    ) -> None:
        """Note that calls may be made for these members (for tags: these pairs); durable when it returns.

        One call for a whole batch, by the reader. Each row is to be told to :meth:`settle` in the end, whether a call
        was made for it or not; until then the members stay in doubt in what is stored.

        Args:
            rows: a member as often as rows of it may call; a row that is not unchanged, and every row of a member
                that is `expected` already.
            removing: the calls are to remove: then streams that are not in the catalog, and have the member too, will
                not take it for unchanged when they come back.
            kept: those among them that another stream of the catalog has: they are not removed.

        Raises:
            Failure: it could not be stored.
        """
        with self._lock:
            doubted = [(member, tuple(tags)) for member, tags in rows]
            for member, tags in doubted:
                member.expected += 1
                member.touch(tags)
                self._unsaved[id(member)] = member
            if removing:
                self._doubt_elsewhere([(m, [tag for tag in tags if (m, tag) not in kept]) for m, tags in doubted])
        if doubted:
            self.commit()

    def settle(self, rows: Iterable[tuple[Member, bool]]) -> None:
        """Rows have come to their end: what is known of them is stored with the next commit.

        Args:
            rows: the member, and whether the row was told to :meth:`note_in_doubt`.
        """
        with self._lock:
            for member, noted in rows:
                if noted:
                    member.expected -= 1
                if member.dirty:
                    self._unsaved[id(member)] = member

    def commit(self) -> None:
        """Make durable what was met, counted, noted and settled so far. By any thread; one at a time goes on.

        Raises:
            Failure: it may or may not be stored; nothing more is.
        """
        with self._committing:
            with self._lock:
                self._raise_failure()
                stored = list(self._unsaved.values())  # alive until what is stored can be read again
                changes = self._changes()
            try:
                if changes:
                    self._place.commit(changes)
            except BaseException as error:
                self._failure = error if isinstance(error, Failure) else system_error("Change tracking failed.")
                raise
            del stored

    # --- the end

    def absent(self, stream: StreamId) -> int:
        """How many members (tags: pairs) CleverPush has that the pass has not seen."""
        self.commit()
        population = self._open[stream]
        seen = population.has_seen
        slots = self._database.slots(population.number)
        return sum(standing in MEMBERS and not seen(slot) for slot, standing in slots)

    def let_go(self, stream: StreamId) -> int:
        """After the decision: the absent are owed from now on; returns how many. Others that left are forgotten."""
        population = self._open[stream]
        count = 0
        for page in self._database.pages(population.number, _ABSENT_STANDINGS):
            for key, entry in page:
                if not population.has_seen(entry.slot):
                    owed = entry.standing in MEMBERS
                    self._others[key] = entry._replace(standing=Standing.OWED) if owed else None
                    count += owed
            self.commit()
        return count

    def owed(self, streams: Collection[StreamId]) -> Iterator[list[Removal]]:
        """What is to be removed from CleverPush, in batches: these streams owe it, and none of the catalog has it.

        A removal that is not told to :meth:`gone` stays owed.

        Args:
            streams: those with a whole pass, after :meth:`let_go`.
        """
        chosen = sorted((self._open[stream].number, stream) for stream in streams)
        for number, stream in chosen:
            batch: list[tuple[Key, Entry]] = []
            for page in self._database.pages(number, (Standing.OWED,)):
                batch += self._unheld(number, page)
                if len(batch) >= _NATIVES_AT_ONCE:
                    yield from self._removals(stream, batch)
                    batch = []
            yield from self._removals(stream, batch)

    def gone(self, removals: Iterable[Removal]) -> None:
        """These were removed from CleverPush, or were not there: durable when it returns.

        What its row says that it is removed stays remembered so, so that it costs no call again.
        """
        with self._lock:
            wanted: dict[int, dict[bytes, set[bytes]]] = defaultdict(lambda: defaultdict(set))
            for removal in removals:
                for population in self._alike(self._open[removal.stream]):
                    wanted[population.number][as_bytes(removal.id)].add(as_bytes(removal.tag))
            for number, keys in wanted.items():
                has_seen = self._by_number[number].has_seen
                for id_, tag, entry in self._database.find(number, list(keys)):
                    if tag in keys[id_] and entry.standing == Standing.OWED:
                        remains = entry._replace(standing=Standing.REMOVED, fingerprint=b"", names=b"")
                        self._others[number, id_, tag] = remains if has_seen(entry.slot) else None
        self.commit()

    def end_pass(self, stream: StreamId) -> None:
        """The pass was read whole, and what follows from it is done; durable when it returns."""
        population = self._open[stream]
        if population.marking and (population.touched or population.reading.rows):
            population.reading = replace(population.reading, ended=True)
            population.touched = True
            self.commit()

    def close(self) -> None:
        """Store what is left, and let others have the memory.

        Raises:
            Failure: it could not be stored.
        """
        try:
            if self._failure is None:
                self.commit()
        finally:
            self._place.close()

    # --- within

    def _load(self, population: _Population, new: dict[str, Member]) -> bool:
        """Fill in what is stored of members that are on no way; returns whether something is owed of one."""
        by_key = {as_bytes(id_): member for id_, member in new.items()}
        owing = False
        for key, tag, entry in self._database.find(population.number, list(by_key)):
            by_key[key].pairs[as_text(tag) if tag else NO_TAG] = entry
            owing |= entry.standing == OWED
        members = population.members
        if len(members) > population.swept_from:
            members = population.members = {id_: found for id_, found in members.items() if found() is not None}
            population.swept_from = _SWEPT_FROM + 2 * len(members)
        for id_, member in new.items():
            members[id_] = ref(member)
        return owing

    def _changes(self) -> Changes:
        """What is to be stored, which is then taken as stored."""
        changes = Changes(entries=self._others)
        self._others = {}
        for member in self._unsaved.values():
            population = self._by_number[member.population]
            id_ = as_bytes(member.id)
            dirty = member.dirty or set()
            for tag in tuple(dirty):  # at once: a sender may add one
                dirty.discard(tag)  # first: what changes from here on is stored next time
                entry = member.pairs.get(tag)
                if member.expected:
                    dirty.add(tag)
                    entry = in_doubt(entry, member.sent)
                if entry is not None:
                    entry = entry._replace(slot=self._slot(population, member, tag))
                    population.mark((entry.slot,))
                elif member.slots:
                    member.slots.pop(tag, None)
                changes.entries[population.number, id_, as_bytes(tag)] = entry
        self._unsaved = {}
        touched = {key[0] for key in changes.entries}
        for population in self._open.values():
            if population.touched or population.number in touched:
                self._add_population(changes, population)
        return changes

    def _slot(self, population: _Population, member: Member, tag: str) -> int:
        """The entry's place in the marks; the next one where it has none. Entries of senders are left as they are."""
        slot = member.slot(tag)
        if slot < 0:
            slot = population.next_slot
            population.next_slot = slot + 1
            if member.slots is None:
                member.slots = {}
            member.slots[tag] = slot
        return slot

    def _add_population(self, changes: Changes, population: _Population) -> None:
        number = population.number
        if population.marking:
            if population.cleared:
                changes.cleared.add(number)
                population.cleared = False
            for chunk in population.marked:
                changes.marks[number, chunk] = bytes(population.bits[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES])
            population.about = replace(population.about, last=population.reading)
        population.marked = set()
        population.touched = False
        population.about = replace(population.about, next_slot=population.next_slot, day=self._today, sync=self._sync)
        self._known[number] = population.about
        changes.about[number] = population.about.encode()
        if (other := population.instead_of) is not None:
            self._known[other] = replace(self._known[other], set_aside=True)
            changes.about[other] = self._known[other].encode()
            population.instead_of = None

    def _alike(self, population: _Population) -> list[_Population]:
        """The populations of the catalog that can have the same members, itself included."""
        about = population.about
        return [
            other
            for other in self._open.values()
            if (other.about.object_name, other.about.kind) == (about.object_name, about.kind)
        ]

    def _elsewhere(self, rows: Iterable[tuple[Member, Iterable[str]]]) -> Iterator[tuple[int, Member, bytes, Entry]]:
        """The same members (and tags) as other streams know them, with the number of their population."""
        wanted: dict[int, dict[bytes, tuple[Member, set[bytes]]]] = defaultdict(dict)
        for member, tags in rows:
            _, known_tags = wanted[member.population].setdefault(as_bytes(member.id), (member, set()))
            known_tags.update(map(as_bytes, tags))
        for number, members in wanted.items():
            for other in self._same_members_may_be_in(number):
                for id_, tag, entry in self._entries(other, members):
                    member, tags_ = members[id_]
                    if tag in tags_:
                        yield other, member, tag, entry

    def _same_members_may_be_in(self, number: int) -> list[int]:
        """The other populations whose members can be the same: none that is set aside for good.

        One that is to be set aside still counts: if no row of its stream comes, it is not, and may be had again.
        """
        about = self._known[number]
        return [
            other
            for other, known in self._known.items()
            if other != number
            and not known.set_aside
            and (known.object_name, known.kind) == (about.object_name, about.kind)
        ]

    def _entries(self, number: int, ids: Collection[bytes]) -> list[tuple[bytes, bytes, Entry]]:
        """Entries as they are now, those of members on their way included."""
        found = {(id_, tag): entry for id_, tag, entry in self._database.find(number, list(ids))}
        population = self._by_number.get(number)
        for id_ in ids:
            if population is not None and (member := population.member(as_text(id_))) is not None:
                found.update({(id_, as_bytes(tag)): entry for tag, entry in list(member.pairs.items())})
                for tag in tuple(member.dirty or ()) if member.expected else ():
                    found[id_, as_bytes(tag)] = Entry(Standing.DOUBT)
        return [(id_, tag, entry) for (id_, tag), entry in found.items()]

    def _doubt_elsewhere(self, rows: Iterable[tuple[Member, Iterable[str]]]) -> None:
        for other, member, tag, entry in self._elsewhere(rows):
            if entry.standing != Standing.TAKEN:
                continue
            population = self._by_number.get(other)
            on_its_way = population.member(member.id) if population else None
            if on_its_way is not None:
                on_its_way.begin([as_text(tag)])
                self._unsaved[id(on_its_way)] = on_its_way
            else:
                self._others[other, as_bytes(member.id), tag] = entry._replace(standing=Standing.DOUBT)

    def _take_off(
        self, met: Sequence[Member], rows: Sequence[tuple[str, Iterable[str] | None]], loaded: Collection[str]
    ) -> None:
        """A row of a member takes it off the list of the owed, whatever becomes of the row."""
        for member, (id_, tags) in zip(met, rows, strict=True):
            if id_ in loaded:
                owed = [t for t, entry in member.pairs.items() if entry.standing == Standing.OWED]
                if owed := [tag for tag in owed if tags is None or tag in tags]:
                    member.begin(owed)
                    self._unsaved[id(member)] = member

    def _unheld(self, number: int, page: list[tuple[Key, Entry]]) -> list[tuple[Key, Entry]]:
        """Those of a page that no other stream of the catalog has, and that no stream before it owes too."""
        elsewhere: set[tuple[bytes, bytes]] = set()
        ids = sorted({key[1] for key, _ in page})
        for other in self._same_members_may_be_in(number):
            if other in self._by_number:
                for id_, tag, entry in self._database.find(other, ids):
                    if entry.standing in HOLDING:
                        elsewhere.add((id_, tag))
        return [(key, entry) for key, entry in page if key[1:] not in elsewhere]

    def _removals(self, stream: StreamId, batch: list[tuple[Key, Entry]]) -> Iterator[list[Removal]]:
        if not batch:
            return
        population = self._open[stream]
        natives = {(native, key[2]) for key, entry in batch for native in entry.native}
        held = self._database.native_held(natives, [p.number for p in self._alike(population)]) if natives else set()
        for first in range(0, len(batch), 500):
            some = self._still_owed(population.number, batch[first : first + 500])
            self._doubt_outside(population.number, some)
            removals: list[Removal] = []
            for (_, id_, tag), entry in some:
                shared = tuple(native for native in entry.native if (native, tag) in held)
                own = tuple(native for native in entry.native if native not in shared)
                removals.append(Removal(stream, as_text(id_), as_text(tag), own, shared))
            if removals:
                yield removals

    def _still_owed(self, number: int, some: list[tuple[Key, Entry]]) -> list[tuple[Key, Entry]]:
        """Without what another stream owed too, and that is gone since."""
        now = {
            (id_, tag)
            for id_, tag, entry in self._database.find(number, sorted({key[1] for key, _ in some}))
            if entry.standing == Standing.OWED
        }
        return [(key, entry) for key, entry in some if key[1:] in now]

    def _doubt_outside(self, number: int, some: list[tuple[Key, Entry]]) -> None:
        """Streams that are not in the catalog will not take what is removed now for unchanged when they come back."""
        keys = {key[1:] for key, _ in some}
        ids = sorted({id_ for id_, _ in keys})
        for other in self._same_members_may_be_in(number):
            if other not in self._by_number:
                for id_, tag, entry in self._database.find(other, ids):
                    if (id_, tag) in keys and entry.standing == Standing.TAKEN:
                        self._others[other, id_, tag] = entry._replace(standing=Standing.DOUBT)
        self.commit()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
