"""`write`: the rows of each subscription brought together, in their order, and written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from destination_cleverpush.errors import config_error
from destination_cleverpush.spark.options import (
    ASSUME_PARTITIONED,
    SECRET_CONFIG,
    STREAM,
    TASKS_AT_ONCE,
    parse_spark_config,
    read_config,
)
from destination_cleverpush.spark.source import CleverPushDataSource

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def write(
    df: DataFrame,
    *,
    key: str | Column,
    config: Mapping[str, Any] | str | os.PathLike[str],
    order_by: str | Column | Sequence[str | Column] = (),
    partitions: int | None = None,
    tasks_at_once: int | None = None,
    stream: str = "rows",
) -> None:
    """Deliver a DataFrame's rows to CleverPush.

    Args:
        key: the column that says whose a row is: rows with the same value are delivered one after the other.
        config: the form's fields, or the path or text of a JSON file with them. It is read here, on the driver.
        order_by: in which order the rows of one key are delivered; may be left out where each key has one row.
        partitions: into how many the rows are divided. Default: as many as there are cores, and at most as many as
            requests may be in flight.
        tasks_at_once: how many of them are written at the same time, at most; they share the requests in flight and
            per second evenly. Default: the number of partitions, or of cores where that is smaller and fixed.
        stream: what the rows are called in logs and in the dead letter store.

    Raises:
        Failure: `config_error`: it cannot be written so. Nothing was sent.
        pyspark.errors.PySparkException: a task, or too many rejected rows, failed the job.
    """
    spark = df.sparkSession
    if df.isStreaming:
        raise config_error(
            "A stream cannot be sorted as a whole. Write each of its micro-batches: df.writeStream.foreachBatch("
            "lambda batch, _: write(batch, key=..., config=..., order_by=...))."
        )
    if _is_set(spark, "spark.speculation"):
        raise config_error(
            "Speculative execution (spark.speculation) runs a second copy of a slow task, and two copies would send "
            "the rows of one subscription in no order. Switch it off for this application."
        )
    raw = dict(config) if isinstance(config, Mapping) else read_config({SECRET_CONFIG: os.fspath(config)})
    most = parse_spark_config(raw).max_concurrency
    cores = _cores(spark)
    if partitions is None:
        if cores is None:
            raise config_error("A Spark Connect session does not tell how many cores there are: give partitions.")
        partitions = min(cores, most)
    if tasks_at_once is None:
        fixed = cores is not None and not _is_set(spark, "spark.dynamicAllocation.enabled")
        tasks_at_once = min(cores, partitions) if fixed and cores is not None else partitions
    spark.dataSource.register(CleverPushDataSource)
    order = [order_by] if isinstance(order_by, str) or not isinstance(order_by, Sequence) else list(order_by)
    parted = df.repartition(partitions, key)
    options = {
        SECRET_CONFIG: json.dumps(raw),
        ASSUME_PARTITIONED: "true",
        TASKS_AT_ONCE: str(tasks_at_once),
        STREAM: stream,
    }
    (parted.sortWithinPartitions(*order) if order else parted).write.format(CleverPushDataSource.name()).options(
        **options
    ).mode("append").save()


def _cores(spark: SparkSession) -> int | None:
    """How many tasks the cluster runs at once, None where the session does not tell."""
    context = getattr(spark, "sparkContext", None)
    return None if context is None else max(1, context.defaultParallelism)


def _is_set(spark: SparkSession, name: str) -> bool:
    return (spark.conf.get(name, None) or "false").lower() == "true"
