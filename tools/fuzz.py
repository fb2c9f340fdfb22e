"""`python -m tools.fuzz [libFuzzer options]`: coverage-guided fuzzing of lines, rows and answers.

Needs atheris in the environment (`pip install atheris`); `make fuzz` makes one of its own. Any exception but a typed
failure ends it, and the input that caused it is written to a file.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import atheris

with atheris.instrument_imports(include=["destination_cleverpush"]):
    from airbyte_cdk.utils.traced_exception import AirbyteTracedException
    from destination_cleverpush.catalog import plan_streams
    from destination_cleverpush.client import Reply
    from destination_cleverpush.protocol import Record, State, parse_lines, with_stats
    from destination_cleverpush.reasons import ROW_STATUSES, RowRejected, recognise
    from destination_cleverpush.rejected import without_values

    from destination_cleverpush.config import parse_config

_BASE = {"channel_id": "c", "api_key": "k"}
_CATALOG = {"streams": [{"stream": {"name": "s", "json_schema": {}}}]}
_PLANS = [
    next(iter(plan_streams(parse_config({**_BASE, "object_type": kind, "audience_mode": mode}), _CATALOG).values()))
    for kind in ("subscriptions", "tags")
    for mode in ("upsert", "mirror", "remove")
]


def one_input(data: bytes) -> None:
    """One input as lines, as a row, as a configuration, and as an answer of CleverPush."""
    try:
        for batch in parse_lines([data.split(b"\n")]):
            for message in batch:
                if isinstance(message, State):
                    assert "destinationStats" in json.loads(with_stats(message, 1, 0))["state"]
                elif isinstance(message, Record):
                    _row(message.data)
    except AirbyteTracedException:
        pass
    words = Reply(400, {}, data, whole=True).words()
    for status in ROW_STATUSES:
        recognise(status, words)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(content, dict):
        _row(content)
        without_values(words, content)
    with suppress(AirbyteTracedException):
        parse_config({**_BASE, "object_type": "tags", "advanced": content})


def _row(row: Any) -> None:
    for plan in _PLANS:
        try:
            _, operations = plan.operations(row, plan.fields(row))
        except RowRejected:
            continue
        for operation in operations:
            json.dumps(operation.payload, allow_nan=False)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
