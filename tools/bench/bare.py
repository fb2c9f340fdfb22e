"""The bare loop to compare with: the very requests that the connector would send, by a program that does nothing else.

usage: python -m tools.bench.bare CONFIG CATALOG ROWS IN_FLIGHT requests|connector

The requests are prepared before the first one is sent. They go through the adapter of `requests` as it comes, in as
many threads, or through the connector's own transport, in one.
"""

from __future__ import annotations

import json
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from destination_cleverpush.airbyte.catalog import read_catalog
from destination_cleverpush.airbyte.lines import LineParser, read_lines
from destination_cleverpush.api.exchange import Exchange
from destination_cleverpush.api.transport import Transport
from destination_cleverpush.config import Config, parse_config
from destination_cleverpush.objects.plan import plan_streams
from destination_cleverpush.words import DELIVERED, Operation, Row, Script


def prepare(config_path: Path, catalog_path: Path, rows: Path) -> tuple[Config, list[requests.PreparedRequest]]:
    """The configuration, and the requests for a file of Airbyte lines."""
    config = parse_config(json.loads(config_path.read_text()))
    plans = plan_streams(config.objects, read_catalog(json.loads(catalog_path.read_text())))
    headers = Transport(config.api)._headers
    calls: list[requests.PreparedRequest] = []
    with rows.open("rb") as lines:
        for batch in LineParser((), lambda *_: None).parse(read_lines(lines)):
            for message in batch:
                if isinstance(message, Row):
                    script = plans[message.stream].job(message).script
                    calls += (_request(config, headers, operation) for operation in _operations(script))
    return config, calls


def _operations(script: Script | None) -> Iterator[Operation]:
    """What a script does where all goes well."""
    try:
        operation = next(script) if script is not None else None
        while script is not None and operation is not None:
            yield operation
            operation = script.send(DELIVERED)
    except StopIteration:
        return


def main(arguments: list[str]) -> None:
    """Prepare the calls, and send them with so many in flight through one of the adapters."""
    config_path, catalog_path, rows, most, kind = arguments
    config, calls = prepare(Path(config_path), Path(catalog_path), Path(rows))
    (_by_the_connector if kind == "connector" else _by_requests)(config, calls, int(most))


def _request(config: Config, headers: dict[str, str], operation: Operation) -> requests.PreparedRequest:
    """What the client makes of an operation."""
    route = next(iter(operation.action.routes.values()))
    body = json.dumps({"channelId": config.api.channel_id, **operation.payload}).encode()
    return requests.Request("POST", config.api.base_url + route, headers, data=body).prepare()


def _by_the_connector(config: Config, calls: Sequence[requests.PreparedRequest], most: int) -> None:
    """One thread, which does for its calls what the connector's does for them, and nothing else."""
    transport, poll, waiting = Transport(config.api), select.poll(), deque(calls)
    under_way: dict[int, Exchange] = {}
    while waiting or under_way:
        while waiting and len(under_way) < most:
            request = waiting.popleft()
            assert isinstance(request.body, bytes)
            exchange = transport.begin("POST", request.path_url, request.body)
            if exchange is None:  # no connection is kept yet
                transport.exchange("POST", request.path_url, request.body)
                continue
            under_way[exchange.fileno()] = exchange
            poll.register(exchange.fileno(), select.POLLIN)
        for fileno, _ in poll.poll() if under_way else ():
            if under_way[fileno].look() is not None:
                del under_way[fileno]
                poll.unregister(fileno)


def _by_requests(_config: Config, calls: Sequence[requests.PreparedRequest], most: int) -> None:
    """A thread for each call in flight."""
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=most)

    def work(calls: Sequence[requests.PreparedRequest]) -> None:
        for call in calls:
            assert adapter.send(call).content

    senders = [threading.Thread(target=work, args=(calls[number::most],)) for number in range(most)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


if __name__ == "__main__":
    main(sys.argv[1:])
