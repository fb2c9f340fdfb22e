"""What is sent next, and what follows from each answer. No threads, no clock, no I/O: it is told the time.

A lane carries the rows of one subscription in order; only its first row is active. The operations of the active row
may run side by side (they are tags of one subscription, whose order does not matter). A row is settled once: when all
of its operations are answered for good.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush.answers import Answer, Verdict
from destination_cleverpush.delivery.checkpoints import Checkpoints, ReadyState, Ticket
from destination_cleverpush.delivery.concurrency import AdaptiveLimit
from destination_cleverpush.delivery.throttle import Throttle
from destination_cleverpush.errors import transient_error
from destination_cleverpush.operations import Operation
from destination_cleverpush.protocol import State, StreamId

RETRIES = 3
RETRY_BASE_SECONDS = 1.0
RETRY_CAP_SECONDS = 15.0
MOST_TRIES = 60
"""Of an operation, where others fail at random as well: some 10 minutes of them."""
LARGEST_CHANCE = 1e-6
"""A row whose failures may still be chance with more than this probability is not rejected."""
LONGEST_DELAY_SECONDS = 15 * 60.0
MOST_ROWS = 10_000
MOST_BYTES = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Row:
    """A row on its way: its lane, its operations, and the caller's own reference to it.

    `size` is in bytes and counts against the memory that the rows on their way may take.
    """

    stream: StreamId
    lane: str
    operations: list[Operation]
    reference: Any = None
    size: int = 0
    ticket: Ticket | None = None
    open_operations: int = 0
    refusal: Answer | None = None
    attempts: int = 0
    is_probe: bool = False


@dataclass(slots=True, eq=False)
class Attempt:
    """One operation of the active row of a lane, tried until it is answered for good. Times are in seconds.

    `failing_since` is its first failure, or the one at which it was last given the benefit of the doubt.
    """

    row: Row
    operation: Operation
    failures: int = 0
    started: float = 0.0
    failing_since: float = 0.0


@dataclass(slots=True)
class StreamCounters:
    """What has happened to one stream so far: rows, and calls."""

    read: int = 0
    skipped: int = 0
    delivered: int = 0
    rejected: int = 0
    calls: int = 0


class Dispatcher:
    """The rows and states on their way.

    Args:
        max_concurrency: requests in flight at most.
        max_requests_per_second: hard cap, or None.
        on_rejected: called with a row and the answer it was given up for; the row is settled when
            :meth:`rejection_stored` is called for it, which may be at once or, with a store, later.
        rng: randomness for jitter.
    """

    def __init__(
        self,
        max_concurrency: int,
        max_requests_per_second: float | None,
        on_rejected: Callable[[Row, Answer], None],
        rng: random.Random | None = None,
    ) -> None:
        self._rng = rng or random.Random()
        self._on_rejected = on_rejected
        self.limit = AdaptiveLimit(max_concurrency)
        self.throttle = Throttle(max_requests_per_second, self._rng)
        self.streams: dict[StreamId, StreamCounters] = {}
        self.retries = 0
        self.refusals = 0
        self.in_flight = 0
        self.failure: AirbyteTracedException | None = None
        self._checkpoints = Checkpoints()
        self._lanes: dict[str, deque[Row]] = {}
        self._ready: deque[Attempt] = deque()
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._sequence = 0
        self._suspects: list[tuple[Attempt, Answer]] = []
        self._probing = False
        self._rows = 0
        self._bytes = 0
        self._input_ended = False
        self._last_delivered: tuple[StreamId, str, Operation] | None = None
        self._alive_started = float("-inf")
        self._troubled_since: float | None = None
        self._answered = 0.0  # operations answered for good, of late, and their failures before that
        self._failed_before = 0.0

    # --- the input's side

    def add_row(self, row: Row) -> None:
        """Take a row; its operations start when the rows before it in its lane are settled.

        A row with a `refusal` was given up before any call; one without operations is delivered as it is.
        """
        row.ticket = self._checkpoints.admit(row.stream)
        self._rows += 1
        self._bytes += row.size
        counters = self.streams.setdefault(row.stream, StreamCounters())
        counters.read += 1
        if row.refusal is not None:
            self._rejected(row, row.refusal)
        elif row.operations:
            self._enqueue(row)
        else:
            counters.skipped += 1
            self._settled(row, rejected=False)

    def add_state(self, state: State) -> None:
        """Take a state; it leaves by :meth:`take_ready` when the rows before it are settled."""
        self._checkpoints.add(state)

    def end_input(self) -> None:
        """No row and no state will follow."""
        self._input_ended = True

    @property
    def full(self) -> bool:
        """Whether the input must wait: the rows on their way, and the bytes of rows and states, are bounded."""
        return self._rows >= MOST_ROWS or self._bytes + self._checkpoints.size >= MOST_BYTES

    @property
    def has_room(self) -> bool:
        """Whether an input that had to wait may go on: a tenth is free, so that it does not go on row by row."""
        return not self.full and self._rows <= MOST_ROWS * 9 // 10

    # --- the senders' side

    def due(self, now: float) -> float | None:
        """In how many seconds an attempt may start (0: now); None: only an event can change anything."""
        if self.failure is not None or self.in_flight >= self.limit.value:
            return None
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._delayed)[2])
        if self._ready:
            return self.throttle.wait(now)
        return self._delayed[0][0] - now if self._delayed else None

    def next(self, now: float) -> Attempt:
        """Start an attempt; only where :meth:`due` says that one may start now."""
        attempt = self._ready.popleft()
        attempt.started = now
        attempt.row.attempts += 1
        self.in_flight += 1
        self.throttle.started(now)
        self.streams[attempt.row.stream].calls += 1
        return attempt

    def answered(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """An attempt came to its end."""
        self.in_flight -= 1
        if answer.verdict in (Verdict.DELIVERED, Verdict.REJECTED):
            self.limit.answered(attempt.started, now, self.in_flight + 1)
            self.throttle.taken(now)
            self._answered = self._answered * _OF_LATE + 1
            self._failed_before = self._failed_before * _OF_LATE + attempt.failures
            self._done(attempt, answer)  # first, since a probe may need the lane that this frees
            self._alive(attempt, now)
        elif answer.verdict is Verdict.FATAL:
            self.fail(answer.error or transient_error(f"CleverPush {answer.summary}."))
        else:
            self._troubled(attempt, answer, now)

    def rejection_stored(self, row: Row) -> None:
        """A rejected row is kept safely, or need not be kept: it no longer holds states back."""
        self._settled(row, rejected=True)

    def fail(self, error: AirbyteTracedException) -> None:
        """Start nothing any more; what is in flight may still be answered. The first failure counts."""
        if self.failure is None:
            self.failure = error

    def take_ready(self) -> list[ReadyState]:
        """The states that may leave now, in order, with their counts."""
        return self._checkpoints.ready()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: all is settled, or after a failure nothing is in flight."""
        if self.failure is not None:
            return self.in_flight == 0
        return self._input_ended and self._rows == 0

    # --- inside

    def _enqueue(self, row: Row) -> None:
        lane = self._lanes.get(row.lane)
        if lane is None:
            self._lanes[row.lane] = deque((row,))
            self._activate(row)
        else:
            lane.append(row)

    def _activate(self, row: Row) -> None:
        row.open_operations = len(row.operations)
        self._ready.extend(Attempt(row, operation) for operation in row.operations)

    def _done(self, attempt: Attempt, answer: Answer) -> None:
        """An operation is answered for good."""
        row = attempt.row
        if answer.verdict is Verdict.DELIVERED:
            if not row.is_probe:
                self._last_delivered = (row.stream, row.lane, attempt.operation)
        elif row.refusal is None:
            row.refusal = answer
        row.open_operations -= 1
        if row.open_operations:
            return
        lane = self._lanes[row.lane]
        lane.popleft()
        if lane:
            self._activate(lane[0])
        else:
            del self._lanes[row.lane]
        if row.is_probe:
            self._probing = False
        elif row.refusal is None:
            self._settled(row, rejected=False)
        else:
            self._rejected(row, row.refusal)

    def _rejected(self, row: Row, answer: Answer) -> None:
        self.streams[row.stream].rejected += 1
        self._on_rejected(row, answer)

    def _settled(self, row: Row, *, rejected: bool) -> None:
        assert row.ticket is not None
        self._checkpoints.settle(row.ticket, rejected=rejected)
        self._rows -= 1
        self._bytes -= row.size
        if not rejected:
            self.streams[row.stream].delivered += 1

    def _alive(self, attempt: Attempt, now: float) -> None:
        """CleverPush gave a definite answer to a request: rows that failed before it started failed by themselves."""
        self._troubled_since = None
        self._alive_started = max(self._alive_started, attempt.started)
        if self._suspects and not self._probing:  # else the probe tells, and no newer row may start beside it
            suspects, self._suspects = self._suspects, []
            for suspect, answer in suspects:
                self._used_up(suspect, answer, now)

    def _troubled(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """A refusal to take more (429), or a failure that may pass."""
        if self._troubled_since is None:
            self._troubled_since = attempt.started
        if (answer.delay or 0.0) > LONGEST_DELAY_SECONDS:
            self.fail(
                transient_error(
                    f"CleverPush asked to wait {(answer.delay or 0.0) / 60:.0f} minutes (HTTP {answer.status}), more "
                    "than the 15 minutes that this destination waits. Reduce the frequency of your sync schedule, or "
                    "split the audience into smaller segments on staggered schedules."
                )
            )
        elif now - self._troubled_since > LONGEST_DELAY_SECONDS:
            self.fail(
                transient_error(
                    f"CleverPush took nothing for 15 minutes (it last {answer.summary}). The rows that were not "
                    "delivered will be sent again with the next attempt. If it goes on, reduce the frequency of your "
                    "sync schedule."
                )
            )
        if answer.verdict is Verdict.THROTTLED:
            self.refusals += 1
            self.throttle.refused(attempt.started, now, answer.delay)
            if not self.throttle.paces:
                self.limit.restart()  # nothing is known that would spread the requests after the pause
            self._ready.appendleft(attempt)
            return
        if answer.congested:
            self.limit.congested(attempt.started, now)
        attempt.failures += 1
        if attempt.failures == 1:
            attempt.failing_since = now
        if answer.delay:
            self.throttle.pause(now, answer.delay)
        if attempt.row.is_probe and not self._may_be_chance(attempt):
            self.fail(self._outage(answer))
        elif attempt.failures > RETRIES and not attempt.row.is_probe:
            self._used_up(attempt, answer, now)
        else:
            self._retry(attempt, answer, now)

    def _may_be_chance(self, attempt: Attempt) -> bool:
        """Whether calls that were answered in the end fail so often that this one may just have been unlucky."""
        share = self._failed_before / (self._failed_before + self._answered) if self._failed_before else 0.0
        return share**attempt.failures > LARGEST_CHANCE

    def _retry(self, attempt: Attempt, answer: Answer, now: float) -> None:
        if attempt.failures >= MOST_TRIES:
            self.fail(
                transient_error(
                    f"CleverPush {answer.summary} {_times(attempt.failures)} for one call, while others got through "
                    "only now and then. The rows that were not delivered will be sent again with the next attempt."
                )
            )
            return
        self.retries += 1
        longest = min(RETRY_CAP_SECONDS, RETRY_BASE_SECONDS * 2.0 ** (attempt.failures - 1))
        due = now + max(answer.delay or 0.0, self._rng.random() * longest)
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, attempt))

    def _used_up(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """The retries of an operation are used up: the row is poison, or CleverPush is out or failing at random.

        It is poison if a request that started after its first failure was answered for good, and if it cannot be
        chance. Requests that were in flight when an outage began do not count: they say nothing about CleverPush after
        it. Where other operations fail too before they are answered, the row is tried on as they are.
        """
        if self._alive_started >= attempt.failing_since:
            if self._may_be_chance(attempt):
                attempt.failing_since = now
                self._retry(attempt, answer, now)
            else:
                often = f"{answer.summary} {_times(attempt.failures)} for this row"
                self._done(attempt, Answer(Verdict.REJECTED, answer.code, often, answer.status, answer.words))
        elif self._last_delivered is None:
            self.fail(self._outage(answer))
        else:
            self._suspects.append((attempt, answer))
        self._probe()  # whatever became of this one, it may have been what stood in the way

    def _probe(self) -> None:
        """Where rows are in doubt, send the operation that was delivered last once more.

        Whether it goes through tells poison from outage.

        It is harmless where no newer operation of its subscription can be on its way: its lane is empty, or stuck at a
        row that is in doubt itself. If neither holds, the rows in that lane will tell.
        """
        if not self._suspects or self._probing or self._last_delivered is None:
            return
        stream, lane, operation = self._last_delivered
        if busy := self._lanes.get(lane):
            doubtful = sum(attempt.row is busy[0] for attempt, _ in self._suspects)
            if doubtful < busy[0].open_operations:
                return
            lane = _PROBE_LANE
        self._probing = True
        self._enqueue(Row(stream, lane, [operation], is_probe=True))

    def _outage(self, answer: Answer) -> AirbyteTracedException:
        return transient_error(
            f"CleverPush is out of reach: it {answer.summary}, {RETRIES} retries did not help, and nothing else got "
            "through meanwhile. The rows that were not delivered will be sent again with the next attempt."
        )


_OF_LATE = 0.99  # the last 100 operations or so
_PROBE_LANE = ""  # no subscription ID is blank


def _times(count: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")
