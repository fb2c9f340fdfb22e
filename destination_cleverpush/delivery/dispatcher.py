"""What is sent next, and what follows from each answer. No threads, no clock, no I/O: it is told the time.

A lane carries the jobs of one subscription in order; only its first job is active, and of that one call is on its way
at a time. A job is settled once: when its script has ended. What failures mean is the judgement's to say.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from destination_cleverpush.delivery.checkpoints import Checkpoints
from destination_cleverpush.delivery.judgement import Judgement, Patience
from destination_cleverpush.delivery.limit import AdaptiveLimit
from destination_cleverpush.delivery.throttle import Throttle
from destination_cleverpush.errors import Failure, transient_error
from destination_cleverpush.words import (
    Action,
    Answer,
    DueState,
    Job,
    Operation,
    Pulse,
    RowRejected,
    State,
    StreamId,
    Verdict,
)


@dataclass(frozen=True)
class Bounds:
    """What delivery may take.

    Attributes:
        most_in_flight: requests in flight.
        most_per_second: requests per second, None for no cap.
        most_ready: calls that could be made at once.
        most_rows: rows on their way.
        most_bytes: of rows and states on their way.
        most_held: held jobs that wait, before they are let go,
        longest_held_seconds: and how long the first of them waits at most.
        retry_base_seconds, retry_cap_seconds: the longest delay before the first retry, which doubles up to the cap.
        patience: how long it tries before it judges.
    """

    most_in_flight: int = 32
    most_per_second: float | None = None
    most_ready: int = 1_000
    most_rows: int = 10_000
    most_bytes: int = 32 * 1024 * 1024
    most_held: int = 5_000
    longest_held_seconds: float = 60.0
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 15.0
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True, eq=False)
class Attempt:
    """A call, tried until it is answered for good. Times are in seconds.

    It is one of the active job of a lane, or, without a job, one that only finds out whether CleverPush answers.

    `failures` are those that count against the row; `failing_since` is the first of them, or the one at which it was
    last given the benefit of the doubt; `witnessed`: whether CleverPush had answered for good since then when the
    present try began. `tries_in_vain` counts failures that are nobody's fault.
    """

    stream: StreamId
    job: Job | None
    operation: Operation
    failures: int = 0
    started: float = 0.0
    failing_since: float = 0.0
    witnessed: bool = False
    tries_in_vain: int = 0


class Dispatcher:
    """The rows and states on their way.

    Args:
        bounds: how much may be on its way.
        witness: a read that changes nothing, for the one case in which no row can tell: see :meth:`_in_doubt`.
        settled: called with each job once its script has ended; it is still on its way, and holds states back, until
            it comes back through :meth:`release`. Called where all senders wait: quick, without I/O.
        rng: randomness for jitter.
        host: that is called, as an outage tells it.
    """

    def __init__(
        self,
        bounds: Bounds,
        settled: Callable[[Job], None],
        rng: random.Random | None = None,
        witness: Operation | None = None,
        host: str = "CleverPush",
    ) -> None:
        self._host = host
        self._bounds = bounds
        self._patience = bounds.patience
        self._witness = witness
        self._settled = settled
        self._rng = rng or random.Random()
        self.limit = AdaptiveLimit(bounds.most_in_flight)
        self.throttle = Throttle(bounds.most_per_second, self._rng)
        self.calls: Counter[StreamId] = Counter()
        self.taken: Counter[tuple[StreamId, Action]] = Counter()
        self.retries = 0
        self.throttled = 0
        self.in_flight = 0
        self.failure: Failure | None = None
        self._checkpoints = Checkpoints()
        self._lanes: dict[str, Job] = {}
        """The last job of each lane, from the active one on each with the one behind it."""
        self._ready: deque[Attempt] = deque()
        self._held: list[Job] = []  # active ones that wait for much of the input to be known
        self._held_until = float("inf")
        self._holds = True
        self._delayed: list[tuple[float, int, Attempt]] = []
        self._sequence = 0
        self._judgement = Judgement(bounds.patience)
        self._asked: tuple[Attempt, Answer] | None = None  # the witness, and the answer that made it needed
        self._unreleased = 0  # settled jobs among those on their way
        self._rows = 0
        self._bytes = 0
        self._input_ended = False
        self._last_delivered: tuple[StreamId, Operation] | None = None

    # --- the input's side

    def add(self, job: Job) -> None:
        """Take a job; it starts when those before it in its lane are settled, at once where it has no script."""
        job.ticket = self._checkpoints.admit(job.stream)
        self._rows += 1
        self._bytes += job.size
        if job.script is None:
            self._settle(job)
            return
        last = self._lanes.get(job.lane)
        self._lanes[job.lane] = job
        if last is None:
            self._activate(job)
        else:
            last.behind = job

    def add_state(self, state: State, now: float = 0.0) -> None:
        """Take a state; it leaves by :meth:`release` when the rows before it are."""
        self._checkpoints.add(state, now)

    def end_input(self) -> None:
        """No row and no state will follow."""
        self._input_ended = True
        self.let_go()

    def let_go(self) -> None:
        """Begin what was held; nothing is held from now on."""
        self._holds = False
        self._held_until = float("inf")
        held, self._held = self._held, []
        for job in held:
            self._activate(job)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self._rows

    @property
    def full(self) -> bool:
        """Whether the input must wait: there is enough to do, or rows on their way, or bytes of rows and states."""
        bounds = self._bounds
        return (
            len(self._ready) >= bounds.most_ready
            or self._rows >= bounds.most_rows
            or self._bytes + self._checkpoints.size >= bounds.most_bytes
        )

    @property
    def has_room(self) -> bool:
        """Whether an input that had to wait may go on: a tenth is free, so that it does not go on row by row."""
        bounds = self._bounds
        enough = len(self._ready) > bounds.most_ready * 9 // 10 or self._rows > bounds.most_rows * 9 // 10
        return not (enough or self.full)

    # --- the senders' side

    def due(self, now: float) -> float | None:
        """In how many seconds an attempt may start (0: now); None: only an event can change anything."""
        if self.failure is not None or self.at_limit:
            return None
        if self._judgement.feels:
            if self.in_flight or not (self._ready or self._delayed):
                return None
            return max(0.0, self._judgement.feel_at - now, self.throttle.wait(now))
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._delayed)[2])
        if self._ready:
            return self.throttle.wait(now)
        return self._delayed[0][0] - now if self._delayed else None

    def next(self, now: float) -> Attempt:
        """Start an attempt; only where :meth:`due` says that one may start now."""
        attempt = self._feeler() if self._judgement.feels else self._ready.popleft()
        attempt.started = now
        if attempt.job is not None:
            attempt.job.attempts += 1
            attempt.witnessed = attempt.failures > 0 and self._judgement.alive_since(attempt.failing_since)
        self.in_flight += 1
        self.throttle.started(now)
        self.calls[attempt.stream] += 1
        return attempt

    @property
    def at_limit(self) -> bool:
        """Whether as much is in flight as may be."""
        return self.in_flight >= self.limit.value

    def answered(self, attempt: Attempt, answer: Answer, now: float, *, at_limit: bool = False) -> None:
        """An attempt came to its end; `at_limit`: as much was in flight as might be, when this came with others."""
        in_flight = self.limit.value if at_limit else self.in_flight
        self.in_flight -= 1
        if self._asked is not None and attempt is self._asked[0]:
            self._witness_answered(answer, self._asked[1], now)
        elif answer.verdict is Verdict.REJECTED and answer.status is None:
            self._uncall(attempt)
            self._done(attempt, answer)
        elif answer.verdict in (Verdict.DELIVERED, Verdict.REJECTED):
            felt = self._judgement.feels
            self._judgement.answered(attempt.started, attempt.failures, read=attempt.operation.action.is_read)
            if felt and not self._judgement.feels:
                self.limit.restart()  # many may come back at this moment
            self.limit.answered(attempt.started, now, in_flight)
            self.throttle.taken(attempt.started)
            self._done(attempt, answer)
        elif answer.verdict is Verdict.FATAL and attempt.operation.takes(answer):
            self._done(attempt, answer)
        elif answer.verdict is Verdict.FATAL:
            self.fail(answer.failure or transient_error(f"CleverPush {answer.summary}."))
        else:
            self._troubled(attempt, answer, now)

    def watch(self, now: float) -> float | None:
        """Do what is due by the clock alone; returns in how many seconds to look again, None where nothing will be.

        It lets held jobs go when they have waited for long, and ends the sync where nothing was answered for good for
        too long, also where no answer comes at all.
        """
        if self._held and self._held_until == float("inf"):
            self._held_until = now + self._bounds.longest_held_seconds
        if now >= self._held_until:
            self.let_go()
        left = self._judgement.patience_ends() - now
        if left <= 0:
            self.fail(
                transient_error(
                    f"CleverPush took nothing for {self._patience.longest_delay_seconds / 60:.0f} minutes. The rows "
                    "that were not delivered will be sent again with the next attempt. If it goes on, reduce the "
                    "frequency of your sync schedule."
                )
            )
        left = min(left, self._held_until - now)
        return left if left != float("inf") else None

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
    def has_news(self) -> bool:
        """Whether the settlement should look up: a state may leave, or jobs are held, whose time runs."""
        return self._checkpoints.is_due or bool(self._held)

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
            pace=self.throttle.pace(now),
        )

    # --- inside

    def _cause(self, now: float) -> str:
        """What the rows on their way wait for."""
        if self._rows == self._unreleased:
            return "rejected rows to be stored"
        if (pause := self.throttle.wait(now)) > 1:
            return f"the end of a pause that CleverPush asked for ({pause:.0f} s)"
        if self._held:
            return "more of the input, before rows that are marked as removed are believed"
        if retried := len(self._delayed):
            return f"{retried} call{'' if retried == 1 else 's'} that failed and will be tried again"
        return "CleverPush's answers"

    def _activate(self, first: Job) -> None:
        """Begin a lane's first job, and those behind it while they need no call."""
        job: Job | None = first
        while job is not None:
            if job.held and self._holds:
                self._held.append(job)
                if len(self._held) >= self._bounds.most_held:
                    self.let_go()
                return
            if (operation := self._advance(job, None)) is not None:
                self._ready.append(Attempt(job.stream, job, operation))
                return
            if job.script is not None:
                return  # it has failed the sync
            job = self._leave(job)

    def _leave(self, job: Job) -> Job | None:
        """Settle a lane's first job; returns the one that is first now."""
        behind, job.behind = job.behind, None
        if behind is None:
            del self._lanes[job.lane]
        self._settle(job)
        return behind

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
            _refuse(job, Answer(Verdict.REJECTED, rejected.reason, rejected.sentence, named=rejected.named))
        job.script = None
        return None

    def _done(self, attempt: Attempt, answer: Answer) -> None:
        """A call is answered for good."""
        job = attempt.job
        if job is None:
            return
        if answer.verdict is Verdict.DELIVERED:
            if not attempt.operation.action.is_read:
                self._last_delivered = (job.stream, attempt.operation)
            self.taken[job.stream, attempt.operation.action] += 1
        elif not attempt.operation.takes(answer):
            _refuse(job, answer)
        if (operation := self._advance(job, answer)) is not None:
            self._ready.appendleft(Attempt(job.stream, job, operation))  # before younger rows
            return
        if job.script is not None:
            return  # it has failed the sync
        if (behind := self._leave(job)) is not None:
            self._activate(behind)

    def _uncall(self, attempt: Attempt) -> None:
        """It was refused without a call: nothing was asked of CleverPush, and nothing is learned about it."""
        self.calls[attempt.stream] -= 1
        if attempt.job is not None:
            attempt.job.attempts -= 1

    def _settle(self, job: Job) -> None:
        self._unreleased += 1
        self._settled(job)

    def _feeler(self) -> Attempt:
        """The one call that finds out whether CleverPush answers again; nothing else is in flight.

        By turns: the call that was delivered last, once more, which has proven to be good; one that failed; and a fresh
        one. The first does no harm: no newer call of its subscription is in flight, and one that was tried will be
        tried again.
        """
        if self._asked is not None:
            return self._asked[0]
        turn = self._judgement.felt
        if self._last_delivered is not None and turn % 2:
            return Attempt(self._last_delivered[0], None, self._last_delivered[1])
        if self._delayed and (turn // 2 % 2 or not self._ready):
            return heapq.heappop(self._delayed)[2]
        return self._ready.popleft()

    def _troubled(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """A refusal to take more (429), or a failure that may pass."""
        longest = self._patience.longest_delay_seconds
        if (answer.delay or 0.0) > longest:
            self.fail(
                transient_error(
                    f"CleverPush asked to wait {(answer.delay or 0.0) / 60:.0f} minutes (HTTP {answer.status}), more "
                    f"than the {longest / 60:.0f} minutes that this destination waits. Reduce the frequency of your "
                    "sync schedule, or split the audience into smaller segments on staggered schedules."
                )
            )
        if answer.verdict is Verdict.THROTTLED:
            self._judgement.refused(attempt.started, read=attempt.operation.action.is_read)
            self.throttled += 1
            self.throttle.refused(attempt.started, now, answer.delay)
            if not self.throttle.paces:
                self.limit.restart()  # nothing is known that would spread the requests after the pause
            if attempt.job is not None:
                self._ready.appendleft(attempt)
        else:
            self._failed(attempt, answer, now)
        self.watch(now)

    def _failed(self, attempt: Attempt, answer: Answer, now: float) -> None:
        if answer.lost:
            self._judgement.refused(attempt.started)
        else:
            self._judge_failure(attempt, now)
        if answer.local:
            self.limit.exhausted(self.in_flight, now)
            attempt.tries_in_vain += 1
        else:
            attempt.failures += 1
            if attempt.failures == 1:
                attempt.failing_since = now
        if answer.congested:
            self.limit.congested(attempt.started, now)
        if answer.delay:
            self.throttle.pause(now, answer.delay)
        if attempt.job is not None:
            if attempt.failures > self._patience.retries and attempt.witnessed and not answer.local:
                self._used_up(attempt, answer, now)
            else:
                self._retry(attempt, answer, now)
        if (seconds := self._judgement.outage_since(now)) is not None:
            self._outage(answer, seconds)

    def _judge_failure(self, attempt: Attempt, now: float) -> None:
        alone = self.in_flight == 0 and not self._ready and self._last_delivered is not None
        in_doubt = alone and attempt.failures >= self._patience.retries and not attempt.witnessed
        read = attempt.operation.action.is_read
        self._judgement.failed(attempt.started, now, in_doubt=in_doubt, read=read)

    def _retry(self, attempt: Attempt, answer: Answer, now: float) -> None:
        if attempt.failures >= self._patience.most_tries:
            self.fail(
                transient_error(
                    f"CleverPush {answer.summary} {_times(attempt.failures)} for one call, while others got through "
                    "only now and then. The rows that were not delivered will be sent again with the next attempt."
                )
            )
            return
        self.retries += not answer.lost  # to look for a route is not to try again
        doublings = attempt.failures + attempt.tries_in_vain - 1
        longest = min(self._bounds.retry_cap_seconds, self._bounds.retry_base_seconds * 2.0**doublings)
        due = now + max(answer.delay or 0.0, self._rng.random() * longest)
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, attempt))

    def _used_up(self, attempt: Attempt, answer: Answer, now: float) -> None:
        """The retries of a call are used up, and CleverPush has answered others since it first failed."""
        if self._judgement.may_be_chance(attempt.failures):
            attempt.failing_since = now
            self._retry(attempt, answer, now)
            return
        often = f"{answer.summary} {_times(attempt.failures)} for this row"
        self._done(attempt, Answer(Verdict.REJECTED, answer.reason, often, answer.status, answer.words, unsure=True))

    def _outage(self, answer: Answer, seconds: float) -> None:
        """Nothing got through for long: an outage, unless there is but one row, and nothing that could tell.

        Then a read is asked for, lest a single row that CleverPush cannot take ends each sync anew. For more rows it
        tells nothing: where reads work and no write does, CleverPush is out all the same.
        """
        alone = self._input_ended and self._rows - self._unreleased == 1 and self._last_delivered is None
        its_fault = bool(self._delayed) and self._delayed[0][2].failures > self._patience.retries
        if alone and its_fault and self._witness is not None:
            self._asked = (Attempt(self._delayed[0][2].stream, None, self._witness), answer)
            return
        self.fail(
            transient_error(
                f"CleverPush is out of reach: {self._host} {answer.summary}, and nothing got through for "
                f"{seconds:.0f} seconds. The rows that were not delivered will be sent again with the next attempt."
            )
        )

    def _witness_answered(self, answer: Answer, last: Answer, now: float) -> None:
        self._asked = None
        if answer.verdict is not Verdict.DELIVERED:
            self.fail(
                transient_error(
                    f"CleverPush is out of reach: {self._host} {last.summary} for a row, and {answer.summary} when "
                    "it was asked for the channel. The row will be sent again with the next attempt."
                )
            )
            return
        self._judgement.answered(now, 0)
        attempt = heapq.heappop(self._delayed)[2]
        often = f"{last.summary} {_times(attempt.failures)} for this row, while the channel could be read"
        self._done(attempt, Answer(Verdict.REJECTED, last.reason, often, last.status, last.words, unsure=True))


def _refuse(job: Job, answer: Answer) -> None:
    """The first refusal of a row counts; what later ones name is told with it."""
    job.refusal = replace(job.refusal, named=job.refusal.named + answer.named) if job.refusal else answer


def _times(count: int) -> str:
    return {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")
