"""An Airbyte source for PyAirbyte: prints the file of lines that LINES names. Only the standard library is used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from tools.bench.work import STREAM


def main(command: str) -> None:
    """`spec`, `check`, `discover` and `read`."""
    if command == "spec":
        _say("SPEC", "spec", {"connectionSpecification": {"type": "object", "properties": {}}})
    elif command == "check":
        _say("CONNECTION_STATUS", "connectionStatus", {"status": "SUCCEEDED"})
    elif command == "discover":
        schema = {"type": "object", "properties": json.loads(os.environ["PROPERTIES"])}
        modes = ["full_refresh"]
        _say(
            "CATALOG", "catalog", {"streams": [{"name": STREAM, "json_schema": schema, "supported_sync_modes": modes}]}
        )
    else:
        with Path(os.environ["LINES"]).open() as lines:
            shutil.copyfileobj(lines, sys.stdout)


def _say(kind: str, field: str, content: object) -> None:
    print(json.dumps({"type": kind, field: content}))


if __name__ == "__main__":
    main(sys.argv[1])
