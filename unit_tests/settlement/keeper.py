"""A keeper that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from destination_cleverpush.errors import Failure
from destination_cleverpush.settlement.settlement import Settlement
from destination_cleverpush.words import Job, RejectedRow

Outcome = tuple[Job, RejectedRow | None]


class FakeKeeper:
    """Keeps what it is asked for when it is told to; `rest` is kept when it is closed."""

    def __init__(
        self, settlement: Settlement, wanted: Callable[[Outcome], bool] = lambda _: True, failure: Failure | None = None
    ) -> None:
        self.seen: list[Outcome] = []
        self.rest: list[Job] = []
        self.closed = 0
        self.hurried: list[float] = []
        self._settlement = settlement
        self._wanted = wanted
        self._failure = failure
        settlement.add_keeper(self)

    def keep(self, outcomes: Sequence[Outcome]) -> Sequence[Job]:
        self.seen += outcomes
        taken = [outcome[0] for outcome in outcomes if self._wanted(outcome)]
        self.rest += taken
        return taken

    def flush(self, *jobs: Job) -> None:
        """Keep these jobs, else all."""
        kept = list(jobs) or self.rest
        self.rest = [job for job in self.rest if job not in kept]
        self._settlement.kept(kept)

    def close(self) -> None:
        self.closed += 1
        if self._failure is not None:
            raise self._failure
        self.flush()

    def hurry(self, seconds: float) -> None:
        self.hurried.append(seconds)
