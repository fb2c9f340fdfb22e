"""The bare loop to compare with: the very requests that the connector would send, sent by threads that do nothing else.

usage: python -m tools.bench.bare CONFIG CATALOG ROWS THREADS requests|connector

The requests are prepared before the first one is sent, by the connector's own client. They go through the adapter of
`requests` as it comes, or through the one that the connector uses in its place.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import requests
from destination_cleverpush.catalog import plan_streams
from destination_cleverpush.client import Client
from destination_cleverpush.protocol import Record, parse_lines, read_lines
from requests.adapters import HTTPAdapter

from destination_cleverpush.config import parse_config


class Recorder:
    """Stands in for the client's adapter, and keeps what it would have sent."""

    def __init__(self, adapter: HTTPAdapter) -> None:
        self.adapter = adapter
        self.calls: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Keep a call and break it off."""
        self.calls.append((request, options))
        raise requests.ConnectionError


def prepare(config_path: Path, catalog_path: Path, rows: Path) -> Recorder:
    """The calls for a file of Airbyte lines."""
    config = parse_config(json.loads(config_path.read_text()))
    plans = plan_streams(config, json.loads(catalog_path.read_text()))
    client = Client(config)
    recorder = Recorder(client._adapter)
    client._adapter = recorder  # type: ignore[assignment]
    with rows.open("rb") as lines:
        for batch in parse_lines(read_lines(lines)):
            for message in batch:
                if isinstance(message, Record):
                    plan = plans[message.stream]
                    _, operations = plan.operations(message.data, plan.fields(message.data))
                    for operation in operations:
                        client.send(operation)
    return recorder


def main(arguments: list[str]) -> None:
    """Prepare the calls, and send them with so many threads through one of the adapters."""
    config, catalog, rows, threads, kind = arguments
    recorder, count = prepare(Path(config), Path(catalog), Path(rows)), int(threads)
    adapter = recorder.adapter if kind == "connector" else HTTPAdapter(pool_connections=1, pool_maxsize=count)

    def send(calls: list[tuple[requests.PreparedRequest, dict[str, Any]]]) -> None:
        for request, options in calls:
            response = adapter.send(request, **options)
            while response.raw.read1(1 << 16, decode_content=True):
                pass

    senders = [threading.Thread(target=send, args=(recorder.calls[number::count],)) for number in range(count)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


if __name__ == "__main__":
    main(sys.argv[1:])
