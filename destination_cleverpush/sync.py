"""One sync put together: the only module that knows all rooms.

```
rows ─► objects ─► delivery ⇄ api ─► CleverPush
                       └► settlement ─► keepers, then states
```
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from destination_cleverpush.api.channel import read_channel
from destination_cleverpush.api.client import WITNESS, Client
from destination_cleverpush.api.refused import Refused
from destination_cleverpush.api.rehearsal import Rehearsal
from destination_cleverpush.config import Config
from destination_cleverpush.dead_letter.rows import sync_label
from destination_cleverpush.dead_letter.store import DeadLetterStore, told_place
from destination_cleverpush.delivery.dispatcher import Bounds, Dispatcher
from destination_cleverpush.delivery.engine import Caller, Engine
from destination_cleverpush.errors import Failure, system_error, transient_error
from destination_cleverpush.objects.known import Identities
from destination_cleverpush.objects.plan import StreamPlan, lists_of_streams, plan_streams
from destination_cleverpush.settlement.calls import CallLog
from destination_cleverpush.settlement.counts import Counts
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.settlement.progress import SUMMARY, Progress, closing, show_calls, summarise
from destination_cleverpush.settlement.settlement import Settlement
from destination_cleverpush.tracked import Tracked
from destination_cleverpush.tracking import care
from destination_cleverpush.tracking.committer import Committer
from destination_cleverpush.tracking.memory import Memory
from destination_cleverpush.words import (
    NOTHING_READ,
    Action,
    Answer,
    Channel,
    Complete,
    DueState,
    Job,
    Operation,
    PassedOver,
    Pulse,
    Row,
    State,
    Stream,
    StreamId,
    Underway,
)

_PUT_AT_ONCE = 16
"""Jobs and states that are handed to delivery at once."""

Input = Row | State | Complete | PassedOver
"""What the input consists of."""

CANCEL_GRACE_SECONDS = 4.0
"""How long a cancelled sync waits for what is on its way: a second less than a SIGTERM takes to have its effect."""


class Sync:
    """One run of `write`.

    Args:
        config: as the user filled in the form.
        streams: that the source may send rows of.
        plan: for a dry run, a file that all calls are written to.
        policy: what rejected rows mean, where this is a part of something greater that is judged as a whole; None: what
            the configuration says.
        label: names the folder of rejected rows; None: the platform's sync, or the time.

    Attributes:
        ending: how it ended, in a sentence; empty before that.

    Raises:
        Failure: before the first row, where the streams or the mapping cannot work, where the plan cannot be written,
            or where names cannot be looked up.
    """

    def __init__(
        self,
        config: Config,
        streams: Sequence[Stream],
        logger: logging.Logger,
        plan: Path | None = None,
        *,
        policy: Policy | None = None,
        label: str | None = None,
    ) -> None:
        self._config = config
        self._streams = streams
        self._logger = logger
        self._call_log = CallLog(logger, lambda: self._engine.pulse().pace, clock=time.monotonic)
        self._settlement = Settlement(
            policy or Policy(config.on_rejected == "fail", config.max_rejected_ratio), self._describe, logger
        )
        self._identities = Identities(config.objects.subscription_id_kind, self._settlement.tell)
        self._lists, needed = lists_of_streams(config.objects, streams)
        self._client = Client(config.api, logger.info)
        self._rehearsal = self._rehearse(plan) if config.dry_run else None
        channel = read_channel(self._client, self._lists, logger.warning, needed=needed)
        self._refused = Refused(self._client.send, channel, self._read_channel_again)
        self._plans = plan_streams(
            config.objects,
            streams,
            logger.log,
            identities=self._identities,
            channel=channel,
            remembers=config.change_tracking is not None,
        )
        self._dispatcher = Dispatcher(
            Bounds(config.max_concurrency, config.max_requests_per_second),
            self._settlement.settled,
            witness=Operation(WITNESS, {}),
            host=config.api.host,
        )
        self._engine = Engine(
            self._dispatcher,
            Caller(self._begin, self._send, self._answered),
            config.max_concurrency,
            grace_seconds=2 * config.api.request_timeout_seconds,
            bell=self._settlement.ring,
        )
        self._sync_id = next((stream.sync_id for stream in streams if stream.sync_id is not None), None)
        self._kept = None
        if config.rejected_records is not None and not config.dry_run:
            self._kept = told_place(config.rejected_records)
            label = label or sync_label(self._sync_id, datetime.now(timezone.utc))
            self._settlement.add_keeper(
                DeadLetterStore(config.rejected_records, label, self._settlement.kept, self._engine.stop)
            )
        self._tracked: Tracked | None = None
        self._cancelled = threading.Event()
        self._read = {stream.id: 0 for stream in streams}
        self._complete: set[StreamId] = set()
        self.ending = ""

    def run(self, batches: Iterable[Sequence[Input]]) -> Iterator[list[DueState]]:
        """Deliver the rows; yield the states that may leave, in order.

        Raises:
            Failure: what ended the sync, after the states that are truly done.
        """
        with self._remembering():
            yield from self._run(batches)

    def _run(self, batches: Iterable[Sequence[Input]]) -> Iterator[list[DueState]]:
        started = time.monotonic()
        seconds = self._config.progress_interval_seconds
        progress = Progress(self._logger, self._settlement.counts, self._read, self._engine.pulse, clock=time.monotonic)
        self._tell_opening()
        self._engine.start(lambda: self._feed(batches))
        failure: Failure | None = None
        try:
            for states in self._settlement.run(self._engine, progress.tell, seconds or None):
                if self._rehearsal is None:
                    yield states
        finally:
            failure = self._engine.close()
            summarise(
                self._logger,
                self._settlement.counts,
                self._read,
                calls=self._dispatcher.calls,
                taken=self._taken(),
                besides=self._identities.besides,
                seconds=time.monotonic() - started,
                dry=self._rehearsal is not None,
            )
            self._client.close()
        if self._rehearsal is not None:
            self._end_rehearsal(self._rehearsal)
        for warning in self._identities.warnings():
            self._logger.warning(warning)
        if failure is None:
            self._tell_early_end()  # after a failure of ours, it was not the source that ended early
            failure = self._settlement.at_the_end(self._read)
        self._tell_closing(time.monotonic() - started, failed=failure is not None)
        if failure is not None:
            raise failure

    @property
    def counts(self) -> Counts:
        """What has become of the rows so far."""
        return self._settlement.counts

    @property
    def calls(self) -> Mapping[StreamId, int]:
        """Calls that were made so far, by stream."""
        return self._dispatcher.calls

    @property
    def done(self) -> Counter[str]:
        """Calls that CleverPush took so far and what else is to be told of delivered rows, in words, all streams."""
        done = Counter({what: count for (_, what), count in self._identities.besides.items()})
        for (_, action), count in self._dispatcher.taken.items():
            done[action.done] += count
        return done

    @property
    def read(self) -> Mapping[StreamId, int]:
        """Rows that were read so far, of every stream."""
        return self._read

    def pulse(self) -> Pulse:
        """How delivery is doing."""
        return self._engine.pulse()

    def cancel(self, why: str = "The sync was cancelled.") -> None:
        """End the sync soon: for SIGTERM. Call it from any thread, but not from a signal handler."""
        self._cancelled.set()
        failure = transient_error(f"{why} Rows that were not delivered will be sent with the next attempt.")
        self._engine.stop(failure, CANCEL_GRACE_SECONDS)
        self._settlement.hurry(CANCEL_GRACE_SECONDS)

    def _send(self, operation: Operation) -> Answer:
        return (self._rehearsal or self._refused).send(operation)

    def _begin(self, operation: Operation) -> Underway | Answer | None:
        if self._rehearsal is not None:
            return self._rehearsal.begin(operation)
        return None if self._refused.concerns(operation) else self._client.begin(operation)

    def _answered(self, operation: Operation, answer: Answer) -> None:
        self._refused.answered(answer)
        self._call_log.answered(operation, answer)

    def _tell_opening(self) -> None:
        api = self._config.api
        self._logger.info(
            "destination-cleverpush %s: to the channel %s at %s. %s",
            version("destination-cleverpush"),
            api.channel_id,
            api.base_url,
            "Rejected rows are " + ("not kept." if self._kept is None else f"kept in {self._kept}."),
        )
        for plan in self._plans.values():
            self._logger.info(plan.described)

    def _tell_closing(self, seconds: float, *, failed: bool) -> None:
        counts, read = self._settlement.counts.total, sum(self._read.values())
        rejected = counts.rejected.total()
        dry = self._rehearsal is not None
        self.ending = closing(counts, read, self._engine.pulse(), seconds, failed=failed, kept=self._kept, dry=dry)
        level = logging.WARNING if rejected or failed else logging.INFO
        self._logger.log(level, self.ending, extra={SUMMARY: True})

    def _read_channel_again(self) -> Channel:
        """Its lists as they are now; a sync that runs does not end where they cannot be read."""
        try:
            return read_channel(self._client, self._lists, self._logger.info)
        except Failure:
            return NOTHING_READ

    def _rehearse(self, plan: Path | None) -> Rehearsal:
        self._logger.info("This is a dry run: nothing is written to CleverPush, nothing is stored, no state leaves.")
        if plan is not None:
            self._logger.warning("All calls are written to %s, which holds personal data then.", plan)
        return Rehearsal(self._client, plan)

    def _end_rehearsal(self, rehearsal: Rehearsal) -> None:
        show_calls(self._logger, rehearsal.first)
        rehearsal.close()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """The memory of change tracking, held while the sync runs, where there is one."""
        settings, dry = self._config.change_tracking, self._rehearsal is not None
        if settings is None:
            yield
            return
        if warning := care.ephemeral(settings):
            self._logger.warning(warning)
        place = (care.open_copy if dry else care.open_place)(settings, self._config.api.channel_id, sleep=self._sleep)
        today = datetime.now(timezone.utc).toordinal() - date(1970, 1, 1).toordinal()
        memory = Memory(place, today, self._sync_id)
        try:
            self._tracked = Tracked(
                memory,
                settings,
                self._streams,
                plans=self._plans,
                identities=self._identities,
                tell=self._logger.log,
                today=today,
                sync_id=self._sync_id,
            )
            self._settlement.add_keeper(Committer(memory, self._settlement.kept, self._engine.stop))
            yield
        finally:
            try:
                memory.close()
            except Failure as failure:  # what was committed is stored all the same
                self._logger.warning(failure.message)

    def _sleep(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise transient_error("The sync was cancelled before it began.")

    def _feed(self, batches: Iterable[Sequence[Input]]) -> None:
        for batch in batches:
            items: list[Row | State] = []
            try:
                for message in batch:
                    if isinstance(message, Row):
                        if message.stream not in self._plans:
                            raise _unknown_stream(message.stream, self._plans)
                        self._read[message.stream] += 1
                        items.append(message)
                    elif isinstance(message, State):
                        items.append(message)
                    elif isinstance(message, Complete):
                        self._complete.add(message.stream)
                    elif self._tracked is not None:
                        self._tracked.passed_over()
            finally:
                planned = self._planned(items)
                while piece := list(islice(planned, _PUT_AT_ONCE)):
                    self._engine.put(piece)
        for plan in self._plans.values():
            plan.end()
        if self._tracked is not None:
            self._remove_absent(self._tracked)

    def _planned(self, items: Sequence[Row | State]) -> Iterator[Job | State]:
        """The rows as jobs, in the order in which they came among the states."""
        rows = (item for item in items if isinstance(item, Row))
        tracked = self._tracked
        jobs = (self._plans[row.stream].job(row) for row in rows) if tracked is None else iter(tracked.jobs(list(rows)))
        return (next(jobs) if isinstance(item, Row) else item for item in items)

    def _remove_absent(self, tracked: Tracked) -> None:
        """Last of all, and only where nothing else fails the sync."""
        self._engine.drain()
        if failure := self._settlement.at_the_end(self._read, quiet=True):
            raise failure
        for jobs in tracked.removals(self._complete):
            self._engine.put(jobs)
        self._engine.drain()
        tracked.end()

    def _taken(self) -> dict[tuple[StreamId, Action], int]:
        """Calls that CleverPush took, but for those of which change tracking tells more closely what they did."""
        if self._tracked is None:
            return dict(self._dispatcher.taken)
        puts = {plan.object.actions[0] for plan in self._plans.values() if plan.object.pair is None}
        return {(stream, a): count for (stream, a), count in self._dispatcher.taken.items() if a not in puts}

    def _describe(self, row: Row) -> tuple[str | None, Iterable[str]]:
        return self._plans[row.stream].identifiers(row.data)

    def _tell_early_end(self) -> None:
        """The platform says COMPLETE for every stream at the end, or for none: then it was cancelled or has failed."""
        open_streams = [s.id for s in self._streams if s.generation_id is not None and s.id not in self._complete]
        if open_streams:
            self._logger.warning(
                "The source ended early: it did not say that it has read %s whole. What it sent was delivered.",
                ", ".join(f"'{stream}'" for stream in open_streams[:5]) + (" and others" * (len(open_streams) > 5)),
            )


def _unknown_stream(stream: StreamId, plans: dict[StreamId, StreamPlan]) -> Failure:
    namesakes = [each for each in plans if each.name == stream.name]
    if not stream.namespace and namesakes:
        return system_error(
            f"The source sent a row of the stream '{stream}' without a namespace, and the catalog has several streams "
            f"of that name: {', '.join(map(str, namesakes))}. The rows before it were sent."
        )
    return system_error(
        f"The source sent a row of the stream '{stream}', which is not in the configured catalog (it has: "
        f"{', '.join(map(str, plans)) or 'no streams'}). Refresh the connection's schema in Airbyte. The rows before "
        "it were sent."
    )
