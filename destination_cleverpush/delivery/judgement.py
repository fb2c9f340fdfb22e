"""What failures mean: the row's own fault (poison), an outage, or chance. No scheduling: it is told the time.

**Poison.** A row whose retries are used up is poison if its last try failed after a *witness*: a request that started
after the row's first failure and was answered for good before that try began. Failures within an outage prove nothing.

**Outage.** After a few failures in a row without a success, delivery *feels its way*: one call at a time, with growing
pauses, until the first success. A minute of that ends the sync.

**Chance.** Where other calls fail, too, before they are answered, a row may just be unlucky, and is tried on.
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
        few_failures: in a row, without a success, from which on one call at a time feels its way,
        few_chance: unless so many failures in a row are likelier than this where calls fail at random.
        first_pause_seconds, longest_pause_seconds: between the calls that feel their way; each is twice the last, once
            their failures can hardly be chance.
        outage_seconds: of feeling the way without a success, that are an outage.
        longest_delay_seconds: a longer delay asked for by the server, or a longer time without any success, ends the
            sync.
    """

    retries: int = 3
    most_tries: int = 60
    largest_chance: float = 1e-6
    of_late: float = 0.99
    few_failures: int = 5
    few_chance: float = 1e-3
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 15.0
    outage_seconds: float = 60.0
    longest_delay_seconds: float = 15 * 60.0


class Judgement:
    """What the answers so far prove. Times are in seconds of the caller's clock."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._alive_started = float("-inf")
        self._troubled_since: float | None = None
        self._feeling_since: float | None = None
        self._in_a_row = 0
        self._writes_troubled = False
        self._doubt = False
        self._felt = 0
        self._feel_at = float("-inf")
        self._answered = 0.0  # calls answered for good, of late, and their failures before that
        self._failed_before = 0.0

    def answered(self, started: float, failures: int, *, read: bool = False) -> None:
        """A call that started then was answered for good, after so many failures.

        A read proves nothing where a write failed last: a CleverPush that can be read and takes nothing is out.
        """
        if read and self._writes_troubled:
            return
        self._writes_troubled = False
        self._answered = self._answered * self._patience.of_late + 1
        self._failed_before = self._failed_before * self._patience.of_late + failures
        self._troubled_since = self._feeling_since = None
        self._in_a_row = self._felt = 0
        self._doubt = False
        self._alive_started = max(self._alive_started, started)

    def refused(self, started: float, *, read: bool = False) -> None:
        """A call that started then was answered 429: it was heard, and nothing was taken."""
        self._writes_troubled = self._writes_troubled or not read
        if self._troubled_since is None:
            self._troubled_since = started

    def failed(self, started: float, now: float, *, in_doubt: bool = False, read: bool = False) -> None:
        """A call that started then failed; `in_doubt`: its retries are used up, and nothing else is there to tell."""
        self.refused(started, read=read)
        self._in_a_row += 1
        self._doubt = self._doubt or in_doubt
        if self.feels:
            if self._feeling_since is None:
                self._feeling_since = now
            by_chance = self._share**self._felt > self._patience.few_chance and self._share > 0
            pause = self._patience.first_pause_seconds * 2.0 ** (0 if by_chance else min(self._felt, 10))
            self._feel_at = now + min(self._patience.longest_pause_seconds, pause)
            self._felt += 1

    @property
    def feels(self) -> bool:
        """Whether one call at a time must feel its way."""
        enough = self._in_a_row >= self._patience.few_failures
        return self._doubt or (enough and self._share**self._in_a_row <= self._patience.few_chance)

    @property
    def feel_at(self) -> float:
        """When the next call that feels its way may start."""
        return self._feel_at

    @property
    def felt(self) -> int:
        """How many calls have felt their way in vain since the last success."""
        return self._felt

    def outage_since(self, now: float) -> float | None:
        """Seconds that calls have felt their way in vain, where that is an outage."""
        if self._feeling_since is None or now - self._feeling_since < self._patience.outage_seconds:
            return None
        return now - self._feeling_since

    def patience_ends(self) -> float:
        """When nothing will have been answered for good for too long; infinity while something is."""
        if self._troubled_since is None:
            return float("inf")
        return self._troubled_since + self._patience.longest_delay_seconds

    def alive_since(self, moment: float) -> bool:
        """Whether a request that started at that moment or later was answered for good."""
        return self._alive_started >= moment

    def may_be_chance(self, failures: int) -> bool:
        """Whether calls that were answered in the end fail so often that this one may just have been unlucky."""
        return self._share**failures > self._patience.largest_chance

    @property
    def _share(self) -> float:
        """Of calls that fail, among those that were answered in the end."""
        return self._failed_before / (self._failed_before + self._answered) if self._failed_before else 0.0
