"""Structured streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.spark import CleverPushDataSource, write
from integration_tests.simulator.process import Simulator
from integration_tests.spark.conftest import config_of, held

SCHEMA = "subscription_id STRING, phone STRING, version LONG"


class Source:
    """A folder that rows are dropped into, and its stream."""

    def __init__(self, spark: Any, folder: Path) -> None:
        self.spark, self.folder = spark, folder / "in"
        self.folder.mkdir()
        self.version = 0

    def drop(self, rows: int) -> None:
        self.version += 1
        lines = ({"subscription_id": f"u{n}", "phone": f"+49{n}", "version": self.version} for n in range(rows))
        (self.folder / f"{self.version}.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    @property
    def stream(self) -> Any:
        return self.spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(str(self.folder))


def run(source: Source, config: Path, **options: str) -> None:
    """Until all that was dropped is read."""
    source.spark.dataSource.register(CleverPushDataSource)
    safe = {"assume_partitioned": "true", "tasks_at_once": "2", "checkpointLocation": str(config.parent / "checkpoint")}
    parted = source.stream.repartition(2, "subscription_id")
    stream = parted.writeStream.format("cleverpush").options(config=str(config), **safe, **options)
    stream.trigger(availableNow=True).start().awaitTermination()


def versions(simulator: Simulator) -> set[int]:
    return {row["customAttributes"]["version"] for row in held(simulator).values()}


def test_a_micro_batch_that_comes_again_changes_nothing(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(simulator)))
    source = Source(spark, tmp_path)
    source.drop(100)
    source.drop(50)
    run(source, tmp_path / "config.json")
    before = held(simulator)
    assert len(before) == 100
    assert versions(simulator) == {1, 2}
    calls = simulator.stats()["calls"]
    last = max((tmp_path / "checkpoint" / "commits").glob("[0-9]*"), key=lambda file: int(file.name))
    last.unlink()
    (last.parent / f".{last.name}.crc").unlink(missing_ok=True)
    run(source, tmp_path / "config.json")
    assert simulator.stats()["calls"] > calls, "no batch came again"
    assert held(simulator) == before


def test_a_batch_that_failed_is_sent_by_the_next_start(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(simulator)))
    source = Source(spark, tmp_path)
    source.drop(100)
    simulator.set_faults(rules=[{"kind": "status", "status": 401, "subscription": "u7"}])
    with pytest.raises(Exception, match="Authentication failed: invalid API key"):
        run(source, tmp_path / "config.json")
    simulator.set_faults()
    run(source, tmp_path / "config.json")
    assert len(held(simulator)) == 100


def test_each_micro_batch_is_written_in_order_by_write(spark: Any, simulator: Simulator, tmp_path: Path) -> None:
    source = Source(spark, tmp_path)
    for _ in range(2):
        source.drop(50)
    config = config_of(simulator)
    with pytest.raises(Failure, match="foreachBatch"):
        write(source.stream, key="subscription_id", config=config)

    def each(batch: Any, _number: int) -> None:
        write(batch, key="subscription_id", order_by="version", config=config)

    stream = source.stream.writeStream.foreachBatch(each).option("checkpointLocation", str(tmp_path / "checkpoint"))
    stream.trigger(availableNow=True).start().awaitTermination()
    assert len(held(simulator)) == 50
    assert versions(simulator) == {2}
