"""`python -m tools.fuzz [libFuzzer options]`: coverage-guided fuzzing of lines, rows and answers.

Needs atheris in the environment (`pip install atheris`); `make fuzz` makes one of its own. Any exception but a failure
of the connector's own ends it, and the input that caused it is written to a file.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import atheris

with atheris.instrument_imports(include=["destination_cleverpush"]):
    from destination_cleverpush.airbyte.lines import LineParser
    from destination_cleverpush.airbyte.states import with_stats
    from destination_cleverpush.api.reasons import ROW_STATUSES, recognise
    from destination_cleverpush.api.reply import Reply
    from destination_cleverpush.config import parse_config
    from destination_cleverpush.errors import Failure
    from destination_cleverpush.objects.plan import StreamPlan, plan_streams
    from destination_cleverpush.settlement.masking import without_values
    from destination_cleverpush.words import DELIVERED, DueState, Row, RowRejected, State, Stream, StreamId

_BASE = {"channel_id": "c", "api_key": "k", "max_removal_ratio": 1}
_STREAM = StreamId("s")


def _plan(object_type: str, mode: str) -> StreamPlan:
    config = parse_config({**_BASE, "object_type": object_type, "audience_mode": mode})
    return plan_streams(config.objects, [Stream(_STREAM, {})])[_STREAM]


_PLANS = [_plan(kind, mode) for kind in ("subscriptions", "tags") for mode in ("upsert", "mirror", "remove")]


def one_input(data: bytes) -> None:
    """One input as lines, as a row, as a configuration, and as an answer of CleverPush."""
    try:
        for batch in LineParser([_STREAM], lambda *_: None).parse([data.split(b"\n")]):
            for message in batch:
                if isinstance(message, State):
                    assert "destinationStats" in json.loads(with_stats(DueState(message, 1, 0)))["state"]
                elif isinstance(message, Row):
                    _row(message.data)
    except Failure:
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
    with suppress(Failure):
        parse_config({**_BASE, "object_type": "tags", "advanced": content})


def _row(row: Any) -> None:
    for plan in _PLANS:
        plan.identifiers(row)
        script = plan.job(Row(_STREAM, row, None, 0, 1)).script
        with suppress(StopIteration, RowRejected):
            operation = next(script) if script else None
            while script and operation:
                json.dumps(operation.payload, allow_nan=False)
                operation = script.send(DELIVERED)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
