"""The only threads of the connector: one that reads the input, as many senders as are needed, and the caller's.

Reading, sending and answering go on side by side. All decisions are the dispatcher's, under one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush.answers import Answer
from destination_cleverpush.delivery.checkpoints import ReadyState
from destination_cleverpush.delivery.dispatcher import Attempt, Dispatcher, Row
from destination_cleverpush.operations import Operation
from destination_cleverpush.protocol import State, with_stats

_MOST_UNREAD = 100
_BREATH_SECONDS = 0.02  # between writes: where states come faster, several leave in one


class Stopped(Exception):
    """The feed ends early, since the sync has failed."""


class Engine:
    """Runs a dispatcher.

    Args:
        dispatcher: decides; nobody else may touch it while the engine runs, but within `locked`.
        send: makes one call; used from many threads; must not raise.
        max_concurrency: senders at most.
        grace_seconds: how long requests in flight may take to end after a failure.
        keep_rejections: called once nothing is in flight after a failure; returns when all rejected rows are kept.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        send: Callable[[Operation], Answer],
        max_concurrency: int,
        grace_seconds: float,
        keep_rejections: Callable[[], None],
    ) -> None:
        self.dispatcher = dispatcher
        self._send = send
        self._max_senders = max_concurrency
        self._grace = grace_seconds
        self._latest_end = float("inf")
        self._keep_rejections = keep_rejections
        self.locked = threading.RLock()
        self._work = threading.Condition(self.locked)
        self._room = threading.Condition(self.locked)
        self._idle = 0
        self._wake_at = float("inf")
        self._senders: list[threading.Thread] = []
        self._held_back = False
        self._closing = False
        self._input_failure: AirbyteTracedException | None = None
        self._crashed: Exception | None = None
        self._outbox: SimpleQueue[list[ReadyState] | None] = SimpleQueue()

    def run(
        self, feed: Callable[[], None], tick: Callable[[], None], tick_seconds: float | None
    ) -> Iterator[list[str]]:
        """Yield the states that may leave, in order, as soon as they may; end when all is done.

        Args:
            feed: called in a thread of its own; hands rows and states to :meth:`put`, and returns at the input's end.
                An AirbyteTracedException from it ends the sync after what was read has been delivered.
            tick: called every `tick_seconds` (None: never) from the caller's thread.

        Raises:
            AirbyteTracedException: the failure that ended the sync, after the states that are truly done.
        """
        reader = threading.Thread(target=self._read, args=(feed,), name="reader", daemon=True)
        reader.start()
        try:
            yield from self._drain(tick, tick_seconds)
            self._keep_rejections()
            while not self._outbox.empty():
                yield _lines(self._outbox.get() or [])
            with self.locked:
                rest = self.dispatcher.take_ready()
            if rest:
                yield _lines(rest)
        finally:
            with self.locked:
                self._closing = True
                self._work.notify_all()
                self._room.notify_all()
        with self.locked:
            failure = self.dispatcher.failure or self._input_failure
        if failure is not None:
            raise failure

    def put(self, items: list[Row | State]) -> None:
        """Hand rows and states over in order; waits while too much is on its way.

        Raises:
            Stopped: the sync has failed or is closing.
        """
        with self.locked:
            try:
                for item in items:
                    if self.dispatcher.full:
                        self._changed()
                        self._room.wait_for(lambda: self.dispatcher.has_room or self._over)
                    if self._over:
                        raise Stopped
                    if isinstance(item, Row):
                        self.dispatcher.add_row(item)
                    else:
                        self.dispatcher.add_state(item)
            finally:
                self._changed()  # also where a row that was added has failed the sync

    def stop(self, error: AirbyteTracedException, grace_seconds: float | None = None) -> None:
        """End the sync with a failure: nothing more is started, and what is in flight has `grace_seconds` to end."""
        with self.locked:
            if grace_seconds is not None:
                self._latest_end = min(self._latest_end, time.monotonic() + grace_seconds)
            self.dispatcher.fail(error)
            self._changed()

    def stored(self, row: Row) -> None:
        """A rejected row is kept safely."""
        with self.locked:
            self.dispatcher.rejection_stored(row)
            self._changed()

    def _crash(self, error: Exception) -> None:
        """An unforeseen failure in one of our threads ends the sync, and is raised where `run` was called."""
        with self.locked:
            self._crashed = self._crashed or error
            self._outbox.put(None)

    @property
    def _over(self) -> bool:
        return self._closing or self._crashed is not None or self.dispatcher.failure is not None

    def _read(self, feed: Callable[[], None]) -> None:
        try:
            feed()
        except Stopped:
            return
        except AirbyteTracedException as error:
            self._input_failure = error
        except Exception as error:  # noqa: BLE001 - raised again where run was called
            self._crash(error)
            return
        with self.locked:
            self.dispatcher.end_input()
            self._changed()

    def _drain(self, tick: Callable[[], None], tick_seconds: float | None) -> Iterator[list[str]]:
        deadline: float | None = None
        next_tick = time.monotonic() + tick_seconds if tick_seconds else None
        while True:
            now = time.monotonic()
            if deadline is None and self.dispatcher.failure is not None:
                deadline = now + self._grace
            if deadline is not None:
                deadline = min(deadline, self._latest_end)
            if next_tick is not None and now >= next_tick:
                tick()
                next_tick = max(next_tick + (tick_seconds or 0.0), now)
            due = [moment for moment in (deadline, next_tick) if moment is not None]
            try:
                states = self._outbox.get(timeout=max(0.0, min(due) - now) if due else None)
            except Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    return
                continue
            if self._crashed is not None:
                raise self._crashed
            while states and not self._outbox.empty():  # what came meanwhile leaves in one go
                if (more := self._outbox.get()) is None:
                    self._outbox.put(None)
                    break
                states += more
            if states is None:
                with self.locked:
                    if self.dispatcher.finished:
                        return
                continue
            yield _lines(states)
            time.sleep(_BREATH_SECONDS)
            if self._held_back:
                with self.locked:
                    self._changed()

    def _changed(self) -> None:
        """Under the lock, after anything that may have changed what can be done."""
        if self._tell():
            self._call_sender()

    def _tell(self) -> bool:
        """Hand on what is ready, and wake those who wait for room or for the end; returns whether the sync goes on."""
        dispatcher = self.dispatcher
        # States that nobody reads stay where they count against the memory that the input may fill.
        self._held_back = self._outbox.qsize() >= _MOST_UNREAD
        if not self._held_back and (states := dispatcher.take_ready()):
            self._outbox.put(states)
        if dispatcher.failure is not None:
            self._work.notify_all()
            self._room.notify_all()
            self._outbox.put(None)
            return False
        if dispatcher.finished:
            self._outbox.put(None)
            return False
        if dispatcher.has_room:
            self._room.notify()
        return True

    def _call_sender(self) -> None:
        """Have one idle sender look at what is due, unless one will; it calls the next. Threads are made as needed."""
        now = time.monotonic()
        due = self.dispatcher.due(now)
        if due is None or (due > 0 and now + due >= self._wake_at):
            return
        if self._idle:
            self._work.notify()
        elif len(self._senders) < min(self._max_senders, self.dispatcher.in_flight + 1):
            sender = threading.Thread(target=self._work_off, name=f"sender-{len(self._senders)}", daemon=True)
            self._senders.append(sender)
            sender.start()

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
        except Exception as error:  # noqa: BLE001 - raised again where run was called
            self._crash(error)

    def _next(self) -> Attempt | None:
        """The next attempt, waiting for it; None when the sync is over. One idle sender keeps the time for all."""
        while not self._over:
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


def _lines(states: list[ReadyState]) -> list[str]:
    """The states as they leave: written here, in the caller's thread, and not under the lock that all senders want."""
    return [with_stats(*state) for state in states]
