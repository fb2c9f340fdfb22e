"""Whatever comes in and whatever CleverPush answers: a correct sync, or a clear failure; never anything else."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_cleverpush.airbyte.lines import LineParser
from destination_cleverpush.airbyte.states import with_stats
from destination_cleverpush.config import parse_config
from destination_cleverpush.delivery.dispatcher import Bounds
from destination_cleverpush.delivery.throttle import Throttle, ThrottleTuning
from destination_cleverpush.errors import Failure
from destination_cleverpush.sync import Sync
from unit_tests.configurations import raw_config, streams
from unit_tests.server import Asked, Canned, Server, said
from unit_tests.strategies import JSON_VALUES, LIKELY_ROWS

LOGGER = logging.getLogger("airbyte")

ANSWERS = st.one_of(
    st.sampled_from([200, 200, 200, 201, 400, 401, 404, 409, 413, 418, 429, 500, 503]).map(lambda s: said(s, "words")),
    st.builds(Canned, st.sampled_from([200, 200, 400, 422, 500]), st.binary(max_size=40)),
    st.sampled_from(
        [Canned(200, b"<html>"), Canned(raw=b""), Canned(raw=b"HTTP/1.1 2"), said(302, None, Location="/")]
    ),
)


@pytest.fixture(scope="module", autouse=True)
def _quick_retries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("destination_cleverpush.sync.Bounds", partial(Bounds, retry_base_seconds=0.001))
        quick = partial(Throttle, tuning=ThrottleTuning(backoff_base_seconds=0.001))
        patch.setattr("destination_cleverpush.delivery.dispatcher.Throttle", quick)
        yield


@st.composite
def inputs(draw: st.DrawFn) -> list[bytes]:
    """Lines: records, states, other messages, and now and then rubbish."""
    lines: list[bytes] = []
    for n in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["record"] * 8 + ["state"] * 4 + ["other", "rubbish", "stranger"]))
        if kind == "record":
            message: Any = {"type": "RECORD", "record": {"stream": "users", "data": draw(LIKELY_ROWS)}}
        elif kind == "stranger" and draw(st.booleans()):
            message = {"type": "RECORD", "record": {"stream": "nobody", "data": {}}}
        elif kind == "other":
            message = {"type": draw(st.sampled_from(["LOG", "TRACE", "NEW"])), "x": draw(JSON_VALUES)}
        elif kind == "rubbish" and draw(st.booleans()):
            lines.append(draw(st.binary(max_size=20)).replace(b"\n", b""))
            continue
        else:
            stream = {"stream_descriptor": {"name": "users"}}
            message = {"type": "STATE", "state": {"type": "STREAM", "id": n, "stream": stream}}
        lines.append(json.dumps(message).encode())
    return lines


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    lines=inputs(),
    answers=st.lists(ANSWERS, max_size=8),
    object_type=st.sampled_from(["subscriptions", "tags"]),
    mode=st.sampled_from(["upsert", "add", "remove", "mirror"]),
    on_rejected=st.sampled_from(["continue", "continue", "fail"]),
)
def test_a_correct_sync_or_a_clear_failure(
    lines: list[bytes], answers: list[Canned], object_type: str, mode: str, on_rejected: str
) -> None:
    script = list(answers)

    def answer(_asked: Asked) -> Canned:
        return script.pop() if script else said(200, {})

    with Server(answer) as server:
        config = parse_config(
            raw_config(server.url, object_type=object_type, audience_mode=mode, on_rejected=on_rejected)
        )
        sync = Sync(config, streams("users"), LOGGER)
        states: list[dict[str, Any]] = []
        failure = None
        try:
            for batch in sync.run(LineParser((), lambda *_: None).parse([lines])):
                states.extend(json.loads(with_stats(due))["state"] for due in batch)
        except Failure as error:
            failure = error
    assert failure is None or (failure.message[0].isalnum() and failure.message[-1] in ".)")
    sent = [n for n, line in enumerate(lines) if b'"STATE"' in line and b'"STREAM"' in line]
    assert [s["id"] for s in states] == sent[: len(states)]
    counted = sum(s["destinationStats"]["recordCount"] + s["destinationStats"]["rejectedRecordCount"] for s in states)
    if states:
        before = lines[: states[-1]["id"]]
        assert counted == sum(b'"RECORD"' in line and b'"users"' in line for line in before)
    if failure is None:
        assert len(states) == len(sent)
        assert sync._settlement.counts.total.settled == sum(sync._read.values())


@settings(max_examples=300, deadline=None)
@given(
    raw=st.one_of(
        st.dictionaries(
            st.sampled_from(
                [
                    *("channel_id", "api_key", "object_type", "audience_mode", "field_mapping", "advanced"),
                    *("removed_field", "rejected_records", "max_rejected_ratio", "on_rejected", "unknown"),
                ]
            ),
            st.one_of(JSON_VALUES, st.sampled_from(["subscriptions", "tags", "mirror", "abc"])),
        ),
        JSON_VALUES,
    )
)
def test_a_configuration_is_taken_or_refused_with_the_fields_name(raw: Any) -> None:
    try:
        parse_config(raw)
    except Failure as error:
        told = error.message
    else:
        return
    assert told.startswith(("The configuration", "The dead letter store"))
