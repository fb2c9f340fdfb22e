"""`python -m tools.examples`: the examples for DuckDB, Dagster and Kubernetes, run as they stand.

The tools get an environment of their own under `build/`. CleverPush is the simulator. The Kubernetes manifest is
validated here against Kubernetes' own schema; `make test-image` runs its container.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration_tests.simulator.process import Simulator, start_simulator
from tools.environments import ROOT, environment

REQUIREMENTS = ("dagster==1.13.29", "duckdb==1.5.6", "duckdb-cli==1.5.6", "kubernetes-validate==1.37.0")
EXAMPLES = ROOT / "examples"
ROWS = 500
CREATE = """
CREATE TABLE users (subscription_id VARCHAR, email VARCHAR, plan VARCHAR, updated_at TIMESTAMP);
INSERT INTO users
SELECT 'u-' || n, 'u-' || n || '@example.com', 'gold', TIMESTAMP '2026-11-01 08:00:00' + to_minutes(n // 3)
FROM range({rows}) numbers(n);
"""
CHANGE = (
    "UPDATE users SET plan = 'silver', updated_at = TIMESTAMP '2026-11-{day} 08:00:00' WHERE subscription_id = '{id}';"
)
KEY = "private-key-of-the-examples"
CHANNEL = {"_id": "channel", "attributes": ["user_id", "plan"]}


@dataclass
class Bench:
    """What a case works with."""

    bin: Path
    folder: Path
    simulator: Simulator
    environment: dict[str, str]

    def sql(self, script: str) -> None:
        """Run SQL in the warehouse."""
        warehouse = self.environment["WAREHOUSE"]
        subprocess.run([self.bin / "duckdb", "-bail", warehouse], input=script, text=True, check=True)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command with the example's settings; it may fail."""
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def new_calls(self) -> list[str]:
        """Which users the calls since the last look were about."""
        calls = [call["json"]["customAttributes"]["user_id"] for call in self.simulator.calls() if call["json"]]
        self.simulator.reset()
        return calls


@contextmanager
def workplace() -> Iterator[Bench]:
    """A warehouse with users, a simulator, and a configuration for it."""
    tools = environment("orchestrators", *REQUIREMENTS)
    account = {"api_key": KEY, "channels": [CHANNEL]}
    with tempfile.TemporaryDirectory() as name, start_simulator(accounts=[account]) as simulator:
        config = Path(name) / "config.json"
        config.write_text(json.dumps(simulator.connector_config()))
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        settings = {
            "PATH": path,
            "WAREHOUSE": f"{name}/warehouse.duckdb",
            "CONFIG": str(config),
            "CLEVERPUSH_CONFIG": str(config),
            "DAGSTER_HOME": name,
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        bench = Bench(tools, Path(name), simulator, {**os.environ, **settings})
        bench.sql(CREATE.format(rows=ROWS))
        yield bench


def follows_the_table(bench: Bench, *command: str | Path) -> None:
    """All rows at first, then only what changed, then nothing; after a failure only what was not confirmed.

    Raises:
        AssertionError: something else was sent, or a failure was not told.
    """
    config = Path(bench.environment["CONFIG"])
    everybody = sorted(f"u-{n}" for n in range(ROWS))
    for change, expected in (("", everybody), (CHANGE.format(day=20, id="u-7"), ["u-7"]), ("", [])):
        bench.sql(change)
        succeeds(bench, expected, *command)
    bench.sql(CHANGE.format(day=21, id="u-8"))
    right = config.read_text()
    config.write_text(right.replace(KEY, "wrong-key"))
    failed = bench.run(*command)
    said = " ".join((failed.stdout + failed.stderr).split())
    assert failed.returncode != 0, "a refused key was not a failure"
    assert "Authentication failed: invalid API key" in said, said[-2000:]
    assert "wrong-key" not in said, "the key leaked"
    config.write_text(right)
    bench.simulator.reset()
    succeeds(bench, ["u-8"], *command)


def succeeds(bench: Bench, expected: list[str], *command: str | Path) -> None:
    """The command ends well and sends these users.

    Raises:
        AssertionError: it does not.
    """
    done = bench.run(*command)
    said = (done.stdout + done.stderr)[-2000:]
    assert done.returncode == 0, said
    found = sorted(bench.new_calls())
    assert found == expected, f"{len(found)} rows were sent, {len(expected)} expected: {said}"


def duckdb() -> None:
    """The plain pipe."""
    with workplace() as bench:
        follows_the_table(bench, "bash", EXAMPLES / "duckdb_pipe.sh")


def dagster() -> None:
    """The asset, materialized by Dagster's own command."""
    with workplace() as bench:
        asset = ("asset", "materialize", "--select", "cleverpush_subscriptions")
        follows_the_table(bench, bench.bin / "dagster", *asset, "-f", EXAMPLES / "dagster_assets.py")


def kubernetes() -> None:
    """The manifest, against the schema of Kubernetes, with no property that it does not know."""
    tools = environment("orchestrators", *REQUIREMENTS)
    manifest = EXAMPLES / "kubernetes_job.yaml"
    done = subprocess.run([tools / "kubernetes-validate", "--strict", manifest], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


CASES: dict[str, Callable[[], None]] = {
    "DuckDB through a pipe": duckdb,
    "Dagster": dagster,
    "Kubernetes manifest": kubernetes,
}


def main() -> None:
    """Run every case."""
    for name, case in CASES.items():
        case()
        print(f"  {name}: as it should be", flush=True)


if __name__ == "__main__":
    main()
