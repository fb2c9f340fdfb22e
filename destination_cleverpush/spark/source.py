"""The data source `cleverpush`: `df.write.format("cleverpush")`, and `df.writeStream` likewise."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pyspark import TaskContext
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
    WriterCommitMessage,
)

from destination_cleverpush.errors import config_error
from destination_cleverpush.spark.options import WriteOptions, read_options
from destination_cleverpush.spark.results import Outcome, conclude, job_logger, tell_aborted
from destination_cleverpush.spark.task import deliver
from destination_cleverpush.spark.values import converters

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyspark.sql.types import StructType


@dataclass
class TaskDone(WriterCommitMessage):
    """What a task tells the driver."""

    outcome: Outcome


class CleverPushDataSource(DataSource):
    """To be registered with `spark.dataSource.register`. Options and guarantees stand in docs/spark.md.

    Making a writer raises `config_error` where an option, the configuration or a column cannot work.
    """

    @classmethod
    def name(cls) -> str:
        """What it is called in `format`."""
        return "cleverpush"

    def writer(self, schema: StructType, overwrite: bool) -> BatchWriter:
        """For a batch."""
        return BatchWriter(self._job(schema, overwrite=overwrite))

    def streamWriter(self, schema: StructType, overwrite: bool) -> StreamWriter:  # noqa: N802 - as Spark calls it
        """For a structured stream."""
        return StreamWriter(self._job(schema, overwrite=overwrite))

    def _job(self, schema: StructType, *, overwrite: bool) -> _Job:
        if overwrite:
            raise config_error(
                "Nothing that is absent from the rows is removed from CleverPush, so that it cannot be overwritten. "
                "Write with the mode append."
            )
        fields = schema.jsonValue()["fields"]
        converters(fields)
        options = read_options({name.lower(): value for name, value in self.options.items()}, job_logger())
        now = datetime.now(timezone.utc)
        return _Job(options, fields, f"spark-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}")


@dataclass(frozen=True)
class _Job:
    """What all tasks of a write have in common; sent to each of them.

    Attributes:
        fields: the columns as Spark tells them in JSON.
        label: names the job, and begins the names of the folders of its rejected rows.
    """

    options: WriteOptions
    fields: Sequence[Mapping[str, Any]]
    label: str

    def deliver(self, batches: Iterator[RecordBatch]) -> TaskDone:
        """On an executor: the rows of one task.

        Raises:
            Failure: what ended it; Spark tries the task again.
        """
        context = TaskContext.get()
        assert context is not None
        batch = context.getLocalProperty("streaming.sql.batchId")
        label = (
            f"{self.label}{f'-batch-{batch}' if batch else ''}"
            f"-task-{context.partitionId()}-attempt-{context.attemptNumber()}"
        )
        return TaskDone(deliver(batches, converters(self.fields), self.options, label, job_logger()))

    def conclude(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """On the driver, when all tasks have ended."""
        conclude([outcome for each in messages if (outcome := _outcome(each))], self.options, job_logger())


class BatchWriter(DataSourceArrowWriter):
    """Writes a batch."""

    def __init__(self, job: _Job) -> None:
        self._job = job

    def write(self, iterator: Iterator[RecordBatch]) -> TaskDone:
        """Deliver the rows of one task."""
        return self._job.deliver(iterator)

    def commit(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Tell and judge what became of all rows."""
        self._job.conclude(messages)

    def abort(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Tell what was delivered."""
        tell_aborted([_outcome(each) for each in messages], job_logger())


class StreamWriter(DataSourceStreamArrowWriter):
    """Writes the micro-batches of a stream; one that comes again changes nothing."""

    def __init__(self, job: _Job) -> None:
        self._job = job

    def write(self, iterator: Iterator[RecordBatch]) -> TaskDone:
        """Deliver the rows of one task of a micro-batch."""
        return self._job.deliver(iterator)

    def commit(self, messages: Sequence[WriterCommitMessage | None], batchId: int) -> None:  # noqa: ARG002, N803
        """Tell and judge what became of the rows of a micro-batch."""
        self._job.conclude(messages)

    def abort(self, messages: Sequence[WriterCommitMessage | None], batchId: int) -> None:  # noqa: ARG002, N803
        """Tell what was delivered of a micro-batch."""
        tell_aborted([_outcome(each) for each in messages], job_logger())


def _outcome(message: WriterCommitMessage | None) -> Outcome | None:
    return message.outcome if isinstance(message, TaskDone) else None
