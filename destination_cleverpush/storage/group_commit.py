"""Group commit: what gathers while the last write runs is written together, by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from destination_cleverpush.errors import Failure, system_error, transient_error

T = TypeVar("T")


class GroupCommit(Generic[T]):
    """Hands over what has gathered, `flush_seconds` after the first item that waits for it, or when many wait.

    Args:
        name: of the store, for messages.
        store: makes a batch durable, and tells of it; called from the thread. May raise :class:`Failure`.
        on_failure: called once, from the thread, when nothing more can be stored; no batch is handed over afterwards.
        most: items that do not wait for company.
        late: what :meth:`close` says when the time is up.
        thread: its name.
    """

    def __init__(
        self,
        name: str,
        store: Callable[[list[T]], None],
        on_failure: Callable[[Failure], None],
        *,
        flush_seconds: float,
        most: int,
        late: str,
        thread: str,
    ) -> None:
        self._name = name
        self._store = store
        self._on_failure = on_failure
        self._flush = flush_seconds
        self._most = most
        self._late = late
        self._thread = thread
        self._changed = threading.Condition()
        self._waiting: list[T] = []
        self._closing = False
        self._failure: Failure | None = None
        self._deadline = float("inf")
        self._ended = True  # the thread, or it has not begun

    def take(self, items: Sequence[T]) -> None:
        """Take items, without waiting. Those that come after a failure or :meth:`close` are never stored."""
        with self._changed:
            if not items or self._closing or self._failure is not None:
                return
            if self._ended:
                self._ended = False
                threading.Thread(target=self._run, name=self._thread, daemon=True).start()
            before = len(self._waiting)
            self._waiting += items
            if not before or before < self._most <= len(self._waiting):
                self._changed.notify_all()

    def close(self) -> None:
        """Store what waits; later items are not taken. It waits until that has ended, but for :meth:`hurry`.

        Raises:
            Failure: the store's; `transient_error` when the time is up.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while not self._ended:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise transient_error(self._late)
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        if self._failure is not None:
            raise self._failure

    def hurry(self, seconds: float) -> None:
        """Have :meth:`close`, now or later, wait for so many seconds from now at most; from any thread."""
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while batch := self._gather():
                self._store(batch)
        except Failure as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 (nobody waits for this thread: it must tell of any failure)
            self._fail(
                system_error(
                    f"{self._name} failed for a reason that the connector does not know.",
                    f"{self._name}: {type(error).__name__}",
                )
            )
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _fail(self, failure: Failure) -> None:
        with self._changed:
            self._failure = failure
            self._waiting = []
        self._on_failure(failure)

    def _gather(self) -> list[T]:
        """The next batch; empty when it is closing and all is stored."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._closing or len(self._waiting) >= self._most, timeout=self._flush)
            batch, self._waiting = self._waiting, []
            return batch
