"""The threads: one that reads the input, as many senders as are needed, and the caller's, which settles.

```
feed ─ put ─► dispatcher ─► senders ─ send ─► CleverPush
                  │ settled            (one lock, held for bookkeeping alone)
settlement ◄──────┘
     └─ release ─► due states
```

All decisions are the dispatcher's, under one lock. Nothing is formatted, mapped, logged or stored under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from destination_cleverpush.delivery.dispatcher import Attempt, Dispatcher
from destination_cleverpush.errors import Failure
from destination_cleverpush.words import Answer, DueState, Job, Operation, Pulse, State


class Stopped(Exception):
    """The feed ends early, since the sync has failed."""


class Engine:
    """Runs a dispatcher.

    Args:
        dispatcher: decides; nobody else may touch it while the engine runs, but within `locked`.
        send: makes one call; used from many threads; must not raise.
        most_senders: threads that send, at most.
        grace_seconds: how long requests in flight may take to end after a failure.
        bell: called when the settlement should look up: a state may leave, or the sync is over.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        send: Callable[[Operation], Answer],
        most_senders: int,
        grace_seconds: float,
        bell: Callable[[], None],
    ) -> None:
        self.dispatcher = dispatcher
        self._send = send
        self._most_senders = most_senders
        self._grace = grace_seconds
        self._bell = bell
        self._latest_end = float("inf")
        self.locked = threading.RLock()
        self._work = threading.Condition(self.locked)
        self._room = threading.Condition(self.locked)
        self._idle = 0
        self._wake_at = float("inf")
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
        threading.Thread(target=self._read, args=(feed,), name="reader", daemon=True).start()

    def put(self, items: Sequence[Job | State]) -> None:
        """Hand jobs and states over in order; waits while too much is on its way.

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
                    self._call_sender()  # held jobs may have been let go
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
            self._call_sender()

    def _tell(self) -> bool:
        """Wake those who wait for room or for the end; returns whether the sync goes on."""
        if self._ending:
            self._work.notify_all()
            self._room.notify_all()
            self._bell()
            return False
        if self.dispatcher.finished:
            self._bell()
            return False
        return True

    def _call_sender(self) -> None:
        """Have one idle sender look at what is due, unless one will; it calls the next. Threads are made as needed."""
        now = time.monotonic()
        due = self.dispatcher.due(now)
        if due is None or (due > 0 and now + due >= self._wake_at):
            return
        if self._idle:
            self._work.notify()
        elif len(self._senders) < min(self._most_senders, self.dispatcher.in_flight + 1):
            sender = threading.Thread(target=self._work_off, name=f"sender-{len(self._senders)}", daemon=True)
            try:
                sender.start()
            except RuntimeError:  # the system has no thread to spare: those that there are must do
                if not self._senders:
                    raise
                self._most_senders = len(self._senders)
            else:
                self._senders.append(sender)

    def _work_off(self) -> None:
        try:
            with self.locked:
                attempt = self._next()
            while attempt is not None:
                answer = self._send(attempt.operation)
                with self.locked:  # once per call: to settle one attempt and take the next
                    self.dispatcher.answered(attempt, answer, time.monotonic())
                    self._tell()
                    attempt = self._next()
        except Exception as error:  # noqa: BLE001 - raised again to the settlement
            self._crash(error)

    def _next(self) -> Attempt | None:
        """The next attempt, waiting for it; None when the sync is over. One idle sender keeps the time for all."""
        while not self._ending:
            now = time.monotonic()
            due = self.dispatcher.due(now)
            if due == 0:
                attempt = self.dispatcher.next(now)
                self._call_sender()
                return attempt
            wake_at = now + due if due is not None else float("inf")
            keeps_time = wake_at < self._wake_at
            if keeps_time:
                self._wake_at = wake_at
            self._idle += 1
            self._work.wait(due if keeps_time else None)
            self._idle -= 1
            if keeps_time:
                self._wake_at = float("inf")
        return None
