"""A CleverPush that can be looked at, and a sync as it will be wired: for the tests of the memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from destination_cleverpush.tracking.changes import Changes
from destination_cleverpush.tracking.database import Database
from destination_cleverpush.tracking.entries import NO_TAG, Member
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.tracking.passes import Facts, decide
from destination_cleverpush.tracking.place import Place
from destination_cleverpush.words import Stream, StreamId

TODAY = 20_000


class Kill(BaseException):
    """The process is gone."""


class NoAnswer(Exception):
    """A call was given up: the sync fails, and its row is not settled."""


class SamePlace:
    """A database that survives what uses it, as a file survives a killed process."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, {}, durable=False)
        self.lost = ""
        self.new = True

    def commit(self, changes: Changes) -> None:
        self.database.apply(changes)

    def close(self) -> None:
        self.new = False

    size = 0


class Row(NamedTuple):
    """A row of a model. `does`: `put`, `mark` (says that it is removed), `refused` (by CleverPush) or `no id`."""

    id: str
    value: bytes = b"1"
    does: str = "put"
    tags: tuple[str, ...] = (NO_TAG,)


@dataclass
class Load:
    """A stream of one attempt.

    Attributes:
        after: the source goes on with the rows after this id.
        complete: it says that it has read the stream whole.
    """

    name: str
    rows: Sequence[Row]
    generation: int | None = 1
    sync: int | None = 100
    sync_mode: str = "full_refresh"
    after: str = ""
    complete: bool = True
    signature: str = "s"

    @property
    def stream(self) -> Stream:
        return Stream(StreamId(self.name), {}, self.sync_mode, None, self.generation, None, self.sync)


@dataclass
class World:
    """CleverPush, and what happened to it.

    Attributes:
        has: by id and tag, what each stream said of it last.
        points_left: the process is killed at the point that makes it 0; there is one before and after each commit and
            call.
        silent: numbers of calls (from 1) that are given up without an answer, after they had their effect or before.
        log: the calls: `put`, `mark` (a marked row's) or `remove` (of the absent); stream, id, tag.
        never_remove: by id and tag: their removal for being absent would be wrong.
    """

    has: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    points_left: int = -1
    silent: dict[int, bool] = field(default_factory=dict)
    log: list[tuple[str, str, str, str]] = field(default_factory=list)
    never_remove: set[tuple[str, str]] = field(default_factory=set)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def point(self) -> None:
        self.points_left -= 1
        if self.points_left == 0:
            raise Kill

    def call(self, what: str, stream: str, id_: str, tag: str, value: bytes = b"") -> None:
        self.point()
        self.log.append((what, stream, id_, tag))
        silent = self.silent.get(len(self.log))
        if silent is not False:
            if what == "put":
                self.has.setdefault((id_, tag), {})[stream] = value
            else:
                self.has.pop((id_, tag), None)
        if what == "remove" and (id_, tag) in self.never_remove:
            self.wrong.append((id_, tag))
        if silent is not None:
            raise NoAnswer
        self.point()


class Fragile:
    """A place whose user may be killed before and after each commit."""

    def __init__(self, place: Place, world: World) -> None:
        self._place = place
        self._world = world
        self.database = place.database
        self.lost = place.lost
        self.new = place.new
        self.size = 0

    def commit(self, changes: Changes) -> None:
        self._world.point()
        self._place.commit(changes)
        self._world.point()

    def close(self) -> None:
        self._place.close()


@dataclass
class Attempt:
    """One attempt of a sync, wired as the room's docstring says.

    Attributes:
        often: each row is committed.
        acknowledged: by stream, the id up to which its rows are confirmed.
        read: by stream, the rows that it read.
        done: it ended well.
        failure: of the decision.
    """

    world: World
    place: Place
    loads: Sequence[Load]
    mirror: bool = True
    ratio: float = 1.0
    batch: int = 3
    often: bool = True
    object_name: str = "subscriptions"
    acknowledged: dict[str, str] = field(default_factory=dict)
    read: dict[str, list[Row]] = field(default_factory=dict)
    done: bool = False
    notices: list[str] = field(default_factory=list)
    failure: str = ""

    def run(self) -> Attempt:
        """Raises Kill."""
        memory = Memory(Fragile(self.place, self.world), TODAY, self.loads[0].sync)
        self._open(memory)
        try:
            for load in self.loads:
                rows = [row for row in load.rows if row.id > load.after]
                for first in range(0, len(rows), self.batch):
                    self._batch(memory, load, rows[first : first + self.batch])
                    ended = min(first + self.batch, len(rows)) - self._on_their_way(load)
                    settled, rest = rows[:ended], rows[ended:]
                    done = [row.id for row in settled if not rest or row.id < rest[0].id]
                    self.acknowledged[load.name] = max(done, default=load.after)
            self._end(memory)
        except NoAnswer:
            pass
        memory.close()
        return self

    def _open(self, memory: Memory) -> None:
        for load in self.loads:
            self.notices += memory.open_stream(load.stream, self.object_name, "own", load.signature)

    def _on_their_way(self, load: Load) -> int:
        """Rows of the stream that were read, and whose turn has not come."""
        return 0

    def _batch(self, memory: Memory, load: Load, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.does == "no id":
                continue
            pairs = {(row.id, tag) for tag in row.tags}
            self.world.never_remove -= pairs
            if row.does != "mark":
                self.world.never_remove |= pairs
            self.read.setdefault(load.name, []).append(row)
        self._deliver(memory, load, rows)
        memory.commit()

    def _deliver(self, memory: Memory, load: Load, rows: Sequence[Row]) -> None:
        name = load.stream.id
        good = [row for row in rows if row.does != "no id"]
        if len(good) < len(rows):
            memory.count(name, without_id=len(rows) - len(good))
        members = memory.meet(name, [(row.id, row.tags) for row in good])
        jobs = list(zip(good, members, strict=True))
        may_call: set[str] = set()
        noted = set()
        for row, member in jobs:  # a row before may change what this one finds in its turn
            if row.id in may_call or _may_call(row, member):
                may_call.add(row.id)
                noted.add(id(row))
        putting = [(row, m) for row, m in jobs if id(row) in noted and row.does != "mark"]
        marked = [(row, m) for row, m in jobs if id(row) in noted and row.does == "mark"]
        held = memory.held_elsewhere([(m, row.tags) for row, m in marked])
        memory.note_in_doubt([(m, row.tags) for row, m in putting])
        memory.note_in_doubt([(m, row.tags) for row, m in marked], removing=True, kept=held)
        for row, member in jobs:
            self._turn(load, row, member, held)
            memory.settle([(member, id(row) in noted)])
            if self.often:
                memory.commit()

    def _turn(self, load: Load, row: Row, member: Member, held: set[tuple[Member, str]]) -> None:
        for tag in row.tags:
            if row.does == "mark":
                if member.is_removed(tag):
                    continue
                if (member, tag) in held:
                    member.owe(tag)
                    continue
                member.begin([tag])
                self.world.call("mark", load.name, row.id, tag)
                member.removed(TODAY, load.sync, tag)
            elif not member.is_unchanged(row.value, TODAY, tag=tag):
                before = member.begin([tag])
                if row.does == "refused":
                    self.world.point()
                    member.restore(before, put=True)
                else:
                    self.world.call("put", load.name, row.id, tag, row.value)
                    member.took(row.value, TODAY, load.sync, tag=tag)

    def _end(self, memory: Memory) -> None:
        facts = [
            Facts(
                load.stream,
                self.mirror,
                load.complete,
                memory.read(load.stream.id),
                memory.reading(load.stream.id),
                memory.absent(load.stream.id) if load.complete else 0,
                self.ratio,
                bool(memory.lost),
            )
            for load in self.loads
        ]
        decisions = decide(facts)
        self.notices += [found.warning for found in decisions.values() if found.warning]
        failures = [found.failure for found in decisions.values() if found.failure]
        if failures:
            self.failure = failures[0].message
            return
        chosen = [name for name, found in decisions.items() if found.remove]
        for name in chosen:
            memory.let_go(name)
        for removals in memory.owed(chosen):
            for removal in removals:
                self.world.call("remove", removal.stream.name, removal.id, removal.tag)
                memory.gone([removal])
        for name, found in decisions.items():
            if found.ended:
                memory.end_pass(name)
        self.done = True


def _may_call(row: Row, member: Member) -> bool:
    if member.expected:
        return True
    if row.does == "mark":
        return not all(member.is_removed(tag) for tag in row.tags)
    return not all(member.is_unchanged(row.value, TODAY, tag=tag) for tag in row.tags)


def put(ids: Iterable[str], value: bytes = b"1") -> list[Row]:
    """Rows of a model, one for each id."""
    return [Row(id_, value) for id_ in sorted(ids)]
