"""A sync with PyAirbyte: Airbyte's demo source `faker` to CleverPush.

Install PyAirbyte and the two connectors in environments of their own, then run this with PyAirbyte's:

    CLEVERPUSH_CONFIG=config.json python pyairbyte_sync.py

The configuration is the connector's own, for example {"channel_id": ..., "api_key": ..., "object_type":
"subscriptions", "field_mapping": [{"source": "id", "destination": "subscription_id"}, {"source": "telephone",
"destination": "phone"}]}. `CLEVERPUSH_IMAGE` uses a Docker image instead of the executable `CLEVERPUSH_EXECUTABLE`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import airbyte as ab


def main() -> None:
    """Check the destination, sync the stream `users`, and tell how many rows were processed."""
    source = ab.get_source(
        "source-faker",
        config={"count": int(os.environ.get("ROWS", "200")), "seed": 1, "parallelism": 1, "always_updated": False},
        local_executable=os.environ.get("FAKER_EXECUTABLE", "source-faker"),
        streams=["users"],
    )
    config = json.loads(Path(os.environ["CLEVERPUSH_CONFIG"]).read_text(encoding="utf-8"))
    image = os.environ.get("CLEVERPUSH_IMAGE")
    destination = (
        ab.get_destination("destination-cleverpush", config=config, docker_image=image, use_host_network=True)
        if image
        else ab.get_destination(
            "destination-cleverpush",
            config=config,
            local_executable=os.environ.get("CLEVERPUSH_EXECUTABLE", "destination-cleverpush"),
        )
    )
    destination.check()
    if os.environ.get("CACHE_DIR"):
        # The cache keeps rows and states: the next sync reads only what is new in the source.
        cache = ab.new_local_cache("cleverpush", cache_dir=os.environ["CACHE_DIR"], cleanup=False)
        result = destination.write(source, cache=cache)
        known = cache.get_state_provider("source-faker", destination_name=destination.name).known_stream_names
        print(json.dumps({"processed": result.processed_records, "states": sorted(known)}))
    else:
        result = destination.write(source, cache=False, state_cache=False)
        print(json.dumps({"processed": result.processed_records}))


if __name__ == "__main__":
    main()
