"""What has become of the rows so far, by stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from destination_cleverpush.words import Job, Reason, StreamId

_MOST_REFUSED = 1_000


@dataclass(slots=True)
class StreamCounts:
    """Rows of one stream.

    Attributes:
        without_call: delivered rows that needed no call.
        told: those among them of which `effects` tell why.
        refused: rejected rows by what of them was refused, such as an attribute or a tag.
        effects: what became of rows, and of what no row asked for, in words.
    """

    delivered: int = 0
    without_call: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    refused: Counter[tuple[Reason, str]] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    told: int = 0

    @property
    def settled(self) -> int:
        """Rows that are delivered or rejected."""
        return self.delivered + self.rejected.total()


class Counts:
    """The rows of one sync. Used from one thread."""

    def __init__(self) -> None:
        self.streams: dict[StreamId, StreamCounts] = {}

    def add(self, jobs: Iterable[Job]) -> None:
        """Count settled jobs."""
        for job in jobs:
            counts = self.streams.get(job.stream)
            if counts is None:
                counts = self.streams[job.stream] = StreamCounts()
            if job.effect:
                counts.effects[job.effect] += 1
            if not job.is_row:
                continue
            if job.refusal is None:
                counts.delivered += 1
                if not job.attempts:
                    counts.without_call += 1
                    counts.told += bool(job.effect)
            elif job.refusal.reason is not None:
                counts.rejected[job.refusal.reason] += 1

    def refuse(self, stream: StreamId, reason: Reason, names: Iterable[str]) -> None:
        """Note what of a rejected row was refused; of a stream at most 1,000 different names are."""
        refused = self.streams[stream].refused
        for name in names:
            if len(refused) < _MOST_REFUSED or (reason, name) in refused:
                refused[reason, name] += 1

    def of(self, stream: StreamId) -> StreamCounts:
        """The counts of a stream, zero where nothing of it was settled."""
        return self.streams.get(stream) or StreamCounts()

    @property
    def total(self) -> StreamCounts:
        """All streams together."""
        return total(self.streams)


def total(streams: Mapping[StreamId, StreamCounts]) -> StreamCounts:
    """Several streams together."""
    return StreamCounts(
        sum(counts.delivered for counts in streams.values()),
        sum(counts.without_call for counts in streams.values()),
        sum((counts.rejected for counts in streams.values()), start=Counter()),
        sum((counts.refused for counts in streams.values()), start=Counter()),
        sum((counts.effects for counts in streams.values()), start=Counter()),
        sum(counts.told for counts in streams.values()),
    )
