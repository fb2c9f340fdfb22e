"""Checkpoints: states that wait for the rows before them.

The input is cut at each state into epochs. A state leaves when it is the oldest and no row of its epoch, or of an
older one, is unsettled. Counts are kept per stream until a state covers them: a state of one stream reports the rows of
that stream since its previous state, any other the rows of all streams (airbyte-platform repository,
`StateCheckSumCountEventHandler`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from destination_cleverpush.words import DueState, State, StreamId


@dataclass(slots=True)
class Tally:
    """Rows of one stream between two states that cover it."""

    delivered: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Epoch:
    """The rows between two states. `tallies` are those that the closing state reports, `since` when it came."""

    unsettled: int = 0
    state: State | None = None
    since: float = 0.0
    tallies: list[Tally] = field(default_factory=list)


class Ticket(NamedTuple):
    """A row's place in the bookkeeping, to be handed back once when the row is settled."""

    epoch: Epoch
    tally: Tally


class Checkpoints:
    """The waiting states, oldest first. All operations take constant time, but for the streams of a state of all."""

    def __init__(self) -> None:
        self._open = Epoch()
        self._waiting: deque[Epoch] = deque()
        self._tallies: dict[StreamId, Tally] = {}
        self.size = 0
        """Bytes that the waiting states take."""

    def admit(self, stream: StreamId) -> Ticket:
        """Note a row of a stream, at this point of the input."""
        self._open.unsettled += 1
        tally = self._tallies.get(stream)
        if tally is None:
            tally = self._tallies[stream] = Tally()
        return Ticket(self._open, tally)

    def settle(self, ticket: Ticket, *, rejected: bool) -> None:
        """Note that a row is delivered, or rejected for good."""
        ticket.epoch.unsettled -= 1
        if rejected:
            ticket.tally.rejected += 1
        else:
            ticket.tally.delivered += 1

    def add(self, state: State, now: float = 0.0) -> None:
        """Note a state, at this point of the input."""
        if state.stream is not None:
            tally = self._tallies.pop(state.stream, None)
            self._open.tallies = [tally] if tally else []
        else:
            self._open.tallies = list(self._tallies.values())
            self._tallies = {}
        self._open.state = state
        self._open.since = now
        self.size += state.size
        self._waiting.append(self._open)
        self._open = Epoch()

    @property
    def is_due(self) -> bool:
        """Whether the oldest state may leave."""
        return bool(self._waiting) and not self._waiting[0].unsettled

    @property
    def oldest(self) -> float | None:
        """When the oldest waiting state came, None where none waits."""
        return self._waiting[0].since if self._waiting else None

    def due(self) -> list[DueState]:
        """The states whose rows are all settled, oldest first; each is returned once."""
        due: list[DueState] = []
        while self.is_due:
            epoch = self._waiting.popleft()
            assert epoch.state is not None
            delivered = rejected = 0
            for tally in epoch.tallies:
                delivered += tally.delivered
                rejected += tally.rejected
            self.size -= epoch.state.size
            due.append(DueState(epoch.state, delivered, rejected))
        return due
