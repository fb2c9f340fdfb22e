"""What a failure means: the row's own fault (poison), an outage, or chance. No scheduling, no clock: it is told the time.

A row whose retries are used up is poison if a request that *started after its first failure* was answered for good:
requests that were in flight when an outage began say nothing about CleverPush after it. Where other calls fail too
before they are answered, it may be chance, and the row is tried on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long delivery tries before it judges.

    Attributes:
        retries: of a call that fails, before anything is concluded from it.
        most_tries: of a call, where others fail at random as well (some 10 minutes of them).
        largest_chance: a row whose failures may still be chance with more than this probability is not rejected.
        of_late: how much of the measured share of failures each further answer leaves (0.99: the last 100 or so).
        longest_delay_seconds: a longer delay asked for by the server, or a longer time without any success, ends the
            sync.
    """

    retries: int = 3
    most_tries: int = 60
    largest_chance: float = 1e-6
    of_late: float = 0.99
    longest_delay_seconds: float = 15 * 60.0


class Judgement:
    """What the answers so far prove. Times are in seconds of the caller's clock."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._alive_started = float("-inf")
        self._troubled_since: float | None = None
        self._answered = 0.0  # calls answered for good, of late, and their failures before that
        self._failed_before = 0.0

    def answered(self, started: float, failures: int) -> None:
        """A call that started then was answered for good, after so many failures."""
        self._answered = self._answered * self._patience.of_late + 1
        self._failed_before = self._failed_before * self._patience.of_late + failures
        self._troubled_since = None
        self._alive_started = max(self._alive_started, started)

    def troubled(self, started: float) -> None:
        """A call that started then was not answered for good."""
        if self._troubled_since is None:
            self._troubled_since = started

    def given_up(self, now: float) -> bool:
        """Whether nothing was answered for good for too long."""
        return (
            self._troubled_since is not None
            and now - self._troubled_since > self._patience.longest_delay_seconds
        )

    def alive_since(self, moment: float) -> bool:
        """Whether a request that started at that moment or later was answered for good."""
        return self._alive_started >= moment

    def may_be_chance(self, failures: int) -> bool:
        """Whether calls that were answered in the end fail so often that this one may just have been unlucky."""
        share = self._failed_before / (self._failed_before + self._answered) if self._failed_before else 0.0
        return share**failures > self._patience.largest_chance
