"""A custom destination of dlt: one call for each row, through dlt's own `requests`, which tries again.

usage: python -m tools.peers.dlt_destination URL ROWS BATCH

ROWS is a file of one JSON row a line. dlt's workers share files and not rows, so its environment should say how many
rows a file gets. BATCH is how many rows a call of the function gets; after each, dlt writes down how far it has come.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers import requests

from tools.bench.work import KEY, call


def main(url: str, file: str, batch: str) -> None:
    """Load the file."""

    def send(items: list[dict[str, Any]], _table: dict[str, Any]) -> None:
        for row in items:
            path, body = call(row)
            requests.post(url + path, json=body, headers={"Authorization": KEY}, timeout=30).raise_for_status()

    def users() -> Iterator[dict[str, Any]]:
        with Path(file).open() as lines:
            for line in lines:
                yield json.loads(line)

    cleverpush = dlt.destination(send, batch_size=int(batch), name="cleverpush")
    folder = str(Path(file).parent / "pipelines")
    pipeline = dlt.pipeline("peers", destination=cleverpush, pipelines_dir=folder)
    # It would make a datetime of this column, which would have to be written out again.
    pipeline.run(users(), table_name="users", columns={"last_order_at": {"data_type": "text"}})


if __name__ == "__main__":
    main(*sys.argv[1:])
