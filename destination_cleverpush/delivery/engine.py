"""The threads: a reader of the input, a courier of the calls, senders for what waits, and the caller's, which settles.

```
feed ─ put ─► dispatcher ─► courier ─ begin ─► CleverPush
                  │            └ senders ─ send ─►
                  │ settled      (one lock, held for bookkeeping alone)
settlement ◄──────┘
     └─ release ─► due states
```

All decisions are the dispatcher's, under one lock. Nothing is formatted, mapped, logged or stored under it.

One thread makes the calls and takes their answers, as long as neither has to wait: threads that take turns at Python
cost more than the calls themselves. What has to wait (a new connection, an answer whose end does not show, a route that
is not known) it hands to a sender, of which there are as many as are needed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from destination_cleverpush.delivery.dispatcher import Attempt, Dispatcher
from destination_cleverpush.delivery.flight import Flight
from destination_cleverpush.errors import Failure
from destination_cleverpush.words import Answer, DueState, Job, Operation, Pulse, State, Underway

_MOST_AT_ONCE = 8
"""Calls that are made before answers are looked for, lest a server that asks to wait is heard late."""

_GIVING_WAY_SECONDS = 0.0001
"""How long the input rests after it handed something over while answers are awaited."""

_AWAKE = float("-inf")


class Caller(NamedTuple):
    """How calls are made; used from many threads.

    Attributes:
        begin: makes one without waiting; None where only `send` can; an answer where that is known at once.
        send: makes one, and waits for its answer.
        answered: told each answer.
    """

    begin: Callable[[Operation], Underway | Answer | None]
    send: Callable[[Operation], Answer]
    answered: Callable[[Operation, Answer], None] = lambda *_: None


class Stopped(Exception):
    """The feed ends early, since the sync has failed."""


class Engine:
    """Runs a dispatcher.

    Args:
        dispatcher: decides; nobody else may touch it while the engine runs, but within `locked`.
        caller: makes the calls.
        most_senders: threads that send, at most.
        grace_seconds: how long requests in flight may take to end after a failure.
        bell: called when the settlement should look up: a state may leave, or the sync is over.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        caller: Caller,
        most_senders: int,
        grace_seconds: float,
        bell: Callable[[], None],
    ) -> None:
        self.dispatcher = dispatcher
        self._caller = caller
        self._most_senders = most_senders
        self._grace = grace_seconds
        self._bell = bell
        self._latest_end = float("inf")
        self.locked = threading.RLock()
        self._work = threading.Condition(self.locked)
        self._room = threading.Condition(self.locked)
        self._flight: Flight | None = None
        self._wake_at = _AWAKE  # when the courier looks by itself
        self._handed: deque[tuple[Attempt, Callable[[], Answer]]] = deque()
        self._idle = 0
        self._short = False  # of threads: a call that is handed over may have to wait for a sender
        self._senders: list[threading.Thread] = []
        self._closing = False
        self._input_failure: Failure | None = None
        self._crashed: Exception | None = None

    # --- the input's side

    def start(self, feed: Callable[[], None]) -> None:
        """Begin reading.

        Args:
            feed: called in a thread of its own; hands jobs and states to :meth:`put`, and returns at the input's end.
                A Failure from it ends the sync after what was read has been delivered.
        """
        self._flight = flight = Flight()
        threading.Thread(target=self._carry, args=(flight,), name="courier", daemon=True).start()
        threading.Thread(target=self._read, args=(feed,), name="reader", daemon=True).start()

    def put(self, items: Sequence[Job | State]) -> None:
        """Hand jobs and states over in order; waits while too much is on its way.

        Where calls only wait for answers it rests a moment afterwards: who works on takes Python's lock from the
        courier, for 5 ms each time that an answer comes. So little is to be handed over at once.

        Raises:
            Stopped: the sync has failed or is closing.
        """
        with self.locked:
            now = time.monotonic()
            try:
                for item in items:
                    if self.dispatcher.full:
                        self._changed()
                        self._room.wait_for(lambda: self.dispatcher.has_room or self._ending)
                        now = time.monotonic()
                    if self._ending:
                        raise Stopped
                    if isinstance(item, Job):
                        self.dispatcher.add(item)
                    else:
                        self.dispatcher.add_state(item, now)
            finally:
                self._changed()  # also where a row that was added has failed the sync
            if self.dispatcher.has_news:
                self._bell()
            answers_awaited = self.dispatcher.at_limit
        if answers_awaited:
            time.sleep(_GIVING_WAY_SECONDS)

    def drain(self) -> None:
        """Wait until all that was put is settled and released; for the feed, before it goes on with what follows.

        Raises:
            Stopped: the sync has failed or is closing.
        """
        with self.locked:
            self.dispatcher.let_go()
            self._changed()
            self._room.wait_for(lambda: self.dispatcher.is_empty or self._ending)
            if self._ending:
                raise Stopped

    def stop(self, failure: Failure, grace_seconds: float | None = None) -> None:
        """End the sync with a failure: nothing more is started, and what is in flight has `grace_seconds` to end."""
        with self.locked:
            if grace_seconds is not None:
                self._latest_end = min(self._latest_end, time.monotonic() + grace_seconds)
            self.dispatcher.fail(failure)
            self._changed()

    # --- the settlement's side

    def release(self, jobs: Iterable[Job]) -> list[DueState]:
        """Let go of settled jobs, of which all is told and kept; returns the states that may leave now, in order."""
        with self.locked:
            due = self.dispatcher.release(jobs)
            if self.dispatcher.has_room:
                self._room.notify()
            return due

    def left(self) -> float | None:
        """Seconds until it is to be asked again; 0 when the sync is over, None while nothing presses.

        Raises:
            Exception: an unforeseen one of one of the threads.
        """
        with self.locked:
            if self._crashed is not None:
                raise self._crashed
            if self.dispatcher.finished:
                return 0.0
            now = time.monotonic()
            if self.dispatcher.failure is None:
                look_again = self.dispatcher.watch(now)
                if not self._ending:
                    self._call_courier()  # held jobs may have been let go
                    return look_again
                self._changed()
            self._latest_end = min(self._latest_end, now + self._grace)
            return max(0.0, self._latest_end - now)

    def pulse(self) -> Pulse:
        """How delivery is doing."""
        with self.locked:
            return self.dispatcher.pulse(time.monotonic())

    def close(self) -> Failure | None:
        """End all threads that wait; returns the failure that ended the sync."""
        with self.locked:
            self._closing = True
            self._wake_courier()
            self._work.notify_all()
            self._room.notify_all()
            return self.dispatcher.failure or self._input_failure

    # --- inside

    @property
    def _ending(self) -> bool:
        return self._closing or self._crashed is not None or self.dispatcher.failure is not None

    def _crash(self, error: Exception) -> None:
        """An unforeseen failure in one of our threads ends the sync, and is raised to the settlement."""
        with self.locked:
            self._crashed = self._crashed or error
            self._wake_courier()
            self._work.notify_all()
            self._changed()

    def _read(self, feed: Callable[[], None]) -> None:
        try:
            feed()
        except Stopped:
            return
        except Failure as failure:
            self._input_failure = failure
        except Exception as error:  # noqa: BLE001 - raised again to the settlement
            self._crash(error)
            return
        with self.locked:
            self.dispatcher.end_input()
            self._changed()

    def _changed(self) -> None:
        """Under the lock, after anything that may have changed what can be done."""
        if self._tell():
            self._call_courier()

    def _tell(self) -> bool:
        """Wake those who wait for room or for the end; returns whether the sync goes on."""
        if self._ending:
            self._room.notify_all()
            self._bell()
            return False
        if self.dispatcher.finished:
            self._bell()
            return False
        return True

    def _call_courier(self) -> None:
        """Have the courier look at what is due, unless it will by itself."""
        if self._wake_at == _AWAKE:
            return
        now = time.monotonic()
        due = self.dispatcher.due(now)
        if due is not None and now + due < self._wake_at:
            self._wake_courier()

    def _wake_courier(self) -> None:
        self._wake_at = _AWAKE
        if self._flight is not None:
            self._flight.wake()

    # --- the courier

    def _carry(self, flight: Flight) -> None:
        """Make calls and take their answers, until the engine is closed."""
        try:
            landed: list[tuple[Attempt, Answer | Underway]] = []
            while True:
                answers = [(attempt, found) for attempt, found in landed if isinstance(found, Answer)]
                for attempt, found in landed:
                    if not isinstance(found, Answer):
                        answers += self._hand(attempt, found.wait)
                attempts, seconds = self._turn(answers)
                if attempts is None:
                    return
                landed = []
                for attempt in attempts:
                    landed += self._begin(attempt, flight)
                landed += flight.wait(0.0 if landed else seconds)
        except Exception as error:  # noqa: BLE001 - raised again to the settlement
            self._crash(error)
        finally:
            with self.locked:
                self._flight = None
            flight.close()

    def _turn(self, answers: Sequence[tuple[Attempt, Answer]]) -> tuple[list[Attempt] | None, float | None]:
        """Settle what was answered; what is to be made now, and in how many seconds to look again.

        No list: the engine is closed. No seconds: only an event can change anything.
        """
        for attempt, answer in answers:
            self._caller.answered(attempt.operation, answer)
        with self.locked:  # once for all that has come
            now, at_limit = time.monotonic(), self.dispatcher.at_limit
            for attempt, answer in answers:
                self.dispatcher.answered(attempt, answer, now, at_limit=at_limit)
            if answers:
                self._tell()
            attempts: list[Attempt] = []
            if self._closing or self._crashed is not None:
                return None, None
            waits = self._ending or (self._short and self._handed)  # what waits here would be made in any pause
            due = None if waits else self.dispatcher.due(now)
            while due == 0 and len(attempts) < (1 if self._short else _MOST_AT_ONCE):
                attempts.append(self.dispatcher.next(now))
                due = self.dispatcher.due(now)
            if attempts and self.dispatcher.has_room:
                self._room.notify()
            self._wake_at = _AWAKE if due == 0 else float("inf") if due is None else now + due
            return attempts, due

    def _begin(self, attempt: Attempt, flight: Flight) -> list[tuple[Attempt, Answer | Underway]]:
        """Make a call; its answer where that is there at once."""
        attempt.started = time.monotonic()  # calls are taken some at once, and made one after the other
        begun = self._caller.begin(attempt.operation)
        if begun is None:
            return [*self._hand(attempt, lambda: self._caller.send(attempt.operation))]
        if isinstance(begun, Answer):
            return [(attempt, begun)]
        flight.add(attempt, begun)
        return []

    # --- the senders

    def _hand(self, attempt: Attempt, ask: Callable[[], Answer]) -> list[tuple[Attempt, Answer]]:
        """Have a sender make a call that may have to wait; its answer where there is no sender, and none to be had."""
        with self.locked:
            self._handed.append((attempt, ask))
            if len(self._handed) <= self._idle:
                self._work.notify()
                return []
            if len(self._senders) < self._most_senders:
                sender = threading.Thread(target=self._work_off, name=f"sender-{len(self._senders)}", daemon=True)
                try:
                    sender.start()
                except RuntimeError:  # the system has no thread to spare: those that there are must do
                    self._most_senders = len(self._senders)
                    self._short = True
                else:
                    self._senders.append(sender)
            if self._senders:
                return []
            self._handed.pop()
        return [(attempt, ask())]

    def _work_off(self) -> None:
        try:
            while (handed := self._next()) is not None:
                attempt, ask = handed
                answer = ask()
                self._caller.answered(attempt.operation, answer)
                with self.locked:
                    self.dispatcher.answered(attempt, answer, time.monotonic())
                    self._changed()
        except Exception as error:  # noqa: BLE001 - raised again to the settlement
            self._crash(error)

    def _next(self) -> tuple[Attempt, Callable[[], Answer]] | None:
        """The next call to make, waiting for it; None when the sync is over."""
        with self.locked:
            self._idle += 1
            self._work.wait_for(lambda: self._handed or self._closing or self._crashed is not None)
            self._idle -= 1
            if not self._handed or self._closing:
                return None
            if self._short:
                self._wake_courier()  # it makes no call while one waits here
            return self._handed.popleft()
