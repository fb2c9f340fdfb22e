"""What has become of the rows so far, by stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from destination_cleverpush.words import Job, Reason, StreamId


@dataclass(slots=True)
class StreamCounts:
    """Rows of one stream. `without_call` are those of the delivered ones that needed no call."""

    delivered: int = 0
    without_call: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)

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
            if job.refusal is None:
                counts.delivered += 1
                if not job.attempts:
                    counts.without_call += 1
            elif job.refusal.reason is not None:
                counts.rejected[job.refusal.reason] += 1

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
    )
