"""`python -m tools.spark_bench`: rows per second of a Spark job over 1, 2, 4 and 8 tasks, at 50 ms latency.

It is started by `make bench-spark`, in the environment of the Spark tests. The target is the nginx of `make bench`, and
rates come from its notes. All tasks together have the same requests in flight, so that what is measured is what sharing
them costs; the command is measured beside them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from integration_tests.spark.conftest import CONNECTOR, started_spark
from tools.bench.target import Behaviour, Target, start_target

TASKS = (1, 2, 4, 8)
LATENCY_SECONDS = 0.05
IN_FLIGHT = 64


def measure(rows: int, tasks: int) -> float:
    """Rows per second, from the start of the first request to the end of the last one.

    Raises:
        AssertionError: a row did not arrive.
    """
    from destination_cleverpush.spark import write

    with started_spark(f"local[{tasks}]") as spark, start_target(Behaviour(latency=LATENCY_SECONDS)) as target:
        people = spark.range(rows).selectExpr("concat('u', id) AS subscription_id", "concat('+49', id) AS phone")
        write(people, key="subscription_id", config=_config(target), partitions=tasks)
    return _rate(target, rows)


def measure_command(rows: int) -> float:
    """The same rows through the command.

    Raises:
        AssertionError: a row did not arrive.
    """
    with tempfile.TemporaryDirectory() as name, start_target(Behaviour(latency=LATENCY_SECONDS)) as target:
        config, file = Path(name) / "config.json", Path(name) / "rows.jsonl"
        config.write_text(json.dumps(_config(target)))
        lines = (json.dumps({"subscription_id": f"u{n}", "phone": f"+49{n}"}) + "\n" for n in range(rows))
        file.write_text("".join(lines))
        subprocess.run([CONNECTOR, "send", file, "--config", config], stdout=subprocess.DEVNULL, check=True)
    return _rate(target, rows)


def _config(target: Target) -> dict[str, Any]:
    return {
        "channel_id": "channel",
        "api_key": "key",
        "object_type": "subscriptions",
        "advanced": {"base_url": target.url, "max_concurrency": IN_FLIGHT},
    }


def _rate(target: Target, rows: int) -> float:
    assert len(target.requests) >= rows, f"{len(target.requests)} requests for {rows} rows"
    return target.rate


def main() -> None:
    """Print a line per number of tasks."""
    parser = argparse.ArgumentParser(prog="python -m tools.spark_bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="of each run (default 20,000)")
    rows = parser.parse_args().rows
    print(f"{rows:,} rows, {LATENCY_SECONDS * 1000:.0f} ms latency, {IN_FLIGHT} requests in flight at most")
    print(f"  the command: {measure_command(rows):,.0f} rows per s", flush=True)
    for tasks in TASKS:
        print(f"  {tasks} task{'s' * (tasks > 1)}: {measure(rows, tasks):,.0f} rows per s", flush=True)


if __name__ == "__main__":
    main()
