"""A real Spark (`make test-spark`), in local mode and as a cluster of several JVMs, and a simulated CleverPush.

Where pyspark is not installed, nothing here is collected.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from integration_tests.simulator.process import Simulator, start_simulator

ROOT = Path(__file__).parents[2]
CONNECTOR = str(Path(sys.executable).with_name("destination-cleverpush"))
KEY = "private-key-of-the-spark-tests"
CHANNELS = ("by-spark", "by-command")
CHANNEL = {"any_attribute": True, "topics": ["news", "sports"]}
ACCOUNTS = [{"api_key": KEY, "channels": [{"_id": name, **CHANNEL} for name in CHANNELS]}]

if find_spec("pyspark") is None:
    collect_ignore_glob = ["test_*.py"]


@contextmanager
def started_spark(master: str, **settings: str) -> Iterator[Any]:
    """A session of its own; there is never more than one in a process."""
    from pyspark.sql import SparkSession

    # Executors, which are processes of their own in a cluster, find the package and the tests by it.
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(master).appName("cleverpush-tests")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "Europe/Berlin",
        "spark.sql.shuffle.partitions": "4",
        **settings,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    with started_spark("local[2]") as session:
        yield session


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with start_simulator(accounts=ACCOUNTS) as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """One that nobody has called yet."""
    running_simulator.reset()
    return running_simulator


def config_of(simulator: Simulator, channel: str = CHANNELS[0], **fields: Any) -> dict[str, Any]:
    advanced = {"progress_interval_seconds": 0, **fields.pop("advanced", {})}
    fields = {"unmapped_fields": "send", **fields}
    return {**simulator.connector_config(advanced=advanced, **fields), "channel_id": channel}


def send_file(simulator: Simulator, file: Path, **fields: Any) -> None:
    """The rows of a file through the command, to a channel of its own."""
    config = file.parent / "command.json"
    config.write_text(json.dumps(config_of(simulator, CHANNELS[1], **fields)))
    command = [CONNECTOR, "send", str(file), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def held(simulator: Simulator, channel: str = CHANNELS[0]) -> dict[str, dict[str, Any]]:
    """What CleverPush holds of each user, without the IDs that it makes itself."""
    found = simulator.state(channel)["subscriptions"]
    return {s["customAttributes"]["user_id"]: {n: v for n, v in s.items() if n != "id"} for s in found}
