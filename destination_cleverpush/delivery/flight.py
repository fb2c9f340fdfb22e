"""Calls that are under way, watched by one thread for all of them."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from destination_cleverpush.delivery.dispatcher import Attempt
from destination_cleverpush.words import Answer, Underway

_FINEST_SECONDS = 0.001
"""What poll can wait for at least."""


class Flight:
    """The calls under way. Only :meth:`wake` may be called by another thread than the one that waits.

    Raises:
        OSError: there is no descriptor left.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._poll.register(self._woken, select.POLLIN)
        self._calls: dict[int, tuple[Attempt, Underway]] = {}
        self._look_at = float("inf")  # no call is due before

    def add(self, attempt: Attempt, call: Underway) -> None:
        """A call was made."""
        self._calls[call.fileno()] = attempt, call
        self._poll.register(call.fileno(), select.POLLIN)
        self._look_at = min(self._look_at, call.due)

    def wait(self, seconds: float | None) -> list[tuple[Attempt, Answer | Underway]]:
        """Wait until something comes, for so long at most; None: for as long as it takes.

        Returns:
            Attempts that were answered, with their answers, and those whose calls block, with these.
        """
        due = self._look_at - time.monotonic()
        left = due if seconds is None else min(seconds, due)
        if 0 < left < _FINEST_SECONDS:
            time.sleep(left)
            left = 0.0
        heard = self._poll.poll(None if left == float("inf") else max(0.0, left) * 1000)
        now = time.monotonic()
        landed = [found for fileno, _ in heard if (found := self._look(fileno)) is not None]
        if now >= self._look_at:
            late = [fileno for fileno, (_, call) in self._calls.items() if call.due <= now]
            landed += [found for fileno in late if (found := self._look(fileno)) is not None]
            self._look_at = min((call.due for _, call in self._calls.values()), default=float("inf"))
        return landed

    def wake(self) -> None:
        """End the waiting."""
        with suppress(BlockingIOError):  # the pipe is full of them
            os.write(self._waker, b"\0")

    def close(self) -> None:
        """Nothing is watched any more."""
        os.close(self._woken)
        os.close(self._waker)

    def _look(self, fileno: int) -> tuple[Attempt, Answer | Underway] | None:
        if fileno == self._woken:
            os.read(fileno, 1 << 12)
            return None
        attempt, call = self._calls[fileno]
        answer = call.look()
        if answer is None and not call.blocks:
            return None
        del self._calls[fileno]
        self._poll.unregister(fileno)
        return attempt, call if answer is None else answer
