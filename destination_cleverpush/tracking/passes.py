"""Passes, and when the absent may be removed. Pure: no I/O, no clock.

A *pass* is one whole reading of a stream. It is known by the generation and the sync id in the catalog, and may take
several attempts. What the clients send (Airbyte's platform, PyAirbyte, plain pipes):

| client | generation, sync | attempt after a failure | next reading |
|---|---|---|---|
| platform | real: sync above 1 | same ids where it resumes, else a higher generation | higher generation, higher sync |
| PyAirbyte | always 1, 1 | the same ids | the same ids |
| plain pipe | none | none | none |

So only real ids tell an attempt from the next reading. Without them a pass that has not ended is continued, and one
that has is followed by another. In doubt a row counts as seen: a removal comes late, never early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.words import Stream, StreamId

JUDGED_FROM_REMOVALS = 100
"""From so many removals on, their share of the members is judged."""


@dataclass(frozen=True)
class Pass:
    """One whole reading of a stream, over all its attempts.

    Attributes:
        generation, sync: of the catalog, None where nobody said.
        ended: it was read whole, and what followed from it is done.
        stranger: its ids do not follow those of the pass before: perhaps another connection; it removes nobody.
        former: the generation before it, where `stranger` is for a generation that does not grow.
        members: how many members (tags: pairs) there were at its start, those included that `removed` counts.
        rows: read so far, in all attempts.
        removed: members that were removed because their row says so: so far, and in passes before that did not end.
        without_id: rows so far that were rejected for want of a usable id.
        lines_lost: lines of the input that were passed over so far.
    """

    generation: int | None = None
    sync: int | None = None
    ended: bool = False
    stranger: bool = False
    former: int | None = None
    members: int = 0
    rows: int = 0
    removed: int = 0
    without_id: int = 0
    lines_lost: int = 0

    @property
    def has_real_ids(self) -> bool:
        """Whether its ids tell an attempt from the next reading."""
        return _real(self.generation, self.sync)


def is_continued(last: Pass | None, generation: int | None, sync: int | None) -> bool:
    """Whether an attempt with these ids belongs to the last pass, so that its rows count as seen too."""
    if last is None or (last.generation, last.sync) != (generation, sync):
        return False
    return not last.ended or last.has_real_ids


def next_pass(last: Pass | None, generation: int | None, sync: int | None, members: int) -> Pass:
    """The pass that an attempt with these ids belongs to.

    Args:
        last: the stream's last pass, None where there was none.
        members: of the stream now; for a pass that begins.
    """
    if last is not None and is_continued(last, generation, sync):
        return replace(last, ended=False)
    if last is None:
        return Pass(generation, sync, members=members)
    # What a pass that came to no end has removed counts on: else a wrong marker removes half of the rest in each sync.
    removed = 0 if last.ended else last.removed
    begun = Pass(generation, sync, members=members + removed, removed=removed)
    if not (begun.has_real_ids and last.has_real_ids):
        return replace(begun, stranger=not _may_follow_unreal(last, begun))
    assert generation is not None
    assert sync is not None
    assert last.generation is not None
    assert last.sync is not None
    if generation <= last.generation or sync < last.sync:
        return replace(begun, stranger=True, former=last.generation)
    # Right after another connection's pass, a generation above the one before that may be the first connection again.
    return replace(begun, stranger=last.former is not None and generation > last.former)


def _real(generation: int | None, sync: int | None) -> bool:
    return generation is not None and sync is not None and sync > 1


def _may_follow_unreal(last: Pass, begun: Pass) -> bool:
    """Where one has no real ids: whether both look like the same client."""
    if last.has_real_ids or begun.has_real_ids or last.sync != begun.sync:
        return False
    if last.generation is None or begun.generation is None:
        return last.generation == begun.generation
    return begun.generation >= last.generation


@dataclass(frozen=True)
class Facts:
    """What is known of a stream at the end of a sync that nothing else failed, with every row settled.

    Attributes:
        stream: with its `sync_mode`.
        mirror: the mode is `mirror`.
        complete: the stream's COMPLETE came.
        read: rows that this attempt read.
        reading: the pass, with what all its attempts counted.
        absent: members (tags: pairs) that the pass has not seen, without those that are removed already.
        max_removal_ratio: what the user allows.
        memory_lost: the memory was missing, damaged or not readable at the start of this sync.
        mixed_kinds: streams of the catalog with the same object tell members by different kinds of id.
        unit: what is counted, for sentences: `members` or `pairs of subscription and tag`.
    """

    stream: Stream
    mirror: bool
    complete: bool
    read: int
    reading: Pass
    absent: int
    max_removal_ratio: float
    memory_lost: bool = False
    mixed_kinds: bool = False
    unit: str = "members"


@dataclass(frozen=True)
class Decision:
    """What follows for the absent of a stream.

    Attributes:
        remove: they may be removed (none of them before the decisions of all streams are known).
        warning: why not, for the user; empty where there is nothing to say.
        failure: ends the sync, before the first of them.
        ended: the pass has ended: :meth:`.memory.Memory.end_pass` is due once the removals are done.
    """

    remove: bool = False
    warning: str = ""
    failure: Failure | None = None
    ended: bool = False


def may_remove_absent(facts: Facts) -> Decision:
    """Whether the absent of a stream may be removed; every condition, and a sentence for each that fails."""
    stream, reading = facts.stream, facts.reading
    if not facts.mirror or stream.sync_mode != "full_refresh":
        return Decision()
    nobody = f"Stream '{stream.id}': nobody was removed for being absent, since "
    if not facts.complete:
        return Decision(
            warning=f"{nobody}the source did not say that it has read the stream whole (COMPLETE). Airbyte says so "
            "when the source has ended well; a pipe of your own must send the line itself."
        )

    def refused(why: str) -> Decision:
        return Decision(warning=nobody + why, ended=True)

    if facts.memory_lost:
        return refused("the memory of change tracking was new or lost at the start of this sync.")
    if not reading.rows or (not facts.read and not reading.has_real_ids):
        return refused("the source sent no row of it: it is empty, or its data was cleared.")
    if reading.stranger:
        return refused(
            f"this pass (generation {reading.generation}, sync {reading.sync}) does not follow the last one: another "
            "connection, or one that was created anew, uses this name of change tracking, or the stream is not "
            "read as Full refresh | Overwrite. If there is one connection with this name, the next pass removes again; "
            "if there are several, give each a name of its own under Change Tracking."
        )
    if reading.without_id:
        return refused(
            f"{_count(reading.without_id, 'row')} of it had no usable subscription_id, so that nobody can say who is "
            "absent. Fill the column, and look for a join that went wrong."
        )
    if reading.lines_lost:
        return refused(
            f"{_count(reading.lines_lost, 'line')} of the input could not be read and may have been a row of it."
        )
    if facts.mixed_kinds:
        return refused(
            "other streams of this connection tell the same subscriptions by another kind of ID, so that nobody can "
            "say who is in none of them."
        )
    if failure := exceeds_share(stream.id, facts.absent, reading, facts.max_removal_ratio, facts.unit):
        return Decision(failure=failure)
    return Decision(remove=True, ended=True)


def exceeds_share(
    stream: StreamId, more: int, reading: Pass, max_removal_ratio: float, unit: str = "members"
) -> Failure | None:
    """What is to end the sync where so many removals more would pass the share that the user allows.

    It serves the absent, all at once, and a marked row, one by one (`more` is 1, before it is sent). In the first pass,
    in which there were no members, it judges nothing: there the share of marked rows is what can be judged. Nor does it
    where the share is 1: marked rows may be of more than the members.
    """
    removals = more + reading.removed
    if not more or not reading.members or removals < JUDGED_FROM_REMOVALS or max_removal_ratio >= 1:
        return None
    if removals <= max_removal_ratio * reading.members:
        return None
    marked = f", {reading.removed} of them because their rows say so" if reading.removed else ""
    return config_error(
        f"Stream '{stream}': {removals} of {reading.members} {unit} would be removed{marked}. That is more than the "
        f"share that the configuration allows ({max_removal_ratio:g}), so the sync stops here. If the source is "
        "right, raise Highest Share of Removals (max_removal_ratio) for one sync; else see what became of its rows."
    )


def decide(all_facts: Sequence[Facts]) -> dict[StreamId, Decision]:
    """The decisions of all streams, for they come before the first removal: one failure keeps all of them."""
    decisions = {facts.stream.id: may_remove_absent(facts) for facts in all_facts}
    if any(decision.failure for decision in decisions.values()):
        return {name: replace(found, remove=False, ended=False) for name, found in decisions.items()}
    return decisions


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
