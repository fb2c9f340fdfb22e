"""The connector as Python sees it: the CDK's interface."""

from __future__ import annotations

import json
import logging
import signal
import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush import DestinationCleverpush
from destination_cleverpush.destination import _cancel_on_signals
from destination_cleverpush.pipeline import Sync
from unit_tests.configurations import CHANNEL, KEY, catalog, raw_config
from unit_tests.server import Asked, Canned, Server, said

LOGGER = logging.getLogger("airbyte")


def record(**data: Any) -> AirbyteMessage:
    message = {"type": "RECORD", "record": {"stream": "users", "emitted_at": 1, "data": data}}
    return AirbyteMessageSerializer.load(message)


def state(cursor: int) -> AirbyteMessage:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"cursor": cursor}}
    return AirbyteMessageSerializer.load({"type": "STATE", "state": {"type": "STREAM", "stream": stream}})


def write(config: dict[str, Any], *messages: AirbyteMessage) -> list[AirbyteMessage]:
    configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
    return list(DestinationCleverpush().write(config, configured, messages))


def test_it_is_a_destination_with_a_spec() -> None:
    destination = DestinationCleverpush()
    assert isinstance(destination, Destination)
    spec = destination.spec(LOGGER)
    assert spec.connectionSpecification["required"] == ["channel_id", "api_key", "object_type"]
    assert [mode.value for mode in spec.supported_destination_sync_modes or []] == [
        "append",
        "append_dedup",
        "overwrite",
    ]


def test_messages_in_states_out() -> None:
    log = AirbyteMessageSerializer.load({"type": "LOG", "log": {"level": "INFO", "message": "hi"}})
    with Server(said(200, {})) as server:
        found = write(raw_config(server.url), record(subscription_id="u1", email="a@b.c"), log, state(1))
        assert [asked.json["customAttributes"] for asked in server.asked] == [{"user_id": "u1"}]
    (message,) = found
    assert message.type is Type.STATE
    assert message.state is not None
    assert message.state.stream is not None
    assert message.state.stream.stream_state is not None
    assert message.state.stream.stream_state.__dict__ == {"cursor": 1}
    assert message.state.destinationStats is not None
    assert message.state.destinationStats.recordCount == 1.0


def test_a_failure_is_raised_after_the_states_that_are_done() -> None:
    def answer(asked: Asked) -> Canned:
        return said(401 if asked.json["customAttributes"]["user_id"] == "u2" else 200, {})

    with Server(answer) as server:
        configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
        messages = [record(subscription_id="u1"), state(1), record(subscription_id="u2"), state(2)]
        config = raw_config(server.url, advanced={"max_concurrency": 1})
        found = DestinationCleverpush().write(config, configured, messages)
        assert json.dumps(AirbyteMessageSerializer.dump(next(iter(found)))).count('"cursor": 1') == 1
        with pytest.raises(AirbyteTracedException) as failure:
            list(found)
    assert failure.value.failure_type is FailureType.config_error
    assert "invalid API key" in str(failure.value.message)


def test_a_reader_that_stops_early_stops_the_sync() -> None:
    with Server(said(200, {})) as server:
        configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
        endless = (message for n in range(10**9) for message in (record(subscription_id=f"u{n}"), state(n)))
        found = iter(DestinationCleverpush().write(raw_config(server.url), configured, endless))
        next(found)
        found.close()  # type: ignore[attr-defined]
        asked = len(server.asked)
    assert asked < 10**5


def test_check() -> None:
    with Server(lambda _: said(200, {"channels": [{"_id": CHANNEL}]})) as server:
        assert DestinationCleverpush().check(LOGGER, raw_config(server.url)).status is Status.SUCCEEDED
    with Server(said(401)) as server:
        refused = DestinationCleverpush().check(LOGGER, raw_config(server.url))
    assert refused.status is Status.FAILED
    assert str(refused.message).startswith("Authentication failed: invalid API key")
    assert KEY not in str(refused.message)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"object_type": "users"}, "object_type"),
        ({"advanced": {"max_concurrency": 0}}, "advanced.max_concurrency"),
        ({"advanced": {"base_url": "http://example.com"}}, "advanced.base_url"),
        ({"field_mapping": [{"source": "a"}]}, "field_mapping.0.destination"),
        ({"field_mapping": [{"source": "a", "destination": "email"}], "unmapped_fields": "ignore"}, "subscription_id"),
    ],
)
def test_check_names_the_field_that_the_form_forbids(fields: dict[str, Any], named: str) -> None:
    status = DestinationCleverpush().check(LOGGER, raw_config(**fields))
    assert status.status is Status.FAILED
    assert f"'{named}'" in str(status.message)


def test_a_signal_cancels_from_a_thread_of_its_own() -> None:
    """What a signal interrupts in the main thread may hold the delivery's lock, halfway through its bookkeeping."""
    cancelled_by: SimpleQueue[threading.Thread] = SimpleQueue()
    sync = SimpleNamespace(cancel=lambda: cancelled_by.put(threading.current_thread()))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _cancel_on_signals(cast(Sync, sync))
        signal.raise_signal(signal.SIGTERM)
        assert cancelled_by.get(timeout=5) is not threading.main_thread()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
