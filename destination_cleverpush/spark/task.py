"""One task of a job: its Arrow batches through the same sync that the command runs."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from destination_cleverpush.errors import Failure, config_error, system_error
from destination_cleverpush.settlement.policy import Policy
from destination_cleverpush.spark.options import WriteOptions
from destination_cleverpush.spark.results import Outcome
from destination_cleverpush.spark.values import Convert
from destination_cleverpush.sync import Sync
from destination_cleverpush.words import Row, Stream, StreamId

_BATCH_ROWS = 500
_ROW_BYTES = 200
"""What a row takes besides its cells, in bytes: estimated."""


def deliver(
    batches: Iterable[Any],
    columns: Mapping[str, Convert | None],
    options: WriteOptions,
    label: str,
    logger: logging.Logger,
) -> Outcome:
    """Deliver the rows of one task.

    Args:
        batches: of :class:`pyarrow.RecordBatch`.
        columns: all of them, in their order, and how their values become JSON.
        label: names the folder of rejected rows: another one for each task and attempt.

    Raises:
        Failure: what ended it. Rows before that were delivered.
    """
    filled = (batch for batch in batches if batch.num_rows)
    if (first := next(filled, None)) is None:
        return Outcome()  # without reading the channel
    started = time.time()
    config = options.share()
    # Rejected rows are judged for the job as a whole, on the driver.
    policy = Policy(config.on_rejected == "fail", highest_share=None, every_row_from=sys.maxsize)
    stream = Stream(
        options.stream,
        {"properties": {name: {} for name in columns}},
        sync_mode="incremental",
        destination_sync_mode="append",
    )
    sync = Sync(config, [stream], logger, policy=policy, label=label)
    try:
        for _ in sync.run(_rows(chain((first,), filled), columns, stream.id)):
            pass  # no states: Spark keeps its own
    except Failure:
        raise
    except Exception as error:  # noqa: BLE001 - what it says may quote a row, and Spark shows it
        logger.error("".join(traceback.format_tb(error.__traceback__)))
        raise system_error(
            f"The connector failed unexpectedly ({type(error).__name__}). This is a defect of the connector: report it "
            "with the log of this task."
        ) from None
    pulse = sync.pulse()
    return Outcome(
        read=sync.read[stream.id],
        counts=sync.counts.total,
        done=sync.done,
        calls=pulse.calls,
        retries=pulse.retries,
        throttled=pulse.throttled,
        paused_seconds=pulse.paused_seconds,
        started=started,
        ended=time.time(),
    )


def _rows(batches: Iterable[Any], columns: Mapping[str, Convert | None], stream: StreamId) -> Iterator[list[Row]]:
    now, position = int(time.time() * 1000), 0
    for batch in batches:
        size = _ROW_BYTES + batch.nbytes // batch.num_rows
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            rows = zip(*_cells(batch.slice(start, _BATCH_ROWS), columns), strict=True)
            yield [
                Row(stream, dict(zip(columns, cells, strict=True)), now, size, number)
                for number, cells in enumerate(rows, position + 1)
            ]
            position += min(_BATCH_ROWS, batch.num_rows - start)


def _cells(batch: Any, columns: Mapping[str, Convert | None]) -> Iterator[list[Any]]:
    """The values of each column."""
    for column, (name, convert) in zip(batch.columns, columns.items(), strict=True):
        try:
            values = column.to_pylist()
        except (ValueError, OverflowError):
            raise config_error(
                f"The column '{name}' holds a time outside the years 1 to 9999. Cast it to a text in Spark."
            ) from None
        yield values if convert is None else [None if value is None else convert(value) for value in values]
