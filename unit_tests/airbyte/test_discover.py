"""What can be synced, as the platform reads it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airbyte_protocol_dataclasses.models import AirbyteMessage, DestinationSyncMode, Type
from serpyco_rs import Serializer

from destination_cleverpush.airbyte.discover import catalog_line, catalog_of, destination_catalog
from destination_cleverpush.objects.activation import stream_settings
from destination_cleverpush.words import Stream, StreamId
from unit_tests.configurations import CHANNEL, raw_config
from unit_tests.objects.examples import settings
from unit_tests.server import Server, said

LOGGER = logging.getLogger("airbyte.test")


def operations(catalog: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["object_name"], one["sync_mode"]): one["json_schema"] for one in catalog["operations"]}


def test_the_line_is_what_the_protocol_says_to_the_last_field() -> None:
    line = catalog_line(catalog_of(["plan"]))
    message = Serializer(AirbyteMessage, omit_none=True).load(json.loads(line))
    assert message.type is Type.DESTINATION_CATALOG
    assert message.destination_catalog is not None
    assert {one.sync_mode for one in message.destination_catalog.operations} <= set(DestinationSyncMode)
    assert Serializer(AirbyteMessage, omit_none=True).dump(message) == json.loads(line)


def test_the_line_is_valid_for_the_pydantic_models_of_the_protocol() -> None:
    """These refuse unknown values; they are no dependency, and are asked where they are installed."""
    protocol = pytest.importorskip("airbyte_protocol.models")
    line = catalog_line(catalog_of(["plan"]))
    message = protocol.AirbyteMessage.model_validate_json(line)
    assert json.loads(message.model_dump_json(exclude_unset=True)) == json.loads(line)


def test_each_object_has_its_modes_and_overwrite_is_none_of_them() -> None:
    assert list(operations(catalog_of([]))) == [
        ("subscriptions", "append_dedup"),
        ("subscriptions", "append"),
        ("subscriptions", "update"),
        ("subscriptions", "soft_delete"),
        ("tags", "append_dedup"),
        ("tags", "append"),
        ("tags", "soft_delete"),
    ]


def test_fields_are_the_objects_own_then_the_marker_then_the_channels_attributes() -> None:
    schemas = operations(catalog_of(["plan", "user_id", "Age", "email"]))
    subscriptions, tags = schemas["subscriptions", "append_dedup"], schemas["tags", "append_dedup"]
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    assert subscriptions == {
        "type": "object",
        "properties": {
            "subscription_id": text,
            "cleverpush_id": text,
            "country": text,
            "email": text,
            "language": text,
            "phone": text,
            "topics": texts,
            "removed": {"type": "boolean"},
            "Age": text,
            "plan": text,
        },
        "required": ["subscription_id"],
        "additionalProperties": True,
    }
    assert list(subscriptions["properties"])[-3:] == ["Age", "plan", "removed"]
    assert tags == {
        "type": "object",
        "properties": {"subscription_id": text, "tags": texts, "cleverpush_id": text, "removed": {"type": "boolean"}},
        "required": ["subscription_id", "tags"],
        "additionalProperties": False,
    }
    assert "removed" not in schemas["subscriptions", "soft_delete"]["properties"]


def test_all_that_is_offered_is_taken_by_write() -> None:
    for one in catalog_of(["plan"])["operations"]:
        key = tuple(map(tuple, one["matching_keys"]))
        schema, mode = one["json_schema"], one["sync_mode"]
        stream = Stream(
            StreamId("s"), schema, destination_sync_mode=mode, object_name=one["object_name"], primary_key=key
        )
        assert stream_settings(settings(audience_mode="mirror"), stream).object_type == one["object_name"]


def test_the_channels_attributes_are_read() -> None:
    body = {"customAttributes": [{"id": "user_id", "name": "User"}, {"id": "plan", "name": "Plan"}]}
    with Server(said(200, body)) as server:
        found = destination_catalog(raw_config(server.url), LOGGER)
        assert [asked.path for asked in server.asked] == [f"/channel/{CHANNEL}/config"]
    assert found == catalog_of(["plan"])


@pytest.mark.parametrize(
    ("status", "fields"), [(500, {}), (403, {}), (404, {}), (200, {}), (200, {"object_type": "users"})]
)
def test_where_they_cannot_be_read_there_are_fewer_fields_and_a_log_line(
    caplog: pytest.LogCaptureFixture, status: int, fields: dict[str, Any]
) -> None:
    with Server(said(status, {})) as server:
        assert destination_catalog(raw_config(server.url, **fields), LOGGER) == catalog_of([])
    (told,) = caplog.messages
    assert told.startswith("The channel's custom attributes cannot be read, so they are not offered; ")
