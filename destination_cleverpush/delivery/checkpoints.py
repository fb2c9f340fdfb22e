"""Checkpoints: states that wait for the rows before them.

The input is cut at each state into epochs. A state leaves when it is the oldest and no row of its epoch, or of an
older one, is unsettled. Counts are kept per stream until a state covers them: a state of one stream reports the rows of
that stream since its previous state, a global or legacy one the rows of all streams (airbyte-platform repository,
`StateCheckSumCountEventHandler`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from destination_cleverpush.protocol import State, StateKind, StreamId


@dataclass(slots=True)
class Tally:
    """Rows of one stream between two states that cover it."""

    delivered: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Epoch:
    """The rows between two states of any kind. `tallies` are those that the closing state reports."""

    unsettled: int = 0
    state: State | None = None
    tallies: list[Tally] = field(default_factory=list)


class Ticket(NamedTuple):
    """A row's place in the bookkeeping, to be handed back once when the row is settled."""

    epoch: Epoch
    tally: Tally


class ReadyState(NamedTuple):
    """A state that may leave, and how many rows it confirms as delivered and as rejected."""

    state: State
    delivered: int
    rejected: int


class Checkpoints:
    """The waiting states, oldest first. All operations take constant time, but for a global state's streams."""

    def __init__(self) -> None:
        self._open = Epoch()
        self._waiting: deque[Epoch] = deque()
        self._tallies: dict[StreamId, Tally] = {}
        self.size = 0
        """Characters of the waiting states."""

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

    def add(self, state: State) -> None:
        """Note a state, at this point of the input."""
        if state.kind is StateKind.STREAM and state.stream is not None:
            tally = self._tallies.pop(state.stream, None)
            self._open.tallies = [tally] if tally else []
        else:
            self._open.tallies = list(self._tallies.values())
            self._tallies = {}
        self._open.state = state
        self.size += len(state.line)
        self._waiting.append(self._open)
        self._open = Epoch()

    def ready(self) -> list[ReadyState]:
        """The states whose rows are all settled, oldest first; each is returned once."""
        ready: list[ReadyState] = []
        while self._waiting and not self._waiting[0].unsettled:
            epoch = self._waiting.popleft()
            assert epoch.state is not None
            delivered = rejected = 0
            for tally in epoch.tallies:
                delivered += tally.delivered
                rejected += tally.rejected
            self.size -= len(epoch.state.line)
            ready.append(ReadyState(epoch.state, delivered, rejected))
        return ready
