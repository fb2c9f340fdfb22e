"""What rejected rows mean for the sync, as the user wishes it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from destination_cleverpush.errors import Failure, config_error
from destination_cleverpush.settlement.counts import StreamCounts, total
from destination_cleverpush.settlement.sentences import place
from destination_cleverpush.words import Reason, RejectedRow, StreamId


@dataclass(frozen=True)
class Policy:
    """The user's wishes.

    Attributes:
        fail_at_once: the first rejected row ends the sync, and its state stays back, so that it is sent again.
        highest_share: of rejected rows among the settled ones; None: any.
        every_row_from: a stream of at least so many rows, all of them rejected, fails the sync.
        judged_from_rows: while the sync runs, the share is judged from so many settled rows on.
    """

    fail_at_once: bool = False
    highest_share: float | None = None
    judged_from_rows: int = 1_000
    every_row_from: int = 20

    def after_rejection(self, row: RejectedRow) -> Failure | None:
        """What a rejected row leads to."""
        if not self.fail_at_once:
            return None
        return config_error(
            f"A row was rejected, and the configuration says to fail then: {place(row)}, {row.code}: {row.reason}"
        )

    def meanwhile(self, streams: Mapping[StreamId, StreamCounts]) -> Failure | None:
        """What the counts lead to while the sync runs."""
        if self.highest_share is None:
            return None
        counts = total(streams)
        return self._share(counts) if counts.settled >= self.judged_from_rows else None

    def at_the_end(self, streams: Mapping[StreamId, StreamCounts], read: Mapping[StreamId, int]) -> Failure | None:
        """What the counts lead to at the end of a sync that nothing else failed.

        Args:
            read: how many rows were read of each stream.
        """
        for stream, counts in streams.items():
            if read.get(stream, 0) >= self.every_row_from and (sentence := _every_row(stream, counts, read)):
                return config_error(sentence)
        return self._share(total(streams))

    def warnings(self, streams: Mapping[StreamId, StreamCounts], read: Mapping[StreamId, int]) -> list[str]:
        """What the user should know of a sync that goes through: streams of few rows, all of them rejected."""
        few = {stream: counts for stream, counts in streams.items() if read.get(stream, 0) < self.every_row_from}
        return [sentence for stream, counts in few.items() if (sentence := _every_row(stream, counts, read))]

    def _share(self, counts: StreamCounts) -> Failure | None:
        rejected, settled = counts.rejected.total(), counts.settled
        if self.highest_share is None or not settled or rejected / settled <= self.highest_share:
            return None
        reason = _leading(counts.rejected)
        return config_error(
            f"{rejected} of {settled} rows were rejected, more than the highest share that the configuration "
            f"allows ({self.highest_share:g}). The leading reason is {reason.code}: {reason.advice}"
        )


def _leading(rejected: Counter[Reason]) -> Reason:
    return rejected.most_common(1)[0][0]


def _every_row(stream: StreamId, counts: StreamCounts, read: Mapping[StreamId, int]) -> str | None:
    """A sentence where every row of a stream was rejected."""
    if not counts.rejected or counts.rejected.total() != read.get(stream):
        return None
    reason, count = counts.rejected.most_common(1)[0]
    number = read[stream]
    return f"Every row of stream '{stream}' was rejected ({number} in all), {count} as {reason.code}: {reason.advice}"
