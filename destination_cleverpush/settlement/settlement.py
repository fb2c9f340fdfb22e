"""One settlement: every outcome passes here, on its way from delivery to the state behind it.

```
delivery ─ settled jobs ─► inbox ─► count, tell, judge ─► keepers ─ kept ─► inbox ─► release ─► due states
```

It runs in the caller's thread and takes what has gathered. A job that a keeper must keep is released when it is kept,
any other at once; delivery lets a state go when all rows before it are released. So what is durable before a state
leaves follows from the order alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from queue import Empty, SimpleQueue
from typing import Protocol

from destination_cleverpush.errors import Failure
from destination_cleverpush.settlement.counts import Counts
from destination_cleverpush.settlement.masking import named
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.settlement.progress import ADVICE
from destination_cleverpush.settlement.sentences import place, quoted, rejected_row, said
from destination_cleverpush.words import DueState, Job, Reason, RejectedRow, Row, StreamId, may_be_told

_UNKNOWN = "unknown_"
"""How the codes begin of rows of which CleverPush does not know something that it names."""


@dataclass(frozen=True)
class Notice:
    """Something for the log, at a level of :mod:`logging`, from where nothing may be logged."""

    level: int
    sentence: str


class Keeper(Protocol):
    """Stores something durably before a state may leave."""

    def keep(self, outcomes: Sequence[tuple[Job, RejectedRow | None]]) -> Sequence[Job]:
        """Take what must be kept, without waiting; returns the jobs that :meth:`Settlement.kept` will be called for.

        Args:
            outcomes: settled jobs, each with what is to be known of it where it was given up.
        """

    def close(self) -> None:
        """Keep what is left.

        Raises:
            Failure: it could not be kept.
        """

    def hurry(self, seconds: float) -> None:
        """Have :meth:`close`, now or later, wait for so many seconds from now at most; from any thread."""


class Valve(Protocol):
    """Delivery, as the settlement sees it."""

    def release(self, jobs: Iterable[Job]) -> list[DueState]:
        """Let go of settled jobs; returns the states that may leave now, in order."""

    def left(self) -> float | None:
        """Seconds until it is to be asked again; 0 when the sync is over, None while nothing presses."""

    def stop(self, failure: Failure) -> None:
        """End the sync with a failure."""


class Settlement:
    """What becomes of the rows of one sync.

    Args:
        policy: what rejected rows mean for the sync.
        describe: the subscription ID of a row, None where it has none, and the texts in it that may be told.
        logged_per_stream: rejected rows that are told one by one; further ones are only counted.
        breath_seconds: between turns, so that what comes fast is settled in batches.
    """

    def __init__(
        self,
        policy: Policy,
        describe: Callable[[Row], tuple[str | None, Iterable[str]]],
        logger: logging.Logger,
        *,
        logged_per_stream: int = 100,
        breath_seconds: float = 0.02,
    ) -> None:
        self._policy = policy
        self._describe = describe
        self._logger = logger
        self._logged_per_stream = logged_per_stream
        self._breath = breath_seconds
        self._inbox: SimpleQueue[Job | Sequence[Job] | Notice | None] = SimpleQueue()
        self._keepers: list[Keeper] = []
        self._unkept: Counter[Job] = Counter()
        self._told: Counter[StreamId] = Counter()
        self._advised: set[Reason] = set()  # reasons whose advice was told
        self.counts = Counts()
        self.settled = self._inbox.put  # a job has come to its end; quick, from any thread

    def ring(self) -> None:
        """Have :meth:`run` look up; from any thread."""
        self._inbox.put(None)

    def kept(self, jobs: Sequence[Job]) -> None:
        """A keeper has kept what it must of these jobs; from any thread."""
        self._inbox.put(jobs)

    def tell(self, level: int, sentence: str) -> None:
        """Have something logged soon; quick, from any thread, also under the lock of delivery."""
        self._inbox.put(Notice(level, sentence))

    def add_keeper(self, keeper: Keeper) -> None:
        """Have a keeper see all outcomes."""
        self._keepers.append(keeper)

    def hurry(self, seconds: float) -> None:
        """Have all keepers end within so many seconds from now."""
        for keeper in self._keepers:
            keeper.hurry(seconds)

    def at_the_end(self, read: Mapping[StreamId, int], *, quiet: bool = False) -> Failure | None:
        """What the rejected rows mean for a sync that nothing else failed, given how many rows were read.

        Args:
            quiet: do not tell what does not fail it.
        """
        for warning in () if quiet else self._policy.warnings(self.counts.streams, read):
            self._logger.warning(warning)
        return self._policy.at_the_end(self.counts.streams, read)

    def run(
        self, valve: Valve, tick: Callable[[], None] | None = None, tick_seconds: float | None = None
    ) -> Iterator[list[DueState]]:
        """Settle until the sync is over; yields the states that may leave, in order, as soon as they may.

        A failure of the sync is the valve's to tell.

        Args:
            tick: called every `tick_seconds` (None: never).

        Raises:
            Exception: an unforeseen one of a thread of the sync.
        """
        next_tick = time.monotonic() + tick_seconds if tick_seconds else float("inf")
        while (left := valve.left()) != 0:
            now = time.monotonic()
            if tick is not None and tick_seconds and now >= next_tick:
                tick()
                next_tick = max(next_tick + tick_seconds, now)
            wait = min(next_tick - now, float("inf") if left is None else left)
            arrived = self._arrived(max(0.0, wait))
            if due := valve.release(self._settle(arrived, valve)):
                yield due
            if arrived:
                time.sleep(self._breath)
        yield from self._last(valve)

    def _last(self, valve: Valve) -> Iterator[list[DueState]]:
        """What was settled to the end, and what the keepers still hold."""
        released = self._settle(self._arrived(0.0), valve)
        for keeper in self._keepers:
            _close(keeper, valve)
        released += self._settle(self._arrived(0.0), valve)
        if due := valve.release(released):
            yield due

    def _arrived(self, seconds: float) -> list[Job | Sequence[Job] | Notice]:
        """What has gathered; waits for the first piece."""
        arrived: list[Job | Sequence[Job] | Notice] = []
        try:
            first = self._inbox.get(timeout=None if seconds == float("inf") else seconds)
            while True:
                if first is not None:
                    arrived.append(first)
                first = self._inbox.get_nowait()
        except Empty:
            return arrived

    def _settle(self, arrived: Iterable[Job | Sequence[Job] | Notice], valve: Valve) -> list[Job]:
        """Deal with what arrived; returns the jobs that hold no state back any more."""
        jobs: list[Job] = []
        released: list[Job] = []
        for piece in arrived:
            if isinstance(piece, Job):
                jobs.append(piece)
            elif isinstance(piece, Notice):
                self._logger.log(piece.level, piece.sentence)
            else:
                released += self._let_go(piece)
        if jobs:
            released += self._take(jobs, valve)
        return released

    def _take(self, jobs: list[Job], valve: Valve) -> list[Job]:
        self.counts.add(jobs)
        outcomes = [(job, self._rejected(job) if job.refusal is not None and job.is_row else None) for job in jobs]
        for job, rejected in outcomes:
            if rejected is not None and (failure := self._policy.after_rejection(rejected)):
                valve.stop(failure)
                self._unkept[job] += 1  # it holds its state back for ever
        if any(rejected for _, rejected in outcomes) and (failure := self._policy.meanwhile(self.counts.streams)):
            valve.stop(failure)
        for keeper in self._keepers:
            self._unkept.update(keeper.keep(outcomes))
        return [job for job in jobs if job not in self._unkept] if self._unkept else jobs

    def _let_go(self, jobs: Iterable[Job]) -> list[Job]:
        """A keeper has kept these; returns those among them that none has still to keep."""
        released: list[Job] = []
        for job in jobs:
            left = self._unkept.pop(job) - 1
            if left:
                self._unkept[job] = left
            else:
                released.append(job)
        return released

    def _rejected(self, job: Job) -> RejectedRow:
        """Tell of a row that was given up, up to a limit per stream."""
        subscription_id, identifiers = self._describe(job.origin)
        row = rejected_row(job, subscription_id, datetime.now(timezone.utc))
        answer = job.refusal
        assert answer is not None
        assert answer.reason is not None
        if row.code.startswith(_UNKNOWN):
            identifiers = list(identifiers)
            at_fault = [name for name in dict.fromkeys(answer.named) if may_be_told(name)]
            found = at_fault or named(answer.words or "", _told_apart(identifiers))
            self.counts.refuse(job.stream, answer.reason, found)
        number = self._number(job.stream)
        if number <= self._logged_per_stream:
            advice = "" if answer.reason in self._advised else f" {answer.reason.advice}"
            self._advised.add(answer.reason)
            sentence = said(answer, quoted(answer, job.origin, identifiers))
            told = place(row), row.code, sentence, advice
            self._logger.warning("Rejected: %s, %s: %s%s", *told, extra={ADVICE: advice})
        elif number == self._logged_per_stream + 1:
            self._logger.warning(
                "Stream '%s' has more than %d rejected rows; further ones are counted by reason at the end.",
                job.stream,
                self._logged_per_stream,
            )
        return row

    def _number(self, stream: StreamId) -> int:
        self._told[stream] += 1
        return self._told[stream]


def _told_apart(identifiers: Iterable[str]) -> Iterator[str]:
    """Identifiers, those in a list such as a row's tags one by one."""
    for text in identifiers:
        yield text
        yield from (part.strip(" \t\"'[]") for part in text.split(","))


def _close(keeper: Keeper, valve: Valve) -> None:
    try:
        keeper.close()
    except Failure as failure:
        valve.stop(failure)
