"""One sync, from messages to acknowledged states: the rooms put together.

messages -> catalog -> writers -> delivery -> client -> CleverPush
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush.answers import Answer, Verdict
from destination_cleverpush.catalog import StreamPlan, notices, plan_streams, subscription_id
from destination_cleverpush.client import Client
from destination_cleverpush.config import Config
from destination_cleverpush.dead_letter import DeadLetterStore, sync_label
from destination_cleverpush.delivery.dispatcher import Dispatcher, Row, StreamCounters
from destination_cleverpush.delivery.engine import Engine
from destination_cleverpush.errors import config_error, system_error, transient_error
from destination_cleverpush.protocol import Message, Record, State, StreamId
from destination_cleverpush.reasons import REASONS, RowRejected
from destination_cleverpush.rejected import RejectedRow, Rejections, place, without_values

CANCEL_GRACE_SECONDS = 5.0
_JUDGED_FROM_ROWS = 1_000


class Origin(NamedTuple):
    """Where a row on its way came from, for the case that it is rejected."""

    record: Record
    position: int
    subscription_id: str | None


class Sync:
    """One run of `write`.

    Args:
        config: as the user filled in the form.
        catalog: the ConfiguredAirbyteCatalog as JSON.

    Raises:
        AirbyteTracedException: `config_error`, before the first row, where the catalog or the mapping cannot work.
    """

    def __init__(self, config: Config, catalog: Mapping[str, Any], logger: logging.Logger) -> None:
        self._config = config
        self._plans = plan_streams(config, catalog)
        self._logger = logger
        for level, notice in notices(config, catalog):
            logger.log(level, notice)
        self._client = Client(config)
        self._rejections = Rejections(logger)
        advanced = config.advanced
        self._dispatcher = Dispatcher(advanced.max_concurrency, advanced.max_requests_per_second, self._on_rejected)
        self._engine = Engine(
            self._dispatcher,
            self._client.send,
            advanced.max_concurrency,
            grace_seconds=2 * advanced.request_timeout_seconds,
            keep_rejections=self._keep_rejections,
        )
        self._store = self._open_store(catalog)
        self._positions: dict[StreamId, int] = {}
        self._started = time.monotonic()
        self._progress = Progress(self._dispatcher, logger)

    def run(self, batches: Iterable[list[Message]]) -> Iterator[list[str]]:
        """Deliver the rows; yield the states that may leave, as whole lines in order.

        Raises:
            AirbyteTracedException: the failure that ended the sync, after the states that are truly done.
        """
        try:
            yield from self._engine.run(
                lambda: self._feed(batches),
                self._progress.tell,
                self._config.advanced.progress_interval_seconds or None,
            )
        finally:
            self._summarise()
            self._client.close()
        if error := self._too_many_rejected():
            raise error

    def cancel(self) -> None:
        """End the sync soon: for SIGTERM. Call it from any thread, but not from a signal handler."""
        message = "The sync was cancelled. Rows that were not delivered will be sent with the next attempt."
        self._engine.stop(transient_error(message), CANCEL_GRACE_SECONDS)
        if self._store is not None:
            self._store.hurry(CANCEL_GRACE_SECONDS)

    def _feed(self, batches: Iterable[list[Message]]) -> None:
        for batch in batches:
            items: list[Row | State] = []
            try:
                for message in batch:
                    items.append(self._row(message) if isinstance(message, Record) else message)
            finally:
                self._engine.put(items)

    def _row(self, record: Record) -> Row:
        plan = self._plans.get(record.stream)
        if plan is None:
            raise _unknown_stream(record.stream, self._plans)
        position = self._positions[record.stream] = self._positions.get(record.stream, 0) + 1
        fields: dict[str, Any] = {}
        try:
            fields = plan.fields(record.data)
            found, operations = plan.operations(record.data, fields)
        except RowRejected as rejected:
            origin = Origin(record, position, subscription_id(fields, required=False) or None)
            refusal = Answer(Verdict.REJECTED, rejected.code, rejected.reason)
            return Row(record.stream, "", [], origin, record.size, refusal=refusal)
        return Row(record.stream, found, operations, Origin(record, position, found or None), record.size)

    def _on_rejected(self, row: Row, answer: Answer) -> None:
        origin: Origin = row.reference
        rejected = RejectedRow(
            stream=row.stream.name,
            namespace=row.stream.namespace,
            position=origin.position,
            subscription_id=origin.subscription_id,
            code=answer.code,
            reason=self._reason(row, answer),
            status=answer.status,
            answer=answer.words,
            data=origin.record.data,
            emitted_at=origin.record.emitted_at,
            rejected_at=datetime.now(timezone.utc),
            attempts=row.attempts,
        )
        self._rejections.add(rejected)
        # Where a rejected row fails the sync, its state stays back, so that the next sync sends the row again.
        fails = self._config.on_rejected == "fail"
        if self._store is not None:
            self._store.add(rejected, _nothing if fails else lambda: self._engine.stored(row))
        elif not fails:
            self._dispatcher.rejection_stored(row)
        if fails:
            self._dispatcher.fail(
                config_error(
                    f"A row was rejected, and the configuration says to fail then: {place(rejected)}, "
                    f"{answer.code}: {rejected.reason}"
                )
            )
        else:
            total = _totals(self._dispatcher)
            if total.delivered + total.rejected >= _JUDGED_FROM_ROWS and (error := self._ratio_error(total)):
                self._dispatcher.fail(error)

    def _open_store(self, catalog: Mapping[str, Any]) -> DeadLetterStore | None:
        if self._config.rejected_records is None:
            return None
        ids = (configured.get("sync_id") for configured in catalog["streams"])
        label = sync_label(next((i for i in ids if i is not None), None), datetime.now(timezone.utc))
        return DeadLetterStore(self._config.rejected_records, label, self._engine.stop)

    def _reason(self, row: Row, answer: Answer) -> str:
        if answer.status is None and not answer.words and not row.attempts:
            said = answer.summary
        else:
            data = row.reference.record.data
            fields = self._plans[row.stream].fields(data)
            identifiers = (str(fields.get(name, ""))[:10_000] for name in ("subscription_id", "tags", "topics"))
            words = without_values(answer.words or "", data, [*fields, *identifiers])
            said = f"CleverPush {answer.summary}" + (f' ("{words}").' if words else ".")
        return f"{said} {REASONS[answer.code].advice}"

    def _keep_rejections(self) -> None:
        """Have the last rejected rows stored; called again, it does nothing."""
        if self._store is not None:
            try:
                self._store.close()
            except AirbyteTracedException as error:
                self._engine.stop(error)

    def _ratio_error(self, total: StreamCounters) -> AirbyteTracedException | None:
        limit = self._config.max_rejected_ratio
        settled = total.delivered + total.rejected
        if limit is None or not settled or total.rejected / settled <= limit:
            return None
        code, _ = sum(self._rejections.counts.values(), start=Counter()).most_common(1)[0]
        return config_error(
            f"{total.rejected} of {settled} rows were rejected, more than the highest share that the configuration "
            f"allows ({limit:g}). The leading reason is {code}: {REASONS[code].advice}"
        )

    def _too_many_rejected(self) -> AirbyteTracedException | None:
        for stream, counters in self._dispatcher.streams.items():
            if counters.rejected and counters.rejected == counters.read:
                code, count = self._rejections.counts[stream].most_common(1)[0]
                return config_error(
                    f"Every row of stream '{stream}' was rejected ({counters.read} in all), {count} as {code}: "
                    f"{REASONS[code].advice}"
                )
        return self._ratio_error(_totals(self._dispatcher))

    def _summarise(self) -> None:
        self._rejections.report()
        seconds = max(time.monotonic() - self._started, 0.001)
        for stream in self._plans:
            c = self._dispatcher.streams.get(stream, StreamCounters())
            reasons = ", ".join(
                f"{code} {n}" for code, n in self._rejections.counts.get(stream, Counter()).most_common()
            )
            undelivered = c.read - c.delivered - c.rejected
            self._logger.info(
                "Stream '%s': %d rows read, %d delivered%s, %d rejected%s%s, %d calls in %.1f s (%.0f rows per s).",
                stream,
                c.read,
                c.delivered,
                f" ({c.skipped} of them marked as removed, without a call)" if c.skipped else "",
                c.rejected,
                f" ({reasons})" if reasons else "",
                f", {undelivered} NOT delivered" if undelivered else "",
                c.calls,
                seconds,
                (c.delivered + c.rejected) / seconds,
            )


def _nothing() -> None:
    pass


class Progress:
    """A line about the sync's progress, quiet while nothing changes."""

    def __init__(self, dispatcher: Dispatcher, logger: logging.Logger) -> None:
        self._dispatcher = dispatcher
        self._logger = logger
        self._told: tuple[object, ...] = ()
        self._calls = 0
        self._at = time.monotonic()

    def tell(self) -> None:
        """Log the line, unless it would say the same again."""
        dispatcher, total, now = self._dispatcher, _totals(self._dispatcher), time.monotonic()
        state = (total, dispatcher.retries, dispatcher.refusals)
        if state == self._told:
            return
        self._logger.info(
            "Progress: %d rows read, %d delivered, %d rejected; %.0f calls per second, %d in flight (limit %d), "
            "%d retries, throttled for %.0f s.",
            total.read,
            total.delivered,
            total.rejected,
            (total.calls - self._calls) / max(now - self._at, 0.001),
            dispatcher.in_flight,
            dispatcher.limit.value,
            dispatcher.retries,
            dispatcher.throttle.waited,
        )
        self._told, self._calls, self._at = state, total.calls, now


def _totals(dispatcher: Dispatcher) -> StreamCounters:
    streams = list(dispatcher.streams.values())
    return StreamCounters(
        read=sum(c.read for c in streams),
        skipped=sum(c.skipped for c in streams),
        delivered=sum(c.delivered for c in streams),
        rejected=sum(c.rejected for c in streams),
        calls=sum(c.calls for c in streams),
    )


def _unknown_stream(stream: StreamId, plans: Mapping[StreamId, StreamPlan]) -> AirbyteTracedException:
    message = (
        f"The source sent a row of the stream '{stream}', which is not in the configured catalog (it has: "
        f"{', '.join(map(str, plans)) or 'no streams'}). Refresh the connection's schema in Airbyte. The rows before "
        "it were sent."
    )
    return system_error(message)
