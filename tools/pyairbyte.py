"""`python -m tools.pyairbyte`: PyAirbyte syncs Airbyte's demo source to the simulator.

PyAirbyte and the source get environments of their own under `build/`. With `--image`, the connector runs as that
Docker image besides.
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


def main() -> None:
    """Run the cases with the executable, and with an image where one is given."""
    parser = argparse.ArgumentParser(prog="python -m tools.pyairbyte", description=__doc__)
    parser.add_argument("--image", help="a Docker image of the connector, such as airbyte/destination-cleverpush:dev")
    image = parser.parse_args().image
    for client in [None, image] if image else [None]:
        print(f"PyAirbyte with {client or 'the local executable'}:", flush=True)
        run(client)


if __name__ == "__main__":
    main()
