"""`python -m tools.pyairbyte`: PyAirbyte syncs Airbyte's demo source to the simulator.

PyAirbyte and the source get environments of their own under `build/`. With `--image`, the connector runs as that
Docker image besides. With `--smoke`, PyAirbyte's own smoke test of destinations is run instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from integration_tests.simulator.process import Simulator, start_simulator
from tools.environments import ROOT, environment

ENVIRONMENTS = {"pyairbyte": "airbyte==0.71.3", "source-faker": "airbyte-source-faker==7.2.1"}
ROWS = 200
COLUMNS = [
    *("academic_degree", "address", "age", "blood_type", "created_at", "gender", "height", "id"),
    *("language", "name", "nationality", "occupation", "telephone", "title", "updated_at", "weight"),
]
API_KEY = "private-key-for-pyairbyte"


def sync(simulator: Simulator, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the example once, against the simulator."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        mapping = {"id": "subscription_id", "telephone": "phone"}
        if settings.pop("OBJECT_TYPE", "") == "tags":
            mapping = {"id": "subscription_id", "gender": "tags"}
        object_type = "tags" if "tags" in mapping.values() else "subscriptions"
        fields = [{"source": source, "destination": destination} for source, destination in mapping.items()]
        json.dump(simulator.connector_config(object_type, field_mapping=fields), config)
        config.flush()
        return subprocess.run(
            [environment("pyairbyte", ENVIRONMENTS["pyairbyte"]) / "python", ROOT / "examples" / "pyairbyte_sync.py"],
            env={
                **os.environ,
                "AIRBYTE_OFFLINE_MODE": "1",
                "DO_NOT_TRACK": "1",
                "ROWS": str(ROWS),
                "CLEVERPUSH_CONFIG": config.name,
                "CLEVERPUSH_EXECUTABLE": str(Path(sys.executable).with_name("destination-cleverpush")),
                "FAKER_EXECUTABLE": str(environment("source-faker", ENVIRONMENTS["source-faker"]) / "source-faker"),
                **settings,
            },
            capture_output=True,
            text=True,
            check=False,
        )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the example printed last.

    Raises:
        AssertionError: it failed; with all that it printed.
    """
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def run(image: str | None) -> None:
    """All cases, with the executable or with an image.

    Raises:
        AssertionError: a case did not end as it must.
    """
    client = {"CLEVERPUSH_IMAGE": image} if image else {}
    channel = {
        "_id": "channel",
        "attributes": ["user_id", *COLUMNS],
        "tags": ["Male", "Female", "Other", "Fluid"],
        "subscriptions": [str(n) for n in range(1, ROWS + 1)],
    }
    with (
        start_simulator(accounts=[{"api_key": API_KEY, "channels": [channel]}]) as simulator,
        tempfile.TemporaryDirectory() as cache,
    ):
        assert told(sync(simulator, **client)) == {"processed": ROWS}
        assert sorted(simulator.by_user(), key=int) == [str(n) for n in range(1, ROWS + 1)]
        print(f"  {ROWS} users became subscriptions, without a cache")

        cached = {"CACHE_DIR": cache, **client}
        assert told(sync(simulator, **cached)) == {"processed": ROWS, "states": ["users"]}
        assert told(sync(simulator, **cached))["states"] == ["users"]
        print("  twice through a cache: the state came back and is in the state cache")

        assert told(sync(simulator, OBJECT_TYPE="tags", **client)) == {"processed": ROWS}
        tagged = [s for s in simulator.state()["subscriptions"] if s["tags"]]
        assert len(tagged) == ROWS, f"{len(tagged)} subscriptions have a tag"
        print(f"  {ROWS} users became tags")

        simulator.set_faults(rules=[{"kind": "status", "status": 401, "route": "/subscription/sync"}])
        failed = sync(simulator, **client)
        said = " ".join((failed.stdout + failed.stderr).split())
        assert failed.returncode != 0
        assert "Authentication failed: invalid API key" in said, said
        assert API_KEY not in said, "the key leaked"
        print("  a failing sync fails with our message")


def smoke() -> None:
    """PyAirbyte's own smoke test of destinations, with all its scenarios.

    One of its streams has another ID column than the others, and a mapping names one: so it is run once for each.

    Raises:
        AssertionError: a scenario did not end as it must.
    """
    bin_folder = environment("pyairbyte", ENVIRONMENTS["pyairbyte"])
    path = os.pathsep.join((str(bin_folder), os.environ["PATH"]))  # it starts its source by name
    env = {**os.environ, "PATH": path, "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"}
    channel = {"_id": "channel", "any_attribute": True}
    for column, scenarios in _scenarios(bin_folder).items():
        fields = [{"source": column, "destination": field} for field in ("subscription_id", "phone")]
        with (
            start_simulator(accounts=[{"api_key": API_KEY, "channels": [channel]}]) as simulator,
            tempfile.NamedTemporaryFile("w", suffix=".json") as config,
        ):
            json.dump(simulator.connector_config(field_mapping=fields, max_rejected_ratio=0), config)
            config.flush()
            connector = Path(sys.executable).with_name("destination-cleverpush")
            arguments = ["--destination", str(connector), "--config", config.name, "--scenarios", ",".join(scenarios)]
            if column != "id":  # the ID of the small sync that it begins with
                arguments.append("--skip-preflight")
            done = subprocess.run(
                [bin_folder / "pyab", "destination-smoke-test", *arguments],
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            result = json.loads(done.stdout[done.stdout.index("{") :])
            assert result["success"], result
            calls = [call for call in simulator.calls() if call["method"] == "POST"]
            assert [call for call in calls if call["status"] != 200] == []
            # It begins with a small sync of its own, which it does not count.
            assert len(calls) >= result["records_delivered"], (len(calls), result)
            print(f"  {len(scenarios)} scenarios, with {column} as the ID: {len(calls)} rows arrived", flush=True)


def _scenarios(bin_folder: Path) -> dict[str, list[str]]:
    """The names of all scenarios, by the first column of their streams."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({"all_fast_streams": True, "all_slow_streams": True}, config)
        config.flush()
        done = subprocess.run(
            [bin_folder / "source-smoke-test", "discover", "--config", config.name],
            capture_output=True,
            text=True,
            check=True,
        )
    (catalog,) = [m["catalog"] for line in done.stdout.splitlines() if (m := json.loads(line))["type"] == "CATALOG"]
    found: dict[str, list[str]] = {}
    for stream in catalog["streams"]:
        found.setdefault(next(iter(stream["json_schema"]["properties"])), []).append(stream["name"])
    return found


def main() -> None:
    """Run the cases with the executable, and with an image where one is given."""
    parser = argparse.ArgumentParser(prog="python -m tools.pyairbyte", description=__doc__)
    parser.add_argument("--image", help="a Docker image of the connector, such as airbyte/destination-cleverpush:dev")
    parser.add_argument("--smoke", action="store_true", help="run PyAirbyte's own smoke test of destinations instead")
    arguments = parser.parse_args()
    image = arguments.image
    if arguments.smoke:
        print("PyAirbyte's smoke test of destinations:", flush=True)
        smoke()
        return
    for client in [None, image] if image else [None]:
        print(f"PyAirbyte with {client or 'the local executable'}:", flush=True)
        run(client)


if __name__ == "__main__":
    main()
