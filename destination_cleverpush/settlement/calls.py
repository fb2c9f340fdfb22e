"""What is told of single calls: that CleverPush begins to limit them, and, for whoever looks closely, each retry."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from destination_cleverpush.words import Answer, Operation, Verdict


class CallLog:
    """Tells of calls that did not go smoothly, without their values. Used from many threads.

    Args:
        pace: the calls per second that are started at this moment; None where nothing limits them.
        clock: seconds.
        quiet_seconds: a refusal is not told again within so many seconds.
    """

    def __init__(
        self,
        logger: logging.Logger,
        pace: Callable[[], float | None],
        *,
        clock: Callable[[], float],
        quiet_seconds: float = 60.0,
    ) -> None:
        self._logger = logger
        self._pace = pace
        self._clock = clock
        self._quiet = quiet_seconds
        self._lock = threading.Lock()
        self._quiet_until = float("-inf")
        self._refuses = False

    def answered(self, operation: Operation, answer: Answer) -> None:
        """Take note of an answer."""
        if answer.verdict is Verdict.THROTTLED:
            self._throttled(answer)
        elif self._refuses and answer.verdict in (Verdict.DELIVERED, Verdict.REJECTED):
            self._taken()
        if self._logger.isEnabledFor(logging.DEBUG):
            self._tell_closely(operation, answer)

    def _throttled(self, answer: Answer) -> None:
        with self._lock:
            now = self._clock()
            if now < self._quiet_until:
                return
            self._quiet_until = now + self._quiet
            self._refuses = True
        asks = f" and asks to wait {answer.delay:.0f} s" if answer.delay else ""
        self._logger.warning(
            "CleverPush limits calls (HTTP 429)%s. All calls wait, and go on more slowly; no row is lost.", asks
        )

    def _taken(self) -> None:
        with self._lock:
            if not self._refuses:
                return
            self._refuses = False
        pace = self._pace()
        at = "" if pace is None else f" at about {pace:.1f} per second" if pace < 10 else f" at {pace:.0f} per second"
        self._logger.info("CleverPush takes calls again: the sync goes on%s.", at)

    def _tell_closely(self, operation: Operation, answer: Answer) -> None:
        name = operation.action.name
        if answer.verdict in (Verdict.RETRY, Verdict.THROTTLED):
            delay = f", in {answer.delay:.0f} s at the earliest" if answer.delay else ""
            self._logger.debug("%s: CleverPush %s; it is tried again%s.", name, answer.summary, delay)
        elif "GET " in "".join(operation.action.routes.values()):
            self._logger.debug("%s: %d found.", name, len(answer.ids))
