"""PyAirbyte syncs a source that prints a file of Airbyte lines to the connector.

usage: python -m tools.peers.pyairbyte_sync SOURCE CONNECTOR CONFIG
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import airbyte as ab


def main(source: str, connector: str, config: str) -> None:
    """Sync once, without a cache, so that each row passes through once."""
    reader = ab.get_source("source-of-lines", config={}, local_executable=source, streams="*")
    writer = ab.get_destination(
        "destination-cleverpush", config=json.loads(Path(config).read_text()), local_executable=connector
    )
    writer.write(reader, cache=False, state_cache=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
