"""A guard on removal: a wrong mark unsubscribes people, and cannot be undone.

Marked rows wait in their lanes (:attr:`destination_cleverpush.words.Job.held`) until much of the input is known; then,
and again before each later removal, the share of marked rows among the stream's rows so far is judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from destination_cleverpush.errors import config_error
from destination_cleverpush.words import Script, StreamId


@dataclass
class RemovalGuard:
    """The rows of a stream so far, and how many of them are marked as removed.

    Attributes:
        highest_share: of marked rows that is believed.
        judged_from: so many marked rows on; fewer are believed whatever their share.
    """

    stream: StreamId
    highest_share: float
    judged_from: int = 100
    rows: int = 0
    marked: int = 0

    def watch(self, script: Script, column: str) -> Script:
        """The script of a marked row, which ends the sync instead where too large a share is marked.

        Raises (when it is run):
            Failure: `config_error` that names the column, the counts, and how to allow them.
        """
        if self.marked >= self.judged_from and self.marked > self.highest_share * self.rows:
            raise config_error(
                f"{self.marked} of {self.rows} rows of stream '{self.stream}' are marked as removed by the column "
                f"'{column}': more than the highest share that the configuration allows ({self.highest_share:g}). The "
                "sync stops here, since a removal cannot be undone. If the column is the wrong one, correct Removed "
                "Marker; if so many are to be removed, raise Highest Share of Removals (max_removal_ratio; 1 allows "
                "all)."
            )
        yield from script
