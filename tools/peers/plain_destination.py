"""A destination as many of Airbyte's Python ones for APIs are written: one `requests.post` for each record.

usage: python -m tools.peers.plain_destination URL < LINES

States are printed when they come, since all before them was sent by then. A call that fails ends it.
"""

from __future__ import annotations

import json
import sys

import requests

from tools.bench.work import KEY, call


def main(url: str) -> None:
    """Read Airbyte's lines, send the records, print the states."""
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "RECORD":
            path, body = call(message["record"]["data"])
            requests.post(url + path, json=body, headers={"Authorization": KEY}, timeout=30).raise_for_status()
        elif message["type"] == "STATE":
            print(line, end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
