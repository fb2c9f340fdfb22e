"""What is sent next, and what follows from each answer. No threads, no clock, no I/O: it is told the time.

A lane carries the jobs of one subscription in order; only its first job is active, and of that one call is on its way
at a time. A job is settled once: when its script has ended.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from destination_cleverpush.delivery.checkpoints import Checkpoints
from destination_cleverpush.delivery.judgement import Judgement, Patience
from destination_cleverpush.delivery.limit import AdaptiveLimit
from destination_cleverpush.delivery.throttle import Throttle
from destination_cleverpush.errors import Failure, transient_error
from destination_cleverpush.words import (
    Answer,
    DueState,
    Job,
    Operation,
    Pulse,
    RowRejected,
    State,
    StreamId,
    Verdict,
    one_by_one,
)


@dataclass(frozen=True)
class Bounds:
    """What delivery may take.

    Attributes:
        most_in_flight: requests in flight.
        most_per_second: requests per second, None for no cap.
        most_rows: rows on their way.
        most_bytes: of rows and states on their way.
        retry_base_seconds, retry_cap_seconds: the longest delay before the first retry, which doubles up to the cap.
        patience: how long it tries before it judges.
    """

    most_in_flight: int = 16
    most_per_second: float | None = None
    most_rows: int = 10_000
    most_bytes: int = 32 * 1024 * 1024
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 15.0
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True, eq=False)
class Attempt:
    """A call of the active job of a lane, tried until it is answered for good. Times are in seconds.

    `failing_since` is its first failure, or the one at which it was last given the benefit of the doubt.
    """

    job: Job
    operation: Operation
    failures: int = 0
    started: float = 0.0
    failing_since: float = 0.0


class Dispatcher:
    """The rows and states on their way.

    Args:
        bounds: how much may be on its way.
        settled: called with each job once its script has ended; it is still on its way, and holds states back, until
            it comes back through :meth:`release`. Called where all senders wait: quick, without I/O.
        rng: randomness for jitter.
    """

    def __init__(self, bounds: Bounds, settled: Callable[[Job], None], rng: random.Random | None = None) -> None:
        self._bounds = bounds
        self._settled = settled
        self._rng = rng or random.Random()
        self.limit = AdaptiveLimit(bounds.most_in_flight)
        self.throttle = Throttle(bounds.most_per_second, self._rng)
        self.calls: Counter[StreamId] = Counter()
        self.retries = 0
        self.throttled = 0
        self.in_flight = 0
        self.failure: Failure | None = None
        self._checkpoints = Checkpoints()
        self._lanes: dict[str, deque[Job]] = {}
        self._ready: deque[Attempt] = deque()
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._sequence = 0
        self._judgement = Judgement(bounds.patience)
        self._suspects: list[tuple[Attempt, Answer]] = []
        self._probe_job: Job | None = None
        self._unreleased = 0  # settled jobs among those on their way
        self._rows = 0
        self._bytes = 0
        self._input_ended = False
        self._last_delivered: tuple[StreamId, str, Operation] | None = None

    # --- the input's side

    def add(self, job: Job) -> None:
        """Take a job; it starts when those before it in its lane are settled. Without a script it is settled already."""
        job.ticket = self._checkpoints.admit(job.stream)
        self._rows += 1
        self._bytes += job.size
        if job.script is None:
            self._settle(job)
            return
        lane = self._lanes.get(job.lane)
        if lane is None:
            self._lanes[job.lane] = deque((job,))
            self._activate(job.lane)
        else:
            lane.append(job)

    def add_state(self, state: State, now: float = 0.0) -> None:
        """Take a state; it leaves by :meth:`release` when the rows before it are."""
        self._checkpoints.add(state, now)

    def end_input(self) -> None:
        """No row and no state will follow."""
        self._input_ended = True

    @property
    def full(self) -> bool:
        """Whether the input must wait: the rows on their way, and the bytes of rows and states, are bounded."""
        return self._rows >= self._bounds.most_rows or self._bytes + self._checkpoints.size >= self._bounds.most_bytes

    @property
    def has_room(self) -> bool:
        """Whether an input that had to wait may go on: a tenth is free, so that it does not go on row by row."""
        return not self.full and self._rows <= self._bounds.most_rows * 9 // 10

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
        attempt.job.attempts += 1
        self.in_flight += 1
        self.throttle.started(now)
        self.calls[attempt.job.stream] += 1
        return attempt

    def answered(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """An attempt came to its end."""
        self.in_flight -= 1
        if answer.verdict in (Verdict.DELIVERED, Verdict.REJECTED):
            self.limit.answered(attempt.started, now, self.in_flight + 1)
            self.throttle.taken(now)
            self._judgement.answered(attempt.started, attempt.failures)
            self._done(attempt, answer)  # first, since a probe may need the lane that this frees
            self._clear_suspects(now)
        elif answer.verdict is Verdict.FATAL:
            self.fail(answer.failure or transient_error(f"CleverPush {answer.summary}."))
        else:
            self._troubled(attempt, answer, now)

    def fail(self, failure: Failure) -> None:
        """Start nothing any more; what is in flight may still be answered. The first failure counts."""
        if self.failure is None:
            self.failure = failure

    # --- the settlement's side

    def release(self, jobs: Iterable[Job]) -> list[DueState]:
        """Let go of settled jobs, of which all is told and kept; returns the states that may leave now, in order."""
        for job in jobs:
            self._checkpoints.settle(job.ticket, rejected=job.refusal is not None)
            self._unreleased -= 1
            self._rows -= 1
            self._bytes -= job.size
        return self._checkpoints.due()

    @property
    def has_due_state(self) -> bool:
        """Whether a state may leave."""
        return self._checkpoints.is_due

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: all is released, or after a failure nothing is in flight."""
        if self.failure is not None:
            return self.in_flight == 0
        return self._input_ended and self._rows == 0

    def pulse(self, now: float) -> Pulse:
        """How delivery is doing."""
        oldest = self._checkpoints.oldest
        return Pulse(
            calls=self.calls.total(),
            in_flight=self.in_flight,
            limit=self.limit.value,
            retries=self.retries,
            throttled=self.throttled,
            paused_seconds=self.throttle.waited,
            oldest_state_seconds=0.0 if oldest is None else now - oldest,
            cause=self._cause(now),
        )

    # --- inside

    def _cause(self, now: float) -> str:
        """What the rows on their way wait for."""
        if self._rows == self._unreleased:
            return "rejected rows to be stored"
        if (pause := self.throttle.wait(now)) > 1:
            return f"the end of a pause that CleverPush asked for ({pause:.0f} s)"
        if retried := len(self._delayed) + len(self._suspects):
            return f"{retried} call{'' if retried == 1 else 's'} that failed and will be tried again"
        return "CleverPush's answers"

    def _activate(self, name: str) -> None:
        """Begin the lane's first job, and those behind it while they need no call."""
        lane = self._lanes[name]
        while True:
            if (operation := self._advance(lane[0], None)) is not None:
                self._ready.append(Attempt(lane[0], operation))
                return
            if lane[0].script is not None:
                return  # it has failed the sync
            self._settle(lane.popleft())
            if not lane:
                del self._lanes[name]
                return

    def _advance(self, job: Job, answer: Answer | None) -> Operation | None:
        """The job's next call, given the answer to the last; None at its end, or where it has failed the sync.

        At the end the job has no script any more.
        """
        assert job.script is not None
        try:
            return next(job.script) if answer is None else job.script.send(answer)
        except Failure as failure:
            self.fail(failure)
            return None
        except StopIteration:
            pass
        except RowRejected as rejected:
            job.refusal = job.refusal or Answer(Verdict.REJECTED, rejected.reason, rejected.sentence)
        job.script = None
        return None

    def _done(self, attempt: Attempt, answer: Answer) -> None:
        """A call is answered for good."""
        job = attempt.job
        is_probe = job is self._probe_job
        if answer.verdict is Verdict.DELIVERED:
            if not is_probe:
                self._last_delivered = (job.stream, job.lane, attempt.operation)
        elif job.refusal is None:
            job.refusal = answer
        if (operation := self._advance(job, answer)) is not None:
            self._ready.appendleft(Attempt(job, operation))  # before younger rows: its state is the older one
            return
        if job.script is not None:
            return  # it has failed the sync
        lane = self._lanes[job.lane]
        lane.popleft()
        self._settle(job)
        if lane:
            self._activate(job.lane)
        else:
            del self._lanes[job.lane]

    def _settle(self, job: Job) -> None:
        if job is self._probe_job:
            self._probe_job = None
        else:
            self._unreleased += 1
            self._settled(job)

    def _clear_suspects(self, now: float) -> None:
        """CleverPush gave a definite answer to a request: rows that failed before it started failed by themselves."""
        if self._suspects and self._probe_job is None:  # else the probe tells, and no newer row may start beside it
            suspects, self._suspects = self._suspects, []
            for suspect, answer in suspects:
                self._used_up(suspect, answer, now)

    def _troubled(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """A refusal to take more (429), or a failure that may pass."""
        longest = self._bounds.patience.longest_delay_seconds
        self._judgement.troubled(attempt.started)
        if (answer.delay or 0.0) > longest:
            self.fail(
                transient_error(
                    f"CleverPush asked to wait {(answer.delay or 0.0) / 60:.0f} minutes (HTTP {answer.status}), more "
                    f"than the {longest / 60:.0f} minutes that this destination waits. Reduce the frequency of your "
                    "sync schedule, or split the audience into smaller segments on staggered schedules."
                )
            )
        elif self._judgement.given_up(now):
            self.fail(
                transient_error(
                    f"CleverPush took nothing for {longest / 60:.0f} minutes (it last {answer.summary}). The rows that "
                    "were not delivered will be sent again with the next attempt. If it goes on, reduce the frequency "
                    "of your sync schedule."
                )
            )
        if answer.verdict is Verdict.THROTTLED:
            self.throttled += 1
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
        is_probe = attempt.job is self._probe_job
        if is_probe and not self._judgement.may_be_chance(attempt.failures):
            self.fail(self._outage(answer))
        elif attempt.failures > self._bounds.patience.retries and not is_probe:
            self._used_up(attempt, answer, now)
        else:
            self._retry(attempt, answer, now)

    def _retry(self, attempt: Attempt, answer: Answer, now: float) -> None:
        if attempt.failures >= self._bounds.patience.most_tries:
            self.fail(
                transient_error(
                    f"CleverPush {answer.summary} {_times(attempt.failures)} for one call, while others got through "
                    "only now and then. The rows that were not delivered will be sent again with the next attempt."
                )
            )
            return
        self.retries += 1
        longest = min(self._bounds.retry_cap_seconds, self._bounds.retry_base_seconds * 2.0 ** (attempt.failures - 1))
        due = now + max(answer.delay or 0.0, self._rng.random() * longest)
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, attempt))

    def _used_up(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """The retries of a call are used up: the row is poison, or CleverPush is out or failing at random."""
        if self._judgement.alive_since(attempt.failing_since):
            if self._judgement.may_be_chance(attempt.failures):
                attempt.failing_since = now
                self._retry(attempt, answer, now)
            else:
                often = f"{answer.summary} {_times(attempt.failures)} for this row"
                self._done(attempt, Answer(Verdict.REJECTED, answer.reason, often, answer.status, answer.words))
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
        if not self._suspects or self._probe_job is not None or self._last_delivered is None:
            return
        stream, name, operation = self._last_delivered
        if busy := self._lanes.get(name):
            if all(attempt.job is not busy[0] for attempt, _ in self._suspects):
                return
            name = _PROBE_LANE
        self._probe_job = job = Job(stream, name, one_by_one([operation]))
        self._lanes[name] = deque((job,))
        self._activate(name)

    def _outage(self, answer: Answer) -> Failure:
        return transient_error(
            f"CleverPush is out of reach: it {answer.summary}, {self._bounds.patience.retries} retries did not help, "
            "and nothing else got through meanwhile. The rows that were not delivered will be sent again with the "
            "next attempt."
        )


_PROBE_LANE = ""  # no subscription ID is blank


def _times(count: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")
