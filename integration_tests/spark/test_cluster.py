"""A cluster of two executors, each a JVM of its own, on this machine.

`SPARK_ROWS` is the number of rows of the large write (default 200,000).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.spark import write
from integration_tests.simulator.process import Simulator
from integration_tests.spark.conftest import CHANNELS, ROOT, config_of, held, send_file, started_spark

ROWS = int(os.environ.get("SPARK_ROWS", "200000"))
CLUSTER = "local-cluster[2,2,1024]"
EXECUTOR = b"CoarseGrainedExecutorBackend"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    settings = {"spark.executorEnv.PYTHONPATH": str(ROOT), "spark.executor.memory": "1g", "spark.task.maxFailures": "8"}
    with started_spark(CLUSTER, **settings) as session:
        yield session


def people(spark: Any, rows: int) -> Any:
    """Versions of people in no order; a tenth of the rows are of one key in a hundred."""
    return spark.range(0, rows, 1, 8).selectExpr(
        f"IF(id % 10 = 0, concat('hot', id DIV 10 % {max(1, rows // 1000)}), concat('u', id % {rows // 2})) "
        "AS subscription_id",
        "concat('+49', id) AS phone",
        "id AS version",
    )


def executors() -> list[int]:
    """Processes that are executors of ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_ours(int(entry.name)):
            try:
                if EXECUTOR in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _is_ours(pid: int) -> bool:
    """Whether a process descends from this one."""
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def as_the_command_leaves_it(spark: Any, df: Any, simulator: Simulator, folder: Path) -> dict[str, Any]:
    """What CleverPush holds after the same rows, in the same order, through the command."""
    df.orderBy("version").coalesce(1).write.json(str(folder / "rows"))
    (file,) = (folder / "rows").glob("*.json")
    send_file(simulator, file.rename(folder / "rows.json"))
    return held(simulator, CHANNELS[1])


@pytest.mark.timeout(3600)
def test_many_rows_with_skewed_keys(cluster: Any, simulator: Simulator, tmp_path: Path) -> None:
    df = people(cluster, ROWS)
    started = time.monotonic()
    write(df, key="subscription_id", order_by="version", config=config_of(simulator), partitions=8)
    print(f"{ROWS} rows in {time.monotonic() - started:.0f} s")
    assert simulator.stats()["most_in_flight_per_subscription"] == 1
    assert held(simulator) == as_the_command_leaves_it(cluster, df, simulator, tmp_path)


@pytest.mark.timeout(600)
def test_an_executor_is_killed_in_the_middle(cluster: Any, simulator: Simulator, tmp_path: Path) -> None:
    rows = 6_000
    simulator.set_faults(latency=0.02)
    df = people(cluster, rows)
    killed: list[int] = []

    def kill() -> None:
        while simulator.stats()["calls"] < rows // 3:
            time.sleep(0.05)
        killed.append(executors()[0])
        os.kill(killed[0], signal.SIGKILL)

    before = executors()
    assert len(before) == 2
    killer = threading.Thread(target=kill)
    killer.start()
    write(df, key="subscription_id", order_by="version", config=config_of(simulator), partitions=4)
    killer.join()
    assert killed[0] in before
    found = held(simulator)
    assert simulator.stats()["calls"] > rows, "nothing was sent again"
    simulator.set_faults()
    assert found == as_the_command_leaves_it(cluster, df, simulator, tmp_path)
