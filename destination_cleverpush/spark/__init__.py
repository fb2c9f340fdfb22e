"""Spark: a data source whose tasks feed the same sync as the command.

Only its modules `source` and `job` need pyspark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from destination_cleverpush.spark.job import write
    from destination_cleverpush.spark.source import CleverPushDataSource

__all__ = ["CleverPushDataSource", "write"]


def __getattr__(name: str) -> Any:
    """The data source and `write`, imported when they are asked for."""
    if name == "write":
        from destination_cleverpush.spark.job import write  # noqa: PLC0415

        return write
    if name == "CleverPushDataSource":
        from destination_cleverpush.spark.source import CleverPushDataSource  # noqa: PLC0415

        return CleverPushDataSource
    raise AttributeError(name)
