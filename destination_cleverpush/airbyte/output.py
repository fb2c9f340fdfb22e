"""Standard output: whole lines from any thread, every byte of them, by a thread of its own."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from destination_cleverpush.errors import system_error

_MOST_BYTES = 1 << 20


class OutputClosed(Exception):
    """Nobody reads any more."""


class Output:
    """Lines on their way to the platform, in order.

    `sys.stdout` may be anything: buffered, raw (`PYTHONUNBUFFERED=1`), a pipe that does not block; its `write` may then
    take a part and say so. So the descriptor itself is written, until all is written. That a reader is slow stops only
    those who hand states over, and not the threads that log.

    Args:
        stream: a text stream such as `sys.stdout`, its descriptor, or its buffer where it has none, is written to.
        most_bytes: unwritten bytes from which on :meth:`write` waits.
    """

    def __init__(self, stream: Any, most_bytes: int = _MOST_BYTES) -> None:
        self._stream = stream
        try:
            self._fd: int | None = stream.fileno()
        except (AttributeError, OSError, ValueError):
            self._fd = None
        self._most = most_bytes
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._unwritten = 0
        self._error: OSError | None = None
        self._deadline = float("inf")
        self._thread: threading.Thread | None = None
        self._when_broken: Callable[[], None] = lambda: None

    def when_broken(self, call: Callable[[], None]) -> None:
        """Have it called, from any thread, once the output cannot be written any more.

        Else that is only told to who writes next, which a source that sends nothing may put off for hours.
        """
        with self._changed:
            self._when_broken = call
            broken = self._error is not None
        if broken:
            call()

    def write(self, *lines: str) -> None:
        """Hand lines over; waits while much is unwritten.

        Raises:
            OutputClosed: nobody reads any more.
            Failure: `system_error`, where the output cannot be written, or not within the time of :meth:`hurry`.
        """
        self.tell(*lines)
        with self._changed:
            while self._unwritten > self._most and self._error is None:
                self._wait()
            self._raise()

    def tell(self, *lines: str) -> None:
        """Hand lines over without waiting: for logs. What cannot be written is lost."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        with self._changed:
            if self._error is not None:
                return
            self._waiting.append(data)
            self._unwritten += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="output", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written.

        Raises:
            OutputClosed, Failure: as :meth:`write`.
        """
        with self._changed:
            while self._unwritten and self._error is None:
                self._wait()
            self._raise()

    def hurry(self, seconds: float) -> None:
        """Have all who wait, now or later, wait for so many seconds from now at most; from any thread."""
        with self._changed:
            self._deadline = min(self._deadline, time.monotonic() + seconds)
            self._changed.notify_all()

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise system_error("Standard output was not read in time; states that were not read are sent again.")
        self._changed.wait(min(left, threading.TIMEOUT_MAX))

    def _raise(self) -> None:
        if isinstance(self._error, BrokenPipeError):
            raise OutputClosed
        if self._error is not None:
            raise system_error(f"Standard output cannot be written ({os.strerror(self._error.errno or 0)}).")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = b"".join(self._waiting)
                self._waiting.clear()
            try:
                self._put(data)
            except OSError as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                self._when_broken()
                return
            with self._changed:
                self._unwritten -= len(data)
                self._changed.notify_all()

    def _put(self, data: bytes) -> None:
        if self._fd is None:
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
            return
        rest = memoryview(data)
        while rest:
            rest = rest[_write(self._fd, rest) :]


def _write(fd: int, data: memoryview) -> int:
    """Write a part, and return how many bytes that was; a descriptor that does not block is waited for."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        select.select([], [fd], [])
        return 0
