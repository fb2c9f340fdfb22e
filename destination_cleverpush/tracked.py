"""What the memory of change tracking makes of rows: which of their calls are made, and who is removed at the end.

```
rows ─ draft ─► meet, note in doubt ─► job ─ its turn ─► unchanged: no call
                                                    └──► begin ─ calls ─► took, removed, restored or in doubt
the end ─► decide ─► owed ─► jobs that remove
```

The reader looks members up in batches, and notes in doubt who may be called for; what is called is decided in the row's
turn, by what CleverPush took last. See :mod:`destination_cleverpush.tracking` for the order in which things are told.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from destination_cleverpush.objects.identity import Who
from destination_cleverpush.objects.known import Identities
from destination_cleverpush.objects.notices import Tell
from destination_cleverpush.objects.plan import Draft, StreamPlan
from destination_cleverpush.objects.reasons import NOT_IN_CHANNEL
from destination_cleverpush.objects.scripts import MOST_OF_ONE, look_up, named
from destination_cleverpush.objects.settings import AudienceMode, SubscriptionIdKind
from destination_cleverpush.tracking.committer import Note
from destination_cleverpush.tracking.entries import MEMBERS, NO_TAG, TAKEN, Entry, Member, Standing, joined
from destination_cleverpush.tracking.memory import Memory, Removal
from destination_cleverpush.tracking.passes import Facts, Pass, decide, exceeds_share
from destination_cleverpush.tracking.settings import Settings
from destination_cleverpush.words import (
    Answer,
    Job,
    Operation,
    Row,
    RowRejected,
    Script,
    Stream,
    StreamId,
    Tolerance,
    Verdict,
)

UNCHANGED = "unchanged"
CREATED = "created"
UPDATED = "updated"
STILL_REMOVED = "removed before"
STILL_HELD = "kept, since another stream has them"
ABSENT = "removed, since the source has them no more"
OWED = "still to be removed"

_FINGERPRINT_BYTES = 12
_WHOLE = (NO_TAG,)
_SEEN = Note()
"""Of jobs whose rows were seen, and of which nothing else is to be told."""
_NOT_OF_THE_ROW = "emailOptInFormId"
"""What a payload holds that is the configuration's: another form is no reason to send everybody another opt-in mail."""


@dataclass(eq=False)
class _Tracked:
    """A stream of the catalog.

    Attributes:
        begin: its pass at the start of this attempt.
        own_ids: members are told by the user's own IDs.
        removing: members (tags: pairs) that this attempt began to remove since their rows are marked.
        twice: an ID came twice in a pass in which each row lists all tags, and that was told.
        adds, mirrors: the mode.
        begin_marks: what its pass has seen is marked.
        lists_all: Mirror removes the tags that a row does not list.
    """

    stream: Stream
    plan: StreamPlan
    begin: Pass
    own_ids: bool
    removing: int = 0
    twice: bool = False

    def __post_init__(self) -> None:
        settings = self.plan.settings
        self.id: StreamId = self.stream.id
        self.adds = settings.audience_mode is AudienceMode.ADD
        self.mirrors = settings.audience_mode is AudienceMode.MIRROR
        self.begin_marks = self.stream.sync_mode == "full_refresh"
        self.lists_all = settings.row_lists_all_tags and self.mirrors and self.plan.object.pair is not None

    @property
    def looks_up_all(self) -> bool:
        """Whether all of a person's subscriptions are unsubscribed, those included that came since."""
        external = self.plan.settings.subscription_id_kind is SubscriptionIdKind.EXTERNAL
        return external and self.plan.object.pair is None

    @property
    def unit(self) -> str:
        return "pairs of subscription and tag" if self.plan.object.pair else "members"

    def tag(self, operation: Operation) -> str:
        """The tag that an operation is about."""
        return NO_TAG if self.plan.object.pair is None else str(operation.payload[self.plan.object.pair])

    def tags(self, operations: Sequence[Operation]) -> Sequence[str]:
        """The tags that a row's operations are about, in their order."""
        return _WHOLE if self.plan.object.pair is None else [self.tag(operation) for operation in operations]


@dataclass(slots=True)
class _Ends:
    """How the operations of a script ended, by tag."""

    done: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    lost: bool = False  # a look-up was refused: what was to be done was not begun


class Tracked:
    """The streams of one sync that are remembered.

    Args:
        memory: of which nothing else makes use.
        settings: the user's wishes.
        today: days since 1970-01-01, in UTC.
        tell: takes notices, from the thread that calls.
        sync_id: the platform's.
    """

    def __init__(
        self,
        memory: Memory,
        settings: Settings,
        streams: Iterable[Stream],
        *,
        plans: Mapping[StreamId, StreamPlan],
        identities: Identities,
        tell: Tell,
        today: int,
        sync_id: int | None,
    ) -> None:
        self._memory = memory
        self._settings = settings
        self._identities = identities
        self._tell = tell
        self._today = today
        self._sync_id = sync_id
        self._owed: Counter[StreamId] = Counter()
        self._ended: Sequence[StreamId] = ()
        if memory.lost:
            tell(logging.WARNING, memory.lost)
        self._streams: dict[StreamId, _Tracked] = {}
        for stream in streams:
            plan = plans[stream.id]
            kind, signature = plan.population
            for notice in memory.open_stream(stream, plan.object.name, kind, signature):
                tell(logging.WARNING, notice)
            self._streams[stream.id] = _Tracked(stream, plan, memory.reading(stream.id), kind == "own")
        if left_out := memory.left_out():
            names = ", ".join(f"'{name}'" for name in left_out)
            tell(
                logging.INFO,
                f"Change tracking also knows {names}, which this connection does not send any more: what it has in "
                "CleverPush stays there. To be rid of that memory: destination-cleverpush tracking forget.",
            )

    # --- rows

    def jobs(self, rows: Sequence[Row]) -> list[Job]:
        """The rows as jobs, in their order; who may be called for is noted in doubt when it returns.

        Raises:
            Failure: the memory cannot be written.
        """
        by_stream: dict[StreamId, list[Row]] = defaultdict(list)
        for row in rows:
            by_stream[row.stream].append(row)
        jobs = {stream: iter(self._of_one(self._streams[stream], found)) for stream, found in by_stream.items()}
        return [next(jobs[row.stream]) for row in rows]

    def passed_over(self) -> None:
        """A line of the input could not be told: it may have been a row of any stream.

        Raises:
            Failure: the memory cannot be written.
        """
        first = any(not self._memory.reading(stream).lines_lost for stream in self._streams)
        for stream in self._streams:
            self._memory.count(stream, lines_lost=1)
        if first:  # no job waits for it: a state behind it would leave before it is known
            self._memory.commit()

    def _of_one(self, tracked: _Tracked, rows: Sequence[Row]) -> list[Job]:
        """The jobs of one stream's rows; little is done for those that end unchanged."""
        plan = tracked.plan
        drafts = [plan.draft(row) for row in rows]
        ids = [None if draft.who is None else plan.member_id(draft.who) for draft in drafts]
        self._find_by_native(tracked, drafts, ids)
        tags = [tracked.tags(d.operations) if d.refusal is None and d.needs_call else None for d in drafts]
        members = self._meet(tracked, drafts, ids, tags)
        unlisted = self._unlisted(tracked, drafts, members, tags) if tracked.lists_all else {}
        jobs: list[Job] = []
        may_call: set[str] = set()
        turns: list[_Turn] = []
        for number, (draft, member, of_row) in enumerate(zip(drafts, members, tags, strict=True)):
            row = draft.row
            job = Job(row.stream, "", None, row, row.size, draft.refusal, removed_by=draft.removed_by, note=_SEEN)
            jobs.append(job)
            if member is None:
                continue
            if of_row is None:
                if draft.refusal is not None and plan.object.pair is None and not member.expected:
                    member.refused()
                    job.note = Note(member)
                continue
            said = b"" if draft.removes or plan.object.pair is not None else fingerprint(draft.operations)
            others = unlisted.get(number, ())
            if member.expected or member.id in may_call or others or self._due(tracked, draft, member, said):
                may_call.add(member.id)
                job.note = Note(member, noted=True)
                turns.append(_Turn(draft, member, job, of_row, said, others))
            else:
                job.effect = STILL_REMOVED if draft.removes else UNCHANGED
        if turns:
            self._note_in_doubt(tracked, turns)
        return jobs

    def _meet(
        self,
        tracked: _Tracked,
        drafts: Sequence[Draft],
        ids: Sequence[str | None],
        tags: Sequence[Sequence[str] | None],
    ) -> list[Member | None]:
        """The rows' members, None where nobody can tell whose they are."""
        met = [(id_, of_row) for id_, of_row in zip(ids, tags, strict=True) if id_ is not None]
        found = self._memory.meet(tracked.id, met)
        if tracked.plan.object.pair is not None:
            self._see_elsewhere(tracked, [draft.who for draft in drafts if draft.refusal is not None and draft.who])
        if len(met) == len(ids):
            return [*found]
        if without := sum(d.refusal is not None and id_ is None for d, id_ in zip(drafts, ids, strict=True)):
            self._memory.count(tracked.id, without_id=without)
        members = iter(found)
        return [None if id_ is None else next(members) for id_ in ids]

    def _see_elsewhere(self, tracked: _Tracked, rejected: Sequence[Who]) -> None:
        """A rejected row may have named tags that its subscription has from other streams: there they count as seen.

        Not where each row lists all tags: there a row of their own says which of them stay.
        """
        if not rejected:
            return
        for other in self._streams.values():
            if other is not tracked and other.plan.object is tracked.plan.object and not other.lists_all:
                ids = {other.plan.member_id(who) for who in rejected}
                self._memory.meet(other.id, [(id_, None) for id_ in ids], are_rows=False)

    def _note_in_doubt(self, tracked: _Tracked, turns: Sequence[_Turn]) -> None:
        """Note who may be called for, and give their jobs what their turns are to do."""
        clears = self._settings.null_values == "clear" and tracked.plan.object.clear is not None
        putting: list[tuple[Member, Iterable[str]]] = []
        removing: list[tuple[Member, Iterable[str]]] = []
        for turn in turns:
            if clears and not turn.draft.removes:
                self._note_names(tracked, turn)
            turn.member.may_have(turn.names)
            concerned = (*turn.tags, *turn.unlisted)
            (removing if turn.draft.removes or turn.unlisted else putting).append((turn.member, concerned))
        held = self._memory.held_elsewhere(removing) if removing else set()
        if putting:
            self._memory.note_in_doubt(putting)
        if removing:
            self._memory.note_in_doubt(removing, removing=True, kept=held)
        for turn in turns:
            self._prepare(tracked, turn, held)

    def _find_by_native(self, tracked: _Tracked, drafts: Sequence[Draft], ids: list[str | None]) -> None:
        """A marked row may name a member by CleverPush's ID where its own was expected: have it mean the member.

        Of a rejected row, whose marker may have been unclear, nobody can say: whomever it may name counts as seen.
        """
        if not tracked.own_ids:
            return
        named_by: dict[int, str] = {}
        rejected: set[str] = set()
        for number, draft in enumerate(drafts):
            who = draft.who
            if who is None:
                continue
            if draft.refusal is not None:
                rejected.update(filter(None, (who.own, who.native)))
            elif draft.removes and who.own is None and who.native is not None:
                named_by[number] = who.native
        if not (named_by or rejected):
            return
        as_own = self._memory.which_are_known(tracked.id, set(named_by.values()))
        if asked := (set(named_by.values()) - as_own) | rejected:
            found = self._memory.ids_of(tracked.id, asked)
            for number, native in named_by.items():
                if native in found and native not in as_own:
                    ids[number] = found[native]
            named_too = {found[native] for native in rejected if native in found}
            self._memory.meet(tracked.id, [(id_, None) for id_ in named_too], are_rows=False)

    def _unlisted(
        self,
        tracked: _Tracked,
        drafts: Sequence[Draft],
        members: Sequence[Member | None],
        tags: Sequence[Sequence[str] | None],
    ) -> dict[int, list[str]]:
        """Where each row lists all tags: which other tags its subscription has, by the row's place."""
        found: dict[int, list[str]] = {}
        times = Counter(id(member) for member in members if member is not None)
        before: dict[int, set[str]] = defaultdict(set)  # tags of the rows before, whose turn has not come yet
        for number, (draft, member, of_row) in enumerate(zip(drafts, members, tags, strict=True)):
            if member is None or of_row is None or draft.removes:
                continue
            on_their_way = (*tuple(member.dirty or ()), *before[id(member)])
            others = [tag for tag, entry in tuple(member.pairs.items()) if entry.standing in MEMBERS]
            others += [tag for tag in dict.fromkeys(on_their_way) if tag not in others]
            before[id(member)].update(of_row)
            seen = self._memory.seen(tracked.id, member, others)
            again = tracked.begin_marks and (times[id(member)] > 1 or bool(seen.difference(of_row)))
            if again and not tracked.begin.rows:
                self._tell_twice(tracked)
            if not again:
                found[number] = [tag for tag in others if tag not in of_row and tag not in seen]
        return found

    def _tell_twice(self, tracked: _Tracked) -> None:
        if not tracked.twice:
            tracked.twice = True
            self._tell(
                logging.WARNING,
                f"Stream '{tracked.id}': a subscription_id came in more than one row, though each row is said to list "
                "all tags of its subscription (row_lists_all_tags). The lists are joined, and what none of them names "
                "is removed after the whole stream was read.",
            )

    def _note_names(self, tracked: _Tracked, turn: _Turn) -> None:
        sent = {name for operation in turn.draft.operations for name in operation.payload.get("customAttributes", ())}
        turn.names = self._memory.name_bits(tracked.id, sent)
        turn.nulls = tracked.plan.nulls(turn.draft.row)

    def _due(self, tracked: _Tracked, draft: Draft, member: Member, said: bytes) -> list[Operation]:
        """Those of a row's operations that have to be sent; `said` is its fingerprint."""
        if draft.removes:
            return [op for op in draft.operations if not member.is_removed(tracked.tag(op))]
        native = None if draft.who is None else draft.who.native
        return [op for op in draft.operations if self._is_due(tracked, member, native, said, tracked.tag(op))]

    def _is_due(self, tracked: _Tracked, member: Member, native: str | None, said: bytes, tag: str) -> bool:
        entry = member.pairs.get(tag)
        if tracked.adds:
            return entry is None or entry.standing != TAKEN
        if self._settings.send == "everything" or entry is None:
            return True
        if native is not None and native != member.id and native not in entry.native:
            return True  # another installation
        return not member.is_unchanged(said, self._today, self._settings.resend_after_days, tag)

    def _prepare(self, tracked: _Tracked, turn: _Turn, held: set[tuple[Member, str]]) -> None:
        """Give the row's job its script."""
        draft, job = turn.draft, turn.job
        job.lane = turn.member.id  # one for all rows of a member, however they name it
        if not draft.removes:
            job.script = self._put(tracked, turn, held)
            return
        job.script = self._remove(tracked, turn, held)
        if not tracked.begin.members and tracked.plan.is_guarded(draft):  # else the members say what a large share is
            job.script = tracked.plan.guarded(draft, job.script)
            job.held = True

    # --- the row's turn: under the lock of delivery

    def _put(self, tracked: _Tracked, turn: _Turn, held: set[tuple[Member, str]]) -> Script:
        member, draft = turn.member, turn.draft
        due = self._due(tracked, draft, member, turn.fingerprint)
        if not due and not turn.unlisted:
            turn.job.effect = UNCHANGED
            return
        if due:
            was_member = any(entry.standing in MEMBERS for entry in member.pairs.values())
            fed = yield from self._feed(tracked, draft.who, member)
            try:
                yield from self._put_these(tracked, turn, due)
                if rest := self._lacking(tracked, turn, due):  # a device that came since has none of the row
                    yield from self._put_these(tracked, turn, rest)
            except RowRejected as rejected:
                if not fed or rejected.reason is not NOT_IN_CHANNEL:
                    raise
                # What was known of it is gone: perhaps it was installed anew, and then it lacks all of the row.
                yield from self._put_these(tracked, turn, draft.operations)
            if tracked.plan.object.pair is None and member.pairs[NO_TAG].standing == Standing.TAKEN:
                turn.job.effect = UPDATED if was_member else CREATED
        yield from self._unlist(tracked, turn, held)

    def _put_these(self, tracked: _Tracked, turn: _Turn, operations: Sequence[Operation]) -> Script:
        member = turn.member
        who = turn.draft.who
        before = member.begin([tracked.tag(op) for op in operations], who and who.native, turn.names)
        ends = _Ends()
        try:
            yield from _watched(tracked, tracked.plan.script(turn.draft, operations), ends)
        except RowRejected:
            member.restore(before, put=True)
            raise
        natives = self._natives(who, member, before)
        for tag, entry in before.items():
            if tag in ends.unsure or (tag in ends.done and tag in ends.refused):
                continue  # nobody knows, or one of its subscriptions has it and another has not
            if tag not in ends.done:
                member.restore({tag: entry}, put=True)
            elif not ends.refused and (yield from self._cleared(tracked, turn, entry, natives)):
                names = self._names(tracked, turn, entry)
                member.took(turn.fingerprint, self._today, self._sync_id, native=natives, names=names, tag=tag)
        # Where a part was refused, the rest stays in doubt, so that the row is sent whole the next time.

    def _names(self, tracked: _Tracked, turn: _Turn, entry: Entry | None) -> bytes:
        """The attributes that a member has now: those of the row, and former ones that were not cleared."""
        if entry is None or not entry.names:
            return turn.names
        return self._memory.bits_without(tracked.id, joined(turn.names, entry.names), turn.nulls)

    def _cleared(
        self, tracked: _Tracked, turn: _Turn, entry: Entry | None, natives: Sequence[str]
    ) -> Generator[Operation, Answer, bool]:
        """Clear attributes that were sent before and are null now; whether that went well."""
        clear = tracked.plan.object.clear
        if clear is None or entry is None or not entry.names or not turn.nulls:
            return True
        names = [name for name in self._memory.names(tracked.id, entry.names) if name in turn.nulls]
        member = turn.member
        if names and not natives:
            natives = ((yield from _looked_up(member.id)) or ()) if tracked.own_ids else (member.id,)
        if names and not natives:
            return False
        for name in names:
            for native in natives:
                answer = yield named(Operation(clear, {"attributeId": name}), native, None, Tolerance.GONE)
                if answer.verdict is not Verdict.DELIVERED and not answer.gone:
                    return False
        return True

    def _unlist(self, tracked: _Tracked, turn: _Turn, held: set[tuple[Member, str]]) -> Script:
        """Remove the tags that the row does not list."""
        member = turn.member
        others = []
        for tag in turn.unlisted:
            entry = member.pairs.get(tag)
            if entry is None or entry.standing not in MEMBERS:
                continue
            if (member, tag) in held:
                member.owe(tag)
            else:
                others.append(tag)
        if not others:
            return
        self._judge(tracked, turn, len(others))
        draft = turn.draft._replace(operations=tracked.plan.removal(others), removes=True)
        before = member.begin(others)
        ends = _Ends()
        yield from _watched(tracked, tracked.plan.script(draft), ends)
        for tag in before:
            if tag in ends.refused or ends.lost:
                member.owe(tag)
            elif tag not in ends.unsure:
                member.forget(tag)

    def _remove(self, tracked: _Tracked, turn: _Turn, held: set[tuple[Member, str]]) -> Script:
        """The turn of a row that is marked as removed, or of any row in the mode `remove`."""
        member, draft = turn.member, turn.draft
        due = self._due(tracked, draft, member, turn.fingerprint)
        if not due:
            turn.job.effect = STILL_REMOVED
            return
        kept = [tracked.tag(op) for op in due if (member, tracked.tag(op)) in held]
        for tag in kept:
            member.owe(tag)
        due = [op for op in due if tracked.tag(op) not in kept]
        if not due:
            turn.job.effect = STILL_HELD
            return
        if draft.removed_by is not None:
            self._judge(tracked, turn, len(due))
        who = self._known_as(tracked, draft, member)
        before = member.begin([tracked.tag(op) for op in due])
        ends = _Ends()
        try:
            if who.own is not None and who.native is None:
                yield from self._find_all(tracked, who.own, member)
            yield from _watched(tracked, tracked.plan.script(draft, due, who), ends)
        except RowRejected:
            member.restore(before)
            raise
        for tag in before:
            if tag in ends.refused or ends.lost:
                member.owe(tag)
            elif tag not in ends.unsure:
                member.removed(self._today, self._sync_id, tag)

    def _judge(self, tracked: _Tracked, turn: _Turn, more: int) -> None:
        """End the sync before a removal that would pass the share of members that the user allows.

        Raises:
            Failure: `config_error`.
        """
        tracked.removing += more
        turn.job.note.removed += more
        begin = tracked.begin
        reading = replace(begin, removed=begin.removed + tracked.removing - more)
        ratio = tracked.plan.settings.max_removal_ratio
        if failure := exceeds_share(tracked.id, more, reading, ratio, tracked.unit):
            raise failure

    def _known_as(self, tracked: _Tracked, draft: Draft, member: Member) -> Who:
        """Whom a marked row means, by what is remembered: a member of the user's own ID goes by CleverPush's."""
        assert draft.who is not None
        if tracked.own_ids and draft.who.guessed and member.pairs:
            return Who(member.id, None)
        return draft.who

    def _find_all(self, tracked: _Tracked, own: str, member: Member) -> Script:
        """Make known which subscriptions a person has, before they are removed.

        Who gave their own IDs has all of a person's subscriptions unsubscribed, those included that came since; else,
        and where nobody can tell, those that are remembered are.
        """
        natives = _remembered(member)
        if natives and tracked.looks_up_all:
            natives = (yield from _looked_up(own, natives)) or natives
        if natives:
            self._identities.known.found(own, natives)

    def _feed(self, tracked: _Tracked, who: Who | None, member: Member) -> Generator[Operation, Answer, bool]:
        """Let the sync know what is remembered of a person's subscriptions; whether there was anything.

        Where calls go to all of a person's subscriptions, those that came since are looked up.
        """
        if who is None or who.own is None or who.native is not None or self._identities.known.any(who.own):
            return False
        natives = _remembered(member)
        if natives and tracked.plan.object.pair is not None:
            natives = (yield from _looked_up(who.own, natives)) or natives
        if natives:
            self._identities.known.found(who.own, natives)
        return bool(natives)

    def _lacking(self, tracked: _Tracked, turn: _Turn, put: Sequence[Operation]) -> list[Operation]:
        """What else of a row is to be put: tags that not all subscriptions have that the person is known to have."""
        if tracked.plan.object.pair is None or tracked.adds:
            return []
        natives = set(self._natives(turn.draft.who, turn.member, {}))
        done = {tracked.tag(op) for op in put}
        left = [op for op in turn.draft.operations if tracked.tag(op) not in done]
        return [op for op in left if natives.difference(turn.member.pairs[tracked.tag(op)].native)]

    def _natives(self, who: Who | None, member: Member, before: Mapping[str, Entry | None]) -> tuple[str, ...]:
        """CleverPush's IDs of a member, after its calls."""
        if who is None:
            return ()
        found = (who.native,) if who.native is not None else self._identities.known.any(who.own or "")
        if not found:
            found = next((entry.native for entry in before.values() if entry is not None and entry.native), ())
        return tuple(native for native in found if native != member.id)

    # --- the end

    def removals(self, complete: Collection[StreamId]) -> Iterator[list[Job]]:
        """Jobs that remove the absent, where that may be done, with every row settled and nothing failed.

        Args:
            complete: the streams that the source says it has read whole.

        Raises:
            Failure: `config_error`, too many would be removed; or the memory's.
        """
        memory = self._memory
        decisions = decide(
            [
                Facts(
                    tracked.stream,
                    tracked.mirrors,
                    stream in complete,
                    memory.read(stream),
                    memory.reading(stream),
                    memory.absent(stream) if self._may_have_absent(tracked, complete) else 0,
                    tracked.plan.settings.max_removal_ratio,
                    bool(memory.lost),
                    memory.mixed_kinds(stream),
                    tracked.unit,
                )
                for stream, tracked in self._streams.items()
            ]
        )
        for decision in decisions.values():
            if decision.failure is not None:
                raise decision.failure
            if decision.warning:
                self._tell(logging.WARNING, decision.warning)
        chosen = [stream for stream, decision in decisions.items() if decision.remove]
        self._ended = [stream for stream, decision in decisions.items() if decision.ended]
        for stream in chosen:
            memory.let_go(stream)
        for batch in memory.owed([*chosen, *self._may_try_owed(complete)]):
            yield [self._removal(removal) for removal in batch]

    def end(self) -> None:
        """All that :meth:`removals` gave is settled: the passes have ended."""
        for stream in self._ended:
            self._memory.end_pass(stream)
        for stream, count in (+self._owed).items():
            self._tell(
                logging.WARNING,
                f"Stream '{stream}': {count} that the source has no more could not be removed from CleverPush, or it "
                "could not be told which of its subscriptions they are. They are still to be removed, and are tried "
                "again after the next whole pass.",
            )

    def _may_have_absent(self, tracked: _Tracked, complete: Collection[StreamId]) -> bool:
        return tracked.mirrors and tracked.stream.sync_mode == "full_refresh" and tracked.id in complete

    def _may_try_owed(self, complete: Collection[StreamId]) -> list[StreamId]:
        """Streams that are not read whole, and whose marked rows others had too: perhaps they have let go since.

        A stream of which no row came removes nobody: it may be a Clear job.
        """
        memory = self._memory
        return [
            stream
            for stream, tracked in self._streams.items()
            if tracked.mirrors and not tracked.begin_marks and stream in complete and not memory.lost
            if memory.read(stream)
            if not (memory.reading(stream).without_id or memory.reading(stream).lines_lost)
            if not memory.mixed_kinds(stream)
        ]

    def _removal(self, removal: Removal) -> Job:
        tracked = self._streams[removal.stream]
        job = Job(removal.stream, removal.id, None, effect=OWED, note=Note(removal=removal), is_row=False)
        job.script = self._let_go(tracked, removal, job)
        return job

    def _let_go(self, tracked: _Tracked, removal: Removal, job: Job) -> Script:
        natives: tuple[str, ...] | None = removal.native
        self._owed[tracked.id] += 1  # until it is done
        if not tracked.own_ids:
            natives = natives or (removal.id,)
        elif not removal.shared and (not natives or tracked.looks_up_all):
            natives = yield from _looked_up(removal.id, removal.native)
        if natives is None or len(natives) > MOST_OF_ONE:
            return
        well = True
        for native in natives:
            for operation in tracked.plan.removal([removal.tag]):
                answer = yield named(operation, native, None, Tolerance.GONE)
                well = well and (answer.verdict is Verdict.DELIVERED or answer.gone)
        if well:
            job.note.done = True
            job.effect = ABSENT
            self._owed[tracked.id] -= 1


@dataclass(slots=True, eq=False)
class _Turn:
    """A row that may be called for, and what its turn needs to know.

    Attributes:
        tags: that it names; :data:`.entries.NO_TAG` for objects without.
        fingerprint: of what it says; empty where it removes, and for tags.
        unlisted: tags that its subscription has, and that it does not list though it lists all.
        names: the attributes that it sends, as bits.
        nulls: the fields that are null in it.
    """

    draft: Draft
    member: Member
    job: Job
    tags: Sequence[str]
    fingerprint: bytes
    unlisted: Sequence[str]
    names: bytes = b""
    nulls: Collection[str] = ()


def _looked_up(own: str, known: tuple[str, ...] = ()) -> Generator[Operation, Answer, tuple[str, ...] | None]:
    """A person's subscriptions: the known ones, and those that CleverPush finds; None where nobody can tell of any."""
    answer = yield look_up(own, Tolerance.ANYTHING)
    if answer.verdict is not Verdict.DELIVERED and not known:
        return None
    return tuple(dict.fromkeys((*known, *answer.ids)))


def _watched(tracked: _Tracked, script: Script, ends: _Ends) -> Script:
    """A script, with note of how the operations of the object ended."""
    actions = tracked.plan.object.actions
    answer: Answer | None = None
    while True:
        try:
            operation = next(script) if answer is None else script.send(answer)
        except StopIteration:
            return
        answer = yield operation
        if operation.action not in actions:
            ends.lost = ends.lost or not (answer.verdict is Verdict.DELIVERED or operation.takes(answer))
            continue
        tag = tracked.tag(operation)
        if answer.verdict is Verdict.DELIVERED:
            ends.done.add(tag)
        elif answer.unsure:
            ends.unsure.add(tag)
        elif not operation.takes(answer):
            ends.refused.add(tag)


def _canonical() -> Callable[[object], str]:
    """Makes JSON text with sorted keys and without blanks.

    `JSONEncoder.encode` would make its encoder in C anew for each text, which takes as long as the text itself.
    """
    encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without it
        return encoder.encode
    pieces = make(None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, True)
    return lambda told: "".join(pieces(told, 0))


_encode = _canonical()


def fingerprint(operations: Sequence[Operation]) -> bytes:
    """Of what a row says, as CleverPush is told it: without IDs, route and channel; 12 bytes.

    Memories hold it: another value for the same row would have every row sent once more.
    """
    told = [
        {n: v for n, v in op.payload.items() if n != _NOT_OF_THE_ROW} if _NOT_OF_THE_ROW in op.payload else op.payload
        for op in operations
    ]
    return hashlib.blake2b(_encode(told).encode(), digest_size=_FINGERPRINT_BYTES).digest()


def _remembered(member: Member) -> tuple[str, ...]:
    """CleverPush's IDs of a member, as far as they are remembered."""
    return next((entry.native for entry in tuple(member.pairs.values()) if entry.native_text is not None), ())
